//! Finding the types with future calls that need no instance, without a list of them.

use std::any::TypeId;
#[cfg(feature = "discovery")]
use std::any::type_name;

#[cfg(feature = "discovery")]
use crate::call::{FutureCall, handlers_of};
use crate::registry::Handler;

/// A type with future calls that was found in the running program.
#[derive(Debug)]
pub(crate) struct Discovered {
    /// Its full path.
    pub(crate) type_name: &'static str,
    /// Its identity, to tell whether it was registered by hand as well.
    pub(crate) type_id: TypeId,
    /// Whether it must be registered with a value, for its methods with `&self`.
    pub(crate) needs_instance: bool,
    /// Its handlers that need no value.
    pub(crate) handlers: fn() -> Vec<Handler>,
}

/// All types found; none without the feature `discovery`.
#[cfg(feature = "discovery")]
pub(crate) fn discovered() -> Vec<Discovered> {
    inventory::iter::<Submission>().map(|submission| (submission.found)()).collect()
}

/// All types found; none without the feature `discovery`.
#[cfg(not(feature = "discovery"))]
pub(crate) fn discovered() -> Vec<Discovered> {
    Vec::new()
}

/// What an expansion submits for its type.
#[cfg(feature = "discovery")]
#[derive(Debug)]
pub struct Submission {
    found: fn() -> Discovered,
}

#[cfg(feature = "discovery")]
impl Submission {
    /// The submission of one type.
    pub const fn of<C: FutureCall>() -> Self {
        Self { found: found::<C> }
    }
}

#[cfg(feature = "discovery")]
fn found<C: FutureCall>() -> Discovered {
    Discovered {
        type_name: type_name::<C>(),
        type_id: TypeId::of::<C>(),
        needs_instance: C::NEEDS_INSTANCE,
        handlers: || handlers_of::<C>(None),
    }
}

#[cfg(feature = "discovery")]
inventory::collect!(Submission);

/// Submits a type to discovery.
#[cfg(feature = "discovery")]
#[doc(hidden)]
#[macro_export]
macro_rules! __discover {
    ($type:ty) => {
        $crate::__private::inventory::submit! {
            $crate::__private::Submission::of::<$type>()
        }
    };
}

/// Submits nothing: the feature `discovery` is off.
#[cfg(not(feature = "discovery"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __discover {
    ($type:ty) => {};
}
