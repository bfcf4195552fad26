use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::connect::{commit, empty, nothing_done, step};
use super::insert::{FINISHED_ID, is_taken};
use super::sql::{
    Query, Reading, ahead, at, count, interval, micros, moment, pod as pod_column, small_count,
};
use super::{PostgresStore, again};
use crate::error::StoreError;
use crate::id::{CallId, PodId};
use crate::store::codec::{on_vanish, outcome_state, state_code};
use crate::store::policy::{Ending, Vanished, ending_of};
use crate::store::{
    ACTIONS_KEPT, CallState, Finish, Finished, Held, Lease, Now, REPEATED, Renewed, Rescued, Retention, Span,
};

pub(super) const FINISHING: &str = "record outcomes";
const RENEWING: &str = "renew leases";
const RESCUING: &str = "rescue calls of pods that vanished";
const PRUNING: &str = "prune the history";

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
const FINISH: &str = finish!(" ON CONFLICT (id) DO NOTHING");

/// As `FINISH`, and fails if one of them stands in the history already, which is all but never so: to be prepared for
/// it costs a look at the index and a record in the write-ahead log for each row.
const FINISH_NEW: &str = finish!("");

/// As `FINISH`, where nothing is kept: the rows are not read back for a history.
const FORGET: &str = "
    WITH gone AS (
        DELETE FROM futurecall.call AS c
        USING unnest($3::uuid[], $4::bigint[]) WITH ORDINALITY AS u(id, claim_no, place)
        WHERE c.id = u.id AND c.claim_no = u.claim_no AND c.claimed_by = $2::uuid AND {few u.id}
        RETURNING u.place, c.cancel_requested
    )
    {gone}, {now} AS now FROM gone";

/// What an earlier try, whose reply was lost, has recorded. A row of another outcome was written by a rescue: this pod
/// came too late. (Told to stop, a failure stands as cancelled.)
pub(super) const FINISHED_BEFORE: &str = "
    SELECT f.id, f.claim_no, f.state = 4 AS cancelled FROM futurecall.finished AS f
    JOIN unnest($2::uuid[], $3::bigint[], $4::smallint[]) AS u(id, claim_no, state)
        ON u.id = f.id AND u.claim_no = f.claim_no
    WHERE f.pod = $1::uuid AND (f.state = u.state OR (f.state = 4 AND u.state IN (0, 2, 3)))";

/// $2 pod, $3 lease, $4 ids, $5 claim numbers, $6 whether started. A row that somebody else has locked (a cancellation
/// in an application's open transaction) is passed by, so that it cannot hold up the other leases. Its lease is kept as
/// it is then, for as long as it lasts.
const RENEW: &str = "
    WITH given AS (
        SELECT * FROM unnest($4::uuid[], $5::bigint[], $6::boolean[]) WITH ORDINALITY
            AS u(id, claim_no, started, place)
    ), locked AS MATERIALIZED (
        SELECT c.id, g.started FROM given AS g JOIN futurecall.call AS c ON c.id = g.id AND c.claim_no = g.claim_no
        WHERE c.claimed_by = $2::uuid AND {few g.id} ORDER BY c.id FOR UPDATE OF c SKIP LOCKED
    ), renewed AS (
        UPDATE futurecall.call AS c SET lease_until = {lease $3::bigint}, started = c.started OR l.started
        FROM locked AS l WHERE c.id = l.id AND {few l.id}
        RETURNING c.id, c.claim_no, c.cancel_requested
    )
    SELECT r.id IS NOT NULL AS extended, coalesce(c.lease_until > {now}, false) AS held,
        coalesce(r.cancel_requested, c.cancel_requested, false) AS cancelled
    FROM given AS g LEFT JOIN renewed AS r ON r.id = g.id AND r.claim_no = g.claim_no
    LEFT JOIN LATERAL (
        SELECT c.lease_until, c.cancel_requested FROM futurecall.call AS c
        WHERE c.id = g.id AND c.claim_no = g.claim_no AND c.claimed_by = $2::uuid LIMIT 1
    ) AS c ON true
    ORDER BY g.place";

/// $2 limit. Leases stand in no index (a claim would then be no HOT update), so that all due rows are read; a claimed call
/// is always a due one.
const EXPIRED: &str = "
    WITH RECURSIVE {lanes}
    SELECT c.id FROM lane AS l CROSS JOIN LATERAL (
        SELECT c.id, c.lease_until FROM futurecall.call AS c
        WHERE c.name = l.name AND c.priority = l.priority AND c.due_at <= {now}
            AND c.claimed_by IS NOT NULL AND c.lease_until < {now}
    ) AS c
    WHERE {a_lane} ORDER BY c.lease_until, c.id LIMIT $2::bigint";

/// $2 calls. Those whose leases have ended still, and that nobody else is at.
const LOCK_EXPIRED: &str = "
    SELECT c.id, c.name, c.claimed_by AS pod, {us c.lease_until} AS lease_until, c.cancel_requested, c.started,
        c.on_vanish, c.vanish_after, c.vanished::integer AS vanished
    FROM futurecall.call AS c
    WHERE c.id = ANY ($2::uuid[]) AND c.claimed_by IS NOT NULL AND c.lease_until < {now}
    ORDER BY c.lease_until, c.id FOR UPDATE SKIP LOCKED";

/// $2 calls, which are locked, $3 their states, $4 errors, $5 after how long they are due again (NULL: they are over), $6
/// the states that are kept.
const RESCUE: &str = "
    WITH locked AS MATERIALIZED (
        SELECT u.id, u.state, u.said, u.after, CASE WHEN c.started THEN c.claimed_at END AS began,
            NULL::bigint AS ran_for
        FROM unnest($2::uuid[], $3::smallint[], $4::text[], $5::bigint[]) AS u(id, state, said, after)
        JOIN futurecall.call AS c ON c.id = u.id WHERE {few u.id}
    ), freed AS (
        UPDATE futurecall.call AS c SET due_at = {lease l.after}, vanished = c.vanished + 1, {again}
        FROM locked AS l WHERE c.id = l.id AND l.after IS NOT NULL AND {few l.id}
    ), gone AS (
        DELETE FROM futurecall.call AS c
        USING locked AS l WHERE c.id = l.id AND l.after IS NULL AND {few l.id} RETURNING c.*
    )
    {history} l.state, g.attempt, g.claimed_by, g.claim_no, l.began, NULL, {now}, l.said
    FROM gone AS g JOIN locked AS l ON l.id = g.id
    WHERE l.state = ANY ($6::smallint[])
    ON CONFLICT (id) DO NOTHING";

/// $2 states, $3 how long each is kept, $4 limit, $5 how long logs are kept, $6 actions, $7 spans, $8 how long after its
/// start each is kept. Lane by lane, the oldest of each first.
const PRUNE: &str = "
    WITH RECURSIVE {past}, old AS MATERIALIZED (
        SELECT f.id FROM past AS p JOIN unnest($2::smallint[], $3::bigint[]) AS u(state, kept) ON u.state = p.state
        CROSS JOIN LATERAL (
            SELECT f.id FROM futurecall.finished AS f
            WHERE f.name = p.name AND f.state = p.state AND f.finished_at < {ago u.kept}
            ORDER BY f.finished_at, f.id LIMIT $4::bigint
        ) AS f
        LIMIT $4::bigint
    ), locked AS MATERIALIZED (
        SELECT f.id FROM futurecall.finished AS f WHERE f.id = ANY (ARRAY(SELECT o.id FROM old AS o))
        ORDER BY f.id FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM futurecall.finished AS f WHERE f.id = ANY (ARRAY(SELECT l.id FROM locked AS l)) RETURNING 1
    ), unread AS (
        DELETE FROM futurecall.log AS g WHERE g.call_id = ANY (ARRAY(SELECT l.id FROM locked AS l))
    ), forgotten AS (
        DELETE FROM futurecall.log AS g WHERE (g.call_id, g.attempt) IN (
            SELECT o.call_id, o.attempt FROM futurecall.log AS o WHERE o.at < {ago $5::bigint} LIMIT $4::bigint)
            AND g.call_id <> ALL (ARRAY(SELECT l.id FROM locked AS l))
    ), actions AS (
        DELETE FROM futurecall.action AS a WHERE a.id = ANY (ARRAY(
            SELECT o.id FROM futurecall.action AS o WHERE o.at < {ago $6::bigint}
            ORDER BY o.at, o.id LIMIT $4::bigint FOR UPDATE SKIP LOCKED))
    ), statistics AS (
        DELETE FROM futurecall.statistics AS s WHERE (s.span, s.start, s.name, s.pod) IN (
            SELECT o.span, o.start, o.name, o.pod
            FROM unnest($7::smallint[], $8::bigint[]) AS u(span, kept) CROSS JOIN LATERAL (
                SELECT o.span, o.start, o.name, o.pod FROM futurecall.statistics AS o
                WHERE o.span = u.span AND o.start < {ago u.kept}
                ORDER BY o.start, o.name, o.pod LIMIT $4::bigint FOR UPDATE SKIP LOCKED
            ) AS o)
    )
    SELECT count(*) AS pruned FROM gone";

impl PostgresStore {
    pub(super) async fn finish_calls(
        &self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>, StoreError> {
        if finished.is_empty() {
            return Ok(Vec::new());
        }
        let mut done = if finished.iter().any(|finish| finish.outcome.is_again()) {
            self.finish_or_again(now, pod, finished, retention).await?
        } else {
            let rows = in_id_order(finished.iter());
            let ending = |history| self.finishing(now, pod, &rows, retention, history);
            let row = match self.write_one(FINISHING, ending(History::New)).await {
                Err(error) if is_taken(&error, FINISHED_ID) => {
                    self.write_one(FINISHING, ending(History::Any)).await?
                }
                row => row?,
            };
            let gone = Gone::read(&row, &rows).map_err(nothing_done(FINISHING))?;
            if gone.is_simply_all() {
                return Ok(vec![Finished::Recorded; finished.len()]);
            }
            gone.of(&rows).into_iter().collect()
        };
        let is_done = |finish: &Finish, done: &HashMap<_, _>| done.contains_key(&key(finish));
        let open: Vec<&Finish> = finished.iter().filter(|finish| !is_done(finish, &done)).collect();
        if !open.is_empty() {
            done.extend(self.finished_before(pod, FINISHED_BEFORE, &open).await?);
        }
        let open: Vec<&Finish> =
            finished.iter().filter(|finish| finish.outcome.is_again() && !is_done(finish, &done)).collect();
        if !open.is_empty() {
            done.extend(self.finished_before(pod, again::RECORDED_BEFORE, &open).await?);
        }
        let became = |finish| done.get(&key(finish)).copied().unwrap_or(Finished::Lost);
        Ok(finished.iter().map(became).collect())
    }

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
    ) -> Result<Vec<(Key, Finished)>, StoreError> {
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
        rows.iter().map(before).collect::<Reading<_>>().map_err(nothing_done(FINISHING))
    }

    pub(super) async fn renew_leases(
        &self,
        now: Now,
        pod: PodId,
        held: &[Held],
        lease: Duration,
    ) -> Result<Vec<Renewed>, StoreError> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let query = self
            .query(RENEW)
            .bind(at(now))
            .bind(pod.as_uuid())
            .bind(ahead(lease))
            .bind(held.iter().map(|held| held.id.as_uuid()).collect::<Vec<_>>())
            .bind(held.iter().map(|held| held.claim_no).collect::<Vec<_>>())
            .bind(held.iter().map(|held| held.started).collect::<Vec<_>>());
        let rows = self.write(RENEWING, query).await?;
        rows.iter().map(renewed).collect::<Reading<_>>().map_err(nothing_done(RENEWING))
    }

    pub(super) async fn rescue_calls(
        &self,
        now: Now,
        limit: usize,
        retention: &Retention,
    ) -> Result<Vec<Rescued>, StoreError> {
        let query = self.query(EXPIRED).bind(at(now)).bind(as_limit(limit));
        let rows = self.read(RESCUING, query).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let expired: Vec<Uuid> = rows
            .iter()
            .map(|row| row.try_get("id"))
            .collect::<Reading<_>>()
            .map_err(nothing_done(RESCUING))?;
        let mut transaction = self.begin(RESCUING).await?;
        let query = self.query(LOCK_EXPIRED).bind(at(now)).bind(expired);
        let rows = step(RESCUING, &mut transaction, query).await?;
        let rows: Vec<_> =
            rows.iter().map(vanished_call).collect::<Reading<_>>().map_err(nothing_done(RESCUING))?;
        let endings: Vec<Ending> = rows.iter().map(|(_, _, vanished)| ending_of(vanished)).collect();
        let query = self
            .query(RESCUE)
            .bind(at(now))
            .bind(rows.iter().map(|(id, ..)| id.as_uuid()).collect::<Vec<_>>())
            .bind(endings.iter().map(|ending| state_code(ending.state)).collect::<Vec<_>>())
            .bind(endings.iter().map(|ending| ending.error.clone()).collect::<Vec<_>>())
            .bind(endings.iter().map(|ending| ending.again_after.map(ahead)).collect::<Vec<_>>())
            .bind(kept_states(retention));
        step(RESCUING, &mut transaction, query).await?;
        commit(RESCUING, transaction).await?;
        let rescued: Vec<Rescued> = rows
            .into_iter()
            .zip(&endings)
            .map(|((id, name, vanished), ending)| Rescued {
                id,
                name,
                pod: vanished.pod,
                rerun: ending.again_after.is_some(),
            })
            .collect();
        if rescued.iter().any(|rescued| rescued.rerun) {
            self.lanes.forget();
            self.notify(None);
        }
        Ok(rescued)
    }

    pub(super) async fn prune_history(
        &self,
        now: Now,
        retention: &Retention,
        limit: usize,
    ) -> Result<u64, StoreError> {
        if !retention.outlasts_repetitions() {
            self.note_gap(now, REPEATED).await?;
        }
        let (states, kept): (Vec<i16>, Vec<i64>) = CallState::ALL
            .into_iter()
            .filter_map(|state| state_code(state).map(|code| (code, micros(retention.of(state)))))
            .unzip();
        let query = self.query(PRUNE).bind(at(now)).bind(states).bind(kept).bind(as_limit(limit));
        let query = query
            .bind(micros(retention.longest()))
            .bind(micros(ACTIONS_KEPT))
            .bind(Span::ALL.map(Span::minutes).to_vec())
            .bind(Span::ALL.map(|span| micros(span.kept())).to_vec());
        let row = self.write(PRUNING, query).await?.pop().ok_or_else(|| empty(PRUNING))?;
        count(&row, "pruned").map_err(nothing_done(PRUNING))
    }
}

/// What `FINISH` wants besides, for the history.
fn with_history(query: Query, rows: &[&Finish], kept: Vec<i16>) -> Query {
    let outcomes: Vec<_> = rows.iter().map(|finish| outcome_state(&finish.outcome)).collect();
    query
        .bind(outcomes.iter().map(|(state, _)| state_code(*state)).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|(_, said)| said.map(str::to_owned)).collect::<Vec<_>>())
        .bind(rows.iter().map(|finish| finish.started_after.map(interval)).collect::<Vec<_>>())
        .bind(rows.iter().map(|finish| micros(finish.ran_for)).collect::<Vec<_>>())
        .bind(kept)
}

/// A limit as PostgreSQL counts.
pub(super) fn as_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn kept_states(retention: &Retention) -> Vec<i16> {
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

/// One claim: call and number.
pub(super) type Key = (Uuid, i64);

pub(super) fn key(finish: &Finish) -> Key {
    (finish.id.as_uuid(), finish.claim_no)
}

fn before(row: &PgRow) -> Reading<(Key, Finished)> {
    let became = if row.try_get("cancelled")? { Finished::Cancelled } else { Finished::Recorded };
    Ok(((row.try_get("id")?, row.try_get("claim_no")?), became))
}

/// Which of the claims that it was given a statement has ended, by their places.
pub(super) struct Gone {
    /// `None`: all of them.
    places: Option<Vec<i64>>,
    /// Their calls had been cancelled.
    cancelled: Vec<i64>,
}

impl Gone {
    pub(super) fn read(row: &PgRow, rows: &[&Finish]) -> Reading<Self> {
        let is_all = usize::try_from(count(row, "done")?).is_ok_and(|done| done == rows.len());
        let places =
            if is_all { None } else { Some(row.try_get::<Option<_>, _>("places")?.unwrap_or_default()) };
        Ok(Self { places, cancelled: row.try_get::<Option<_>, _>("cancelled")?.unwrap_or_default() })
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

fn renewed(row: &PgRow) -> Reading<Renewed> {
    let lease = match (row.try_get("extended")?, row.try_get("held")?) {
        (true, _) => Lease::Held,
        (false, true) => Lease::Kept,
        (false, false) => Lease::Lost,
    };
    Ok(Renewed { lease, cancelled: row.try_get("cancelled")? })
}

/// A call whose pod vanished: its id, its name, and what decides about it.
fn vanished_call(row: &PgRow) -> Reading<(CallId, String, Vanished)> {
    let after: i64 = row.try_get("vanish_after")?;
    let vanished = Vanished {
        pod: pod_column(row, "pod")?.unwrap_or(PodId::from_uuid(Uuid::nil())),
        lease_until: moment(row, "lease_until")?,
        started: row.try_get("started")?,
        cancel_requested: row.try_get("cancel_requested")?,
        on_vanish: on_vanish(row.try_get::<i16, _>("on_vanish")?.into(), Some(after)),
        pods: small_count(row, "vanished")?.saturating_add(1),
    };
    Ok((CallId::from_uuid(row.try_get("id")?), row.try_get("name")?, vanished))
}
