use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::{check_identifier, identifier_text};
use crate::error::ScheduleError;
use crate::id::CallId;
use crate::store::CancelTarget;

mod sealed {
    pub trait Sealed {}
}

/// Says which calls [`cancel`](crate::FutureCalls::cancel), [`reschedule`](crate::FutureCalls::reschedule) and
/// [`run_now`](crate::FutureCalls::run_now) act on: one call, by its [`CallId`], or all calls with an identifier.
///
/// An identifier is a text (`&str`, `String`, `Cow<str>`, `Box<str>`, `Arc<str>`, `format_args!(…)`) or an integer, which
/// stands for its decimal text. References to all of these work as well. A `CallId` always means the call, never calls
/// that happen to be labelled with the id's text: pass `id.to_string()` for those.
///
/// Other types with a `Display`, such as your own or a bare `Uuid`, do not compile here, because they could be meant either
/// way: pass `value.to_string()` for an identifier, `CallId::from_uuid(uuid)` for a call. This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a call's id nor an identifier",
    label = "expected a `CallId`, a text or an integer",
    note = "for an identifier, pass its text: `value.to_string()`",
    note = "for one call, pass its `CallId`: `CallId::from_uuid(uuid)` makes one of a UUID"
)]
pub trait CallOrIdentifier: sealed::Sealed {
    #[doc(hidden)]
    fn __target(&self) -> Result<CancelTarget, ScheduleError>;
}

impl sealed::Sealed for CallId {}
impl CallOrIdentifier for CallId {
    fn __target(&self) -> Result<CancelTarget, ScheduleError> {
        Ok(CancelTarget::Call(*self))
    }
}

macro_rules! identifiers {
    ($($type:ty),* $(,)?) => {$(
        impl sealed::Sealed for $type {}
        impl CallOrIdentifier for $type {
            fn __target(&self) -> Result<CancelTarget, ScheduleError> {
                identifier(identifier_text(&self))
            }
        }
    )*};
}

identifiers!(str, String, Cow<'_, str>, fmt::Arguments<'_>);
identifiers!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);

macro_rules! pointers {
    ($($type:ty),* $(,)?) => {$(
        impl<T: CallOrIdentifier + ?Sized> sealed::Sealed for $type {}
        impl<T: CallOrIdentifier + ?Sized> CallOrIdentifier for $type {
            fn __target(&self) -> Result<CancelTarget, ScheduleError> {
                T::__target(self)
            }
        }
    )*};
}

pointers!(&T, Box<T>, Arc<T>);

fn identifier(text: String) -> Result<CancelTarget, ScheduleError> {
    check_identifier(&text)?;
    Ok(CancelTarget::Identifier(text))
}
