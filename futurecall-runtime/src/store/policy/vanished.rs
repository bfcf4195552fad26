//! Decides what happens to a call whose pod vanished.
//!
//! Failures count against the retry policy, vanished pods against the budget that the claim wrote to the row: a rescue needs
//! nothing but that row.

use std::time::Duration;

use crate::id::PodId;
use crate::moment::Moment;
use crate::store::{CallState, OnVanish};

/// A claimed call whose lease has expired.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vanished {
    pub(crate) pod: PodId,
    pub(crate) lease_until: Moment,
    /// Whether a renewal has recorded that its handler started.
    pub(crate) started: bool,
    pub(crate) cancel_requested: bool,
    pub(crate) on_vanish: OnVanish,
    /// Number of its pods that have vanished, including this one.
    pub(crate) pods: u32,
}

/// The end of its attempt, and when it runs again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) state: CallState,
    pub(crate) error: String,
    /// How long after that the call is due again; `None` if it has ended.
    pub(crate) again_after: Option<Duration>,
}

/// Decides how the attempt of a call whose pod vanished ends.
pub(crate) fn ending_of(call: &Vanished) -> Ending {
    let Vanished { pod, lease_until, started, pods, .. } = call;
    let proof = if *started { "proven" } else { "not proven" };
    let error =
        format!("pod {pod} vanished: its lease ended at {lease_until}; the handler's start is {proof}");
    if call.cancel_requested {
        return Ending { state: CallState::Cancelled, error, again_after: None };
    }
    match call.on_vanish {
        OnVanish::Keep => Ending { state: CallState::Interrupted, error, again_after: None },
        OnVanish::Rerun { budget, after } if *pods < budget => {
            Ending { state: CallState::Interrupted, error, again_after: Some(after) }
        }
        OnVanish::Rerun { .. } => Ending {
            state: CallState::Failed,
            error: format!("{pods} of its pods vanished, so it is not run again; the last time, {error}"),
            again_after: None,
        },
    }
}
