//! The ends of calls: outcomes, leases that go on, leases that ended, and history that is old.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;
use uuid::fmt::Simple;

use super::again::Again;
use super::counting::past;
use super::logs::prune_logs;
use super::tx::{
    StoredRow, Tx, after, batch, before, flag, hex, kept, limit as rows_of, micros, moment_in, no_nul,
    number, small, text, uuid,
};
use super::{SqliteStore, again, gap};
use crate::error::StoreError;
use crate::id::{CallId, PodId};
use crate::store::policy::{Vanished, ending_of};
use crate::store::{
    ACTIONS_KEPT, CallState, Finish, Finished, Held, Lease, Now, REPEATED, Renewed, Rescued, Retention, Span,
    codec,
};

/// The insert that every way into the history shares: `c` is the call; the rest gives the other columns and the source.
macro_rules! to_history {
    ($rest:literal) => {
        concat!(
            "
INSERT INTO futurecall_finished (id, name, priority, due_at, identifier, args, format, schedule_id, rerun_of,
    traceparent, created_at, attempts, state, attempt, pod, claim_no, started_at, duration_us, finished_at, error)
SELECT c.id, c.name, c.priority, coalesce(c.first_due_at, c.due_at), c.identifier, c.args, c.format, c.schedule_id,
    c.rerun_of, c.traceparent, c.created_at, c.attempts,",
            $rest
        )
    };
}
pub(super) use to_history;

const FINISH: &str = "record outcomes";

/// Which of the claims ?1 the pod ?2 still holds, by their places in the batch, and the calls' rows; which of the calls
/// were cancelled and end as such.
pub(super) const HELD: &str = "
SELECT json_group_array(key) AS places, json_group_array(c.rowid) AS row_ids,
    json_group_array(key) FILTER (WHERE c.cancel_requested AND value ->> 2 IN (2, 3)) AS cancelled
FROM json_each(?1) CROSS JOIN futurecall_call c
    ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1";

/// ?1 the outcomes, ?2 the pod, ?3 now, ?4 which states the history keeps.
pub(super) const RECORD: &str = to_history!(
    "
    CASE WHEN c.cancel_requested AND value ->> 2 IN (2, 3) THEN 4 ELSE value ->> 2 END AS state,
    c.attempt - (value ->> 2 = 5), c.claimed_by, c.claim_no,
    min(c.claimed_at + (value ->> 4), 253402300799999999), value ->> 5, ?3, value ->> 3
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
SELECT json_group_array(key) AS places, json_group_array(key) FILTER (WHERE f.state = 4) AS cancelled
FROM json_each(?1) CROSS JOIN futurecall_finished f
    ON f.id = unhex(value ->> 0) AND f.pod = ?2 AND f.claim_no = value ->> 1
    AND ((f.state = value ->> 2 AND value ->> 6 IS NULL) OR (f.state = 4 AND value ->> 2 IN (2, 3)))";

pub(super) async fn finish(
    store: &SqliteStore,
    now: Now,
    pod: PodId,
    finished: &[Finish],
    retention: &Retention,
) -> Result<Vec<Finished>, StoreError> {
    if finished.is_empty() {
        return Ok(Vec::new());
    }
    let (mut over, mut again) = (Part::default(), Part::default());
    for (place, one) in finished.iter().enumerate() {
        let part = if one.outcome.is_again() { &mut again } else { &mut over };
        part.places.push(place);
        part.rows.push(Ended::of(one)?);
    }
    let (kept, count, pod) = (kept(retention), finished.len(), pod.as_uuid());
    let recorded = store
        .write(FINISH, now, move |mut tx| {
            Box::pin(async move {
                let mut done = again::record(&mut tx, &mut over, again, pod).await?;
                done.append(&mut record(&mut tx, over, pod, kept).await?);
                Ok(done)
            })
        })
        .await?;
    let mut became = vec![Finished::Lost; count];
    for (place, recorded) in recorded {
        if let Some(became) = became.get_mut(place) {
            *became = recorded;
        }
    }
    Ok(became)
}

/// An outcome as the statements take it: id, claim number, state, error, when it started after its claim and for how
/// long it ran; where the call is to run again, after how long, and how much its count of failures grows.
#[derive(Debug, Serialize)]
pub(super) struct Ended(Simple, i64, Option<i16>, Option<String>, Option<i64>, Option<i64>, Option<i64>, i32);

impl Ended {
    pub(super) fn of(finish: &Finish) -> Result<Self, StoreError> {
        let (state, error) = codec::outcome_state(&finish.outcome);
        no_nul(FINISH, "an error's text", error.unwrap_or_default())?;
        let started = finish.started_after.map(micros);
        Ok(Self(
            hex(finish.id.as_uuid()),
            finish.claim_no,
            codec::state_code(state),
            error.map(str::to_owned),
            started,
            started.map(|_| micros(finish.ran_for)),
            codec::again_after(&finish.outcome).map(micros),
            codec::failures(&finish.outcome),
        ))
    }

    /// The attempt of a call that is to run again.
    pub(super) fn again(self) -> Again {
        let Self(id, _, state, error, started, ran, after, failures) = self;
        Again(id, error, state, started, ran, after.unwrap_or(0), failures, 0)
    }
}

/// Some of a batch's outcomes, with their places in it.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) places: Vec<usize>,
    pub(super) rows: Vec<Ended>,
}

impl Part {
    /// What the statements say of places in this part, as places in the batch.
    pub(super) fn in_batch(&self, recorded: &Recorded) -> Vec<(usize, Finished)> {
        let in_batch = |place: &usize| Some((*self.places.get(*place)?, recorded.as_what(*place)));
        recorded.places.iter().filter_map(in_batch).collect()
    }
}

/// Which outcomes a statement has found recorded, by their places, or has recorded.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) places: Vec<usize>,
    /// Of them: as cancelled.
    cancelled: HashSet<usize>,
}

impl Recorded {
    pub(super) fn read(row: Option<&StoredRow>) -> Self {
        Self { places: places(row, "places"), cancelled: places(row, "cancelled").into_iter().collect() }
    }

    fn as_what(&self, place: usize) -> Finished {
        if self.cancelled.contains(&place) { Finished::Cancelled } else { Finished::Recorded }
    }
}

/// Records outcomes; returns the places of those whose fence held, and what was recorded.
async fn record(
    tx: &mut Tx<'_>,
    part: Part,
    pod: Uuid,
    kept: i64,
) -> Result<Vec<(usize, Finished)>, StoreError> {
    if part.rows.is_empty() {
        return Ok(Vec::new());
    }
    let held = end_held(tx, &part.rows, pod, kept).await?;
    let mut recorded = part.in_batch(&held);
    if recorded.len() < part.rows.len() {
        // Done before, by the flush whose reply was lost.
        recorded.append(&mut part.in_batch(&was_recorded(tx, &part.rows, pod).await?));
    }
    Ok(recorded)
}

/// Records the outcomes of the claims that are still held; returns which they are.
pub(super) async fn end_held(
    tx: &mut Tx<'_>,
    ended: &[Ended],
    pod: Uuid,
    kept: i64,
) -> Result<Recorded, StoreError> {
    let (now, rows) = (tx.now.as_micros(), batch(FINISH, ended)?);
    let held = tx.row(tx.sql(HELD).bind(rows.clone()).bind(pod)).await?;
    let recorded = Recorded::read(held.as_ref());
    if !recorded.places.is_empty() {
        if kept != 0 {
            tx.run(tx.sql(RECORD).bind(rows).bind(pod).bind(now).bind(kept)).await?;
        }
        let row_ids = held.as_ref().and_then(|row| text(row, "row_ids")).unwrap_or_default();
        tx.run(tx.sql(REMOVE).bind(row_ids)).await?;
    }
    Ok(recorded)
}

/// Which of these the history has with this outcome.
pub(super) async fn was_recorded(
    tx: &mut Tx<'_>,
    ended: &[Ended],
    pod: Uuid,
) -> Result<Recorded, StoreError> {
    let rows = batch(FINISH, ended)?;
    Ok(Recorded::read(tx.row(tx.sql(RECORDED).bind(rows).bind(pod)).await?.as_ref()))
}

/// What a statement says of places, in that column.
pub(super) fn places(row: Option<&StoredRow>, column: &str) -> Vec<usize> {
    let places = row.and_then(|row| text(row, column)).unwrap_or_default();
    serde_json::from_str(&places).unwrap_or_default()
}

fn claim_of(row: &StoredRow) -> Option<(Uuid, i64)> {
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
    let extended: HashMap<_, _> = store
        .write(RENEW, now, move |mut tx| {
            Box::pin(async move {
                let until = after(tx.now, lease).as_micros();
                let rows = tx.rows(tx.sql(EXTEND).bind(rows).bind(pod.as_uuid()).bind(until)).await?;
                let extended = rows.iter();
                Ok(extended.filter_map(|row| Some((claim_of(row)?, flag(row, "cancel_requested")))).collect())
            })
        })
        .await?;
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
SELECT id, name, claimed_by, claim_no, lease_until, started, on_vanish, vanish_after, vanished, cancel_requested
FROM futurecall_call WHERE claimed_by IS NOT NULL AND lease_until < ?1 ORDER BY lease_until, id LIMIT ?2 + 0";

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
        let (pod, id) = (PodId::from_uuid(pod), CallId::from_uuid(id));
        let started = flag(row, "started");
        let ending = ending_of(&Vanished {
            pod,
            lease_until: moment_in(row, "lease_until").unwrap_or(tx.now),
            started,
            cancel_requested: flag(row, "cancel_requested"),
            on_vanish: codec::on_vanish(number(row, "on_vanish").unwrap_or(0), number(row, "vanish_after")),
            pods: small::<u32>(row, "vanished").unwrap_or(0).saturating_add(1),
        });
        let rerun = ending.again_after.is_some();
        match ending.again_after {
            Some(after) => again.push(again::vanished(id, ending.error, started, micros(after))),
            None => over.push(End::of_claim(id, ending.state, ending.error)),
        }
        rescued.push(Rescued { id, name, pod, rerun });
    }
    end(tx, RESCUE, &over, kept).await?;
    if !again.is_empty() {
        again::make_due(tx, RESCUE, &again).await?;
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

/// The first calls that are past their retention, lane by lane. ?1 the states with the moment before which each is old, ?2
/// how many.
macro_rules! old {
    () => {
        " FROM past CROSS JOIN json_each(?1) AS old ON old.value ->> 0 = past.state
    CROSS JOIN futurecall_finished f INDEXED BY futurecall_finished_at
        ON f.name = past.name AND f.state = past.state AND f.finished_at < old.value ->> 1
    LIMIT ?2 + 0)"
    };
}

/// Deletes [`old`] calls.
pub(super) const OLD: &str = concat!(
    "WITH RECURSIVE ",
    past!(),
    "
DELETE FROM futurecall_finished WHERE rowid IN (
    SELECT f.rowid",
    old!()
);

/// What was logged of the same ones.
pub(super) const UNREAD: &str = concat!(
    "WITH RECURSIVE ",
    past!(),
    "
DELETE FROM futurecall_log WHERE call_id IN (
    SELECT f.id",
    old!()
);

/// ?1 the moment before which an action is old, ?2 how many.
pub(super) const OLD_ACTIONS: &str = "
DELETE FROM futurecall_action WHERE id IN (
    SELECT id FROM futurecall_action WHERE at < ?1 ORDER BY at LIMIT ?2 + 0)";

/// ?1 the moment before which statistics are old, ?2 how many, ?3 of which span.
pub(super) const OLD_STATISTICS: &str = "
DELETE FROM futurecall_statistics WHERE span = ?3 AND (start, name, pod) IN (
    SELECT start, name, pod FROM futurecall_statistics WHERE span = ?3 AND start < ?1 ORDER BY start LIMIT ?2 + 0)";

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
                if !retention.outlasts_repetitions() {
                    gap::note(&mut tx, REPEATED).await?;
                }
                let old: Vec<_> = CallState::ALL
                    .into_iter()
                    .filter_map(|state| {
                        Some((codec::state_code(state)?, before(tx.now, retention.of(state))))
                    })
                    .collect();
                let (old, limit) = (batch(PRUNE, &old)?, rows_of(limit));
                tx.run(tx.sql(OLD_ACTIONS).bind(before(tx.now, ACTIONS_KEPT)).bind(limit)).await?;
                for span in Span::ALL {
                    let since = before(tx.now, span.kept());
                    tx.run(tx.sql(OLD_STATISTICS).bind(since).bind(limit).bind(span.minutes())).await?;
                }
                tx.run(tx.sql(UNREAD).bind(old.clone()).bind(limit)).await?;
                let pruned = tx.run(tx.sql(OLD).bind(old).bind(limit)).await?;
                prune_logs(&mut tx, &retention, limit).await?;
                Ok(pruned)
            })
        })
        .await
}
