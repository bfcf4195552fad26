//! Schedules with their runs: locked and loaded for the policy to decide, and written as it has decided.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::PostgresStore;
use super::connect::step;
use super::sql::Timestamp;
use crate::error::StoreError;
use crate::id::CallId;
use crate::moment::Moment;
use crate::recurring::Rule;
use crate::store::codec::{rule_text, schedule_code};
use crate::store::columns::Columns as _;
use crate::store::policy::{Changes, Declaration, ScheduleRow, Timetable};
use crate::store::{Result, records};

/// Which schedules to lock, and whether to wait for who has them.
pub(super) enum Wanted<'a> {
    /// These, waiting for each.
    Ids(&'a [Uuid]),
    /// Those of these that nobody else has.
    Free(&'a [Uuid]),
    /// Those with these keys, waiting for each.
    Keys(&'a [String]),
}

const SCHEDULES: &str = "
    SELECT s.id, s.key, s.args::text AS args, s.format, s.priority, s.declared::text AS declared,
        s.effective::text AS effective, {us s.anchor} AS anchor, s.state, s.reason,
        {us s.missed_from} AS missed_from
    FROM futurecall.schedule AS s WHERE ";

const RUNS: &str = "
    SELECT c.id, c.schedule_id, {us c.due_at} AS due, c.claimed_by IS NULL AS waiting,
        c.first_due_at IS NOT NULL AS has_successor,
        coalesce(c.lease_until >= {now}, false) AS running,
        NOT EXISTS (SELECT FROM futurecall.schedule AS s WHERE s.id = c.schedule_id) AS is_missing
    FROM futurecall.call AS c WHERE c.schedule_id = ANY ($2::uuid[])";

const REMOVE: &str = "
    WITH locked AS MATERIALIZED (
        SELECT c.id FROM futurecall.call AS c
        WHERE c.id = ANY ($1::uuid[]) AND c.claimed_by IS NULL ORDER BY c.id FOR UPDATE
    )
    DELETE FROM futurecall.call AS c WHERE c.id = ANY (ARRAY(SELECT l.id FROM locked AS l))";

/// $2 runs, $3 why they are cancelled, $4 whether cancelled calls are kept.
const CANCEL: &str = "
    WITH locked AS MATERIALIZED (
        SELECT c.id FROM futurecall.call AS c
        WHERE c.id = ANY ($2::uuid[]) AND c.claimed_by IS NULL ORDER BY c.id FOR UPDATE
    ), gone AS (
        DELETE FROM futurecall.call AS c WHERE c.id = ANY (ARRAY(SELECT l.id FROM locked AS l)) RETURNING c.*
    )
    {history} 4, g.attempt, NULL, NULL, NULL, NULL, {now}, u.reason
    FROM gone AS g JOIN unnest($2::uuid[], $3::text[]) AS u(id, reason) ON u.id = g.id
    WHERE $4::boolean ON CONFLICT (id) DO NOTHING";

const STORE: &str = "
    INSERT INTO futurecall.call
        (id, name, priority, due_at, identifier, args, format, schedule_id, created_at)
    SELECT u.id, s.name, s.priority, {at u.due}, s.identifier, s.args, s.format, s.id, {now}
    FROM unnest($2::uuid[], $3::uuid[], $4::bigint[]) AS u(id, schedule, due)
    JOIN futurecall.schedule AS s ON s.id = u.schedule";

/// $2 ids; $3 declared rules, $4 arguments, $5 formats, $6 priorities and $7 effective rules, NULL where they stay; $8 to
/// $11 anchors, states, reasons, and from where a revived schedule goes on.
const UPDATE: &str = "
    UPDATE futurecall.schedule AS s SET declared = coalesce(u.declared::json, s.declared),
        args = coalesce(u.args::json, s.args), format = coalesce(u.format, s.format),
        priority = coalesce(u.priority, s.priority), effective = coalesce(u.effective::json, s.effective),
        anchor = {at u.anchor}, state = u.state, reason = u.reason, missed_from = {at u.missed_from},
        known_at = CASE WHEN u.declared IS NULL THEN s.known_at ELSE {now} END, updated_at = {now}
    FROM unnest($2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::smallint[], $7::text[], $8::bigint[],
            $9::smallint[], $10::text[], $11::bigint[])
        AS u(id, declared, args, format, priority, effective, anchor, state, reason, missed_from)
    WHERE s.id = u.id";

impl PostgresStore {
    /// Locks schedules in id order, and reads their runs as they stand once the locks are held.
    pub(super) async fn lock_timetable(
        &self,
        doing: &'static str,
        connection: &mut PgConnection,
        now: Moment,
        wanted: Wanted<'_>,
    ) -> Result<Timetable> {
        let (found_by, wait) = match &wanted {
            Wanted::Ids(_) => ("s.id = ANY ($1::uuid[])", ""),
            Wanted::Free(_) => ("s.id = ANY ($1::uuid[])", " SKIP LOCKED"),
            Wanted::Keys(_) => ("s.key = ANY ($1::text[])", ""),
        };
        let lock = self.composed(&format!("{SCHEDULES}{found_by} ORDER BY s.id FOR UPDATE{wait}"));
        let lock = match &wanted {
            Wanted::Ids(ids) | Wanted::Free(ids) => lock.bind(ids.to_vec()),
            Wanted::Keys(keys) => lock.bind(keys.to_vec()),
        };
        let rows = step(doing, connection, lock).await?;
        let schedules = rows.iter().map(records::schedule).collect::<Result<Vec<_>>>()?;
        let of: Vec<Uuid> = match wanted {
            Wanted::Ids(ids) | Wanted::Free(ids) => ids.to_vec(),
            Wanted::Keys(_) => schedules.iter().map(|schedule| schedule.id.as_uuid()).collect(),
        };
        let rows = step(doing, connection, self.query(RUNS).bind(Timestamp::from(now)).bind(of)).await?;
        let (mut runs, mut missing) = (Vec::new(), BTreeSet::new());
        for row in &rows {
            let (schedule, run) = records::run(row)?;
            if row.get("is_missing")? {
                missing.insert(schedule);
            }
            runs.push((schedule, run));
        }
        let mut timetable = Timetable::new(now, schedules, runs);
        timetable.missing(missing);
        Ok(timetable)
    }

    /// Writes what was decided. `are_kept`: whether the history keeps cancelled calls.
    pub(super) async fn write_changes(
        &self,
        doing: &'static str,
        connection: &mut PgConnection,
        now: Moment,
        changes: Changes,
        are_kept: bool,
    ) -> Result<()> {
        let Changes { removed, cancelled, stored, schedules } = changes;
        let now = Timestamp::from(now);
        if !removed.is_empty() {
            let removed: Vec<Uuid> = removed.iter().map(CallId::as_uuid).collect();
            step(doing, connection, self.query(REMOVE).bind(removed)).await?;
        }
        if !cancelled.is_empty() {
            let (ids, reasons): (Vec<Uuid>, Vec<&str>) =
                cancelled.iter().map(|(id, reason)| (id.as_uuid(), *reason)).unzip();
            let query = self.query(CANCEL).bind(now).bind(ids).bind(reasons).bind(are_kept);
            step(doing, connection, query).await?;
        }
        // First, because what is stored takes its priority and arguments from the row.
        if !schedules.is_empty() {
            self.update_schedules(doing, connection, now, &schedules).await?;
        }
        if !stored.is_empty() {
            let query = self
                .query(STORE)
                .bind(now)
                .bind(stored.iter().map(|run| run.id.as_uuid()).collect::<Vec<_>>())
                .bind(stored.iter().map(|run| run.schedule.as_uuid()).collect::<Vec<_>>())
                .bind(stored.iter().map(|run| run.due.as_micros()).collect::<Vec<_>>());
            step(doing, connection, query).await?;
        }
        Ok(())
    }

    async fn update_schedules(
        &self,
        doing: &'static str,
        connection: &mut PgConnection,
        now: Timestamp,
        rows: &[ScheduleRow],
    ) -> Result<()> {
        let text = |rule: &Rule| rule_text(rule).map_err(|error| StoreError::refused(doing, error));
        let declared = |row: &ScheduleRow| row.declaration.as_ref().map(|of| text(&of.rule)).transpose();
        let effective = |row: &ScheduleRow| row.effective.as_ref().map(text).transpose();
        let of = |get: fn(&Declaration) -> i16| -> Vec<Option<i16>> {
            rows.iter().map(|row| row.declaration.as_ref().map(get)).collect()
        };
        let args = |row: &ScheduleRow| row.declaration.as_ref().map(|of| of.args.clone());
        let query = self
            .query(UPDATE)
            .bind(now)
            .bind(rows.iter().map(|row| row.id.as_uuid()).collect::<Vec<_>>())
            .bind(rows.iter().map(declared).collect::<Result<Vec<_>, _>>()?)
            .bind(rows.iter().map(args).collect::<Vec<_>>())
            .bind(of(|of| of.format))
            .bind(of(|of| of.priority))
            .bind(rows.iter().map(effective).collect::<Result<Vec<_>, _>>()?)
            .bind(rows.iter().map(|row| row.anchor.as_micros()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| schedule_code(row.state)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.reason.clone()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.missed_from.map(Moment::as_micros)).collect::<Vec<_>>());
        step(doing, connection, query).await.map(drop)
    }
}
