//! The stored reasons of calls and schedules that did not end by a handler, for people to read.

use crate::store::ScheduleState;

/// A run that was skipped by its rule because it was missed.
pub(crate) const MISSED: &str = "missed";

/// A run that was skipped by its rule because another run was still running.
pub(crate) const STILL_RUNNING: &str = "the run before was still going";

/// A schedule whose rule has no further run.
pub(crate) const NO_FURTHER_RUN: &str = "its rule has no further moment";

/// A schedule of an attribute that no live pod declares.
pub(crate) const UNDECLARED: &str = "no longer declared";

/// The pending call of such a schedule.
pub(crate) const SCHEDULE_UNDECLARED: &str = "its schedule is no longer declared";

/// A call that was cancelled, or a schedule that was cancelled with its identifier.
pub(crate) const CANCELLED: &str = "cancelled";

/// The pending call of a schedule that an operator has paused or ended.
pub(crate) const fn stopped(state: ScheduleState) -> &'static str {
    match state {
        ScheduleState::Paused => "its schedule was paused",
        ScheduleState::Active | ScheduleState::Ended => "its schedule was ended",
    }
}
