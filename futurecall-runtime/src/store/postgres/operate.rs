//! What an operator changes by hand.

use std::collections::HashSet;

use async_trait::async_trait;
use uuid::Uuid;

use super::PostgresStore;
use super::connect::{commit, step};
use super::encoding::{Spelled as _, ascii, is_refused};
use super::sql::at;
use super::timetable::Wanted;
use crate::error::StoreError;
use crate::id::{CallId, ScheduleId};
use crate::store::columns::Columns as _;
use crate::store::{
    CallState, FinishStore as _, Inserted, Now, OperateStore, PausedName, REPEATED, Result, Retention,
    ScheduleChange, ScheduleChanged, records,
};

const DELETING: &str = "delete calls";

const CHANGING: &str = "change a schedule";

const TRIGGERING: &str = "trigger a schedule";

const PAUSING: &str = "pause calls";

const RESUMING: &str = "resume calls";

const PAUSED_LISTING: &str = "list paused names";

/// $1 calls.
const DELETE: &str = "
    WITH locked AS MATERIALIZED (
        SELECT f.id FROM futurecall.finished AS f WHERE f.id = ANY ($1::uuid[]) ORDER BY f.id FOR UPDATE
    ), gone AS (
        DELETE FROM futurecall.finished AS f WHERE f.id = ANY (ARRAY(SELECT l.id FROM locked AS l)) RETURNING 1
    ), unread AS (
        DELETE FROM futurecall.log AS g WHERE g.call_id = ANY (ARRAY(SELECT l.id FROM locked AS l))
    )
    SELECT count(*) AS deleted FROM gone";

/// $2 the schedule, $3 the call. As a call that has its successor, so that the rule takes no notice of it.
const TRIGGER: &str = "
    WITH schedule AS MATERIALIZED (
        SELECT s.* FROM futurecall.schedule AS s WHERE s.id = $2::uuid FOR UPDATE
    ), stored AS (
        INSERT INTO futurecall.call
            (id, name, priority, due_at, first_due_at, identifier, args, format, schedule_id, created_at)
        SELECT $3::uuid, s.name, s.priority, {now}, {now}, s.identifier, s.args, s.format, s.id, {now}
        FROM schedule AS s
        WHERE NOT EXISTS (SELECT FROM futurecall.finished AS f WHERE f.id = $3::uuid)
        ON CONFLICT (id) DO NOTHING RETURNING id
    )
    SELECT s.name, s.priority, {now_us} AS due, EXISTS (SELECT FROM stored) AS stored FROM schedule AS s";

/// $2 the name, $3 who, $4 why.
const PAUSE_NAME: &str = "
    INSERT INTO futurecall.paused_name (name, since, actor, reason) VALUES ($2::text, {now}, $3::text, $4::text)
    ON CONFLICT (name) DO NOTHING RETURNING name";

/// $1 the name.
const RESUME_NAME: &str = "DELETE FROM futurecall.paused_name AS p WHERE p.name = $1::text RETURNING p.name";

const PAUSED_NAMES: &str = "
    SELECT p.name, {us p.since} AS since, p.actor, p.reason FROM futurecall.paused_name AS p";

#[async_trait]
impl OperateStore for PostgresStore {
    async fn delete(&self, now: Now, ids: &[CallId]) -> Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids: Vec<Uuid> = ids.iter().map(CallId::as_uuid).collect();
        self.note_history_gap(now, REPEATED).await?;
        self.write_one(DELETING, self.query(DELETE).bind(ids)).await?.get("deleted")
    }

    async fn change_schedule(
        &self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged> {
        let done = self.change_schedule_of(now, id, change, retention).await;
        if is_refused(&done) {
            return self.change_schedule_of(now, id, &change.in_ascii(), retention).await;
        }
        done
    }

    async fn trigger(
        &self,
        now: Now,
        schedule: ScheduleId,
        id: CallId,
        again: bool,
    ) -> Result<Option<Inserted>> {
        let mut transaction = self.begin(TRIGGERING).await?;
        let query = self.query(TRIGGER).bind(at(now)).bind(schedule.as_uuid()).bind(id.as_uuid());
        let Some(row) = step(TRIGGERING, &mut transaction, query).await?.pop() else { return Ok(None) };
        let (name, priority, due): (String, i16, i64) =
            (row.get("name")?, row.get("priority")?, row.get("due")?);
        let mut unknown = HashSet::new();
        if again && row.get("stored")? {
            unknown = self.take_back(TRIGGERING, &mut transaction, now, vec![id.as_uuid()]).await?;
        }
        commit(TRIGGERING, transaction).await?;
        if !unknown.is_empty() {
            return Ok(Some(Inserted::Unknown));
        }
        self.lanes.due_again(&name, priority, due);
        self.notify(Some(due));
        Ok(Some(Inserted::Stored))
    }

    async fn pause_name(&self, now: Now, name: &str, actor: &str, reason: &str) -> Result<bool> {
        let done = self.pause_call_name(now, name, actor, reason).await;
        if is_refused(&done) {
            return self.pause_call_name(now, name, &ascii(actor), &ascii(reason)).await;
        }
        done
    }

    async fn resume_name(&self, name: &str) -> Result<bool> {
        let query = self.query(RESUME_NAME).bind(name.to_owned());
        let resumed = !self.write(RESUMING, query).await?.is_empty();
        if resumed {
            // Claims have passed by its calls.
            self.lanes.forget();
            self.notify(None);
        }
        Ok(resumed)
    }

    async fn paused_names(&self) -> Result<Vec<PausedName>> {
        let rows = self.read(PAUSED_LISTING, self.query(PAUSED_NAMES)).await?;
        let mut paused = rows.iter().map(records::paused_name).collect::<Result<Vec<_>>>()?;
        // Byte by byte: the server may sort by a language.
        paused.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(paused)
    }
}

impl PostgresStore {
    async fn change_schedule_of(
        &self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged> {
        let id = id.as_uuid();
        let mut transaction = self.begin(CHANGING).await?;
        let now = self.moment_of(CHANGING, &mut transaction, now).await?;
        let mut timetable = self.lock_timetable(CHANGING, &mut transaction, now, Wanted::Ids(&[id])).await?;
        let became = timetable.change(ScheduleId::from_uuid(id), change);
        let became = became.map_err(|error| StoreError::refused(CHANGING, error))?;
        if became != ScheduleChanged::Changed {
            return Ok(became);
        }
        let changes = timetable.into_changes();
        let earliest = changes.earliest();
        let are_kept = !retention.of(CallState::Cancelled).is_zero();
        self.write_changes(CHANGING, &mut transaction, now, changes, are_kept).await?;
        commit(CHANGING, transaction).await?;
        if let Some(earliest) = earliest {
            self.lanes.forget();
            self.notify(Some(earliest.as_micros()));
        }
        Ok(ScheduleChanged::Changed)
    }

    async fn pause_call_name(&self, now: Now, name: &str, actor: &str, reason: &str) -> Result<bool> {
        let query = self.query(PAUSE_NAME).bind(at(now)).bind(name.to_owned());
        let query = query.bind(actor.to_owned()).bind(reason.to_owned());
        let paused = !self.write(PAUSING, query).await?.is_empty();
        if paused {
            self.notify(None);
        }
        Ok(paused)
    }
}
