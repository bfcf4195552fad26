//! Claiming due calls of schedules: their schedules are locked first, and their successors stored together with the claim.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::PostgresStore;
use super::claim::DOING;
use super::claim_cursors::DueLane;
use super::claim_rows::Haul;
use super::connect::{commit, step, step_one};
use super::finish::as_limit;
use super::sql::{Timestamp, at, bind_claim};
use super::timetable::Wanted;
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::store::columns::Columns as _;
use crate::store::policy::{Timetable, Turn};
use crate::store::{CallState, ClaimRequest, Now, Result, Retention, records};

/// $2 until, $3 calls to pass by, $4 to $7 and $9 the lanes: names, priorities, where each begins, shapes; $8 how many of
/// each at most.
/// Of each lane the due calls of schedules that come before its first other call.
const DUE: &str = "
    SELECT r.id, r.schedule_id
    FROM unnest((SELECT $4::text[]), (SELECT $5::smallint[]), (SELECT $6::bigint[]), (SELECT $7::uuid[]),
        (SELECT $9::bigint[])) WITH ORDINALITY AS l(name, priority, due, id, shape, place)
    LEFT JOIN LATERAL (
        SELECT c.due_at, c.id FROM futurecall.call AS c
        WHERE c.name = l.name AND c.priority = l.priority AND (c.due_at, c.id) >= ({at l.due}, l.id)
            AND c.schedule_id IS NULL AND c.claimed_by IS NULL AND {open l.shape}
        ORDER BY c.due_at, c.id LIMIT 1
    ) AS p ON true
    CROSS JOIN LATERAL (
        SELECT c.id, c.schedule_id, c.due_at, row_number() OVER (ORDER BY c.due_at, c.id) AS turn
        FROM futurecall.call AS c
        WHERE c.name = l.name AND c.priority = l.priority AND c.schedule_id IS NOT NULL AND c.claimed_by IS NULL
            AND c.due_at <= (SELECT least({now}, {at $2::bigint}))
            AND (p.id IS NULL OR (c.due_at, c.id) < (p.due_at, p.id)) AND c.id <> ALL ((SELECT $3::uuid[])::uuid[])
            AND {open l.shape} AND NOT EXISTS (SELECT FROM futurecall.paused_name AS n WHERE n.name = l.name)
        ORDER BY c.due_at, c.id LIMIT $8::bigint
    ) AS r
    ORDER BY r.turn, l.place LIMIT $8::bigint";

/// $2 ids, $3 until. Which of them can be claimed: one may have been moved to a later moment since it was found.
const LOCK: &str = "
    SELECT c.id FROM futurecall.call AS c WHERE c.id = ANY ($2::uuid[]) AND c.claimed_by IS NULL
        AND c.due_at <= (SELECT least({now}, {at $3::bigint}))
    ORDER BY c.id FOR UPDATE SKIP LOCKED";

/// $2 to $5 as `{claim}` wants them, $6 ids.
const CLAIM_THESE: &str = "
    UPDATE futurecall.call AS c SET {claim}
    FROM (SELECT u.id, {vanish} FROM futurecall.call AS u WHERE u.id = ANY ($6::uuid[])) AS l
    WHERE c.id = l.id AND c.claimed_by IS NULL AND {few l.id}
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

impl PostgresStore {
    /// Claims due calls of schedules of these lanes together with storing their successors, in a transaction of its own.
    pub(super) async fn claim_runs(
        &self,
        now: Now,
        request: &ClaimRequest,
        lanes: &[DueLane],
        haul: &mut Haul,
    ) -> Result<()> {
        let picks = self.due_runs(now, request, lanes, haul).await?;
        if picks.is_empty() {
            return Ok(());
        }
        let schedules: BTreeSet<Uuid> = picks.iter().map(|pick| pick.schedule).collect();
        let schedules: Vec<Uuid> = schedules.into_iter().collect();
        let mut transaction = self.begin(DOING).await?;
        let now = self.moment_of(DOING, &mut transaction, now).await?;
        let mut timetable =
            self.lock_timetable(DOING, &mut transaction, now, Wanted::Free(&schedules)).await?;
        let decided = self.decide(&mut transaction, &mut timetable, request, &picks).await?;

        let mut calls = Vec::with_capacity(decided.run.len());
        if !decided.run.is_empty() {
            let query = self.query(CLAIM_THESE);
            let query = bind_claim(query, Now::At(now), request).bind(decided.run);
            for row in step(DOING, &mut transaction, query).await? {
                calls.push(records::claimed_call(&row)?);
            }
        }
        // One that is due already has its place before what this claim has taken by now: it comes with the next one.
        let changes = timetable.into_changes();
        let earliest = changes.earliest();
        haul.passed.extend(changes.stored.iter().map(|run| run.id.as_uuid()));
        let skipped = self.skip(&mut transaction, now, decided.skip, &request.retention).await?;
        self.write_changes(DOING, &mut transaction, now, changes, true).await?;
        commit(DOING, transaction).await?;

        haul.calls.extend(calls);
        haul.skipped += skipped;
        haul.is_crowded |= !decided.taken.is_empty();
        self.lanes.waits(&decided.wait);
        haul.passed.extend(decided.wait.into_iter().chain(decided.taken));
        if let Some(earliest) = earliest {
            let left = earliest.saturating_since(now);
            haul.next = Some(haul.next.map_or(left, |next| next.min(left)));
            self.lanes.lower(earliest.as_micros());
        }
        Ok(())
    }

    /// The due calls of schedules that come next in these lanes, in the order of turns.
    async fn due_runs(
        &self,
        now: Now,
        request: &ClaimRequest,
        lanes: &[DueLane],
        haul: &Haul,
    ) -> Result<Vec<Pick>> {
        let room = request.limit.saturating_sub(haul.calls.len());
        let query = self
            .query(DUE)
            .bind(at(now))
            .bind(request.until.map(Moment::as_micros))
            .bind(haul.passed.clone())
            .bind(lanes.iter().map(|lane| lane.name.as_ref().to_owned()).collect::<Vec<String>>())
            .bind(lanes.iter().map(|lane| lane.priority).collect::<Vec<_>>())
            .bind(lanes.iter().map(|lane| lane.from.0).collect::<Vec<_>>())
            .bind(lanes.iter().map(|lane| lane.from.1).collect::<Vec<_>>())
            .bind(as_limit(room))
            .bind(lanes.iter().map(|lane| request.shape(&lane.name)).collect::<Vec<_>>());
        let rows = self.read(DOING, query).await?;
        rows.iter().map(|row| Ok(Pick { id: row.get("id")?, schedule: row.get("schedule_id")? })).collect()
    }

    /// What happens to each of these calls, in their order.
    async fn decide(
        &self,
        connection: &mut PgConnection,
        timetable: &mut Timetable,
        request: &ClaimRequest,
        picks: &[Pick],
    ) -> Result<Decided> {
        let ids: Vec<Uuid> = picks.iter().map(|pick| pick.id).collect();
        let query = self.query(LOCK).bind(Timestamp::from(timetable.now())).bind(ids);
        let rows = step(DOING, connection, query.bind(request.until.map(Moment::as_micros))).await?;
        let free = rows.iter().map(|row| row.get("id")).collect::<Result<BTreeSet<Uuid>>>()?;
        let mut decided = Decided::default();
        for pick in picks {
            if !free.contains(&pick.id) {
                decided.taken.push(pick.id);
                continue;
            }
            match timetable.turn(ScheduleId::from_uuid(pick.schedule), CallId::from_uuid(pick.id)) {
                Turn::Run => decided.run.push(pick.id),
                Turn::Wait | Turn::Unreadable => decided.wait.push(pick.id),
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
    ) -> Result<u64> {
        if skipped.is_empty() {
            return Ok(0);
        }
        let (ids, reasons): (Vec<Uuid>, Vec<String>) =
            skipped.into_iter().map(|(id, reason)| (id, reason.to_owned())).unzip();
        let is_kept = !retention.of(CallState::Skipped).is_zero();
        let query = self.query(SKIP).bind(Timestamp::from(now)).bind(ids).bind(reasons).bind(is_kept);
        step_one(DOING, connection, query).await?.get("skipped")
    }
}

/// A due call of a schedule.
struct Pick {
    id: Uuid,
    schedule: Uuid,
}

/// What was decided about calls of schedules.
#[derive(Default)]
struct Decided {
    run: Vec<Uuid>,
    wait: Vec<Uuid>,
    skip: Vec<(Uuid, &'static str)>,
    /// What another transaction is at.
    taken: Vec<Uuid>,
}
