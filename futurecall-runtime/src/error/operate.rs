use std::fmt;

use crate::error::{ScheduleError, StoreError};
use crate::id::CallId;
use crate::id::ScheduleId;

/// Why an operator's action was not done, or not to all.
#[non_exhaustive]
pub enum OperateError {
    /// There is no such schedule.
    UnknownSchedule(ScheduleId),
    /// The schedule is in a state that a newer release of the library has written.
    UnreadableSchedule(ScheduleId),
    /// Nothing was done: a bad argument, or what the database said.
    Schedule(ScheduleError),
    /// A step of several failed: what came before it is done.
    Partly {
        /// What was done before.
        summary: ActionSummary,
        /// Why it went no further. If its outcome is unknown, the step that failed may be done as well.
        source: ScheduleError,
    },
}

impl OperateError {
    /// What was done before it failed.
    pub fn summary(&self) -> Option<&ActionSummary> {
        match self {
            Self::Partly { summary, .. } => Some(summary),
            Self::UnknownSchedule(_) | Self::UnreadableSchedule(_) | Self::Schedule(_) => None,
        }
    }

    /// Whether the same action may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Schedule(source) | Self::Partly { source, .. } => source.is_transient(),
            Self::UnknownSchedule(_) | Self::UnreadableSchedule(_) => false,
        }
    }

    /// Whether more may be done than it says.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Schedule(source) | Self::Partly { source, .. } => source.outcome_unknown(),
            Self::UnknownSchedule(_) | Self::UnreadableSchedule(_) => false,
        }
    }
}

impl fmt::Display for OperateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSchedule(id) => {
                write!(f, "there is no schedule {id}: `inspect().schedules()` lists them")
            }
            Self::UnreadableSchedule(id) => write!(
                f,
                "schedule {id} is in a state that a newer release has written: change it with that release"
            ),
            Self::Schedule(source) => source.fmt(f),
            Self::Partly { summary, source } => {
                write!(f, "done to {} calls, and then failed: {source}", summary.done)
            }
        }
    }
}

crate::words::debug_in_words!(OperateError);

impl std::error::Error for OperateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::UnknownSchedule(_) | Self::UnreadableSchedule(_) => None,
            Self::Schedule(source) | Self::Partly { source, .. } => source.source(),
        }
    }
}

impl From<ScheduleError> for OperateError {
    fn from(error: ScheduleError) -> Self {
        Self::Schedule(error)
    }
}

impl From<StoreError> for OperateError {
    fn from(error: StoreError) -> Self {
        Self::Schedule(error.into())
    }
}

/// What an action on calls did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActionSummary {
    /// Calls to which it was done.
    pub done: u64,
    /// Calls that were running: told of their cancellation, otherwise left alone.
    pub running: u64,
    /// Chosen calls to which it could not be done: over already, not over yet, or gone.
    pub passed_over: u64,
    /// The calls that were stored, in the order of the old ones; the first 1,000.
    pub new_calls: Vec<CallId>,
}
