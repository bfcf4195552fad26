//! Users and their rights.

use std::fmt;

use axum::http::request::Parts;

/// A right that a user of the dashboard may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Right {
    /// Open the dashboard. Without it, every page is refused.
    View,
    /// Read the arguments of calls, as far as [`Arguments`] permits, and the logs of their runs, which may quote
    /// them.
    SeeArguments,
    /// Cancel calls.
    Cancel,
    /// Move calls to another due time.
    Reschedule,
    /// Make calls due now.
    RunNow,
    /// Run finished calls again.
    RunAgain,
    /// Delete finished calls.
    Delete,
    /// Pause, resume, edit, end and trigger schedules.
    Schedules,
    /// Pause and resume call types.
    Names,
}

impl Right {
    /// All rights.
    pub const ALL: [Self; 9] = [
        Self::View,
        Self::SeeArguments,
        Self::Cancel,
        Self::Reschedule,
        Self::RunNow,
        Self::RunAgain,
        Self::Delete,
        Self::Schedules,
        Self::Names,
    ];

    const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// Returns whether it permits a change.
    const fn writes(self) -> bool {
        !matches!(self, Self::View | Self::SeeArguments)
    }
}

/// Which arguments of calls the dashboard shows to users with [`Right::SeeArguments`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arguments {
    /// No arguments, and no logs of runs, which may quote them.
    Hidden,
    /// All arguments except parameters marked with `#[future_call(redact)]`. The default. The marks are known only from pods
    /// of the last day: all arguments of calls whose names no such pod runs are hidden.
    #[default]
    Redacted,
    /// All arguments, including marked parameters.
    Shown,
}

/// The answer of an [`Authorizer`]: the name of the user, and their rights.
///
/// ```
/// use futurecall_dashboard::{Access, Right};
/// let access = Access::viewer("ada").with(Right::Cancel);
/// assert!(access.allows(Right::View) && access.allows(Right::Cancel));
/// assert!(!access.allows(Right::SeeArguments) && !access.allows(Right::Delete));
/// assert_eq!(access.actor(), "ada");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    actor: String,
    rights: u16,
}

impl Access {
    /// Refuses every page.
    pub const fn refused() -> Self {
        Self { actor: String::new(), rights: 0 }
    }

    /// Grants [`Right::View`] only. When the database fails, a user without a right to change anything sees a reference number
    /// instead of its error, which is logged under that number (`tracing`, level warn).
    pub fn viewer(actor: impl fmt::Display) -> Self {
        Self { actor: actor.to_string(), rights: 0 }.with(Right::View)
    }

    /// Grants all rights.
    pub fn operator(actor: impl fmt::Display) -> Self {
        Right::ALL.into_iter().fold(Self::viewer(actor), Self::with)
    }

    /// Adds a right.
    #[must_use]
    pub fn with(mut self, right: Right) -> Self {
        self.rights |= right.bit();
        self
    }

    /// Removes a right.
    #[must_use]
    pub fn without(mut self, right: Right) -> Self {
        self.rights &= !right.bit();
        self
    }

    /// Returns whether the user has a right.
    pub const fn allows(&self, right: Right) -> bool {
        self.rights & right.bit() != 0
    }

    /// Returns the user's name, which is recorded with every action.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// Removes all rights that permit a change.
    pub(crate) fn read_only(self) -> Self {
        Right::ALL.into_iter().filter(|right| right.writes()).fold(self, Self::without)
    }

    /// Returns whether any right permits a change.
    pub(crate) fn changes_anything(&self) -> bool {
        Right::ALL.into_iter().any(|right| right.writes() && self.allows(right))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights: Vec<_> = Right::ALL.into_iter().filter(|right| self.allows(*right)).collect();
        f.debug_struct("Access").field("actor", &self.actor).field("rights", &rights).finish()
    }
}

/// Decides who a user is and what they may do. Implemented by every `Fn(&Parts) -> Access`.
///
/// It is called for every request except those for assets and health probes, and is not async: let a middleware of yours
/// look up the session, put the user into the request's extensions, and read it here.
///
/// ```
/// use axum::http::request::Parts;
/// use futurecall_dashboard::{Access, Authorizer};
///
/// #[derive(Clone)]
/// struct User { name: String, admin: bool }
///
/// fn authorize(request: &Parts) -> Access {
///     match request.extensions.get::<User>() {
///         Some(user) if user.admin => Access::operator(&user.name),
///         Some(user) => Access::viewer(&user.name),
///         None => Access::refused(),
///     }
/// }
/// # fn is_one(_: impl Authorizer) {}
/// # is_one(authorize);
/// ```
pub trait Authorizer: Send + Sync + 'static {
    /// Returns the user who sent this request, with their rights.
    fn authorize(&self, request: &Parts) -> Access;
}

impl<F: Fn(&Parts) -> Access + Send + Sync + 'static> Authorizer for F {
    fn authorize(&self, request: &Parts) -> Access {
        self(request)
    }
}
