//! What an operator changes by hand.

use async_trait::async_trait;

use super::timetable::{Wanted, load, write};
use super::tx::{batch, hex, kept, no_nul, run};
use super::{SqliteStore, history_gap};
use crate::id::{CallId, ScheduleId};
use crate::store::{
    Inserted, Now, OperateStore, PausedName, REPEATED, Result, Retention, ScheduleChange, ScheduleChanged,
    records,
};

const DELETING: &str = "delete calls";

/// ?1 the calls.
pub(super) const DELETE: &str = "
DELETE FROM futurecall_finished WHERE id IN (SELECT unhex(value) FROM json_each(?1))";

/// What was logged of the same ones, while they are there.
pub(super) const DELETE_LOGS: &str = "
DELETE FROM futurecall_log WHERE call_id IN (
    SELECT f.id FROM futurecall_finished f WHERE f.id IN (SELECT unhex(value) FROM json_each(?1)))";

const CHANGING: &str = "change a schedule";

const TRIGGERING: &str = "trigger a schedule";

/// ?1 the schedule.
const SCHEDULE: &str = "SELECT id FROM futurecall_schedule WHERE id = ?1";

/// ?1 the schedule, ?2 the call, ?3 now. As a call that has its successor, so that the rule takes no notice of it.
pub(super) const TRIGGER: &str = "
INSERT INTO futurecall_call (id, name, priority, due_at, first_due_at, identifier, args, format, schedule_id, created_at)
SELECT ?2, s.name, s.priority, ?3, ?3, s.identifier, s.args, s.format, s.id, ?3 FROM futurecall_schedule s
WHERE s.id = ?1 AND NOT EXISTS (SELECT 1 FROM futurecall_finished WHERE id = ?2)
ON CONFLICT (id) DO NOTHING";

const PAUSING: &str = "pause calls";

/// ?1 the name, ?2 now, ?3 who, ?4 why.
const PAUSE: &str = "
INSERT INTO futurecall_paused_name (name, since, actor, reason) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO NOTHING";

const RESUMING: &str = "resume calls";

/// ?1 the name.
const RESUME: &str = "DELETE FROM futurecall_paused_name WHERE name = ?1";

const PAUSED: &str = "SELECT name, since, actor, reason FROM futurecall_paused_name ORDER BY name";

#[async_trait]
impl OperateStore for SqliteStore {
    async fn delete(&self, now: Now, ids: &[CallId]) -> Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids: Vec<_> = ids.iter().map(|id| hex(id.as_uuid())).collect();
        let ids = batch(DELETING, &ids)?;
        run!(self.write, DELETING, now, |tx| {
            history_gap::note(&mut tx, REPEATED).await?;
            tx.run(tx.sql(DELETE_LOGS).bind(ids.clone())).await?;
            tx.run(tx.sql(DELETE).bind(ids)).await
        })
        .await
    }

    async fn change_schedule(
        &self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged> {
        if let ScheduleChange::Pause { reason } | ScheduleChange::End { reason } = change {
            no_nul(CHANGING, "a reason", reason)?;
        }
        let (change, kept) = (change.clone(), kept(retention));
        run!(self.write, CHANGING, now, |tx| {
            let mut timetable = load(&mut tx, CHANGING, Wanted::Ids(&[id.as_uuid()]), &[]).await?;
            let changed = timetable.change(id, &change).map_err(|error| tx.refused(error.to_string()))?;
            if changed == ScheduleChanged::Changed {
                write(&mut tx, CHANGING, timetable.into_changes(), kept).await?;
            }
            Ok(changed)
        })
        .await
    }

    async fn trigger(
        &self,
        now: Now,
        schedule: ScheduleId,
        id: CallId,
        again: bool,
    ) -> Result<Option<Inserted>> {
        let (schedule, id) = (schedule.as_uuid(), id.as_uuid());
        run!(self.write, TRIGGERING, now, |tx| {
            if tx.row(tx.sql(SCHEDULE).bind(schedule)).await?.is_none() {
                return Ok(None);
            }
            if again && history_gap::is_open(&mut tx).await? {
                let known = history_gap::known(&mut tx, batch(TRIGGERING, &[[hex(id)]])?).await?;
                return Ok(Some(if known.is_empty() { Inserted::Unknown } else { Inserted::Stored }));
            }
            let now = tx.now.as_micros();
            tx.run(tx.sql(TRIGGER).bind(schedule).bind(id).bind(now)).await?;
            Ok(Some(Inserted::Stored))
        })
        .await
    }

    async fn pause_name(&self, now: Now, name: &str, actor: &str, reason: &str) -> Result<bool> {
        for (what, text) in [("a name", name), ("a name", actor), ("a reason", reason)] {
            no_nul(PAUSING, what, text)?;
        }
        let (name, actor, reason) = (name.to_owned(), actor.to_owned(), reason.to_owned());
        run!(self.write, PAUSING, now, |tx| {
            let now = tx.now.as_micros();
            Ok(tx.run(tx.sql(PAUSE).bind(name).bind(now).bind(actor).bind(reason)).await? > 0)
        })
        .await
    }

    async fn resume_name(&self, name: &str) -> Result<bool> {
        no_nul(RESUMING, "a name", name)?;
        let name = name.to_owned();
        run!(self.write, RESUMING, Now::Database, |tx| Ok(tx.run(tx.sql(RESUME).bind(name)).await? > 0)).await
    }

    async fn paused_names(&self) -> Result<Vec<PausedName>> {
        run!(self.read, "list paused names", Now::Database, |tx| {
            let rows = tx.rows(tx.sql(PAUSED)).await?;
            rows.iter().map(records::paused_name).collect()
        })
        .await
    }
}
