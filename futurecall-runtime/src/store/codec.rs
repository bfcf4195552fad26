//! The small numbers that both SQL stores write, and how they read back.

use crate::recurring::Rule;
use crate::store::{CallState, Outcome, ScheduleOrigin, ScheduleState};

/// The number of a finished state; `None` for states that never stand in the history.
pub(super) const fn state_code(state: CallState) -> Option<i16> {
    match state {
        CallState::Scheduled | CallState::Running => None,
        CallState::Succeeded => Some(1),
        CallState::Failed => Some(2),
        CallState::Interrupted => Some(3),
        CallState::Cancelled => Some(4),
        CallState::Expired => Some(5),
        CallState::Skipped => Some(6),
    }
}

/// The state of that number. A number that this version does not know was written by a newer one: shown as failed
/// rather than hidden.
pub(super) const fn state_of(code: i16) -> CallState {
    match code {
        1 => CallState::Succeeded,
        3 => CallState::Interrupted,
        4 => CallState::Cancelled,
        5 => CallState::Expired,
        6 => CallState::Skipped,
        _ => CallState::Failed,
    }
}

/// The history's state and the error text of an outcome.
pub(super) fn outcome_state(outcome: &Outcome) -> (CallState, Option<&str>) {
    match outcome {
        Outcome::Succeeded => (CallState::Succeeded, None),
        Outcome::Failed { error } => (CallState::Failed, Some(error)),
        Outcome::Interrupted { error } => (CallState::Interrupted, Some(error)),
    }
}

/// The number of a schedule's origin.
pub(super) const fn origin_code(origin: ScheduleOrigin) -> i16 {
    match origin {
        ScheduleOrigin::Code => 0,
        ScheduleOrigin::Attribute => 1,
    }
}

/// The origin of that number.
pub(super) const fn origin_of(code: i16) -> ScheduleOrigin {
    if code == 1 { ScheduleOrigin::Attribute } else { ScheduleOrigin::Code }
}

/// The schedule state of that number.
pub(super) const fn schedule_of(code: i16) -> ScheduleState {
    match code {
        0 => ScheduleState::Active,
        1 => ScheduleState::Paused,
        _ => ScheduleState::Ended,
    }
}

/// A rule as stored.
pub(super) fn rule_text(rule: &Rule) -> Result<String, serde_json::Error> {
    serde_json::to_string(rule)
}

/// A stored rule.
pub(super) fn rule_of(text: &str) -> Result<Rule, serde_json::Error> {
    serde_json::from_str(text)
}
