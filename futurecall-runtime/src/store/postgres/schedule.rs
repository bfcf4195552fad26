use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;
use uuid::Uuid;

use super::PostgresStore;
use super::connect::{commit, step, step_one};
use super::sql::{Timestamp, at, micros};
use super::timetable::Wanted;
use crate::error::StoreError;
use crate::id::ScheduleId;
use crate::moment::Moment;
use crate::recurring::RuleError;
use crate::store::codec::{origin_code, rule_text};
use crate::store::columns::Columns as _;
use crate::store::{Declared, LivePod, NewSchedule, Now, Result, ScheduleStore};

const DOING: &str = "declare schedules";

const ENDING: &str = "end schedules that are no longer declared";

/// $1 now, $2 to $11: the columns of schedules that may be new.
const STORE: &str = "
    INSERT INTO futurecall.schedule
        (id, key, name, identifier, args, format, priority, declared, effective, anchor, origin, known_at,
            created_at, updated_at)
    SELECT u.id, u.key, u.name, u.identifier, u.args::json, u.format, u.priority, u.rule::json, u.rule::json,
        {at u.anchor}, u.origin, {now}, {now}, {now}
    FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::smallint[],
            $9::text[], $10::bigint[], $11::smallint[])
        AS u(id, key, name, identifier, args, format, priority, rule, anchor, origin)
    ON CONFLICT (key) DO NOTHING
    RETURNING id";

const SET_ORIGIN: &str = "
    UPDATE futurecall.schedule AS s SET origin = u.origin
    FROM unnest($1::text[], $2::smallint[]) AS u(key, origin)
    WHERE s.key = u.key AND s.origin <> u.origin";

/// $1 now, $2 keys declared here, $3 for how long a pod counts as live, $4 names known here, $5 the grace.
const UNDECLARED: &str = "
    SELECT s.id FROM futurecall.schedule AS s
    WHERE s.origin = 1 AND s.state <> 2 AND s.key <> ALL ($2::text[])
        AND NOT EXISTS (SELECT FROM futurecall.pod AS p
            WHERE p.beat_at >= {ago $3::bigint} AND s.key = ANY (p.schedules))
        AND (s.name = ANY ($4::text[])
            OR EXISTS (SELECT FROM futurecall.pod AS p
                WHERE p.beat_at >= {ago $3::bigint} AND s.name = ANY (p.names))
            OR s.state = 0 AND {ago $5::bigint} > greatest(s.known_at,
                (SELECT max(p.beat_at) FROM futurecall.pod AS p WHERE s.name = ANY (p.names))))
    ORDER BY s.id FOR UPDATE OF s";

/// $1 the new key, $2 the new name, $3 the former keys. The call has a new name: its schedule goes on under it.
const RENAME: &str = "
    UPDATE futurecall.schedule AS s SET key = $1::text, name = $2::text
    WHERE s.id = (SELECT f.id FROM futurecall.schedule AS f WHERE f.key = ANY ($3::text[])
            ORDER BY f.created_at DESC, f.id DESC LIMIT 1)
        AND NOT EXISTS (SELECT FROM futurecall.schedule AS f WHERE f.key = $1::text)
    RETURNING s.id";

/// $1 the schedule, which is locked, $2 the new name. A statement of its own: it sees the runs that others had stored
/// by the time of the lock.
const RENAME_CALLS: &str = "
    UPDATE futurecall.call AS c SET name = $2::text WHERE c.schedule_id = $1::uuid AND c.claimed_by IS NULL";

/// How often a declaration begins again because another one has renamed a schedule meanwhile.
const TRIES: u8 = 5;

#[async_trait]
impl ScheduleStore for PostgresStore {
    async fn declare(&self, now: Now, schedules: &[NewSchedule]) -> Result<Vec<Declared>> {
        if schedules.is_empty() {
            return Ok(Vec::new());
        }
        for _ in 0..TRIES {
            if let Some(declared) = self.try_to_declare(now, schedules).await? {
                return Ok(declared);
            }
        }
        Err(StoreError::busy(DOING, "other pods rename the same schedules at the moment: declare them again"))
    }

    async fn end_undeclared(&self, now: Now, live: &LivePod, grace: Duration) -> Result<u64> {
        let undeclared = || {
            let query = self.query(UNDECLARED).bind(at(now)).bind(live.schedules.clone());
            query.bind(micros(live.pod_live)).bind(live.names.clone()).bind(micros(grace))
        };
        // Asked alone first: mostly there is none, and a start has to wait for fewer answers.
        if self.read(ENDING, undeclared()).await?.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.begin(ENDING).await?;
        let rows = step(ENDING, &mut transaction, undeclared()).await?;
        let ids = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<Uuid>>>()?;
        if ids.is_empty() {
            return Ok(0);
        }
        let now = self.moment_of(ENDING, &mut transaction, now).await?;
        let mut timetable = self.lock_timetable(ENDING, &mut transaction, now, Wanted::Ids(&ids)).await?;
        let ended = ids.iter().filter(|id| timetable.end_undeclared(ScheduleId::from_uuid(**id))).count();
        self.write_changes(ENDING, &mut transaction, now, timetable.into_changes(), true).await?;
        commit(ENDING, transaction).await?;
        Ok(ended as u64)
    }
}

impl PostgresStore {
    /// `None`: a schedule that was there when new ones were stored has been renamed since.
    async fn try_to_declare(&self, now: Now, schedules: &[NewSchedule]) -> Result<Option<Vec<Declared>>> {
        let mut transaction = self.begin(DOING).await?;
        let now = self.moment_of(DOING, &mut transaction, now).await?;
        let firsts: Vec<_> = schedules.iter().map(|new| new.rule.first(now)).collect();
        for new in schedules.iter().filter(|new| !new.former_keys.is_empty()) {
            let query = self.query(RENAME).bind(&new.key).bind(&new.name).bind(&new.former_keys);
            if let Some(renamed) = step(DOING, &mut transaction, query).await?.pop() {
                let id: Uuid = renamed.get("id")?;
                let query = self.query(RENAME_CALLS).bind(id).bind(&new.name);
                step(DOING, &mut transaction, query).await?;
            }
        }
        let new = self.store_new(&mut transaction, now, schedules, &firsts).await?;

        let keys: BTreeSet<String> = schedules.iter().map(|new| new.key.clone()).collect();
        let keys: Vec<String> = keys.into_iter().collect();
        let mut timetable = self.lock_timetable(DOING, &mut transaction, now, Wanted::Keys(&keys)).await?;
        if schedules.iter().zip(&firsts).any(|(new, first)| first.is_ok() && !timetable.has_key(&new.key)) {
            return Ok(None);
        }
        timetable.stored_new(new);
        let declared: Result<Vec<_>, _> = schedules.iter().map(|new| timetable.declare(new)).collect();
        let declared = declared.map_err(|error| StoreError::refused(DOING, error))?;
        let origins: Vec<i16> = schedules.iter().map(|new| origin_code(new.origin)).collect();
        let named: Vec<String> = schedules.iter().map(|new| new.key.clone()).collect();
        step(DOING, &mut transaction, self.query(SET_ORIGIN).bind(named).bind(origins)).await?;
        let changes = timetable.into_changes();
        let earliest = changes.earliest();
        self.write_changes(DOING, &mut transaction, now, changes, true).await?;
        commit(DOING, transaction).await?;
        if let Some(earliest) = earliest {
            self.lanes.forget();
            self.notify(Some(earliest.as_micros()));
        }
        Ok(Some(declared))
    }

    /// The moment that a transaction goes by.
    pub(super) async fn moment_of(
        &self,
        doing: &'static str,
        connection: &mut PgConnection,
        now: Now,
    ) -> Result<Moment> {
        if let Now::At(moment) = now {
            return Ok(moment);
        }
        let query = self.query("SELECT {now_us} AS now").bind(at(now));
        step_one(doing, connection, query).await?.get("now")
    }

    /// Stores the schedules whose keys are new, in the order of their keys, so that two pods that start at once wait
    /// for each other in one direction only. Returns the ids of those that were stored.
    async fn store_new(
        &self,
        connection: &mut PgConnection,
        now: Moment,
        schedules: &[NewSchedule],
        firsts: &[Result<Moment, RuleError>],
    ) -> Result<Vec<ScheduleId>> {
        // A rule without a first moment may still be that of a schedule that is known; `declare` decides.
        let mut new: BTreeMap<&str, (&NewSchedule, i64)> = BTreeMap::new();
        for (schedule, first) in schedules.iter().zip(firsts) {
            if let Ok(first) = first {
                new.entry(&schedule.key).or_insert((schedule, first.as_micros()));
            }
        }
        let new: Vec<_> = new.into_values().collect();
        let rules = new.iter().map(|(new, _)| rule_text(&new.rule)).collect::<Result<Vec<_>, _>>();
        let rules = rules.map_err(|error| StoreError::permanent(DOING, error))?;
        let query = self
            .query(STORE)
            .bind(Timestamp::from(now))
            .bind(new.iter().map(|(new, _)| new.id.as_uuid()).collect::<Vec<_>>())
            .bind(new.iter().map(|(new, _)| new.key.clone()).collect::<Vec<_>>())
            .bind(new.iter().map(|(new, _)| new.name.clone()).collect::<Vec<_>>())
            .bind(new.iter().map(|(new, _)| new.identifier.clone()).collect::<Vec<_>>())
            .bind(new.iter().map(|(new, _)| new.args.clone()).collect::<Vec<_>>())
            .bind(new.iter().map(|(new, _)| new.format).collect::<Vec<_>>())
            .bind(new.iter().map(|(new, _)| new.priority).collect::<Vec<_>>())
            .bind(rules)
            .bind(new.iter().map(|(_, first)| *first).collect::<Vec<_>>())
            .bind(new.iter().map(|(new, _)| origin_code(new.origin)).collect::<Vec<_>>());
        let rows = step(DOING, connection, query).await?;
        rows.iter().map(|row| row.get("id")).collect()
    }
}
