//! What becomes of the outcomes that pods hand in.

use super::rows::Outcome;

/// What became of an outcome in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It is recorded as it was handed in.
    Recorded,
    /// The call had been cancelled while it ran: it is recorded as cancelled, and does not run again.
    Cancelled,
    /// The claim was not held any more, and nothing was changed.
    Lost,
}

impl Finished {
    /// Returns whether the outcome was recorded, as itself or as a cancellation.
    pub const fn is_recorded(self) -> bool {
        !matches!(self, Self::Lost)
    }
}

/// What became of a completion in a transaction whose COMMIT got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// It was committed.
    Yes,
    /// It was rolled back, and the claim is still held.
    No,
    /// The claim is not held any more, and the history has no success of it: another pod ended it, or successes are not
    /// kept.
    Lost,
}

impl Outcome {
    /// What is said of it.
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

    /// Whether the call is to run again.
    pub(crate) const fn is_again(&self) -> bool {
        matches!(self, Self::Retry { .. } | Self::Rerun { .. })
    }

    /// Whether a call that was cancelled while it ran is recorded as cancelled instead.
    pub(crate) const fn yields_to_cancel(&self) -> bool {
        !matches!(self, Self::Succeeded | Self::Expired { .. })
    }

    /// How a call with this outcome is recorded whose row says whether it was cancelled while it ran.
    pub(crate) const fn recorded(&self, cancel_requested: bool) -> Finished {
        if cancel_requested && self.yields_to_cancel() { Finished::Cancelled } else { Finished::Recorded }
    }
}
