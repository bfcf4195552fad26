//! Converts records of the library to output records. A field has the same name everywhere.

use futurecall_runtime::CallState;
use futurecall_runtime::inspect::{
    AttemptRecord, CallRecord, Counts, MigrationRecord, PodRecord, ScheduleRecord, ScheduleState,
};
use futurecall_runtime::operate::ActionRecord;

use crate::arguments::Arguments;
use crate::output::{Record, Rows, Tone, Value};

/// The columns of a list of calls.
pub(crate) const CALL_COLUMNS: &[&str] =
    &["id", "name", "state", "due", "~finished/next_attempt/due", "identifier", "attempt", "error"];

pub(crate) const fn tone(state: CallState) -> Tone {
    match state {
        CallState::Running => Tone::Busy,
        CallState::Succeeded => Tone::Good,
        CallState::Failed => Tone::Bad,
        CallState::Interrupted | CallState::Expired => Tone::Doubtful,
        CallState::Cancelled | CallState::Skipped => Tone::Faint,
        _ => Tone::Plain,
    }
}

pub(crate) fn call(call: &CallRecord, arguments: &Arguments) -> Record {
    Record::of(call).with("arguments", arguments.shown(&call.name, &call.args)).tone(tone(call.state))
}

pub(crate) fn calls<'a>(found: impl IntoIterator<Item = &'a CallRecord>, arguments: &Arguments) -> Rows {
    Rows::new(CALL_COLUMNS, "no calls", found.into_iter().map(|found| call(found, arguments)))
}

pub(crate) fn attempts(attempts: &[AttemptRecord]) -> Rows {
    let rows = attempts.iter().map(|attempt| Record::of(attempt).tone(tone(attempt.outcome)));
    Rows::new(&["number", "outcome", "started", "duration_seconds", "pod", "error!"], "none yet", rows)
}

pub(crate) fn schedule(schedule: &ScheduleRecord, arguments: &Arguments) -> Record {
    let tone = match schedule.state {
        ScheduleState::Paused => Tone::Doubtful,
        ScheduleState::Ended => Tone::Faint,
        _ => Tone::Plain,
    };
    Record::of(schedule).with("arguments", arguments.shown(&schedule.name, &schedule.args)).tone(tone)
}

pub(crate) fn pod(pod: &PodRecord) -> Record {
    Record::of(pod).tone(if pod.live { Tone::Plain } else { Tone::Faint })
}

pub(crate) fn action(action: &ActionRecord) -> Record {
    Record::of(action).tone(if action.outcome.is_none() { Tone::Doubtful } else { Tone::Plain })
}

/// Returns the counts, with `counted_up_to` if one of them reached the cap.
pub(crate) fn counts(counts: &Counts, cap: u64) -> Record {
    let record = Record::of(counts);
    let capped = record.fields.iter().any(|(_, value)| matches!(value, Value::Count(count) if *count >= cap));
    record.with("counted_up_to", capped.then_some(cap))
}

/// Returns whether a newer version of the library has applied the migration, so that its SQL is unknown here.
pub(crate) fn is_later(step: &MigrationRecord) -> bool {
    step.applied.is_some() && step.sql.is_empty()
}
