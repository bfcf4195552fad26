//! The identities that clients make: calls, schedules, pods.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes an existing UUID as it is.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self).map_err(|source| ParseIdError { source })
            }
        }
    };
}

id! {
    /// The identity of one call: a UUID version 7 that the client makes, so that an enqueue can be repeated safely.
    ///
    /// ```
    /// use futurecall_runtime::CallId;
    /// let id = CallId::new();
    /// assert_eq!(id.to_string().parse::<CallId>().unwrap(), id);
    /// assert!(CallId::new() > id, "later ids of one process sort after earlier ones");
    /// ```
    CallId
}

id! {
    /// The identity of one schedule (a stored recurring rule).
    ScheduleId
}

id! {
    /// The identity of one action of an operator.
    ActionId
}

id! {
    /// The identity of one pod: fresh and random at every start, never the host's name, so that a restarted process
    /// is never mistaken for the one that vanished.
    PodId
}

/// Says that a text is not the id of a call, schedule, action or pod.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: an id is a UUID, such as `0190a6c0-7f1e-7c3a-9d52-3f6b1c2d4e5f` ({source})")]
pub struct ParseIdError {
    source: uuid::Error,
}

crate::words::debug_in_words!(ParseIdError);

impl CallId {
    /// Makes a new id, unique across machines, sorting after all that this process made before.
    #[allow(clippy::new_without_default, reason = "two defaults would not be equal")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl ScheduleId {
    /// Makes a new id.
    #[allow(clippy::new_without_default, reason = "two defaults would not be equal")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl ActionId {
    /// Makes a new id, sorting after all that this process made before.
    #[allow(clippy::new_without_default, reason = "two defaults would not be equal")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl PodId {
    /// Makes a new random id.
    #[allow(clippy::new_without_default, reason = "two defaults would not be equal")]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }
}
