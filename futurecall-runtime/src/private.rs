//! What expansions of `#[future_call]` call. No logic, and no promise: the macro crate is pinned to this version.

use std::any::{TypeId, type_name};
use std::time::Duration;

pub use crate::args::{Arg, ArgSpec, ArgsReader, ArgsWriter, Slice, TEXT, Text};
pub use crate::call::{Method, Methods, Run, Runner};
pub use crate::config::OnInterrupt;
pub use crate::registry::StateNeed;
pub use crate::retry::{Backoff, RetryPolicy};

#[cfg(feature = "discovery")]
pub use inventory;

#[cfg(feature = "discovery")]
pub use crate::discovery::Submission;

pub use crate::__discover as discover;

use crate::error::CallFailure;
use crate::registry::DeclaredRule;
use crate::session::Session;

/// What a state parameter asks the pod for.
pub fn state_need<T: Send + Sync + 'static>(parameter: &'static str) -> StateNeed {
    StateNeed { type_id: TypeId::of::<T>, type_name: type_name::<T>, parameter }
}

/// Lends a state parameter.
pub fn state<T: Send + Sync + 'static>(session: &Session) -> Result<&T, CallFailure> {
    session.state::<T>().map_err(CallFailure::State)
}

/// Returns the future of a run. Its name is what the compiler says where that future is not `Send`.
pub const fn future_call_must_be_send<F: Future + Send>(future: F) -> F {
    future
}

/// What `default = ".."` may say of an argument of type `T`, where text is not the type itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the default of an argument of type `{T}`",
    label = "expected `{T}`",
    note = "text is taken for every type `T: From<&str>`"
)]
pub trait DefaultFor<T> {
    /// Makes the argument's value of it.
    fn into_default(self) -> T;
}

#[diagnostic::do_not_recommend]
impl<T: From<V>, V> DefaultFor<T> for V {
    fn into_default(self) -> T {
        self.into()
    }
}

/// The rule of `every = ".."`, in microseconds.
pub const fn every(interval_us: u64) -> DeclaredRule {
    DeclaredRule::Every { interval_us }
}

/// The rule of `cron = ".."`, in the zone of `time_zone = ".."`.
pub const fn cron(expression: &'static str, time_zone: &'static str) -> DeclaredRule {
    DeclaredRule::Cron { expression, time_zone }
}

/// The backoff `fixed("..")`, in microseconds.
pub const fn fixed(wait_us: u64) -> Backoff {
    Backoff::Fixed(Duration::from_micros(wait_us))
}

/// The backoff `exponential("..", max = "..", jitter)`, in microseconds.
pub const fn exponential(first_us: u64, max_us: Option<u64>, jitter: bool) -> Backoff {
    let first = Duration::from_micros(first_us);
    let max = match max_us {
        Some(max_us) => Duration::from_micros(max_us),
        None => crate::retry::longest(first),
    };
    Backoff::Exponential { first, max, jitter }
}
