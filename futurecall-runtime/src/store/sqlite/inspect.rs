//! What people look at: one call, schedules, pods.

use std::time::Duration;

use async_trait::async_trait;

use super::SqliteStore;
use super::tx::{StoredRow, flag, moment_in, small, text, uuid};
use crate::id::{CallId, PodId, ScheduleId};
use crate::store::{
    AttemptRecord, CallRecord, CallState, InspectStore, Now, Result, ScheduleRecord, ScheduleState, codec,
};

const LOOK: &str = "look at a call";

/// The columns of a record, of a call that is not over.
pub(super) const CALL: &str = "c.id, c.name, c.args, c.format, c.identifier, c.priority, c.due_at, c.claimed_by, c.lease_until,
    c.claimed_at, c.attempt, c.started, c.cancel_requested, c.schedule_id, c.rerun_of, c.created_at, c.error, c.first_due_at,
    c.expires_at, c.declined, c.attempts";

/// The same of one that is over.
pub(super) const FINISHED: &str =
    "c.id, c.name, c.args, c.format, c.identifier, c.priority, c.due_at, c.state, c.attempt, c.pod,
    c.started_at, c.duration_us, c.finished_at, c.schedule_id, c.rerun_of, c.created_at, c.error, c.attempts";

const SCHEDULES: &str = "
SELECT s.id, s.name, s.identifier, s.args, s.declared, s.effective, s.origin, s.state, s.reason, s.anchor, s.created_at,
    (SELECT min(c.due_at) FROM futurecall_call c
        WHERE c.schedule_id = s.id AND c.claimed_by IS NULL AND c.first_due_at IS NULL) AS next
FROM futurecall_schedule s ORDER BY s.created_at, s.id";

#[async_trait]
impl InspectStore for SqliteStore {
    async fn call(&self, now: Now, id: CallId) -> Result<Option<CallRecord>> {
        self.read(LOOK, now, move |mut tx| {
            Box::pin(async move {
                let id = id.as_uuid();
                if let Some(row) = tx
                    .row(
                        tx.composed(&format!("SELECT {CALL} FROM futurecall_call AS c WHERE c.id = ?1"))
                            .bind(id),
                    )
                    .await?
                {
                    return Ok(pending_record(&row).map(|call| with_attempt(call, &row, "claimed_at")));
                }
                let row = tx
                    .row(
                        tx.composed(&format!(
                            "SELECT {FINISHED} FROM futurecall_finished AS c WHERE c.id = ?1"
                        ))
                        .bind(id),
                    )
                    .await?;
                Ok(row.and_then(|row| Some(with_attempt(past_record(&row)?, &row, "started_at"))))
            })
        })
        .await
    }

    async fn schedules(&self) -> Result<Vec<ScheduleRecord>> {
        self.read("list schedules", Now::Database, |mut tx| {
            Box::pin(async move {
                let rows = tx.rows(tx.sql(SCHEDULES)).await?;
                Ok(rows.iter().filter_map(schedule_record).collect())
            })
        })
        .await
    }
}

/// What both tables hold.
fn record(row: &StoredRow, state: CallState) -> Option<CallRecord> {
    Some(CallRecord {
        id: CallId::from_uuid(uuid(row, "id")?),
        name: text(row, "name")?,
        args: text(row, "args")?,
        format: small(row, "format")?,
        identifier: text(row, "identifier"),
        priority: small(row, "priority")?,
        due: moment_in(row, "due_at")?,
        state,
        attempt: small(row, "attempt")?,
        broken: None,
        declined: Vec::new(),
        next_attempt: None,
        expires: None,
        schedule: uuid(row, "schedule_id").map(ScheduleId::from_uuid),
        rerun_of: uuid(row, "rerun_of").map(CallId::from_uuid),
        created: moment_in(row, "created_at")?,
        finished: None,
        pod: None,
        lease_until: None,
        start_proven: None,
        cancel_requested: false,
        error: text(row, "error"),
        attempts: Vec::new(),
    })
}

pub(super) fn pending_record(row: &StoredRow) -> Option<CallRecord> {
    let pod = uuid(row, "claimed_by").map(PodId::from_uuid);
    let state = if pod.is_some() { CallState::Running } else { CallState::Scheduled };
    let call = record(row, state)?;
    let first_due = moment_in(row, "first_due_at");
    Some(CallRecord {
        due: first_due.unwrap_or(call.due),
        next_attempt: Some(call.due).filter(|_| pod.is_none() && first_due.is_some()),
        expires: moment_in(row, "expires_at"),
        declined: text(row, "declined").as_deref().map(codec::declined_of).unwrap_or_default(),
        pod,
        lease_until: moment_in(row, "lease_until"),
        start_proven: pod.map(|_| flag(row, "started")),
        cancel_requested: flag(row, "cancel_requested"),
        ..call
    })
}

pub(super) fn past_record(row: &StoredRow) -> Option<CallRecord> {
    let pod = uuid(row, "pod").map(PodId::from_uuid);
    Some(CallRecord {
        finished: moment_in(row, "finished_at"),
        pod,
        start_proven: pod.map(|_| moment_in(row, "started_at").is_some()),
        ..record(row, codec::state_of(small(row, "state")?))?
    })
}

/// Adds the attempts that ended before, and the one that the row itself tells of.
fn with_attempt(mut call: CallRecord, row: &StoredRow, started: &str) -> CallRecord {
    call.attempts = codec::attempts_of(text(row, "attempts").as_deref());
    if call.pod.is_some() && call.attempt > 0 {
        let proven = call.start_proven == Some(true);
        call.attempts.push(AttemptRecord {
            number: call.attempt,
            pod: call.pod,
            started: if proven { moment_in(row, started) } else { None },
            duration: small(row, "duration_us").map(Duration::from_micros),
            ended: call.finished,
            outcome: call.state,
            error: if call.state.is_finished() { call.error.clone() } else { None },
        });
    }
    call
}

/// A schedule, or none where a newer release wrote its rule or its state.
fn schedule_record(row: &StoredRow) -> Option<ScheduleRecord> {
    let id = ScheduleId::from_uuid(uuid(row, "id")?);
    let rule = |column| {
        let rule = codec::rule_of(&text(row, column).unwrap_or_default());
        rule.inspect_err(|error| tracing::warn!(%id, column, %error, "a stored schedule cannot be read")).ok()
    };
    let Some(state) = small(row, "state").and_then(codec::schedule_of) else {
        tracing::warn!(schedule = %id, "a schedule in a state that this release does not know is not listed");
        return None;
    };
    Some(ScheduleRecord {
        id,
        name: text(row, "name")?,
        identifier: text(row, "identifier"),
        args: text(row, "args")?,
        declared: rule("declared")?,
        effective: rule("effective")?,
        origin: codec::origin_of(small(row, "origin")?),
        state,
        reason: text(row, "reason"),
        next: if state == ScheduleState::Active { moment_in(row, "next") } else { None },
        anchor: moment_in(row, "anchor")?,
        created: moment_in(row, "created_at")?,
    })
}
