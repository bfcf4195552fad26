//! What an operator changes by hand.

use super::SqliteStore;
use super::finish::{End, end};
use super::gap;
use super::schedule::{DROP_PENDING, add, first, restore, rule_in};
use super::tx::{Tx, batch, hex, kept, moment_in, no_nul, number, text, uuid};
use crate::error::StoreError;
use crate::id::{CallId, ScheduleId};
use crate::recurring::Rule;
use crate::store::{
    CallState, Inserted, Now, PausedName, REPEATED, Retention, ScheduleChange, ScheduleChanged,
    ScheduleState, codec, stopped,
};

const DELETING: &str = "delete calls";

/// ?1 the calls.
pub(super) const DELETE: &str = "
DELETE FROM futurecall_finished WHERE id IN (SELECT unhex(value) FROM json_each(?1))";

/// What was logged of the same ones, while they are there.
pub(super) const DELETE_LOGS: &str = "
DELETE FROM futurecall_log WHERE call_id IN (
    SELECT f.id FROM futurecall_finished f WHERE f.id IN (SELECT unhex(value) FROM json_each(?1)))";

pub(super) async fn delete(store: &SqliteStore, now: Now, ids: &[CallId]) -> Result<u64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let ids: Vec<_> = ids.iter().map(|id| hex(id.as_uuid())).collect();
    let ids = batch(DELETING, &ids)?;
    store
        .write(DELETING, now, move |mut tx| {
            Box::pin(async move {
                gap::note(&mut tx, REPEATED).await?;
                tx.run(tx.sql(DELETE_LOGS).bind(ids.clone())).await?;
                tx.run(tx.sql(DELETE).bind(ids)).await
            })
        })
        .await
}

const CHANGING: &str = "change a schedule";

/// ?1 the schedule.
pub(super) const SCHEDULE: &str = "
SELECT s.effective, s.anchor, s.state, EXISTS (SELECT 1 FROM futurecall_call c
    WHERE c.schedule_id = s.id AND c.claimed_by IS NULL AND c.first_due_at IS NULL) AS pending
FROM futurecall_schedule s WHERE s.id = ?1";

/// ?1 the schedule. Runs that are to be run again stay: they are none of its next ones.
pub(super) const NEXT_RUNS: &str = "
SELECT id FROM futurecall_call WHERE schedule_id = ?1 AND claimed_by IS NULL AND first_due_at IS NULL";

/// ?1 the schedule, ?2 its state, ?3 the reason, ?4 now.
const SET_STATE: &str =
    "UPDATE futurecall_schedule SET state = ?2, reason = ?3, updated_at = ?4 WHERE id = ?1";

/// ?1 the schedule, ?2 the rule, ?3 the anchor, ?4 now.
const PUT_IN_EFFECT: &str =
    "UPDATE futurecall_schedule SET effective = ?2, anchor = ?3, updated_at = ?4 WHERE id = ?1";

pub(super) async fn change_schedule(
    store: &SqliteStore,
    now: Now,
    id: ScheduleId,
    change: &ScheduleChange,
    retention: &Retention,
) -> Result<ScheduleChanged, StoreError> {
    if let ScheduleChange::Pause { reason } | ScheduleChange::End { reason } = change {
        no_nul(CHANGING, "a reason", reason)?;
    }
    let (change, kept) = (change.clone(), kept(retention));
    store
        .write(CHANGING, now, move |mut tx| {
            Box::pin(async move { change_one(&mut tx, id, change, kept).await })
        })
        .await
}

async fn change_one(
    tx: &mut Tx<'_>,
    id: ScheduleId,
    change: ScheduleChange,
    kept: i64,
) -> Result<ScheduleChanged, StoreError> {
    let Some(row) = tx.row(tx.sql(SCHEDULE).bind(id.as_uuid())).await? else {
        return Ok(ScheduleChanged::Unknown);
    };
    let state = number(&row, "state").and_then(|state| i16::try_from(state).ok()).map(codec::schedule_of);
    let effective = rule_in(&row, "effective");
    let is_so = match &change {
        ScheduleChange::End { .. } => state == Some(ScheduleState::Ended),
        _ if state == Some(ScheduleState::Ended) => return Ok(ScheduleChanged::Ended),
        ScheduleChange::Pause { .. } => state == Some(ScheduleState::Paused),
        ScheduleChange::Resume => state == Some(ScheduleState::Active),
        ScheduleChange::Edit(rule) => effective.as_ref() == Ok(rule),
    };
    if is_so {
        return Ok(ScheduleChanged::Unchanged);
    }
    match change {
        ScheduleChange::Pause { reason } => stop(tx, id, ScheduleState::Paused, reason, kept).await?,
        ScheduleChange::End { reason } => stop(tx, id, ScheduleState::Ended, reason, kept).await?,
        ScheduleChange::Resume => {
            set_state(tx, id, ScheduleState::Active, None).await?;
            if number(&row, "pending") != Some(1) {
                restore(tx, CHANGING, id, &effective, moment_in(&row, "anchor")).await?;
            }
        }
        ScheduleChange::Edit(rule) => edit(tx, id, &rule, state).await?,
    }
    Ok(ScheduleChanged::Changed)
}

/// No further run of it starts; its next one is recorded as cancelled.
async fn stop(
    tx: &mut Tx<'_>,
    id: ScheduleId,
    state: ScheduleState,
    reason: String,
    kept: i64,
) -> Result<(), StoreError> {
    let why = stopped(state);
    set_state(tx, id, state, Some(reason)).await?;
    let pending = tx.rows(tx.sql(NEXT_RUNS).bind(id.as_uuid())).await?;
    let ends: Vec<_> = pending
        .iter()
        .filter_map(|row| uuid(row, "id"))
        .map(|id| End::unstarted(CallId::from_uuid(id), CallState::Cancelled, why.to_owned()))
        .collect();
    end(tx, CHANGING, &ends, kept).await.map(drop)
}

async fn set_state(
    tx: &mut Tx<'_>,
    id: ScheduleId,
    state: ScheduleState,
    reason: Option<String>,
) -> Result<(), StoreError> {
    let now = tx.now.as_micros();
    let sql = tx.sql(SET_STATE).bind(id.as_uuid()).bind(codec::schedule_code(state)).bind(reason).bind(now);
    tx.run(sql).await.map(drop)
}

/// Puts a rule in effect; the declared one stays.
async fn edit(
    tx: &mut Tx<'_>,
    id: ScheduleId,
    rule: &Rule,
    state: Option<ScheduleState>,
) -> Result<(), StoreError> {
    let first = first(tx, rule)?.as_micros();
    let text = codec::rule_text(rule).map_err(|error| tx.refused(error.to_string()))?;
    let now = tx.now.as_micros();
    tx.run(tx.sql(PUT_IN_EFFECT).bind(id.as_uuid()).bind(text).bind(first).bind(now)).await?;
    if state == Some(ScheduleState::Active) {
        tx.run(tx.sql(DROP_PENDING).bind(id.as_uuid())).await?;
        add(tx, CHANGING, &[(hex(CallId::new().as_uuid()), hex(id.as_uuid()), first)]).await?;
    }
    Ok(())
}

const TRIGGERING: &str = "trigger a schedule";

/// ?1 the schedule, ?2 the call, ?3 now. As a call that has its successor, so that the rule takes no notice of it.
pub(super) const TRIGGER: &str = "
INSERT INTO futurecall_call (id, name, priority, due_at, first_due_at, identifier, args, format, schedule_id, created_at)
SELECT ?2, s.name, s.priority, ?3, ?3, s.identifier, s.args, s.format, s.id, ?3 FROM futurecall_schedule s
WHERE s.id = ?1 AND NOT EXISTS (SELECT 1 FROM futurecall_finished WHERE id = ?2)
ON CONFLICT (id) DO NOTHING";

pub(super) async fn trigger(
    store: &SqliteStore,
    now: Now,
    schedule: ScheduleId,
    id: CallId,
    again: bool,
) -> Result<Option<Inserted>, StoreError> {
    let (schedule, id) = (schedule.as_uuid(), id.as_uuid());
    store
        .write(TRIGGERING, now, move |mut tx| {
            Box::pin(async move {
                if tx.row(tx.sql(SCHEDULE).bind(schedule)).await?.is_none() {
                    return Ok(None);
                }
                if again && gap::is_open(&mut tx).await? {
                    let known = gap::known(&mut tx, batch(TRIGGERING, &[[hex(id)]])?).await?;
                    return Ok(Some(if known.is_empty() { Inserted::Unknown } else { Inserted::Stored }));
                }
                let now = tx.now.as_micros();
                tx.run(tx.sql(TRIGGER).bind(schedule).bind(id).bind(now)).await?;
                Ok(Some(Inserted::Stored))
            })
        })
        .await
}

const PAUSING: &str = "pause calls";

/// ?1 the name, ?2 now, ?3 who, ?4 why.
const PAUSE: &str = "
INSERT INTO futurecall_paused_name (name, since, actor, reason) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO NOTHING";

pub(super) async fn pause_name(
    store: &SqliteStore,
    now: Now,
    name: &str,
    actor: &str,
    reason: &str,
) -> Result<bool, StoreError> {
    for (what, text) in [("a name", name), ("a name", actor), ("a reason", reason)] {
        no_nul(PAUSING, what, text)?;
    }
    let (name, actor, reason) = (name.to_owned(), actor.to_owned(), reason.to_owned());
    store
        .write(PAUSING, now, move |mut tx| {
            Box::pin(async move {
                let now = tx.now.as_micros();
                Ok(tx.run(tx.sql(PAUSE).bind(name).bind(now).bind(actor).bind(reason)).await? > 0)
            })
        })
        .await
}

const RESUMING: &str = "resume calls";

/// ?1 the name.
const RESUME: &str = "DELETE FROM futurecall_paused_name WHERE name = ?1";

pub(super) async fn resume_name(store: &SqliteStore, name: &str) -> Result<bool, StoreError> {
    no_nul(RESUMING, "a name", name)?;
    let name = name.to_owned();
    store
        .write(RESUMING, Now::Database, move |mut tx| {
            Box::pin(async move { Ok(tx.run(tx.sql(RESUME).bind(name)).await? > 0) })
        })
        .await
}

const PAUSED: &str = "SELECT name, since, actor, reason FROM futurecall_paused_name ORDER BY name";

pub(super) async fn paused_names(store: &SqliteStore) -> Result<Vec<PausedName>, StoreError> {
    store
        .read("list paused names", Now::Database, move |mut tx| {
            Box::pin(async move {
                let rows = tx.rows(tx.sql(PAUSED)).await?;
                let paused = rows.iter().filter_map(|row| {
                    let said = |column| text(row, column).unwrap_or_default();
                    let name = text(row, "name")?;
                    Some(PausedName::new(name, moment_in(row, "since")?, said("actor"), said("reason")))
                });
                Ok(paused.collect())
            })
        })
        .await
}
