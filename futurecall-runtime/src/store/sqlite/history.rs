//! How calls that have ended move to the history.

use std::collections::HashSet;

use serde::Serialize;
use uuid::Uuid;
use uuid::fmt::Simple;

use super::tx::{Row, Tx, batch, hex, micros, no_nul};
use crate::id::CallId;
use crate::store::columns::Columns as _;
use crate::store::{CallState, Finish, Finished, Result, codec};

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

pub(super) const FINISH: &str = "record outcomes";

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

/// An outcome as the statements take it: id, claim number, state, error, when it started after its claim and for how
/// long it ran; where the call is to run again, after how long, and how much its count of failures grows.
#[derive(Debug, Serialize)]
pub(super) struct Ended(
    pub(super) Simple,
    pub(super) i64,
    pub(super) Option<i16>,
    pub(super) Option<String>,
    pub(super) Option<i64>,
    pub(super) Option<i64>,
    pub(super) Option<i64>,
    pub(super) i32,
);

impl Ended {
    pub(super) fn of(finish: &Finish) -> Result<Self> {
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
    pub(super) fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            places: places(row, "places")?,
            cancelled: places(row, "cancelled")?.into_iter().collect(),
        })
    }

    fn as_what(&self, place: usize) -> Finished {
        if self.cancelled.contains(&place) { Finished::Cancelled } else { Finished::Recorded }
    }
}

/// Records outcomes; returns the places of those whose fence held, and what was recorded.
pub(super) async fn record(
    tx: &mut Tx<'_>,
    part: Part,
    pod: Uuid,
    kept: i64,
) -> Result<Vec<(usize, Finished)>> {
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
pub(super) async fn end_held(tx: &mut Tx<'_>, ended: &[Ended], pod: Uuid, kept: i64) -> Result<Recorded> {
    let (now, rows) = (tx.now.as_micros(), batch(FINISH, ended)?);
    let held = tx.one(tx.sql(HELD).bind(rows.clone()).bind(pod)).await?;
    let recorded = Recorded::read(&held)?;
    if !recorded.places.is_empty() {
        if kept != 0 {
            tx.run(tx.sql(RECORD).bind(rows).bind(pod).bind(now).bind(kept)).await?;
        }
        tx.run(tx.sql(REMOVE).bind(held.text("row_ids")?)).await?;
    }
    Ok(recorded)
}

/// Which of these the history has with this outcome.
pub(super) async fn was_recorded(tx: &mut Tx<'_>, ended: &[Ended], pod: Uuid) -> Result<Recorded> {
    let rows = batch(FINISH, ended)?;
    Recorded::read(&tx.one(tx.sql(RECORDED).bind(rows).bind(pod)).await?)
}

/// What a statement says of places, in that column.
pub(super) fn places(row: &Row, column: &str) -> Result<Vec<usize>> {
    Ok(row.json(column)?.unwrap_or_default())
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

/// Moves calls to the history.
pub(super) async fn end(tx: &mut Tx<'_>, doing: &'static str, ends: &[End], kept: i64) -> Result<u64> {
    if ends.is_empty() {
        return Ok(0);
    }
    let (rows, now) = (batch(doing, ends)?, tx.now.as_micros());
    tx.run(tx.sql(BURY).bind(rows.clone()).bind(now).bind(kept)).await?;
    tx.run(tx.sql(FORGET).bind(rows)).await
}
