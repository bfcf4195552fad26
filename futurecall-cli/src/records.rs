//! What the library's rows are in the output: the same field has the same name everywhere.

use futurecall_runtime::{
    ActionRecord, AttemptRecord, CallRecord, CallState, Counts, MigrationRecord, PodRecord, ScheduleRecord,
    ScheduleState,
};

use crate::arguments::Arguments;
use crate::output::{Record, Rows, Tone, Value};

/// The columns of a list of calls.
pub(crate) const CALL_COLUMNS: &[&str] =
    &["id", "name", "state", "due", "~moment", "identifier", "attempt", "error"];

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

/// A call. `moment` is what a list is sorted by: when it is due (next), or when it ended.
pub(crate) fn call(call: &CallRecord, arguments: &Arguments) -> Record {
    let moment = call.finished.or(call.next_attempt).unwrap_or(call.due);
    Record::new()
        .with("id", call.id)
        .with("name", call.name.as_str())
        .with("state", call.state.as_str())
        .with("identifier", call.identifier.clone())
        .with("moment", moment)
        .with("due", call.due)
        .with("next_attempt", call.next_attempt)
        .with("expires", call.expires)
        .with("created", call.created)
        .with("finished", call.finished)
        .with("attempt", call.attempt)
        .with("priority", call.priority)
        .with("schedule", call.schedule)
        .with("rerun_of", call.rerun_of)
        .with("pod", call.pod)
        .with("lease_until", call.lease_until)
        .with("start_proven", call.start_proven)
        .with("cancel_requested", call.cancel_requested)
        .with("broken", call.broken.clone())
        .with("error", call.error.clone())
        .with("arguments", arguments.shown(&call.name, &call.args))
        .tone(tone(call.state))
}

pub(crate) fn calls<'a>(found: impl IntoIterator<Item = &'a CallRecord>, arguments: &Arguments) -> Rows {
    Rows::new(CALL_COLUMNS, "no calls", found.into_iter().map(|found| call(found, arguments)))
}

pub(crate) fn attempts(attempts: &[AttemptRecord]) -> Rows {
    let row = |attempt: &AttemptRecord| {
        Record::new()
            .with("number", attempt.number)
            .with("outcome", attempt.outcome.as_str())
            .with("started", attempt.started)
            .with("ended", attempt.ended)
            .with("took", attempt.duration)
            .with("pod", attempt.pod)
            .with("error", attempt.error.clone())
            .tone(tone(attempt.outcome))
    };
    let columns = &["number", "outcome", "started", "took", "pod", "error!"];
    Rows::new(columns, "none yet", attempts.iter().map(row))
}

pub(crate) fn schedule(schedule: &ScheduleRecord, arguments: &Arguments) -> Record {
    let tone = match schedule.state {
        ScheduleState::Paused => Tone::Doubtful,
        ScheduleState::Ended => Tone::Faint,
        _ => Tone::Plain,
    };
    let edited = schedule.declared != schedule.effective;
    Record::new()
        .with("id", schedule.id)
        .with("name", schedule.name.as_str())
        .with("identifier", schedule.identifier.clone())
        .with("state", state_of(schedule.state))
        .with("runs", schedule.effective.describe())
        .with("next", schedule.next)
        .with("reason", schedule.reason.clone())
        .with("edited", edited)
        .with("declared", edited.then(|| schedule.declared.describe()))
        .with("rule", rule(schedule))
        .with("anchor", schedule.anchor)
        .with("created", schedule.created)
        .with("arguments", arguments.shown(&schedule.name, &schedule.args))
        .tone(tone)
}

pub(crate) const fn state_of(state: ScheduleState) -> &'static str {
    match state {
        ScheduleState::Active => "active",
        ScheduleState::Paused => "paused",
        ScheduleState::Ended => "ended",
        _ => "unknown",
    }
}

/// The rule in effect, in its stored form.
fn rule(schedule: &ScheduleRecord) -> Value {
    serde_json::to_string(&schedule.effective).map_or(Value::Null, Value::Json)
}

pub(crate) fn pod(pod: &PodRecord) -> Record {
    Record::new()
        .with("id", pod.id)
        .with("label", pod.label.as_str())
        .with("live", pod.live)
        .with("role", pod.role.as_str())
        .with("version", pod.version.as_str())
        .with("running", pod.running)
        .with("slots", pod.slots)
        .with("started", pod.started)
        .with("heartbeat", pod.beat)
        .with("names", pod.names.clone())
        .tone(if pod.live { Tone::Plain } else { Tone::Faint })
}

pub(crate) fn action(action: &ActionRecord) -> Record {
    Record::new()
        .with("id", action.id)
        .with("at", action.at)
        .with("actor", action.actor.as_str())
        .with("verb", action.verb.as_str())
        .with("target", action.target.as_str())
        .with("call", action.call)
        .with("schedule", action.schedule)
        .with("outcome", action.outcome.clone())
        .tone(if action.outcome.is_none() { Tone::Doubtful } else { Tone::Plain })
}

/// How many calls are where; `cap`: where counting stopped, which is told where it did.
pub(crate) fn counts(counts: &Counts, cap: u64) -> Record {
    let figures = [
        ("scheduled", counts.scheduled),
        ("due", counts.due),
        ("running", counts.running),
        ("succeeded", counts.succeeded),
        ("failed", counts.failed),
        ("interrupted", counts.interrupted),
        ("cancelled", counts.cancelled),
        ("expired", counts.expired),
        ("skipped", counts.skipped),
    ];
    let capped = figures.iter().any(|(_, count)| *count >= cap);
    let record = figures.into_iter().fold(Record::new(), |record, (key, count)| record.with(key, count));
    record.with("oldest_due", counts.oldest_due).with("counted_up_to", capped.then_some(cap))
}

/// Whether a later version of the library has applied it, so that its SQL is not known here.
pub(crate) fn is_later(step: &MigrationRecord) -> bool {
    step.applied.is_some() && step.sql.is_empty()
}
