use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::connect::{commit, step};
use super::encoding::{Spelled as _, is_refused};
use super::history::{FINISHED_BEFORE, FINISHING, Gone, History, in_id_order, kept_states, key};
use super::insert::{FINISHED_ID, is_taken};
use super::sql::{Row, ahead, at, interval, micros};
use super::{PostgresStore, requeue};
use crate::id::PodId;
use crate::store::codec::state_code;
use crate::store::columns::Columns as _;
use crate::store::policy::{Ending, ending_of};
use crate::store::{
    ACTIONS_KEPT, CallState, Finish, FinishStore, Finished, Held, Lease, Now, REPEATED, Renewed, Rescued,
    Result, Retention, Span, records,
};

const RENEWING: &str = "renew leases";

const RESCUING: &str = "rescue calls of pods that vanished";

const PRUNING: &str = "prune the history";

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

const NOTING: &str = "note a gap in the history";

/// $2 how long it lasts.
const NOTE: &str = "
    INSERT INTO futurecall.history_gap AS g (until) VALUES ({lease $2::interval})
    ON CONFLICT (is_one) DO UPDATE SET until = greatest(g.until, excluded.until)";

#[async_trait]
impl FinishStore for PostgresStore {
    async fn renew(&self, now: Now, pod: PodId, held: &[Held], lease: Duration) -> Result<Vec<Renewed>> {
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
        rows.iter().map(renewed).collect()
    }

    async fn finish(
        &self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>> {
        let done = self.finish_calls(now, pod, finished, retention).await;
        if is_refused(&done) {
            return self.finish_calls(now, pod, &finished.to_vec().in_ascii(), retention).await;
        }
        done
    }

    async fn rescue(&self, now: Now, limit: usize, retention: &Retention) -> Result<Vec<Rescued>> {
        let query = self.query(EXPIRED).bind(at(now)).bind(as_limit(limit));
        let rows = self.read(RESCUING, query).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let expired = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<Uuid>>>()?;
        let mut transaction = self.begin(RESCUING).await?;
        let query = self.query(LOCK_EXPIRED).bind(at(now)).bind(expired);
        let rows = step(RESCUING, &mut transaction, query).await?;
        let rows = rows.iter().map(records::vanished).collect::<Result<Vec<_>>>()?;
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

    async fn prune(&self, now: Now, retention: &Retention, limit: usize) -> Result<u64> {
        if !retention.outlasts_repetitions() {
            self.note_history_gap(now, REPEATED).await?;
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
        self.write_one(PRUNING, query).await?.get("pruned")
    }

    async fn note_history_gap(&self, now: Now, lasts: Duration) -> Result<()> {
        self.write(NOTING, self.query(NOTE).bind(at(now)).bind(interval(lasts))).await.map(drop)
    }
}

impl PostgresStore {
    async fn finish_calls(
        &self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>> {
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
            let gone = Gone::read(&row, &rows)?;
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
            done.extend(self.finished_before(pod, requeue::RECORDED_BEFORE, &open).await?);
        }
        let became = |finish| done.get(&key(finish)).copied().unwrap_or(Finished::Lost);
        Ok(finished.iter().map(became).collect())
    }
}

/// A limit as PostgreSQL counts.
pub(super) fn as_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn renewed(row: &Row) -> Result<Renewed> {
    let lease = match (row.get("extended")?, row.get("held")?) {
        (true, _) => Lease::Held,
        (false, true) => Lease::Kept,
        (false, false) => Lease::Lost,
    };
    Ok(Renewed { lease, cancelled: row.get("cancelled")? })
}
