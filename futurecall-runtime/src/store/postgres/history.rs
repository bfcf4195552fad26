//! How calls that have ended move to the history.

use std::collections::HashSet;

use uuid::Uuid;

use super::PostgresStore;
use super::sql::{Query, Row, at, interval, micros};
use crate::id::PodId;
use crate::store::codec::{outcome_state, state_code};
use crate::store::columns::Columns as _;
use crate::store::{CallState, Finish, Finished, Now, Result, Retention};

pub(super) const FINISHING: &str = "record outcomes";

macro_rules! finish {
    ($conflict:literal) => {
        concat!(
            "
    WITH gone AS (
        DELETE FROM futurecall.call AS c
        USING unnest($3::uuid[], $4::bigint[], $5::smallint[], $6::text[], $7::interval[], $8::bigint[]) WITH ORDINALITY
            AS u(id, claim_no, outcome, said, started_after, ran_for, place)
        WHERE c.id = u.id AND c.claim_no = u.claim_no AND c.claimed_by = $2::uuid AND {few u.id}
        RETURNING c.*, u.place, c.claimed_at + u.started_after AS began, u.said, u.ran_for,
            CASE WHEN c.cancel_requested AND u.outcome IN (2, 3) THEN 4 ELSE u.outcome END AS state
    ), kept AS (
        {history} g.state, CASE WHEN g.state = 5 THEN g.attempt - 1 ELSE g.attempt END, g.claimed_by, g.claim_no, g.began,
            CASE WHEN g.began IS NOT NULL THEN g.ran_for END, {once}, g.said
        FROM gone AS g WHERE g.state = ANY ($9::smallint[])",
            $conflict,
            "
    )
    {gone} FROM gone"
        )
    };
}

/// $2 pod, $3 ids and $4 to $8 what became of them (in id order), $9 the states that are kept.
pub(super) const FINISH: &str = finish!(" ON CONFLICT (id) DO NOTHING");

/// As `FINISH`, and fails if one of them stands in the history already, which is all but never so: to be prepared for
/// it costs a look at the index and a record in the write-ahead log for each row.
pub(super) const FINISH_NEW: &str = finish!("");

/// What an earlier try, whose reply was lost, has recorded. A row of another outcome was written by a rescue: this pod
/// came too late. (Told to stop, a failure stands as cancelled.)
pub(super) const FINISHED_BEFORE: &str = "
    SELECT f.id, f.claim_no, f.state = 4 AS cancelled FROM futurecall.finished AS f
    JOIN unnest($2::uuid[], $3::bigint[], $4::smallint[]) AS u(id, claim_no, state)
        ON u.id = f.id AND u.claim_no = f.claim_no
    WHERE f.pod = $1::uuid AND (f.state = u.state OR (f.state = 4 AND u.state IN (0, 2, 3)))";

/// One claim: call and number.
pub(super) type Key = (Uuid, i64);

/// As `FINISH`, where nothing is kept: the rows are not read back for a history.
const FORGET: &str = "
    WITH gone AS (
        DELETE FROM futurecall.call AS c
        USING unnest($3::uuid[], $4::bigint[]) WITH ORDINALITY AS u(id, claim_no, place)
        WHERE c.id = u.id AND c.claim_no = u.claim_no AND c.claimed_by = $2::uuid AND {few u.id}
        RETURNING u.place, c.cancel_requested
    )
    {gone}, {now} AS now FROM gone";

/// What `FINISH` wants besides, for the history.
pub(super) fn with_history(query: Query, rows: &[&Finish], kept: Vec<i16>) -> Query {
    let outcomes: Vec<_> = rows.iter().map(|finish| outcome_state(&finish.outcome)).collect();
    query
        .bind(outcomes.iter().map(|(state, _)| state_code(*state)).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|(_, said)| said.map(str::to_owned)).collect::<Vec<_>>())
        .bind(rows.iter().map(|finish| finish.started_after.map(interval)).collect::<Vec<_>>())
        .bind(rows.iter().map(|finish| micros(finish.ran_for)).collect::<Vec<_>>())
        .bind(kept)
}

pub(super) fn kept_states(retention: &Retention) -> Vec<i16> {
    let is_kept = |state: &CallState| !retention.of(*state).is_zero();
    CallState::ALL.into_iter().filter(is_kept).filter_map(state_code).collect()
}

/// What the history may hold of calls that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// Nothing; the statement fails otherwise.
    New,
    /// Anything: what stands there stays.
    Any,
}

/// In the order in which a cancellation locks them.
pub(super) fn in_id_order<'f>(finished: impl Iterator<Item = &'f Finish>) -> Vec<&'f Finish> {
    let mut rows: Vec<&Finish> = finished.collect();
    rows.sort_by_key(|finish| finish.id);
    rows
}

pub(super) fn key(finish: &Finish) -> Key {
    (finish.id.as_uuid(), finish.claim_no)
}

pub(super) fn before(row: &Row) -> Result<(Key, Finished)> {
    let became = if row.get("cancelled")? { Finished::Cancelled } else { Finished::Recorded };
    Ok(((row.get("id")?, row.get("claim_no")?), became))
}

/// Which of the claims that it was given a statement has ended, by their places.
pub(super) struct Gone {
    /// `None`: all of them.
    places: Option<Vec<i64>>,
    /// Their calls had been cancelled.
    cancelled: Vec<i64>,
}

impl Gone {
    pub(super) fn read(row: &Row, rows: &[&Finish]) -> Result<Self> {
        let is_all = row.get::<usize>("done")? == rows.len();
        let list = |column| Ok(row.column::<Option<Vec<i64>>>(column)?.unwrap_or_default());
        Ok(Self { places: (!is_all).then(|| list("places")).transpose()?, cancelled: list("cancelled")? })
    }

    /// Whether every claim has ended, with the outcome that was given.
    pub(super) fn is_simply_all(&self) -> bool {
        self.places.is_none() && self.cancelled.is_empty()
    }

    /// Whether no claim has ended.
    pub(super) fn is_none(&self) -> bool {
        self.places.as_ref().is_some_and(Vec::is_empty)
    }

    /// The claims that have ended, of those that were given, and what was recorded.
    pub(super) fn of(&self, rows: &[&Finish]) -> Vec<(Key, Finished)> {
        let cancelled: HashSet<i64> = self.cancelled.iter().copied().collect();
        let ended = |place: i64| {
            let finish = rows.get(usize::try_from(place.saturating_sub(1)).ok()?)?;
            Some((key(finish), finish.outcome.recorded(cancelled.contains(&place))))
        };
        match &self.places {
            Some(places) => places.iter().copied().filter_map(ended).collect(),
            None => (1..).take(rows.len()).filter_map(ended).collect(),
        }
    }
}

impl PostgresStore {
    /// The statement that ends these calls, which are in id order.
    pub(super) fn finishing(
        &self,
        now: Now,
        pod: PodId,
        rows: &[&Finish],
        retention: &Retention,
        history: History,
    ) -> Query {
        let kept = kept_states(retention);
        let query = self
            .query(match history {
                _ if kept.is_empty() => FORGET,
                History::New => FINISH_NEW,
                History::Any => FINISH,
            })
            .bind(at(now))
            .bind(pod.as_uuid())
            .bind(rows.iter().map(|finish| finish.id.as_uuid()).collect::<Vec<_>>())
            .bind(rows.iter().map(|finish| finish.claim_no).collect::<Vec<_>>());
        if kept.is_empty() { query } else { with_history(query, rows, kept) }
    }

    /// Which of these an earlier try, whose reply was lost, has recorded, and as what.
    pub(super) async fn finished_before(
        &self,
        pod: PodId,
        template: &'static str,
        open: &[&Finish],
    ) -> Result<Vec<(Key, Finished)>> {
        // One that was to run again stands in the history as cancelled, if it is there by this pod.
        let is_again = |finish: &Finish| finish.outcome.is_again() && template == FINISHED_BEFORE;
        let state = |finish: &&Finish| {
            if is_again(finish) { Some(0) } else { state_code(outcome_state(&finish.outcome).0) }
        };
        let query = self
            .query(template)
            .bind(pod.as_uuid())
            .bind(open.iter().map(|finish| finish.id.as_uuid()).collect::<Vec<_>>())
            .bind(open.iter().map(|finish| finish.claim_no).collect::<Vec<_>>())
            .bind(open.iter().map(state).collect::<Vec<_>>());
        let rows = self.read(FINISHING, query).await?;
        rows.iter().map(before).collect()
    }
}
