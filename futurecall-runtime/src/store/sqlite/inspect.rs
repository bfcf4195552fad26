//! What people look at: calls, schedules, pods, counts.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::SqliteStore;
use super::tx::{Tx, batch, before, flag, limit as rows_of, moment_in, no_nul, small, text, uuid};
use crate::error::StoreError;
use crate::id::{CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::store::{
    AttemptRecord, CallFilter, CallPage, CallRecord, CallState, Counts, Now, PodBeat, PodRecord,
    ScheduleRecord, ScheduleState, TimelineCount, codec,
};

const LIST: &str = "list calls";
const LOOK: &str = "look at a call";

const CALL: &str = "
SELECT id, name, args, format, identifier, priority, due_at, claimed_by, lease_until, claimed_at, attempt, started,
    cancel_requested, schedule_id, rerun_of, created_at, error, first_due_at, expires_at, attempts FROM futurecall_call WHERE ";

const FINISHED: &str = "
SELECT id, name, args, format, identifier, priority, due_at, state, attempt, pod, started_at, duration_us, finished_at,
    schedule_id, rerun_of, created_at, error, attempts FROM futurecall_finished WHERE ";

/// Where a page begins.
#[derive(Clone, Copy)]
enum From {
    Start,
    /// After the pending call of this moment and id.
    Pending(Moment, Uuid),
    /// After the finished call that was due and finished then.
    Past {
        due: Moment,
        finished: Moment,
        id: Uuid,
    },
}

pub(super) async fn calls(
    store: &SqliteStore,
    now: Now,
    filter: &CallFilter,
) -> Result<CallPage, StoreError> {
    no_nul(LIST, "a name", filter.name.as_deref().unwrap_or_default())?;
    no_nul(LIST, "an identifier", filter.identifier.as_deref().unwrap_or_default())?;
    let filter = filter.clone();
    store.read(LIST, now, move |mut tx| Box::pin(async move { page(&mut tx, &filter).await })).await
}

async fn page(tx: &mut Tx<'_>, filter: &CallFilter) -> Result<CallPage, StoreError> {
    let Some(from) = start(tx, filter.after).await? else { return Ok(CallPage::default()) };
    let limit = filter.limit.clamp(1, 10_000);
    // One more than asked for says whether another page follows.
    let mut calls = Vec::new();
    let unfinished = filter.state.is_none_or(|state| !state.is_finished());
    let behind = filter.state.is_none() && matches!(from, From::Past { .. });
    if unfinished && !behind {
        calls = pending(tx, filter, from, limit + 1).await?;
    }
    if filter.state.is_none_or(CallState::is_finished) && calls.len() <= limit {
        let rest = limit + 1 - calls.len();
        calls.append(&mut past(tx, filter, from, rest).await?);
    }
    let more = calls.len() > limit;
    calls.truncate(limit);
    let next = if more { calls.last().map(|call| call.id) } else { None };
    Ok(CallPage::new(calls, next))
}

/// ?1 the call.
const PENDING_KEY: &str = "SELECT due_at FROM futurecall_call WHERE id = ?1";

/// ?1 the call.
const PAST_KEY: &str = "SELECT due_at, finished_at FROM futurecall_finished WHERE id = ?1";

/// The place of the call after which the page begins; `None` if there is no such call.
async fn start(tx: &mut Tx<'_>, after: Option<CallId>) -> Result<Option<From>, StoreError> {
    let Some(id) = after.map(|id| id.as_uuid()) else { return Ok(Some(From::Start)) };
    if let Some(row) = tx.row(tx.sql(PENDING_KEY).bind(id)).await? {
        return Ok(moment_in(&row, "due_at").map(|due| From::Pending(due, id)));
    }
    let row = tx.row(tx.sql(PAST_KEY).bind(id)).await?;
    Ok(row.and_then(|row| {
        Some(From::Past { due: moment_in(&row, "due_at")?, finished: moment_in(&row, "finished_at")?, id })
    }))
}

/// Scheduled and running calls, in the order of their moments.
async fn pending(
    tx: &mut Tx<'_>,
    filter: &CallFilter,
    from: From,
    limit: usize,
) -> Result<Vec<CallRecord>, StoreError> {
    let mut text = format!("{CALL}{}", conditions(filter));
    text += match filter.state {
        Some(CallState::Scheduled) => " AND claimed_by IS NULL",
        Some(_) => " AND claimed_by IS NOT NULL",
        None => "",
    };
    let key = match from {
        From::Start => None,
        From::Pending(due, id) | From::Past { due, id, .. } => Some((due, id)),
    };
    if key.is_some() {
        text += " AND (due_at, id) > (?4, ?5)";
    }
    text += " ORDER BY due_at, id LIMIT ?6 + 0";
    let rows = tx.rows(bound(tx, &text, filter, key, limit)).await?;
    Ok(rows.iter().filter_map(pending_record).collect())
}

/// Finished calls, newest first.
async fn past(
    tx: &mut Tx<'_>,
    filter: &CallFilter,
    from: From,
    limit: usize,
) -> Result<Vec<CallRecord>, StoreError> {
    let mut text = format!("{FINISHED}{}", conditions(filter));
    if let Some(code) = filter.state.and_then(codec::state_code) {
        text = format!("{text} AND state = {code}");
    }
    let key = match from {
        From::Past { finished, id, .. } => Some((finished, id)),
        From::Start | From::Pending(..) => None,
    };
    if key.is_some() {
        text += " AND (finished_at, id) < (?4, ?5)";
    }
    text += " ORDER BY finished_at DESC, id DESC LIMIT ?6 + 0";
    let rows = tx.rows(bound(tx, &text, filter, key, limit)).await?;
    Ok(rows.iter().filter_map(past_record).collect())
}

/// The filter's conditions that both tables share; those not asked for are left out, so that the others find their
/// index.
fn conditions(filter: &CallFilter) -> String {
    let mut text = String::from("true");
    for (asked, condition) in [
        (filter.name.is_some(), " AND name = ?1"),
        (filter.identifier.is_some(), " AND identifier = ?2"),
        (filter.schedule.is_some(), " AND schedule_id = ?3"),
    ] {
        text += if asked { condition } else { "" };
    }
    text
}

fn bound(
    tx: &Tx<'_>,
    text: &str,
    filter: &CallFilter,
    key: Option<(Moment, Uuid)>,
    limit: usize,
) -> super::tx::Sql {
    tx.composed(text)
        .bind(filter.name.clone())
        .bind(filter.identifier.clone())
        .bind(filter.schedule.map(|id| id.as_uuid()))
        .bind(key.map(|key| key.0.as_micros()))
        .bind(key.map(|key| key.1))
        .bind(rows_of(limit))
}

/// What both tables hold.
fn record(row: &SqliteRow, state: CallState) -> Option<CallRecord> {
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

fn pending_record(row: &SqliteRow) -> Option<CallRecord> {
    let pod = uuid(row, "claimed_by").map(PodId::from_uuid);
    let state = if pod.is_some() { CallState::Running } else { CallState::Scheduled };
    let call = record(row, state)?;
    let first_due = moment_in(row, "first_due_at");
    Some(CallRecord {
        due: first_due.unwrap_or(call.due),
        next_attempt: Some(call.due).filter(|_| pod.is_none() && first_due.is_some()),
        expires: moment_in(row, "expires_at"),
        pod,
        lease_until: moment_in(row, "lease_until"),
        start_proven: pod.map(|_| flag(row, "started")),
        cancel_requested: flag(row, "cancel_requested"),
        ..call
    })
}

fn past_record(row: &SqliteRow) -> Option<CallRecord> {
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
                if let Some(row) = tx.row(tx.composed(&format!("{CALL} id = ?1")).bind(id)).await? {
                    return Ok(pending_record(&row).map(|call| with_attempt(call, &row, "claimed_at")));
                }
                let row = tx.row(tx.composed(&format!("{FINISHED} id = ?1")).bind(id)).await?;
                Ok(row.and_then(|row| Some(with_attempt(past_record(&row)?, &row, "started_at"))))
            })
        })
        .await
}

/// Adds the attempts that ended before, and the one that the row itself tells of.
fn with_attempt(mut call: CallRecord, row: &SqliteRow, started: &str) -> CallRecord {
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
    let rows = store
        .read("list schedules", Now::Database, |mut tx| {
            Box::pin(async move { tx.rows(tx.sql(SCHEDULES)).await })
        })
        .await?;
    Ok(rows.iter().filter_map(schedule_record).collect())
}

/// A row edited by hand into something unreadable is left out, and said so, rather than hiding all others.
fn schedule_record(row: &SqliteRow) -> Option<ScheduleRecord> {
    let id = ScheduleId::from_uuid(uuid(row, "id")?);
    let rule = |column| {
        let rule = codec::rule_of(&text(row, column).unwrap_or_default());
        rule.inspect_err(|error| tracing::warn!(%id, column, %error, "a stored schedule cannot be read")).ok()
    };
    let state = small(row, "state").map_or(ScheduleState::Ended, codec::schedule_of);
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

/// ?1 now.
const COUNT: &str = "
SELECT 0 AS state, count(*) AS calls FROM futurecall_call WHERE claimed_by IS NULL
UNION ALL SELECT -1, count(*) FROM futurecall_call WHERE claimed_by IS NULL AND due_at <= ?1
UNION ALL SELECT -2, count(*) FROM futurecall_call WHERE claimed_by IS NOT NULL
UNION ALL SELECT state, count(*) FROM futurecall_finished GROUP BY state";

pub(super) async fn counts(store: &SqliteStore, now: Now, cap: u64) -> Result<Counts, StoreError> {
    let _ = cap;
    let rows = store
        .read("count calls", now, |mut tx| {
            Box::pin(async move { tx.rows(tx.sql(COUNT).bind(tx.now.as_micros())).await })
        })
        .await?;
    let mut counts = Counts::default();
    for row in &rows {
        let (Some(state), Some(calls)) = (small::<i16>(row, "state"), small::<u64>(row, "calls")) else {
            continue;
        };
        match state {
            0 => counts.scheduled = calls,
            -1 => counts.due = calls,
            -2 => counts.running = calls,
            code => match codec::state_of(code) {
                CallState::Succeeded => counts.succeeded += calls,
                CallState::Interrupted => counts.interrupted += calls,
                CallState::Cancelled => counts.cancelled += calls,
                CallState::Expired => counts.expired += calls,
                CallState::Skipped => counts.skipped += calls,
                _ => counts.failed += calls,
            },
        }
    }
    Ok(counts)
}

/// ?1 where counting a name stops. One step down the due index for each name.
const NAMES: &str = "
WITH RECURSIVE known (name) AS (
    SELECT (SELECT c.name FROM futurecall_call c WHERE c.claimed_by IS NULL ORDER BY c.name LIMIT 1)
    UNION ALL
    SELECT (SELECT c.name FROM futurecall_call c WHERE c.claimed_by IS NULL AND c.name > known.name
        ORDER BY c.name LIMIT 1)
    FROM known WHERE name IS NOT NULL
)
SELECT name, (SELECT count(*) FROM (SELECT 1 FROM futurecall_call c
    WHERE c.claimed_by IS NULL AND c.name = known.name LIMIT ?1 + 0)) AS calls
FROM known WHERE name IS NOT NULL";

pub(super) async fn pending_names(store: &SqliteStore, cap: u64) -> Result<Vec<(String, u64)>, StoreError> {
    let cap = i64::try_from(cap).unwrap_or(i64::MAX);
    let rows = store
        .read("list the names of calls", Now::Database, move |mut tx| {
            Box::pin(async move { tx.rows(tx.sql(NAMES).bind(cap)).await })
        })
        .await?;
    Ok(rows.iter().filter_map(|row| Some((text(row, "name")?, small(row, "calls")?))).collect())
}

const DAY: Duration = Duration::from_hours(24);

/// ?1 since when.
const PODS: &str = "
SELECT id, label, role, version, names, redacted, slots, running, started_at, beat_at FROM futurecall_pod
WHERE beat_at >= ?1 ORDER BY beat_at DESC, id";

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

fn pod_record(row: &SqliteRow, live: i64) -> Option<PodRecord> {
    let beat = moment_in(row, "beat_at")?;
    Some(PodRecord {
        id: PodId::from_uuid(uuid(row, "id")?),
        label: text(row, "label")?,
        role: text(row, "role")?,
        version: text(row, "version")?,
        names: serde_json::from_str(&text(row, "names")?).ok()?,
        redacted: serde_json::from_str(&text(row, "redacted")?).ok()?,
        slots: small(row, "slots")?,
        running: small(row, "running")?,
        started: moment_in(row, "started_at")?,
        beat,
        live: beat.as_micros() >= live,
    })
}

const BEAT: &str = "write the pod's heartbeat";

/// ?1 the pod, ?2 to ?9 what it says of itself, ?10 now.
const SAY: &str = "
INSERT INTO futurecall_pod (id, label, role, version, names, schedules, redacted, slots, running, started_at, beat_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)
ON CONFLICT (id) DO UPDATE SET label = ?2, role = ?3, version = ?4, names = ?5, schedules = ?6, redacted = ?7,
    slots = ?8, running = ?9, beat_at = ?10";

/// ?1 since when.
const FORGET: &str = "DELETE FROM futurecall_pod WHERE beat_at < ?1";

pub(super) async fn beat(store: &SqliteStore, now: Now, pod: &PodBeat) -> Result<(), StoreError> {
    for text in pod.texts() {
        no_nul(BEAT, "what the pod says of itself", text)?;
    }
    let (names, schedules) = (batch(BEAT, &pod.names)?, batch(BEAT, &pod.schedules)?);
    let redacted = batch(BEAT, &pod.redacted)?;
    let pod = pod.clone();
    store
        .write(BEAT, now, move |mut tx| {
            Box::pin(async move {
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
                    .bind(tx.now.as_micros());
                tx.run(say).await?;
                tx.run(tx.sql(FORGET).bind(before(tx.now, DAY))).await.map(drop)
            })
        })
        .await
}

/// ?1 the pod.
const LEAVE: &str = "DELETE FROM futurecall_pod WHERE id = ?1";

pub(super) async fn leave(store: &SqliteStore, pod: PodId) -> Result<(), StoreError> {
    store
        .write("remove the pod's row", Now::Database, move |mut tx| {
            Box::pin(async move { tx.run(tx.sql(LEAVE).bind(pod.as_uuid())).await.map(drop) })
        })
        .await
}

pub(super) async fn count(
    store: &SqliteStore,
    now: Now,
    filter: &CallFilter,
    cap: u64,
) -> Result<u64, StoreError> {
    let _ = (store, now, filter, cap);
    Err(StoreError::permanent("count calls", "not built yet"))
}

pub(super) async fn ahead(store: &SqliteStore, now: Now, id: CallId, cap: u64) -> Result<u64, StoreError> {
    let _ = (store, now, id, cap);
    Err(StoreError::permanent("count the calls before it", "not built yet"))
}

pub(super) async fn timeline(
    store: &SqliteStore,
    edges: &[Moment],
    cap: u64,
) -> Result<Vec<TimelineCount>, StoreError> {
    let _ = (store, edges, cap);
    Err(StoreError::permanent("count what is due when", "not built yet"))
}
