//! What expansions of `#[future_call]` call. No logic, and no promise: the macro crate is pinned to this version.

use std::any::{TypeId, type_name};

pub use crate::args::{Arg, ArgSpec, ArgsReader, ArgsWriter, Slice, TEXT, Text, check};
pub use crate::call::{Method, Methods, Run, Runner};
pub use crate::registry::StateNeed;

#[cfg(feature = "discovery")]
pub use inventory;

#[cfg(feature = "discovery")]
pub use crate::discovery::Submission;

pub use crate::__discover as discover;

use crate::registry::{CallFailure, DeclaredRule};
use crate::session::Session;

/// What a state parameter asks the pod for.
pub fn state_need<T: Send + Sync + 'static>(parameter: &'static str) -> StateNeed {
    StateNeed { type_id: TypeId::of::<T>, type_name: type_name::<T>, parameter }
}

/// Lends a state parameter.
pub fn state<T: Send + Sync + 'static>(session: &Session) -> Result<&T, CallFailure> {
    session.state::<T>().map_err(CallFailure::State)
}

/// The rule of `every = ".."`, in microseconds.
pub const fn every(interval_us: u64) -> DeclaredRule {
    DeclaredRule::Every { interval_us }
}

/// The rule of `cron = ".."`, in the zone of `time_zone = ".."`.
pub const fn cron(expression: &'static str, time_zone: &'static str) -> DeclaredRule {
    DeclaredRule::Cron { expression, time_zone }
}
