//! Calls that are to run again after an attempt: due anew, with the attempt on record.
//!
//! Such a call keeps its row: `due_at` moves to the next attempt, because the due index is over it, and `first_due_at`
//! keeps the time that people see, and tells that a schedule's run has its successor. Past attempts are one JSON array on
//! the row (the newest 100) and move to the history with it, so that ending a call remains one statement.

use serde::Serialize;
use uuid::Uuid;
use uuid::fmt::Simple;

use super::history::{Ended, Part, Recorded, places};
use super::tx::{Tx, batch, hex};
use crate::id::CallId;
use crate::store::{CallState, Finished, Result, codec};

const FINISH: &str = "record outcomes";

/// Which of the claims ?1 the pod ?2 still holds of calls that were cancelled, by their places in the batch.
pub(super) const CANCELLED: &str = "
SELECT json_group_array(key) AS places FROM json_each(?1) CROSS JOIN futurecall_call c
    ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1
WHERE c.cancel_requested";

/// Which of the claims ?1 the pod ?2 still holds.
pub(super) const HELD: &str = "
SELECT json_group_array(key) AS places FROM json_each(?1) CROSS JOIN futurecall_call c
    ON c.id = unhex(value ->> 0) AND c.claimed_by = ?2 AND c.claim_no = value ->> 1";

/// ?1 the calls: id, error, state, when it started after its claim, for how long it ran, after how long it is due again,
/// how much its counts of failures and of vanished pods grow. ?2 now, ?3 how many attempts are kept.
pub(super) const AGAIN: &str = "
UPDATE futurecall_call SET claimed_by = NULL, claim_no = NULL, claimed_at = NULL, lease_until = NULL, on_vanish = 0,
    vanish_after = NULL, started = 0, error = said.error, first_due_at = coalesce(first_due_at, due_at),
    due_at = min(?2 + said.after, 253402300799999999), failures = failures + said.failed,
    vanished = vanished + said.gone,
    attempts = json_insert(
        iif(json_array_length(attempts) >= ?3, json_remove(attempts, '$[0]'), coalesce(attempts, '[]')), '$[#]',
        json_object('attempt', attempt, 'pod', hex(claimed_by), 'claim_no', claim_no, 'state', said.state,
            'started_at', min(claimed_at + said.began, 253402300799999999), 'duration_us', said.ran, 'ended_at', ?2,
            'error', said.error))
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS error, value ->> 2 AS state, value ->> 3 AS began,
        value ->> 4 AS ran, value ->> 5 AS after, value ->> 6 AS failed, value ->> 7 AS gone
    FROM json_each(?1)) AS said
WHERE futurecall_call.id = said.id";

/// Which of the outcomes ?1 stand on record as attempts of the pod ?2.
pub(super) const RECORDED: &str = "
SELECT json_group_array(batch.key) AS places, '[]' AS cancelled FROM json_each(?1) AS batch
WHERE EXISTS (
    SELECT 1 FROM (
        SELECT c.attempts FROM futurecall_call c WHERE c.id = unhex(batch.value ->> 0)
        UNION ALL SELECT f.attempts FROM futurecall_finished f WHERE f.id = unhex(batch.value ->> 0)
    ) AS known CROSS JOIN json_each(known.attempts) AS past
    WHERE past.value ->> 'pod' = hex(?2) AND past.value ->> 'claim_no' = batch.value ->> 1
        AND past.value ->> 'state' = batch.value ->> 2)";

/// Makes calls due again whose attempts have ended so; those that were cancelled meanwhile are added to what is over.
/// Returns the places of those whose fence held, and what was recorded.
pub(super) async fn record(
    tx: &mut Tx<'_>,
    over: &mut Part,
    again: Part,
    pod: Uuid,
) -> Result<Vec<(usize, Finished)>> {
    if again.rows.is_empty() {
        return Ok(Vec::new());
    }
    let rows = batch(FINISH, &again.rows)?;
    let cancelled = places(&tx.one(tx.sql(CANCELLED).bind(rows.clone()).bind(pod)).await?, "places")?;
    let held = places(&tx.one(tx.sql(HELD).bind(rows.clone()).bind(pod)).await?, "places")?;
    let mut done = Vec::new();
    if held.len() < again.rows.len() {
        // Done before, by the flush whose reply was lost.
        let recorded = tx.one(tx.sql(RECORDED).bind(rows).bind(pod)).await?;
        done = again.in_batch(&Recorded::read(&recorded)?);
    }
    let mut due = Vec::new();
    for (place, (of_batch, row)) in again.places.into_iter().zip(again.rows).enumerate() {
        if held.contains(&place) && !cancelled.contains(&place) {
            due.push(Again::of(row));
            done.push((of_batch, Finished::Recorded));
        } else if !done.iter().any(|(place, _)| *place == of_batch) {
            over.places.push(of_batch);
            over.rows.push(row);
        }
    }
    if !due.is_empty() {
        make_due(tx, FINISH, &due).await?;
    }
    Ok(done)
}

/// A call as [`AGAIN`] takes it.
#[derive(Debug, Serialize)]
pub(super) struct Again(
    pub(super) Simple,
    pub(super) Option<String>,
    pub(super) Option<i16>,
    pub(super) Option<i64>,
    pub(super) Option<i64>,
    pub(super) i64,
    pub(super) i32,
    pub(super) i32,
);

impl Again {
    /// What becomes of a call after that attempt.
    fn of(ended: Ended) -> Self {
        let Ended(id, _, state, error, started, ran, after, failures) = ended;
        Self(id, error, state, started, ran, after.unwrap_or(0), failures, 0)
    }
}

/// A call whose pod has vanished.
pub(super) fn vanished(id: CallId, error: String, started: bool, after: i64) -> Again {
    // A started handler's exact moment went with its pod; the claim is the nearest that is known.
    let started = started.then_some(0);
    Again(
        hex(id.as_uuid()),
        Some(error),
        codec::state_code(CallState::Interrupted),
        started,
        None,
        after,
        0,
        1,
    )
}

/// Makes claimed calls due again.
pub(super) async fn make_due(tx: &mut Tx<'_>, doing: &'static str, calls: &[Again]) -> Result<()> {
    let (now, kept) = (tx.now.as_micros(), i64::try_from(crate::store::ATTEMPTS_KEPT).unwrap_or(i64::MAX));
    tx.run(tx.sql(AGAIN).bind(batch(doing, calls)?).bind(now).bind(kept)).await.map(drop)
}
