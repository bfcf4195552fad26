//! Where the call of a generated facade method goes: a one-shot call, or a recurring one.

use std::fmt;

use crate::args::{ArgsWriter, ArgumentError, Size};

pub(crate) mod sealed {
    /// Keeps [`CallTarget`](super::CallTarget) ours.
    pub trait Sealed {}
}

/// Where a generated facade stands: a one-shot call ([`FutureCallRef`](crate::schedule::FutureCallRef)) or a recurring one ([`RecurringCallRef`](crate::schedule::RecurringCallRef)).
/// Sealed; generated accessors such as `.example()` are methods of every target.
#[diagnostic::on_unimplemented(
    message = "a future call needs a moment first: write `.call_now()`, `.call_with_delay(..)`, `.call_at_time(..)`, or \
               `.call_recurring()` with `.every(..)` or `.cron(..)`",
    label = "`{Self}` does not say when"
)]
pub trait CallTarget: sealed::Sealed + Sized {
    /// What a facade method returns: [`PendingCall`](crate::PendingCall), or [`PendingSchedule`](crate::schedule::PendingSchedule) behind `call_recurring()`.
    type Pending;

    #[doc(hidden)]
    fn __call(self, call: EncodedCall) -> Self::Pending;
}

/// A facade method's call: its stored name and its encoded arguments. Made by generated code alone.
#[doc(hidden)]
pub struct EncodedCall {
    pub name: &'static str,
    pub priority: i16,
    pub args: Result<String, ArgumentError>,
}

impl fmt::Debug for EncodedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let args = self.args.as_deref().map(Size::of);
        f.debug_struct("EncodedCall").field("name", &self.name).field("args", &args).finish_non_exhaustive()
    }
}

impl ArgsWriter {
    /// Hands the encoded call to where the facade stands.
    pub fn call<R: CallTarget>(self, at: R, priority: i16) -> R::Pending {
        at.__call(EncodedCall { name: self.call, priority, args: self.finish() })
    }
}
