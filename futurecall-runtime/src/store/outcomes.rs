//! How stores record the outcomes of calls.

use super::rows::Outcome;

/// How an outcome was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The outcome was recorded as it is.
    Recorded,
    /// The call was cancelled while it ran: it is recorded as cancelled, and does not run again.
    Cancelled,
    /// The claim was no longer held, and nothing was changed.
    Lost,
}

impl Finished {
    /// Returns whether the outcome was recorded, as itself or as a cancellation.
    pub const fn is_recorded(self) -> bool {
        !matches!(self, Self::Lost)
    }
}

/// The outcome of a completion in a transaction whose COMMIT got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// It was committed.
    Yes,
    /// It was rolled back, and the claim is still held.
    No,
    /// The claim is no longer held, and the history has no success of it: another pod ended the call, or successes
    /// are not kept.
    Lost,
}

impl Outcome {
    /// Returns its error text.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Succeeded => None,
            Self::Failed { error }
            | Self::Interrupted { error }
            | Self::Retry { error, .. }
            | Self::Rerun { error }
            | Self::Expired { error } => Some(error),
        }
    }

    /// Returns whether the call runs again.
    pub(crate) const fn is_again(&self) -> bool {
        matches!(self, Self::Retry { .. } | Self::Rerun { .. })
    }

    /// Returns whether a call that was cancelled while it ran is recorded as cancelled instead.
    pub(crate) const fn yields_to_cancel(&self) -> bool {
        !matches!(self, Self::Succeeded | Self::Expired { .. })
    }

    /// Returns how this outcome is recorded, given whether the call was cancelled while it ran.
    pub(crate) const fn recorded(&self, cancel_requested: bool) -> Finished {
        if cancel_requested && self.yields_to_cancel() { Finished::Cancelled } else { Finished::Recorded }
    }
}
