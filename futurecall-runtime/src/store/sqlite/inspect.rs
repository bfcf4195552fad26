//! What people look at: one call, schedules, pods.

use std::collections::BTreeMap;
use std::time::Duration;

use super::SqliteStore;
use super::tx::{StoredRow, batch, before, flag, json, moment_in, no_nul, small, text, uuid};
use crate::error::StoreError;
use crate::id::{CallId, PodId, ScheduleId};
use crate::shape::hash_of_all;
use crate::store::{
    AttemptRecord, CallRecord, CallState, Now, PodBeat, PodRecord, ScheduleRecord, ScheduleState, codec,
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

pub(super) async fn call(
    store: &SqliteStore,
    now: Now,
    id: CallId,
) -> Result<Option<CallRecord>, StoreError> {
    store
        .read(LOOK, now, move |mut tx| {
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

const SCHEDULES: &str = "
SELECT s.id, s.name, s.identifier, s.args, s.declared, s.effective, s.origin, s.state, s.reason, s.anchor, s.created_at,
    (SELECT min(c.due_at) FROM futurecall_call c
        WHERE c.schedule_id = s.id AND c.claimed_by IS NULL AND c.first_due_at IS NULL) AS next
FROM futurecall_schedule s ORDER BY s.created_at, s.id";

pub(super) async fn schedules(store: &SqliteStore) -> Result<Vec<ScheduleRecord>, StoreError> {
    store
        .read("list schedules", Now::Database, |mut tx| {
            Box::pin(async move {
                let rows = tx.rows(tx.sql(SCHEDULES)).await?;
                Ok(rows.iter().filter_map(schedule_record).collect())
            })
        })
        .await
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

const DAY: Duration = Duration::from_hours(24);

/// ?1 since when.
const PODS: &str = "
SELECT p.id, p.label, p.role, p.version, p.names, p.redacted, p.slots, p.running, p.started_at, p.beat_at, h.shapes
FROM futurecall_pod p LEFT JOIN futurecall_shapes h ON h.hash = p.shapes
WHERE p.beat_at >= ?1 ORDER BY p.beat_at DESC, p.id";

pub(super) async fn pods(
    store: &SqliteStore,
    now: Now,
    within: Duration,
) -> Result<Vec<PodRecord>, StoreError> {
    store
        .read("list pods", now, move |mut tx| {
            Box::pin(async move {
                let (since, live) = (before(tx.now, DAY), before(tx.now, within));
                let rows = tx.rows(tx.sql(PODS).bind(since)).await?;
                Ok(rows.iter().filter_map(|row| pod_record(row, live)).collect())
            })
        })
        .await
}

fn pod_record(row: &StoredRow, live: i64) -> Option<PodRecord> {
    let beat = moment_in(row, "beat_at")?;
    Some(PodRecord {
        id: PodId::from_uuid(uuid(row, "id")?),
        label: text(row, "label")?,
        role: text(row, "role")?,
        version: text(row, "version")?,
        names: json(row, "names")?,
        // NULL where the pod is of a version that says nothing of them.
        shapes: text(row, "shapes")
            .map_or_else(|| Some(BTreeMap::new()), |text| codec::shapes_of(&text).ok())?,
        redacted: json(row, "redacted")?,
        slots: small(row, "slots")?,
        running: small(row, "running")?,
        started: moment_in(row, "started_at")?,
        beat,
        live: beat.as_micros() >= live,
    })
}

const BEAT: &str = "write the pod's heartbeat";

/// ?1 the pod, ?2 to ?9 what it says of itself, ?10 now, ?11 the hash of its shapes.
const SAY: &str = "
INSERT INTO futurecall_pod (id, label, role, version, names, schedules, redacted, slots, running, started_at, beat_at,
    shapes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11)
ON CONFLICT (id) DO UPDATE SET label = ?2, role = ?3, version = ?4, names = ?5, schedules = ?6, redacted = ?7,
    slots = ?8, running = ?9, beat_at = ?10, shapes = ?11";

/// ?1 since when.
const FORGET: &str = "DELETE FROM futurecall_pod WHERE beat_at < ?1";

/// What pods knew that are about to be forgotten is remembered with the schedules. Which: by ?1.
macro_rules! remember {
    ($gone:literal) => {
        concat!(
            "
UPDATE futurecall_schedule SET known_at = max(known_at, gone.beat_at)
FROM (SELECT j.value AS name, max(p.beat_at) AS beat_at FROM futurecall_pod p, json_each(p.names) j
    WHERE ",
            $gone,
            " GROUP BY j.value) AS gone
WHERE futurecall_schedule.origin = 1 AND futurecall_schedule.name = gone.name"
        )
    };
}

const REMEMBER_FORGOTTEN: &str = remember!("p.beat_at < ?1");
const REMEMBER_LEAVING: &str = remember!("p.id = ?1");

/// ?1 their hash, ?2 now.
const SEEN: &str = "UPDATE futurecall_shapes SET seen_at = max(seen_at, ?2) WHERE hash = ?1";

/// ?1 their hash, ?2 the shapes, ?3 the hash of each, ?4 now.
const SAY_SHAPES: &str =
    "INSERT INTO futurecall_shapes (hash, shapes, hashes, seen_at) VALUES (?1, ?2, ?3, ?4)";

/// ?1 since when. Those stay to which a pod refers that is not forgotten.
const FORGET_SHAPES: &str = "DELETE FROM futurecall_shapes WHERE seen_at < ?1
    AND hash NOT IN (SELECT p.shapes FROM futurecall_pod p WHERE p.shapes IS NOT NULL)";

/// Whether calls wait that were declined.
pub(super) const HAS_DECLINED: &str = "
SELECT EXISTS (SELECT 1 FROM futurecall_call INDEXED BY futurecall_call_declined
    WHERE declined IS NOT NULL AND claimed_by IS NULL) AS has_declined";

pub(super) async fn beat(store: &SqliteStore, now: Now, pod: &PodBeat) -> Result<bool, StoreError> {
    for text in pod.texts() {
        no_nul(BEAT, "what the pod says of itself", text)?;
    }
    let (names, schedules) = (batch(BEAT, &pod.names)?, batch(BEAT, &pod.schedules)?);
    let redacted = batch(BEAT, &pod.redacted)?;
    let hash = hash_of_all(&pod.shapes);
    let pod = pod.clone();
    store
        .write(BEAT, now, move |mut tx| {
            Box::pin(async move {
                let seen = tx.sql(SEEN).bind(hash).bind(tx.now.as_micros());
                if tx.run(seen).await? == 0 {
                    let (shapes, hashes) =
                        codec::shapes_text(&pod.shapes).map_err(|error| StoreError::refused(BEAT, error))?;
                    let say = tx.sql(SAY_SHAPES).bind(hash).bind(shapes).bind(hashes);
                    tx.run(say.bind(tx.now.as_micros())).await?;
                }
                let say = tx
                    .sql(SAY)
                    .bind(pod.id.as_uuid())
                    .bind(pod.label)
                    .bind(pod.role)
                    .bind(pod.version)
                    .bind(names)
                    .bind(schedules)
                    .bind(redacted)
                    .bind(pod.slots)
                    .bind(pod.running)
                    .bind(tx.now.as_micros())
                    .bind(hash);
                tx.run(say).await?;
                tx.run(tx.sql(REMEMBER_FORGOTTEN).bind(before(tx.now, DAY))).await?;
                tx.run(tx.sql(FORGET).bind(before(tx.now, DAY))).await?;
                tx.run(tx.sql(FORGET_SHAPES).bind(before(tx.now, DAY))).await?;
                let found = tx.row(tx.sql(HAS_DECLINED)).await?;
                Ok(found.is_some_and(|row| flag(&row, "has_declined")))
            })
        })
        .await
}

/// ?1 since when a shape is live, ?2 how many calls at most.
pub(super) const REOPEN: &str = "
WITH live (name, shape) AS MATERIALIZED (
    SELECT DISTINCT one.key, ',' || one.value || ',' FROM futurecall_shapes h, json_each(h.hashes) AS one
    WHERE h.seen_at >= ?1
)
UPDATE futurecall_call SET declined = NULL WHERE rowid IN (
    SELECT c.rowid FROM futurecall_call c INDEXED BY futurecall_call_declined
    WHERE c.declined IS NOT NULL AND c.claimed_by IS NULL
        AND NOT EXISTS (SELECT 1 FROM live WHERE live.name = c.name AND instr(c.declined, live.shape) = 0)
    ORDER BY c.id LIMIT ?2 + 0)";

pub(super) async fn reopen(
    store: &SqliteStore,
    now: Now,
    live: Duration,
    limit: usize,
) -> Result<u64, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    store
        .write("offer declined calls again", now, move |mut tx| {
            Box::pin(async move { tx.run(tx.sql(REOPEN).bind(before(tx.now, live)).bind(limit)).await })
        })
        .await
}

/// ?1 the pod.
const LEAVE: &str = "DELETE FROM futurecall_pod WHERE id = ?1";

pub(super) async fn leave(store: &SqliteStore, pod: PodId) -> Result<(), StoreError> {
    store
        .write("remove the pod's row", Now::Database, move |mut tx| {
            Box::pin(async move {
                tx.run(tx.sql(REMEMBER_LEAVING).bind(pod.as_uuid())).await?;
                tx.run(tx.sql(LEAVE).bind(pod.as_uuid())).await.map(drop)
            })
        })
        .await
}
