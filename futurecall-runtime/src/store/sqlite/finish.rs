//! The ends of calls: outcomes, leases that go on, leases that ended, and history that is old.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;
use uuid::fmt::Simple;

use super::SqliteStore;
use super::tx::{
    Tx, after, batch, before, flag, hex, kept, limit as rows_of, micros, moment_in, no_nul, number, text,
    uuid,
};
use crate::error::StoreError;
use crate::id::{CallId, PodId};
use crate::store::{CallState, Finish, Held, Lease, Now, Renewed, Rescued, Retention, codec};

/// The insert that every way into the history shares: `c` is the call; the rest gives the other columns and the source.
macro_rules! to_history {
    ($rest:literal) => {
        concat!(
            "
INSERT INTO futurecall_finished (id, name, priority, due_at, identifier, args, format, schedule_id, rerun_of,
    traceparent, created_at, state, attempt, pod, claim_no, started_at, duration_us, finished_at, error)
SELECT c.id, c.name, c.priority, c.due_at, c.identifier, c.args, c.format, c.schedule_id, c.rerun_of,
    c.traceparent, c.created_at,",
            $rest
        )
    };
}
pub(super) use to_history;

const FINISH: &str = "record outcomes";

/// Which of the claims ?1 the pod ?2 still holds, by their places in the batch, and the calls' rows.
pub(super) const HELD: &str = "
SELECT json_group_array(key) AS places, json_group_array(c.rowid) AS row_ids
FROM json_each(?1) CROSS JOIN futurecall_call c
    ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1";

/// ?1 the outcomes, ?2 the pod, ?3 now, ?4 which states the history keeps.
pub(super) const RECORD: &str = to_history!(
    "
    CASE WHEN c.cancel_requested AND value ->> 2 IN (2, 3) THEN 4 ELSE value ->> 2 END AS state,
    c.attempt, c.claimed_by, c.claim_no, c.claimed_at + (value ->> 4), value ->> 5, ?3, value ->> 3
FROM json_each(?1) CROSS JOIN futurecall_call c
    ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1
WHERE ?4 >> CASE WHEN c.cancel_requested AND value ->> 2 IN (2, 3) THEN 4 ELSE value ->> 2 END & 1
ON CONFLICT (id) DO NOTHING"
);

/// ?1 the rows.
pub(super) const REMOVE: &str =
    "DELETE FROM futurecall_call WHERE rowid IN (SELECT value FROM json_each(?1))";

/// A row of another outcome was written by a rescue: this pod came too late. (Told to stop, a failure stands as cancelled.)
pub(super) const RECORDED: &str = "
SELECT json_group_array(key) AS places FROM json_each(?1) CROSS JOIN futurecall_finished f
    ON f.id = unhex(value ->> 0) AND f.pod = ?2 AND f.claim_no = value ->> 1
    AND (f.state = value ->> 2 OR (f.state = 4 AND value ->> 2 <> 1))";

pub(super) async fn finish(
    store: &SqliteStore,
    now: Now,
    pod: PodId,
    finished: &[Finish],
    retention: &Retention,
) -> Result<Vec<bool>, StoreError> {
    if finished.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = Vec::with_capacity(finished.len());
    for one in finished {
        let (state, error) = codec::outcome_state(&one.outcome);
        no_nul(FINISH, "an error's text", error.unwrap_or_default())?;
        let (started, ran) = (one.started_after.map(micros), one.started_after.map(|_| micros(one.ran_for)));
        rows.push((hex(one.id.as_uuid()), one.claim_no, codec::state_code(state), error, started, ran));
    }
    let (rows, kept) = (batch(FINISH, &rows)?, kept(retention));
    let (count, pod) = (finished.len(), pod.as_uuid());
    let places = store
        .write(FINISH, now, move |mut tx| {
            Box::pin(async move { record(&mut tx, rows, count, pod, kept).await })
        })
        .await?;
    let mut held = vec![false; count];
    for place in places {
        if let Some(held) = held.get_mut(place) {
            *held = true;
        }
    }
    Ok(held)
}

/// Records outcomes; returns the places of those whose fence held.
async fn record(
    tx: &mut Tx<'_>,
    rows: String,
    count: usize,
    pod: Uuid,
    kept: i64,
) -> Result<Vec<usize>, StoreError> {
    let now = tx.now.as_micros();
    let held = tx.row(tx.sql(HELD).bind(rows.clone()).bind(pod)).await?;
    let mut places = places(held.as_ref());
    if !places.is_empty() {
        if kept != 0 {
            tx.run(tx.sql(RECORD).bind(rows.clone()).bind(pod).bind(now).bind(kept)).await?;
        }
        let row_ids = held.as_ref().and_then(|row| text(row, "row_ids")).unwrap_or_default();
        tx.run(tx.sql(REMOVE).bind(row_ids)).await?;
    }
    if places.len() < count {
        // Done before, by the flush whose reply was lost.
        places.append(&mut self::places(tx.row(tx.sql(RECORDED).bind(rows).bind(pod)).await?.as_ref()));
    }
    Ok(places)
}

fn places(row: Option<&SqliteRow>) -> Vec<usize> {
    let places = row.and_then(|row| text(row, "places")).unwrap_or_default();
    serde_json::from_str(&places).unwrap_or_default()
}

fn claim_of(row: &SqliteRow) -> Option<(Uuid, i64)> {
    Some((uuid(row, "id")?, number(row, "claim_no")?))
}

const RENEW: &str = "renew leases";

/// ?1 the claims, ?2 the pod, ?3 when the lease ends.
pub(super) const EXTEND: &str = "
UPDATE futurecall_call SET lease_until = ?3,
    started = started OR (id, claim_no) IN (
        SELECT unhex(value ->> 0), value ->> 1 FROM json_each(?1) WHERE value ->> 2)
WHERE rowid IN (
    SELECT c.rowid FROM json_each(?1) CROSS JOIN futurecall_call c
        ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1)
RETURNING id, claim_no, cancel_requested";

pub(super) async fn renew(
    store: &SqliteStore,
    now: Now,
    pod: PodId,
    held: &[Held],
    lease: Duration,
) -> Result<Vec<Renewed>, StoreError> {
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let rows = claims(RENEW, held)?;
    let extended = store
        .write(RENEW, now, move |mut tx| {
            Box::pin(async move {
                let until = after(tx.now, lease).as_micros();
                tx.rows(tx.sql(EXTEND).bind(rows).bind(pod.as_uuid()).bind(until)).await
            })
        })
        .await?;
    let extended: HashMap<_, _> =
        extended.iter().filter_map(|row| Some((claim_of(row)?, flag(row, "cancel_requested")))).collect();
    let renewed = |one: &Held| match extended.get(&(one.id.as_uuid(), one.claim_no)) {
        Some(&cancelled) => Renewed { lease: Lease::Held, cancelled },
        None => Renewed { lease: Lease::Lost, cancelled: false },
    };
    Ok(held.iter().map(renewed).collect())
}

/// Claims as the statements take them.
pub(super) fn claims(doing: &'static str, held: &[Held]) -> Result<String, StoreError> {
    let rows: Vec<_> =
        held.iter().map(|one| (hex(one.id.as_uuid()), one.claim_no, i32::from(one.started))).collect();
    batch(doing, &rows)
}

const RESCUE: &str = "rescue the calls of vanished pods";

/// ?1 now, ?2 how many.
pub(super) const ENDED: &str = "
SELECT id, name, claimed_by, lease_until, started, on_vanish, cancel_requested FROM futurecall_call
WHERE claimed_by IS NOT NULL AND lease_until < ?1 ORDER BY lease_until, id LIMIT ?2 + 0";

/// ?1 ids and errors.
pub(super) const RERUN: &str = "
UPDATE futurecall_call SET claimed_by = NULL, claim_no = NULL, claimed_at = NULL, lease_until = NULL, on_vanish = 0,
    started = 0, error = lost.error
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS error FROM json_each(?1)) AS lost
WHERE futurecall_call.id = lost.id";

pub(super) async fn rescue(
    store: &SqliteStore,
    now: Now,
    limit: usize,
    retention: &Retention,
) -> Result<Vec<Rescued>, StoreError> {
    let kept = kept(retention);
    store
        .write(RESCUE, now, move |mut tx| Box::pin(async move { rescue_some(&mut tx, limit, kept).await }))
        .await
}

async fn rescue_some(tx: &mut Tx<'_>, limit: usize, kept: i64) -> Result<Vec<Rescued>, StoreError> {
    let ended = tx.rows(tx.sql(ENDED).bind(tx.now.as_micros()).bind(rows_of(limit))).await?;
    let (mut over, mut again, mut rescued) = (Vec::new(), Vec::new(), Vec::new());
    for row in &ended {
        let (Some(id), Some(name), Some(pod)) = (uuid(row, "id"), text(row, "name"), uuid(row, "claimed_by"))
        else {
            continue;
        };
        let moment = moment_in(row, "lease_until").unwrap_or(tx.now);
        let proof = if flag(row, "started") { "proven" } else { "not proven" };
        let (pod, id) = (PodId::from_uuid(pod), CallId::from_uuid(id));
        let error =
            format!("pod {pod} vanished: its lease ended at {moment}; the handler's start is {proof}");
        let cancelled = flag(row, "cancel_requested");
        let rerun = !cancelled && flag(row, "on_vanish");
        if rerun {
            again.push((hex(id.as_uuid()), error));
        } else {
            let state = if cancelled { CallState::Cancelled } else { CallState::Interrupted };
            over.push(End::of_claim(id, state, error));
        }
        rescued.push(Rescued { id, name, pod, rerun });
    }
    end(tx, RESCUE, &over, kept).await?;
    if !again.is_empty() {
        tx.run(tx.sql(RERUN).bind(batch(RESCUE, &again)?)).await?;
    }
    Ok(rescued)
}

/// A call that moves to the history otherwise than by its own pod's report.
#[derive(Debug, Serialize)]
pub(super) struct End(Simple, Option<i16>, String, i32);

impl End {
    /// Of a call that was claimed: the history keeps the pod and the attempt.
    pub(super) fn of_claim(id: CallId, state: CallState, error: String) -> Self {
        Self(hex(id.as_uuid()), codec::state_code(state), error, 1)
    }

    /// Of a call that no handler has seen: an attempt that was counted is given back.
    pub(super) fn unstarted(id: CallId, state: CallState, error: String) -> Self {
        Self(hex(id.as_uuid()), codec::state_code(state), error, 0)
    }
}

/// ?1 the ends, ?2 now, ?3 which states the history keeps.
pub(super) const BURY: &str = to_history!(
    " value ->> 1,
    iif(value ->> 3, c.attempt, max(c.attempt - (c.claimed_by IS NOT NULL), 0)),
    iif(value ->> 3, c.claimed_by, NULL), iif(value ->> 3, c.claim_no, NULL),
    iif(value ->> 3 AND c.started, c.claimed_at, NULL), NULL, ?2, value ->> 2
FROM json_each(?1) CROSS JOIN futurecall_call c ON c.id = unhex(value ->> 0)
WHERE ?3 >> (value ->> 1) & 1
ON CONFLICT (id) DO NOTHING"
);

/// ?1 the ends.
pub(super) const FORGET: &str = "
DELETE FROM futurecall_call WHERE id IN (SELECT unhex(value ->> 0) FROM json_each(?1))";

/// Moves calls to the history.
pub(super) async fn end(
    tx: &mut Tx<'_>,
    doing: &'static str,
    ends: &[End],
    kept: i64,
) -> Result<u64, StoreError> {
    if ends.is_empty() {
        return Ok(0);
    }
    let (rows, now) = (batch(doing, ends)?, tx.now.as_micros());
    tx.run(tx.sql(BURY).bind(rows.clone()).bind(now).bind(kept)).await?;
    tx.run(tx.sql(FORGET).bind(rows)).await
}

const PRUNE: &str = "prune the history";

/// ?1 the states with the moment before which each is old, ?2 how many.
pub(super) const OLD: &str = "
DELETE FROM futurecall_finished WHERE rowid IN (
    SELECT f.rowid FROM json_each(?1) CROSS JOIN futurecall_finished f
        ON f.state = value ->> 0 AND f.finished_at < value ->> 1
    LIMIT ?2 + 0)";

pub(super) async fn prune(
    store: &SqliteStore,
    now: Now,
    retention: &Retention,
    limit: usize,
) -> Result<u64, StoreError> {
    let retention = *retention;
    store
        .write(PRUNE, now, move |mut tx| {
            Box::pin(async move {
                let old: Vec<_> = CallState::ALL
                    .into_iter()
                    .filter_map(|state| {
                        Some((codec::state_code(state)?, before(tx.now, retention.of(state))))
                    })
                    .collect();
                tx.run(tx.sql(OLD).bind(batch(PRUNE, &old)?).bind(rows_of(limit))).await
            })
        })
        .await
}
