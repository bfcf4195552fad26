//! The encodings that both SQL stores share.

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

/// Encodes the shapes of a pod as a JSON object by name, and their hashes as another.
pub(super) fn shapes_text(shapes: &Shapes) -> Result<(String, String), serde_json::Error> {
    let hashes: BTreeMap<&str, i64> =
        shapes.iter().map(|(name, shape)| (name.as_str(), shape.hash())).collect();
    Ok((serde_json::to_string(shapes)?, serde_json::to_string(&hashes)?))
}

/// Encodes the hash of a shape for SQLite's list of shapes that have declined a call.
#[cfg(feature = "sqlite")]
pub(super) fn declined_by(shape: i64) -> String {
    format!(",{shape},")
}

/// Builds the claimed call for a new call that was stored as claimed.
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

/// Returns the number of a finished state; `None` for states that are never in the history.
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

/// Returns the state of that number. An unknown number was written by a newer version, and is shown as failed rather
/// than hidden.
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

/// Returns the state and the error text of an outcome: for the history, or for the attempt if the call runs again.
pub(super) fn outcome_state(outcome: &Outcome) -> (CallState, Option<&str>) {
    match outcome {
        Outcome::Succeeded => (CallState::Succeeded, None),
        Outcome::Failed { error } | Outcome::Retry { error, .. } => (CallState::Failed, Some(error)),
        Outcome::Interrupted { error } | Outcome::Rerun { error } => (CallState::Interrupted, Some(error)),
        Outcome::Expired { error } => (CallState::Expired, Some(error)),
    }
}

/// Returns how long after this outcome the call is due again; `None` if it has ended.
pub(super) fn again_after(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Retry { after, .. } => Some(*after),
        Outcome::Rerun { .. } => Some(Duration::ZERO),
        _ => None,
    }
}

/// Returns by how much an outcome increases the call's number of failures.
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

/// Decodes the attempts of a call, oldest first. Malformed entries (edited by hand) are left out.
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

/// Decodes what happens to a claimed call whose pod vanishes: the number of pods that may vanish (0: it is not run
/// again), and the delay in microseconds.
pub(super) fn on_vanish(budget: i64, after: Option<i64>) -> OnVanish {
    let after = Duration::from_micros(u64::try_from(after.unwrap_or(0)).unwrap_or(0));
    match u32::try_from(budget) {
        Ok(budget) if budget > 0 => OnVanish::Rerun { budget, after },
        _ => OnVanish::Keep,
    }
}

/// Returns the number of a schedule's origin.
pub(super) const fn origin_code(origin: ScheduleOrigin) -> i16 {
    match origin {
        ScheduleOrigin::Code => 0,
        ScheduleOrigin::Attribute => 1,
    }
}

/// Returns the origin of that number.
pub(super) const fn origin_of(code: i16) -> ScheduleOrigin {
    if code == 1 { ScheduleOrigin::Attribute } else { ScheduleOrigin::Code }
}

/// Returns the schedule state of that number; `None` for one of a newer release.
pub(super) const fn schedule_of(code: i16) -> Option<ScheduleState> {
    match code {
        0 => Some(ScheduleState::Active),
        1 => Some(ScheduleState::Paused),
        2 => Some(ScheduleState::Ended),
        _ => None,
    }
}

/// Returns the number of a schedule's state.
pub(super) const fn schedule_code(state: ScheduleState) -> i16 {
    match state {
        ScheduleState::Active => 0,
        ScheduleState::Paused => 1,
        ScheduleState::Ended => 2,
    }
}

/// Encodes a rule.
pub(super) fn rule_text(rule: &Rule) -> Result<String, serde_json::Error> {
    serde_json::to_string(rule)
}

/// Decodes a rule.
pub(super) fn rule_of(text: &str) -> Result<Rule, serde_json::Error> {
    serde_json::from_str(text)
}

/// Returns the last row of each span, time and name, because one statement cannot write a row twice.
pub(super) fn newest(counted: &[Statistics]) -> Vec<&Statistics> {
    let rows: BTreeMap<_, _> = counted.iter().map(|row| ((row.span, row.start, &row.name), row)).collect();
    rows.into_values().collect()
}

/// Returns the counts of a row as database integers.
pub(super) fn counts_of(row: &Statistics) -> [i64; 5] {
    [row.succeeded, row.failed, row.retried, row.interrupted, row.expired]
        .map(|count| i64::try_from(count).unwrap_or(i64::MAX))
}

/// Encodes a histogram as an object of counts by bucket.
pub(super) fn histogram_text(histogram: &Histogram) -> String {
    serde_json::to_string(histogram).unwrap_or_else(|_| "{}".to_owned())
}

/// Decodes a histogram. Malformed JSON (edited by hand) reads as empty.
pub(super) fn histogram_of(text: &str) -> Histogram {
    serde_json::from_str(text).unwrap_or_default()
}
