//! The small numbers that both SQL stores write, and how they read back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use crate::id::PodId;
use crate::moment::Moment;
use crate::recurring::Rule;
use crate::shape::Shapes;
use crate::store::{
    AttemptRecord, CallState, ClaimedCall, Histogram, NewCall, OnVanish, Outcome, ScheduleOrigin,
    ScheduleState, Statistics,
};

/// The shapes of a pod as one JSON object by name, and their hashes as another.
pub(super) fn shapes_text(shapes: &Shapes) -> Result<(String, String), serde_json::Error> {
    let hashes: BTreeMap<&str, i64> =
        shapes.iter().map(|(name, shape)| (name.as_str(), shape.hash())).collect();
    Ok((serde_json::to_string(shapes)?, serde_json::to_string(&hashes)?))
}

/// The hash of a shape as SQLite keeps it in a list of those that have declined a call.
#[cfg(feature = "sqlite")]
pub(super) fn declined_by(shape: i64) -> String {
    format!(",{shape},")
}

/// A call that was stored as claimed, as its pod takes it.
pub(super) fn claimed_new(
    call: &NewCall,
    claim_no: i64,
    due: Moment,
    expires: Option<Moment>,
    claimed: Moment,
) -> ClaimedCall {
    ClaimedCall {
        id: call.id,
        claim_no,
        name: call.name.clone(),
        identifier: call.identifier.clone(),
        args: call.args.clone(),
        format: call.format,
        priority: call.priority,
        due,
        first_due: due,
        expires,
        failures: 0,
        claimed,
        attempt: 1,
        schedule: None,
        traceparent: call.traceparent.clone(),
    }
}

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

/// The state and the error text of an outcome: the history's, or (where the call is to run again) the attempt's.
pub(super) fn outcome_state(outcome: &Outcome) -> (CallState, Option<&str>) {
    match outcome {
        Outcome::Succeeded => (CallState::Succeeded, None),
        Outcome::Failed { error } | Outcome::Retry { error, .. } => (CallState::Failed, Some(error)),
        Outcome::Interrupted { error } | Outcome::Rerun { error } => (CallState::Interrupted, Some(error)),
        Outcome::Expired { error } => (CallState::Expired, Some(error)),
    }
}

/// After how long a call is due again that has ended so; `None`: it is over.
pub(super) fn again_after(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Retry { after, .. } => Some(*after),
        Outcome::Rerun { .. } => Some(Duration::ZERO),
        _ => None,
    }
}

/// How much an outcome adds to the call's count of failures.
pub(super) const fn failures(outcome: &Outcome) -> i32 {
    matches!(outcome, Outcome::Retry { .. }) as i32
}

/// An attempt as both SQL stores keep it on the call's row, in microseconds.
#[derive(Deserialize)]
struct StoredAttempt {
    attempt: u32,
    pod: Option<Uuid>,
    state: i16,
    started_at: Option<i64>,
    duration_us: Option<u64>,
    ended_at: Option<i64>,
    error: Option<String>,
}

/// The stored attempts of a call, oldest first. One that a hand has spoiled is left out.
pub(super) fn attempts_of(text: Option<&str>) -> Vec<AttemptRecord> {
    let stored: Vec<serde_json::Value> =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let moment = |micros: Option<i64>| micros.and_then(|micros| Moment::from_micros(micros).ok());
    let record = |value| {
        let stored: StoredAttempt = serde_json::from_value(value).ok()?;
        Some(AttemptRecord {
            number: stored.attempt,
            pod: stored.pod.map(PodId::from_uuid),
            started: moment(stored.started_at),
            duration: stored.duration_us.map(Duration::from_micros),
            ended: moment(stored.ended_at),
            outcome: state_of(stored.state),
            error: stored.error,
        })
    };
    stored.into_iter().filter_map(record).collect()
}

/// What happens to a claimed call whose pod vanishes, as its row says: how many of its pods may vanish (0: it is not run
/// again), and after how many microseconds it is due then.
pub(super) fn on_vanish(budget: i64, after: Option<i64>) -> OnVanish {
    let after = Duration::from_micros(u64::try_from(after.unwrap_or(0)).unwrap_or(0));
    match u32::try_from(budget) {
        Ok(budget) if budget > 0 => OnVanish::Rerun { budget, after },
        _ => OnVanish::Keep,
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

/// The schedule state of that number; `None` for one of a newer release.
pub(super) const fn schedule_of(code: i16) -> Option<ScheduleState> {
    match code {
        0 => Some(ScheduleState::Active),
        1 => Some(ScheduleState::Paused),
        2 => Some(ScheduleState::Ended),
        _ => None,
    }
}

/// The number of a schedule's state.
pub(super) const fn schedule_code(state: ScheduleState) -> i16 {
    match state {
        ScheduleState::Active => 0,
        ScheduleState::Paused => 1,
        ScheduleState::Ended => 2,
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

/// What a pod has counted, by span, time and name: one statement cannot write a row twice.
pub(super) fn newest(counted: &[Statistics]) -> Vec<&Statistics> {
    let rows: BTreeMap<_, _> = counted.iter().map(|row| ((row.span, row.start, &row.name), row)).collect();
    rows.into_values().collect()
}

/// The figures of a row, as the databases count.
pub(super) fn counts_of(row: &Statistics) -> [i64; 5] {
    [row.succeeded, row.failed, row.retried, row.interrupted, row.expired]
        .map(|count| i64::try_from(count).unwrap_or(i64::MAX))
}

/// A histogram as stored: an object of counts by bucket.
pub(super) fn histogram_text(histogram: &Histogram) -> String {
    serde_json::to_string(histogram).unwrap_or_else(|_| "{}".to_owned())
}

/// A stored histogram. One that a hand has spoiled is empty.
pub(super) fn histogram_of(text: &str) -> Histogram {
    serde_json::from_str(text).unwrap_or_default()
}
