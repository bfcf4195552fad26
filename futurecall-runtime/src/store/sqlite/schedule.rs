//! Declaring schedules, and ending those that nobody declares any more.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::SqliteStore;
use super::insert::check_json;
use super::timetable::{Wanted, load, write};
use super::tx::{Tx, batch, before, hex, no_nul, run};
use crate::id::ScheduleId;
use crate::store::columns::Columns as _;
use crate::store::{Declared, LivePod, NewSchedule, Now, Result, ScheduleStore, codec};

const DOING: &str = "declare schedules";

const ENDING: &str = "end schedules that are no longer declared";

/// ?1 the schedules: ids, keys, names, identifiers, arguments, formats, priorities, rules, anchors and origins; ?2 now. Those
/// whose keys are known stay as they are.
pub(super) const STORE: &str = "
INSERT INTO futurecall_schedule (id, key, name, identifier, args, format, priority, declared, effective, anchor,
    origin, state, known_at, created_at, updated_at)
SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 7, value ->> 8, value ->> 9, 0, ?2, ?2, ?2
FROM json_each(?1) WHERE true
ON CONFLICT (key) DO NOTHING
RETURNING id";

/// ?1 the keys with their origins.
pub(super) const SET_ORIGIN: &str = "
UPDATE futurecall_schedule AS s SET origin = u.origin
FROM (SELECT value ->> 0 AS key, value ->> 1 AS origin FROM json_each(?1)) AS u
WHERE s.key = u.key AND s.origin <> u.origin";

/// ?1 the keys that this pod declares, ?2 since when a pod counts as live, ?3 the names that this pod knows, ?4 since when a
/// call must have been known.
pub(super) const UNDECLARED: &str = "
SELECT s.id FROM futurecall_schedule s
WHERE s.origin = 1 AND s.state <> 2 AND s.key NOT IN (SELECT value FROM json_each(?1))
    AND s.key NOT IN (SELECT j.value FROM futurecall_pod p, json_each(p.schedules) j WHERE p.beat_at >= ?2)
    AND (s.name IN (SELECT value FROM json_each(?3))
        OR s.name IN (SELECT j.value FROM futurecall_pod p, json_each(p.names) j WHERE p.beat_at >= ?2)
        OR s.state = 0 AND ?4 > max(s.known_at, coalesce(
            (SELECT max(p.beat_at) FROM futurecall_pod p, json_each(p.names) j WHERE j.value = s.name), 0)))";

/// ?1 the new key, ?2 the new name, ?3 the former keys. The call has a new name: its schedule goes on under it.
pub(super) const RENAME: &str = "
UPDATE futurecall_schedule SET key = ?1, name = ?2
WHERE id = (SELECT id FROM futurecall_schedule WHERE key IN (SELECT value FROM json_each(?3))
    ORDER BY created_at DESC, id DESC LIMIT 1)
    AND NOT EXISTS (SELECT 1 FROM futurecall_schedule WHERE key = ?1)
RETURNING id";

/// ?1 the new name, ?2 the schedule.
pub(super) const RENAME_CALLS: &str = "
UPDATE futurecall_call SET name = ?1 WHERE schedule_id = ?2 AND claimed_by IS NULL";

#[async_trait]
impl ScheduleStore for SqliteStore {
    async fn declare(&self, now: Now, schedules: &[NewSchedule]) -> Result<Vec<Declared>> {
        for schedule in schedules {
            no_nul(DOING, "a name", &schedule.name)?;
            no_nul(DOING, "a schedule's key", &schedule.key)?;
            no_nul(DOING, "an identifier", schedule.identifier.as_deref().unwrap_or_default())?;
            check_json(DOING, &schedule.args)?;
        }
        let schedules = schedules.to_vec();
        run!(self.write, DOING, now, |tx| declare_all(&mut tx, &schedules).await).await
    }

    async fn end_undeclared(&self, now: Now, live: &LivePod, grace: Duration) -> Result<u64> {
        let (keys, names) = (batch(ENDING, &live.schedules)?, batch(ENDING, &live.names)?);
        let pod_live = live.pod_live;
        run!(self.write, ENDING, now, |tx| {
            let (since, known) = (before(tx.now, pod_live), before(tx.now, grace));
            let sql = tx.sql(UNDECLARED).bind(keys).bind(since).bind(names).bind(known);
            let rows = tx.rows(sql).await?;
            let ids = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<Uuid>>>()?;
            if ids.is_empty() {
                return Ok(0);
            }
            let mut timetable = load(&mut tx, ENDING, Wanted::Ids(&ids), &[]).await?;
            let ended = ids.iter().filter(|id| timetable.end_undeclared(ScheduleId::from_uuid(**id))).count();
            // It knows no retention: the next pruning does.
            write(&mut tx, ENDING, timetable.into_changes(), i64::MAX).await?;
            Ok(ended as u64)
        })
        .await
    }
}

async fn declare_all(tx: &mut Tx<'_>, schedules: &[NewSchedule]) -> Result<Vec<Declared>> {
    for new in schedules.iter().filter(|new| !new.former_keys.is_empty()) {
        rename(tx, new).await?;
    }
    let new = store_new(tx, schedules).await?;
    let keys: Vec<String> = schedules.iter().map(|new| new.key.clone()).collect();
    let mut timetable = load(tx, DOING, Wanted::Keys(&keys), &[]).await?;
    timetable.stored_new(new);
    let declared: Result<Vec<_>, _> = schedules.iter().map(|new| timetable.declare(new)).collect();
    let declared = declared.map_err(|error| tx.refused(error.to_string()))?;
    let origins: Vec<_> =
        schedules.iter().map(|new| (new.key.as_str(), codec::origin_code(new.origin))).collect();
    tx.run(tx.sql(SET_ORIGIN).bind(batch(DOING, &origins)?)).await?;
    write(tx, DOING, timetable.into_changes(), i64::MAX).await?;
    Ok(declared)
}

/// The call has a new name: its schedule goes on under it.
async fn rename(tx: &mut Tx<'_>, new: &NewSchedule) -> Result<()> {
    let former = batch(DOING, &new.former_keys)?;
    let renamed = tx.row(tx.sql(RENAME).bind(new.key.clone()).bind(new.name.clone()).bind(former)).await?;
    if let Some(row) = renamed {
        tx.run(tx.sql(RENAME_CALLS).bind(new.name.clone()).bind(row.get::<Uuid>("id")?)).await?;
    }
    Ok(())
}

/// Stores the schedules whose keys are new. Returns the ids of those that were stored.
async fn store_new(tx: &mut Tx<'_>, schedules: &[NewSchedule]) -> Result<Vec<ScheduleId>> {
    let mut rows = BTreeMap::new();
    for new in schedules {
        // A rule without a first moment may still be that of a schedule that is known: the policy decides.
        let Ok(first) = new.rule.first(tx.now) else { continue };
        let rule = codec::rule_text(&new.rule).map_err(|error| tx.refused(error.to_string()))?;
        rows.entry(new.key.as_str()).or_insert((
            hex(new.id.as_uuid()),
            new.key.as_str(),
            new.name.as_str(),
            new.identifier.as_deref(),
            new.args.as_str(),
            new.format,
            new.priority,
            rule,
            first.as_micros(),
            codec::origin_code(new.origin),
        ));
    }
    let rows: Vec<_> = rows.into_values().collect();
    let stored = tx.rows(tx.sql(STORE).bind(batch(DOING, &rows)?).bind(tx.now.as_micros())).await?;
    stored.iter().map(|row| row.get("id")).collect()
}
