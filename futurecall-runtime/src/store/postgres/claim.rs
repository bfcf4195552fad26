use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::PostgresStore;
use super::claim_cursors::{DueLane, END, SLACK};
use super::claim_rows::{Asked, Found, Haul};
use super::driver_error::{empty, nothing_done};
use super::finish::as_limit;
use super::sql::{Query, Timestamp, at, bind_lease, interval, micros, vanishing};
use crate::id::PodId;
use crate::moment::Moment;
use crate::store::columns::Columns as _;
use crate::store::round_robin::in_turns;
use crate::store::{Claim, ClaimRequest, ClaimStore, ClaimedCall, Held, Now, Result, records};

pub(super) const DOING: &str = "claim calls";

const FINDING: &str = "find claimed calls";

const RELEASING: &str = "give calls back";

/// $2 names, $3 their shapes. Of each of their lanes the first unclaimed call: the lanes are found by skipping through the due index.
/// (`{a_lane}` is true of each; it makes the planner expect few.)
const SURVEY: &str = "
    WITH RECURSIVE lane AS (
        SELECT u.name, u.shape, (SELECT c.priority FROM futurecall.call AS c
            WHERE c.name = u.name ORDER BY c.priority LIMIT 1) AS priority
        FROM unnest((SELECT $2::text[]), (SELECT $3::bigint[])) AS u(name, shape)
        UNION ALL
        SELECT l.name, l.shape, (SELECT c.priority FROM futurecall.call AS c
            WHERE c.name = l.name AND c.priority > l.priority ORDER BY c.priority LIMIT 1)
        FROM lane AS l WHERE l.priority IS NOT NULL
    )
    SELECT {now_us} AS now, h.name, h.priority, {us h.due_at} AS due, h.id
    FROM (SELECT 1) AS one LEFT JOIN (
        SELECT l.name, l.priority, c.due_at, c.id FROM lane AS l CROSS JOIN LATERAL (
            SELECT c.due_at, c.id FROM futurecall.call AS c
            WHERE c.name = l.name AND c.priority = l.priority AND c.claimed_by IS NULL AND {open l.shape}
            ORDER BY c.due_at, c.id LIMIT 1
        ) AS c WHERE {a_lane}
    ) AS h ON true";

/// $2 to $4 as `{claim}` wants them, $6 until, $7 how far ahead, $8 calls to pass by, $9 to $13 the lanes: names,
/// priorities, where each begins, and how many calls it may give; $5 and $14 what if the pod vanishes; $15 their shapes;
/// $16 how many calls in all.
///
/// Parameters that the planner would look into stand behind a SELECT: it then plans once for all of them, which saves
/// more time than the statement takes.
///
/// - `lane`: each with its first due call of a schedule, if any. A paused name becomes NULL, which no call has, so that
///   nothing of the lane is read below. Those are not claimed here, as their schedules are to be
///   locked before them; what comes after it in its lane has to wait.
/// - `locked`: of each lane its share, read from the index in order; what others have locked is passed by. A row is
///   looked at again under its lock: it may have been claimed since this statement began. (The limit of 1,000 is there
///   for the planner, which guesses ill about one that it does not know; it stands below the share.)
/// - `claimed`: what differs from call to call, and nothing that the pod has told or that stands in the lane. What it
///   costs to send and to read a column of each row is a good part of what a claim costs.
/// - `later`: when the lane's next call can be claimed. `crowded`: whether there were calls that others have locked.
pub(super) const CLAIM: &str = "
    WITH clock AS MATERIALIZED (
        SELECT {now} AS now, least({now} + $7::interval, $6::timestamptz) AS horizon
    ), lane AS MATERIALIZED (
        SELECT u.place, u.name, u.priority, u.due AS from_due, u.id AS from_id, u.share, u.on_vanish, u.vanish_after,
            u.shape, r.id AS run,
            coalesce(r.due_at, 'infinity') AS run_due,
            coalesce(r.id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid) AS run_id
        FROM (
            SELECT CASE WHEN u.named = ANY ((SELECT array_agg(p.name) FROM futurecall.paused_name AS p)::text[])
                THEN NULL ELSE u.named END AS name, u.*
            FROM unnest((SELECT $9::text[]), (SELECT $10::smallint[]), (SELECT $11::timestamptz[]),
                (SELECT $12::uuid[]), (SELECT $13::integer[]), (SELECT $5::smallint[]), (SELECT $14::bigint[]),
                (SELECT $15::bigint[]))
                WITH ORDINALITY AS u(named, priority, due, id, share, on_vanish, vanish_after, shape, place)
        ) AS u LEFT JOIN LATERAL (
            SELECT c.due_at, c.id FROM futurecall.call AS c
            WHERE c.name = u.name AND c.priority = u.priority AND c.schedule_id IS NOT NULL AND c.claimed_by IS NULL
                AND c.due_at <= (SELECT least(k.now, k.horizon) FROM clock AS k)
                AND c.id <> ALL ((SELECT $8::uuid[])::uuid[]) AND {open u.shape}
            ORDER BY c.due_at, c.id LIMIT 1
        ) AS r ON true
    ), locked AS MATERIALIZED (
        SELECT c.place, c.id, l.place AS lane, l.on_vanish, l.vanish_after FROM lane AS l CROSS JOIN LATERAL (
            SELECT c.place, c.id FROM (
                SELECT c.ctid AS place, c.id FROM futurecall.call AS c
                WHERE c.name = l.name AND c.priority = l.priority
                    AND (c.due_at, c.id) >= (l.from_due, l.from_id) AND (c.due_at, c.id) < (l.run_due, l.run_id)
                    AND c.due_at <= (SELECT k.horizon FROM clock AS k)
                    AND c.schedule_id IS NULL AND c.claimed_by IS NULL AND {open l.shape}
                ORDER BY c.due_at, c.id LIMIT 1000 FOR UPDATE OF c SKIP LOCKED
            ) AS c LIMIT l.share
        ) AS c LIMIT (SELECT $16::bigint)
    ), claimed AS (
        UPDATE futurecall.call AS c SET {claim} FROM locked AS l WHERE c.ctid = l.place AND {few l.id}
        RETURNING l.lane, c.id, c.due_at, c.args, c.attempt, c.format, c.identifier, c.traceparent, c.first_due_at,
            c.expires_at, c.failures
    ), later AS (
        SELECT l.place, l.run IS NOT NULL AS has_run, (
            SELECT {us c.due_at} FROM futurecall.call AS c
            WHERE c.name = l.name AND c.priority = l.priority AND c.claimed_by IS NULL
                AND c.due_at > (SELECT least(k.now, k.horizon) FROM clock AS k)
                AND (c.schedule_id IS NOT NULL OR c.due_at > (SELECT k.horizon FROM clock AS k))
                AND {open l.shape}
            ORDER BY c.due_at, c.id LIMIT 1) AS due
        FROM lane AS l
    )
    SELECT {now_us} AS now, (SELECT array_agg(l.due ORDER BY l.place) FROM later AS l) AS later,
        (SELECT array_agg(l.has_run ORDER BY l.place) FROM later AS l) AS runs,
        CASE WHEN (SELECT count(*) FROM claimed) < $16::bigint THEN (
            SELECT count(*) FROM lane AS l CROSS JOIN LATERAL (
                SELECT c.place FROM (
                    SELECT c.ctid AS place FROM futurecall.call AS c
                    WHERE c.name = l.name AND c.priority = l.priority
                        AND (c.due_at, c.id) >= (l.from_due, l.from_id) AND (c.due_at, c.id) < (l.run_due, l.run_id)
                        AND c.due_at <= (SELECT k.horizon FROM clock AS k)
                        AND c.schedule_id IS NULL AND c.claimed_by IS NULL AND {open l.shape}
                    ORDER BY c.due_at, c.id LIMIT 1000
                ) AS c LIMIT l.share
            ) AS c
        ) > (SELECT count(*) FROM claimed) ELSE false END AS crowded,
        NULL::bigint AS lane, NULL::uuid AS id, NULL::timestamptz AS due_at, NULL::json AS args,
        NULL::integer AS attempt, NULL::smallint AS format, NULL::text AS identifier, NULL::text AS traceparent,
        NULL::timestamptz AS first_due_at, NULL::timestamptz AS expires_at, NULL::smallint AS failures
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, c.* FROM claimed AS c";

/// $1 nothing, $2 pod, $3 claim number, $4 the latest moment that this store ever claimed until. What is claimed stands in no
/// index, but it is due, or (by less than that second) all but due: of each lane what lies further ahead is not read.
pub(super) const FIND: &str = "
    WITH RECURSIVE {lanes}
    SELECT {claimed} FROM lane AS l CROSS JOIN LATERAL (
        SELECT c.* FROM futurecall.call AS c
        WHERE c.name = l.name AND c.priority = l.priority AND c.due_at <= greatest({now}, {at $4::bigint}) + interval '1 second'
            AND c.claimed_by = $2::uuid AND c.claim_no = $3::bigint
    ) AS c
    WHERE {a_lane} ORDER BY c.priority, c.due_at, c.id";

/// $2 pod, $3 ids, $4 claim numbers, $5 the shape under which the pod could not read them. Locked first: what the rows say then is the latest, also of a cancellation.
const RELEASE: &str = "
    WITH locked AS MATERIALIZED (
        SELECT c.id, c.cancel_requested
        FROM unnest($3::uuid[], $4::bigint[]) AS u(id, claim_no)
        JOIN futurecall.call AS c ON c.id = u.id AND c.claim_no = u.claim_no
        WHERE c.claimed_by = $2::uuid AND {few u.id} ORDER BY c.id FOR UPDATE OF c
    ), freed AS (
        UPDATE futurecall.call AS c SET {unclaim}, attempt = greatest(c.attempt - 1, 0),
            declined = CASE WHEN $5::bigint IS NULL THEN c.declined
                ELSE array_append(array_remove(c.declined, $5::bigint), $5::bigint) END
        FROM locked AS l WHERE c.id = l.id AND NOT l.cancel_requested AND {few l.id} RETURNING c.due_at
    ), gone AS (
        DELETE FROM futurecall.call AS c
        USING locked AS l WHERE c.id = l.id AND l.cancel_requested AND {few l.id} RETURNING c.*
    ), kept AS (
        {history} 4, greatest(g.attempt - 1, 0), NULL, NULL, NULL, NULL, {now}, 'cancelled'
        FROM gone AS g ON CONFLICT (id) DO NOTHING
    )
    SELECT (SELECT count(*) FROM locked) AS released, (SELECT {us min(f.due_at)} FROM freed AS f) AS earliest";

/// How many calls one statement claims at most. More are claimed by several.
const AT_ONCE: usize = 1_000;

/// How many lanes one statement asks at most: as many as it may claim calls, and as many that may have nothing more.
const MOST_LANES: usize = 2 * AT_ONCE;

/// How many statements one claim sends at most. What they leave comes with the next claim.
const ROUNDS: u8 = 32;

#[async_trait]
impl ClaimStore for PostgresStore {
    async fn claim(&self, now: Now, request: &ClaimRequest) -> Result<Claim> {
        let names: BTreeSet<&str> = request.names.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            return Ok(Claim::default());
        }
        let mut haul = Haul { passed: self.lanes.waiting(), ..Haul::default() };
        if request.sweep || !self.lanes.know(&names) {
            haul.passed.clear();
            haul.now = Some(self.survey(now, request, &names).await?);
        }
        for _ in 0..ROUNDS {
            if haul.calls.len() >= request.limit {
                break;
            }
            match self.claim_round(now, request, &names, &mut haul).await {
                Ok(true) => {}
                Ok(false) => break,
                // What is claimed already the pod has to hear of; the rest comes with the next claim. (Of an unknown
                // outcome the pod learns by the claim's number.)
                Err(error) if !haul.calls.is_empty() && !error.outcome_unknown() => {
                    tracing::warn!(%error, "a claim is cut short");
                    haul.is_crowded = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.answer(now, request, &names, haul).await
    }

    async fn find_claim(&self, pod: PodId, claim_no: i64) -> Result<Vec<ClaimedCall>> {
        let query = bind_find(self.query(FIND), pod, claim_no, self.lanes.latest());
        let rows = self.read(FINDING, query).await?;
        rows.iter().map(records::claimed_call).collect()
    }

    async fn release(&self, now: Now, pod: PodId, held: &[Held], declined: Option<i64>) -> Result<u64> {
        if held.is_empty() {
            return Ok(0);
        }
        let query = self
            .query(RELEASE)
            .bind(at(now))
            .bind(pod.as_uuid())
            .bind(held.iter().map(|held| held.id.as_uuid()).collect::<Vec<_>>())
            .bind(held.iter().map(|held| held.claim_no).collect::<Vec<_>>())
            .bind(declined);
        let row = self.write_one(RELEASING, query).await?;
        if let Some(earliest) = row.find("earliest")? {
            self.lanes.lower(earliest);
            self.notify(Some(earliest));
        }
        row.get("released")
    }
}

impl PostgresStore {
    /// Finds the lanes of these names, and where each begins. Gives the server's clock.
    pub(super) async fn survey(
        &self,
        now: Now,
        request: &ClaimRequest,
        names: &BTreeSet<&str>,
    ) -> Result<i64> {
        self.lanes.begin_survey(names);
        let texts: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let shapes: Vec<i64> = names.iter().map(|name| request.shape(name)).collect();
        let rows = self.read(DOING, self.query(SURVEY).bind(at(now)).bind(texts).bind(shapes)).await?;
        let clock = rows.first().ok_or_else(|| empty(DOING))?.get("now")?;
        let mut heads = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(name) = row.find("name")? {
                heads.push((name, row.get("priority")?, (row.get("due")?, row.get("id")?)));
            }
        }
        self.lanes.surveyed(names, heads);
        if now == Now::Database {
            self.lanes.saw_clock(clock);
        }
        Ok(clock)
    }

    /// Claims from the most urgent lanes that may have something due. Says whether there may be more.
    async fn claim_round(
        &self,
        now: Now,
        request: &ClaimRequest,
        names: &BTreeSet<&str>,
        haul: &mut Haul,
    ) -> Result<bool> {
        let until = request.until.map_or(i64::MAX, Moment::as_micros);
        // The server's clock is guessed, by as much too early as its last answer took to come: what is not due by it after
        // all is not claimed.
        let ahead = micros(request.ahead);
        let slack = if now == Now::Database { SLACK.max(ahead / 4) } else { 0 };
        let horizon = self.lanes.clock(now).saturating_add(ahead).saturating_add(slack).min(until);
        self.lanes.claims_until(horizon);
        let mut lanes = self.lanes.due(names, horizon, &haul.done);
        if lanes.is_empty() {
            return Ok(false);
        }
        let turns = haul.turns(&mut lanes);
        let room = request.limit.saturating_sub(haul.calls.len()).min(AT_ONCE);
        let asked = Asked::of(lanes, &turns, room, MOST_LANES);
        let query = bind_claim_all(self.query(CLAIM), now, request, &haul.passed, &asked);
        let rows = self.write(DOING, query).await?;
        let found = Found::read(&rows, &asked.lanes, request.claim_no).map_err(nothing_done(DOING))?;
        if now == Now::Database {
            self.lanes.saw_clock(found.now);
        }
        let with_runs = self.note(&asked, &found, haul);
        haul.take(found);
        if !with_runs.is_empty() && haul.calls.len() < request.limit {
            self.claim_runs(now, request, &with_runs, haul).await?;
        }
        Ok(true)
    }

    /// Remembers where each lane has got to. Gives those that go on with a call of a schedule.
    fn note(&self, asked: &Asked, found: &Found, haul: &mut Haul) -> Vec<DueLane> {
        let (mut with_runs, looked_at) = (Vec::new(), asked.looked_at(found));
        for (place, (lane, share)) in asked.lanes.iter().zip(&asked.shares).take(looked_at).enumerate() {
            let (count, last) =
                found.taken.get(place).copied().filter(|(count, _)| *count > 0).unwrap_or((0, lane.from));
            haul.had_turns(lane, count);
            if count >= *share {
                self.lanes.looked(lane, last, last.max(lane.next), found.now);
            } else if found.has_run(place) {
                // What comes after it has to wait for it.
                self.lanes.looked(lane, last, lane.next, found.now);
                with_runs.push(DueLane { from: last, ..lane.clone() });
            } else {
                // What others have locked may be given up again.
                let from = if found.is_crowded { lane.from } else { last };
                let next = found.later(place).map_or(END, |due| (due, Uuid::nil()));
                self.lanes.looked(lane, from, next, found.now);
                haul.done.insert((Arc::clone(&lane.name), lane.priority));
            }
        }
        with_runs
    }

    /// The claim's answer, and when to ask again.
    async fn answer(
        &self,
        now: Now,
        request: &ClaimRequest,
        names: &BTreeSet<&str>,
        mut haul: Haul,
    ) -> Result<Claim> {
        if request.sweep && request.limit > 0 && haul.calls.len() >= request.limit {
            // Where no more was wanted, nobody has looked whether there is more.
            match self.survey(now, request, names).await {
                Ok(clock) => haul.now = Some(clock),
                Err(error) => tracing::debug!(%error, "whether more is due is found by the next claim"),
            }
        }
        let clock = haul.now.unwrap_or_else(|| self.lanes.clock(now));
        let lanes_next = self.lanes.next(names).map(|due| due.saturating_sub(clock));
        let next = lanes_next.map(|left| Duration::from_micros(u64::try_from(left).unwrap_or(0)));
        let mut next = [next, haul.next].into_iter().flatten().min();
        if haul.is_crowded && next.is_none_or(|next| !next.is_zero()) {
            // Others are at the same rows, and mostly done in no time; but it may be an application's transaction
            // that stays open for long.
            let streak = self.crowded.fetch_add(1, Ordering::Relaxed).min(9);
            next = Some(next.unwrap_or(Duration::MAX).min(Duration::from_millis(1 << streak)));
        }
        if !haul.is_crowded || !haul.calls.is_empty() {
            self.crowded.store(0, Ordering::Relaxed);
        }
        let now = haul.now.and_then(|now| Moment::from_micros(now).ok());
        let crowded = haul.is_crowded;
        Ok(Claim { calls: in_turns(haul.calls), next, skipped: haul.skipped, now, crowded })
    }
}

pub(super) fn bind_claim_all(
    query: Query,
    now: Now,
    request: &ClaimRequest,
    passed: &[Uuid],
    asked: &Asked,
) -> Query {
    let Asked { lanes, shares, room } = asked;
    let (on_vanish, vanish_after): (Vec<i16>, Vec<i64>) =
        lanes.iter().map(|lane| vanishing(request, &lane.name)).unzip();
    bind_lease(query, now, request)
        .bind(on_vanish)
        .bind(request.until.map(Timestamp::from))
        .bind(interval(request.ahead))
        .bind(passed.to_vec())
        .bind(lanes.iter().map(|lane| lane.name.as_ref().to_owned()).collect::<Vec<String>>())
        .bind(lanes.iter().map(|lane| lane.priority).collect::<Vec<_>>())
        .bind(lanes.iter().map(|lane| Timestamp(lane.from.0)).collect::<Vec<_>>())
        .bind(lanes.iter().map(|lane| lane.from.1).collect::<Vec<_>>())
        .bind(shares.clone())
        .bind(vanish_after)
        .bind(lanes.iter().map(|lane| request.shape(&lane.name)).collect::<Vec<_>>())
        .bind(as_limit(*room))
}

/// Binds what [`FIND`] wants.
pub(super) fn bind_find(query: Query, pod: PodId, claim_no: i64, latest: i64) -> Query {
    query.bind(at(Now::Database)).bind(pod.as_uuid()).bind(claim_no).bind(latest)
}
