use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::PostgresStore;
use super::connect::{commit, empty, nothing_done, step};
use super::finish::as_limit;
use super::sql::{Query, Reading, ahead, at, claimed, count};
use super::timetable::{Timetable, Turn, Wanted};
use crate::error::StoreError;
use crate::id::PodId;
use crate::moment::Moment;
use crate::recurring::{Missed, Overlap};
use crate::store::{CallState, Claim, ClaimRequest, ClaimedCall, Held, Now, OnVanish, Retention};

const DOING: &str = "claim calls";
const FINDING: &str = "find claimed calls";
const RELEASING: &str = "give calls back";

/// $2 to $5 as `{claim}` wants them, $6 names, $7 limit, $8 until, $9 calls to pass by, $10 and $11 the words of rules
/// that run everything that was missed, and that do not overlap, $12 how far ahead.
///
/// - `lane`: the priorities in use of each name, found by skipping through the due index. (`{a_lane}` is true of each; it
///   makes the planner expect few.)
/// - `due`: of each lane at most as many as could be claimed, read from the index in order. The limit is written into
///   the statement, because the planner guesses ill about one that it does not know. (A lower bound for `due_at`, the
///   lane's cursor, belongs here.)
/// - `locked`: in their order, and no more than are wanted; what others have locked is passed by. The row is looked at
///   again under its lock: it may have been claimed since this statement began. Calls of schedules are not claimed
///   here, as their schedules are to be locked before them.
const CLAIM: &str = "
    WITH RECURSIVE lane AS (
        SELECT u.name, (SELECT c.priority FROM futurecall.call AS c
            WHERE c.name = u.name ORDER BY c.priority LIMIT 1) AS priority
        FROM unnest($6::text[]) AS u(name)
        UNION ALL
        SELECT l.name, (SELECT c.priority FROM futurecall.call AS c
            WHERE c.name = l.name AND c.priority > l.priority ORDER BY c.priority LIMIT 1)
        FROM lane AS l WHERE l.priority IS NOT NULL
    ), due AS MATERIALIZED (
        SELECT c.id, c.schedule_id, l.priority, row_number() OVER lane_order AS turn,
            first_value(c.due_at) OVER lane_order AS lane_due, first_value(c.id) OVER lane_order AS lane_id
        FROM lane AS l CROSS JOIN LATERAL (
            SELECT c.id, c.due_at, c.schedule_id FROM futurecall.call AS c
            WHERE c.name = l.name AND c.priority = l.priority AND c.claimed_by IS NULL
                AND c.due_at <= least({now} + {span $12::bigint}, {at $8::bigint})
                AND (c.schedule_id IS NULL OR c.due_at <= {now}) AND c.id <> ALL ($9::uuid[]) AND NOT {waits}
            ORDER BY c.due_at, c.id LIMIT :lane
        ) AS c
        WHERE {a_lane}
        WINDOW lane_order AS (PARTITION BY l.name, l.priority ORDER BY c.due_at, c.id)
    ), pick AS MATERIALIZED (
        SELECT d.id, d.schedule_id, row_number() OVER (ORDER BY d.priority, d.turn, d.lane_due, d.lane_id) AS place
        FROM due AS d ORDER BY place
    ), locked AS MATERIALIZED (
        SELECT p.id, p.schedule_id, p.place FROM pick AS p LEFT JOIN LATERAL (
            SELECT c.id FROM futurecall.call AS c
            WHERE c.id = p.id AND c.claimed_by IS NULL AND p.schedule_id IS NULL
            FOR UPDATE OF c SKIP LOCKED
        ) AS c ON true
        WHERE p.schedule_id IS NOT NULL OR c.id IS NOT NULL
        LIMIT $7::bigint
    ), claimed AS (
        UPDATE futurecall.call AS c SET {claim}
        WHERE c.id = ANY (ARRAY(SELECT l.id FROM locked AS l WHERE l.schedule_id IS NULL))
        RETURNING {claimed}
    ), fact AS (
        SELECT {now_us} AS now,
            (SELECT count(*) FROM pick) AS picked, (SELECT count(*) FROM locked) AS locked,
            EXISTS (SELECT FROM due AS d WHERE d.turn >= :lane) AS full_lane,
            (SELECT {us min(n.due_at)} FROM lane AS l CROSS JOIN LATERAL (
                SELECT c.due_at FROM futurecall.call AS c
                WHERE c.name = l.name AND c.priority = l.priority AND c.claimed_by IS NULL
                    AND c.due_at > least({now}, {at $8::bigint})
                    AND (c.due_at > least({now} + {span $12::bigint}, {at $8::bigint}) OR c.schedule_id IS NOT NULL)
                ORDER BY c.due_at, c.id LIMIT 1
            ) AS n WHERE {a_lane}) AS later
    )
    SELECT f.now, f.picked, f.locked, f.full_lane, f.later, l.place, l.id AS pick, l.schedule_id AS of_schedule, c.*
    FROM fact AS f LEFT JOIN locked AS l ON true LEFT JOIN claimed AS c ON c.id = l.id
    ORDER BY l.place";

/// $1 ids. Which of them can be claimed.
const LOCK: &str = "
    SELECT c.id FROM futurecall.call AS c WHERE c.id = ANY ($1::uuid[]) AND c.claimed_by IS NULL
    ORDER BY c.id FOR UPDATE SKIP LOCKED";

/// $2 to $5 as `{claim}` wants them, $6 ids.
const CLAIM_THESE: &str = "
    UPDATE futurecall.call AS c SET {claim} WHERE c.id = ANY ($6::uuid[]) AND c.claimed_by IS NULL
    RETURNING {claimed}";

/// $2 ids, $3 reasons, $4 whether skipped calls are kept.
const SKIP: &str = "
    WITH gone AS (
        DELETE FROM futurecall.call AS c WHERE c.id = ANY ($2::uuid[]) AND c.claimed_by IS NULL RETURNING c.*
    ), kept AS (
        {history} 6, g.attempt, NULL, NULL, NULL, NULL, {now}, u.reason
        FROM gone AS g JOIN unnest($2::uuid[], $3::text[]) AS u(id, reason) ON u.id = g.id
        WHERE $4::boolean ON CONFLICT (id) DO NOTHING
    )
    SELECT count(*) AS skipped FROM gone";

const FIND: &str = "
    SELECT {claimed} FROM futurecall.call AS c WHERE c.claimed_by = $1::uuid AND c.claim_no = $2::bigint
    ORDER BY c.priority, c.due_at, c.id";

/// $2 pod, $3 ids, $4 claim numbers. Locked first: what the rows say then is the latest, also of a cancellation.
const RELEASE: &str = "
    WITH locked AS MATERIALIZED (
        SELECT c.id, c.cancel_requested
        FROM unnest($3::uuid[], $4::bigint[]) AS u(id, claim_no)
        JOIN futurecall.call AS c ON c.id = u.id AND c.claim_no = u.claim_no
        WHERE c.claimed_by = $2::uuid ORDER BY c.id FOR UPDATE OF c
    ), freed AS (
        UPDATE futurecall.call AS c SET {unclaim}, attempt = greatest(c.attempt - 1, 0)
        WHERE c.id = ANY (ARRAY(SELECT l.id FROM locked AS l WHERE NOT l.cancel_requested)) RETURNING c.due_at
    ), gone AS (
        DELETE FROM futurecall.call AS c
        WHERE c.id = ANY (ARRAY(SELECT l.id FROM locked AS l WHERE l.cancel_requested)) RETURNING c.*
    ), kept AS (
        {history} 4, greatest(g.attempt - 1, 0), NULL, NULL, NULL, NULL, {now}, 'cancelled'
        FROM gone AS g ON CONFLICT (id) DO NOTHING
    )
    SELECT (SELECT count(*) FROM locked) AS released, (SELECT {us min(f.due_at)} FROM freed AS f) AS earliest";

/// How many calls one statement claims at most. More are claimed by several.
const AT_ONCE: usize = 2_000;

/// How often a claim looks further, past calls of schedules that it could not take.
const ROUNDS: u8 = 8;

impl PostgresStore {
    pub(super) async fn claim_calls(&self, now: Now, request: &ClaimRequest) -> Result<Claim, StoreError> {
        if request.names.is_empty() {
            return Ok(Claim::default());
        }
        let mut haul = Haul::default();
        let mut rounds = ROUNDS;
        while rounds > 0 {
            match self.claim_round(now, request, &mut haul).await {
                Ok(Round::Full) if haul.calls.len() < request.limit => {}
                Ok(Round::PassedSome) if haul.calls.len() < request.limit => rounds -= 1,
                Ok(_) => break,
                // What is claimed already the pod has to hear of; the rest comes with the next claim. (Of an unknown
                // outcome the pod learns by the claim's number.)
                Err(error) if !haul.calls.is_empty() && !error.outcome_unknown() => {
                    tracing::warn!(%error, "a claim is cut short");
                    haul.is_taken = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.answer(request, haul))
    }

    pub(super) async fn find_claimed(
        &self,
        pod: PodId,
        claim_no: i64,
    ) -> Result<Vec<ClaimedCall>, StoreError> {
        let query = self.query(FIND).bind(pod.as_uuid()).bind(claim_no);
        let rows = self.read(FINDING, query).await?;
        rows.iter().map(claimed).collect::<Reading<_>>().map_err(nothing_done(FINDING))
    }

    pub(super) async fn release_calls(&self, now: Now, pod: PodId, held: &[Held]) -> Result<u64, StoreError> {
        if held.is_empty() {
            return Ok(0);
        }
        let query = self
            .query(RELEASE)
            .bind(at(now))
            .bind(pod.as_uuid())
            .bind(held.iter().map(|held| held.id.as_uuid()).collect::<Vec<_>>())
            .bind(held.iter().map(|held| held.claim_no).collect::<Vec<_>>());
        let row = self.write_one(RELEASING, query).await?;
        let earliest: Option<i64> = row.try_get("earliest").map_err(nothing_done(RELEASING))?;
        if earliest.is_some() {
            self.notify(earliest).await;
        }
        count(&row, "released").map_err(nothing_done(RELEASING))
    }

    /// Claims what one statement claims, and calls of schedules that it found due.
    async fn claim_round(
        &self,
        now: Now,
        request: &ClaimRequest,
        haul: &mut Haul,
    ) -> Result<Round, StoreError> {
        let wanted = request.limit.saturating_sub(haul.calls.len()).min(AT_ONCE);
        let query = bind_claim_all(self.query(&claim_template(wanted)), now, request, wanted, &haul.passed);
        let rows = self.write(DOING, query).await?;
        let found = Found::read(&rows).map_err(nothing_done(DOING))?;
        haul.take(&found, wanted);
        let ours = if found.of_schedules.is_empty() {
            Ok(false)
        } else {
            self.claim_of_schedules(now, request, &found, haul).await
        };
        haul.settle_order();
        let passed_some = ours?;
        Ok(if passed_some {
            Round::PassedSome
        } else if wanted == AT_ONCE && found.locked >= wanted as u64 {
            Round::Full
        } else {
            Round::Done
        })
    }

    /// Claims due calls of schedules together with storing their successors, in a transaction of its own. Says whether
    /// some of them were not claimed.
    async fn claim_of_schedules(
        &self,
        now: Now,
        request: &ClaimRequest,
        found: &Found,
        haul: &mut Haul,
    ) -> Result<bool, StoreError> {
        let schedules: BTreeSet<Uuid> = found.of_schedules.iter().map(|pick| pick.schedule).collect();
        let schedules: Vec<Uuid> = schedules.into_iter().collect();
        let mut transaction = self.begin(DOING).await?;
        let now = self.moment_of(DOING, &mut transaction, now).await?;
        let mut timetable =
            self.lock_timetable(DOING, &mut transaction, now, Wanted::Free(&schedules)).await?;
        let decided = self.decide(&mut transaction, &mut timetable, &found.of_schedules).await?;

        let places: BTreeMap<Uuid, i64> = decided.run.iter().copied().collect();
        let mut calls = Vec::with_capacity(places.len());
        if !places.is_empty() {
            let query = self.query(CLAIM_THESE);
            let query =
                bind_claim(query, Now::At(now), request).bind(places.keys().copied().collect::<Vec<_>>());
            for row in step(DOING, &mut transaction, query).await? {
                let call = claimed(&row).map_err(nothing_done(DOING))?;
                let place = places.get(&call.id.as_uuid()).copied().unwrap_or(i64::MAX);
                calls.push((place, call));
            }
        }
        let passed_some = decided.run.len() < found.of_schedules.len();
        // One that is due already has its place before what this claim has taken by now: it comes with the next one.
        haul.passed.extend(timetable.successors().map(|(id, ..)| *id));
        let skipped = self.skip(&mut transaction, now, decided.skip, &request.retention).await?;
        let earliest = self.write_timetable(DOING, &mut transaction, timetable).await?;
        commit(DOING, transaction).await?;

        haul.round.extend(calls);
        haul.skipped += skipped;
        haul.is_taken |= !decided.taken.is_empty();
        haul.passed.extend(decided.wait.into_iter().chain(decided.taken));
        if let Some(earliest) = earliest {
            haul.look_again_after(earliest.saturating_since(now));
        }
        Ok(passed_some)
    }

    /// What happens to each of these calls, in their order.
    async fn decide(
        &self,
        connection: &mut PgConnection,
        timetable: &mut Timetable,
        picks: &[Pick],
    ) -> Result<Decided, StoreError> {
        let ids: Vec<Uuid> = picks.iter().map(|pick| pick.id).collect();
        let rows = step(DOING, connection, self.query(LOCK).bind(ids)).await?;
        let free: BTreeSet<Uuid> = rows
            .iter()
            .map(|row| row.try_get("id"))
            .collect::<Result<_, _>>()
            .map_err(nothing_done(DOING))?;
        let mut decided = Decided::default();
        for pick in picks {
            if !free.contains(&pick.id) {
                decided.taken.push(pick.id);
                continue;
            }
            match timetable.turn(pick.id) {
                Turn::Run => decided.run.push((pick.id, pick.place)),
                Turn::Wait => decided.wait.push(pick.id),
                Turn::Skip(reason) => decided.skip.push((pick.id, reason)),
                Turn::Taken => decided.taken.push(pick.id),
                Turn::Gone => {}
            }
        }
        Ok(decided)
    }

    async fn skip(
        &self,
        connection: &mut PgConnection,
        now: Moment,
        skipped: Vec<(Uuid, &'static str)>,
        retention: &Retention,
    ) -> Result<u64, StoreError> {
        if skipped.is_empty() {
            return Ok(0);
        }
        let (ids, reasons): (Vec<Uuid>, Vec<String>) =
            skipped.into_iter().map(|(id, reason)| (id, reason.to_owned())).unzip();
        let is_kept = !retention.of(CallState::Skipped).is_zero();
        let query = self.query(SKIP).bind(now.as_micros()).bind(ids).bind(reasons).bind(is_kept);
        let row = step(DOING, connection, query).await?.pop().ok_or_else(|| empty(DOING))?;
        count(&row, "skipped").map_err(nothing_done(DOING))
    }

    /// The claim's answer, and when to ask again.
    fn answer(&self, request: &ClaimRequest, haul: Haul) -> Claim {
        let next = if haul.is_more && (!haul.calls.is_empty() || request.limit == 0) {
            Some(Duration::ZERO)
        } else if haul.is_more || haul.is_crowded || haul.is_taken {
            // Others are at the same rows, and mostly done in no time; but it may be an application's transaction
            // that stays open for long.
            let streak = self.crowded.fetch_add(1, Ordering::Relaxed).min(9);
            Some(haul.next.unwrap_or(Duration::MAX).min(Duration::from_millis(1 << streak)))
        } else {
            self.crowded.store(0, Ordering::Relaxed);
            haul.next
        };
        if !haul.calls.is_empty() {
            self.crowded.store(0, Ordering::Relaxed);
        }
        Claim { calls: haul.calls, next, skipped: haul.skipped, now: haul.now }
    }
}

/// Whether a claim goes on.
enum Round {
    /// As many were claimed as one statement claims.
    Full,
    /// Calls of schedules were skipped or passed by: others may be due behind them.
    PassedSome,
    /// All that can be had is claimed.
    Done,
}

/// A due call of a schedule.
struct Pick {
    id: Uuid,
    schedule: Uuid,
    place: i64,
}

/// What the claiming statement found.
struct Found {
    claimed: Vec<(i64, ClaimedCall)>,
    of_schedules: Vec<Pick>,
    now: i64,
    later: Option<i64>,
    picked: u64,
    locked: u64,
    is_lane_full: bool,
}

/// What was decided about calls of schedules.
#[derive(Default)]
struct Decided {
    run: Vec<(Uuid, i64)>,
    wait: Vec<Uuid>,
    skip: Vec<(Uuid, &'static str)>,
    /// What another transaction is at.
    taken: Vec<Uuid>,
}

/// What one claim has got so far.
#[derive(Default)]
struct Haul {
    calls: Vec<ClaimedCall>,
    /// This round's calls with their places.
    round: Vec<(i64, ClaimedCall)>,
    skipped: u64,
    /// Calls of schedules that wait for the run before them, that another pod is at, or that are new.
    passed: Vec<Uuid>,
    next: Option<Duration>,
    now: Option<Moment>,
    is_more: bool,
    /// Others have locked calls that this claim would have taken.
    is_crowded: bool,
    /// The same of calls of schedules, in any round.
    is_taken: bool,
}

impl Found {
    fn read(rows: &[PgRow]) -> Reading<Self> {
        let fact = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let mut found = Self {
            claimed: Vec::with_capacity(rows.len()),
            of_schedules: Vec::new(),
            now: fact.try_get("now")?,
            later: fact.try_get("later")?,
            picked: count(fact, "picked")?,
            locked: count(fact, "locked")?,
            is_lane_full: fact.try_get("full_lane")?,
        };
        for row in rows {
            let Some(place) = row.try_get::<Option<i64>, _>("place")? else { continue };
            match row.try_get("of_schedule")? {
                Some(schedule) => found.of_schedules.push(Pick { id: row.try_get("pick")?, schedule, place }),
                None => found.claimed.push((place, claimed(row)?)),
            }
        }
        Ok(found)
    }
}

impl Haul {
    /// Adds what a round found, and forgets what the round before believed about the rest.
    fn take(&mut self, found: &Found, wanted: usize) {
        self.round.extend(found.claimed.iter().cloned());
        self.now = Moment::from_micros(found.now).ok();
        let is_cut = found.locked >= wanted as u64;
        self.is_more = found.is_lane_full || (is_cut && found.picked > found.locked);
        self.is_crowded = !is_cut && found.picked > found.locked;
        if let Some(later) = found.later {
            let left = u64::try_from(later.saturating_sub(found.now)).unwrap_or(0);
            self.look_again_after(Duration::from_micros(left));
        }
    }

    fn look_again_after(&mut self, left: Duration) {
        self.next = Some(self.next.map_or(left, |next| next.min(left)));
    }

    fn settle_order(&mut self) {
        self.round.sort_by_key(|(place, _)| *place);
        self.calls.extend(self.round.drain(..).map(|(_, call)| call));
    }
}

/// A few more of each lane than are wanted, so that a pod finds some although another is just claiming; a power of two, so
/// that there are few statements to prepare.
fn claim_template(wanted: usize) -> String {
    CLAIM.replace(":lane", &wanted.saturating_add(24).next_power_of_two().to_string())
}

fn bind_claim_all(query: Query, now: Now, request: &ClaimRequest, wanted: usize, passed: &[Uuid]) -> Query {
    let names: BTreeSet<&str> = request.names.iter().map(|(name, _)| name.as_str()).collect();
    bind_claim(query, now, request)
        .bind(names.into_iter().map(str::to_owned).collect::<Vec<_>>())
        .bind(as_limit(wanted))
        .bind(request.until.map(Moment::as_micros))
        .bind(passed.to_vec())
        .bind(word(Missed::RunAll))
        .bind(word(Overlap::Skip))
        .bind(ahead(request.ahead))
}

/// The word that stands for it in a stored rule.
fn word(value: impl Serialize) -> Option<String> {
    // Words without fields always serialize. If one did not, no rule would be taken to have it.
    serde_json::to_string(&value).ok()
}

fn bind_claim(query: Query, now: Now, request: &ClaimRequest) -> Query {
    let rerun = request.names.iter().filter(|(_, on_vanish)| *on_vanish == OnVanish::Rerun);
    query
        .bind(at(now))
        .bind(request.pod.as_uuid())
        .bind(request.claim_no)
        .bind(ahead(request.lease))
        .bind(rerun.map(|(name, _)| name.clone()).collect::<Vec<_>>())
}

#[cfg(test)]
impl PostgresStore {
    /// How the server carries a claim out.
    pub(super) async fn claim_plan(&self, request: &ClaimRequest) -> String {
        let sql = format!("EXPLAIN (ANALYZE, BUFFERS, COSTS) {}", claim_template(request.limit));
        let query = bind_claim_all(self.query(&sql), Now::Database, request, request.limit, &[]);
        let rows = self.read(DOING, query).await.expect("a plan");
        rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect()
    }
}
