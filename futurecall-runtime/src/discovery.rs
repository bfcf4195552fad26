//! Finding the types with future calls that need no instance, without a list of them.

use std::any::TypeId;

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
    pub(crate) found: fn() -> Discovered,
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
