//! Schedules with their runs: loaded for the policy to decide, and written as it has decided.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::history::{End, end};
use super::tx::{Tx, batch, hex};
use crate::id::CallId;
use crate::moment::Moment;
use crate::store::policy::{Changes, ScheduleRow, Timetable};
use crate::store::{CallState, Result, codec, records};

/// Which schedules to load.
pub(super) enum Wanted<'a> {
    /// These.
    Ids(&'a [Uuid]),
    /// Those with these keys.
    Keys(&'a [String]),
}

macro_rules! schedules {
    ($found_by:literal) => {
        concat!(
            "
SELECT s.id, s.key, s.args, s.format, s.priority, s.declared, s.effective, s.anchor, s.state, s.reason, s.missed_from
FROM json_each(?1) CROSS JOIN futurecall_schedule s ON ",
            $found_by
        )
    };
}

/// ?1 the schedules.
pub(super) const BY_ID: &str = schedules!("s.id = unhex(value)");

/// ?1 their keys.
pub(super) const BY_KEY: &str = schedules!("s.key = value");

/// ?1 the schedules, ?2 now, ?3 the runs that count as waiting though the claim that decides about them has taken them.
pub(super) const RUNS: &str = "
SELECT c.id, c.schedule_id, c.due_at AS due, c.first_due_at IS NOT NULL AS has_successor,
    c.claimed_by IS NULL OR c.id IN (SELECT unhex(value) FROM json_each(?3)) AS waiting,
    coalesce(c.lease_until >= ?2, 0) AS running
FROM json_each(?1) CROSS JOIN futurecall_call c ON c.schedule_id = unhex(value)";

/// ?1 the runs.
pub(super) const REMOVE: &str =
    "DELETE FROM futurecall_call WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND claimed_by IS NULL";

/// ?1 runs with their schedules and moments, ?2 now.
pub(super) const STORE: &str = "
INSERT INTO futurecall_call (id, name, priority, due_at, identifier, args, format, schedule_id, created_at)
SELECT unhex(value ->> 0), s.name, s.priority, value ->> 2, s.identifier, s.args, s.format, s.id, ?2
FROM json_each(?1) CROSS JOIN futurecall_schedule s ON s.id = unhex(value ->> 1)";

/// ?1 the rows: ids; declared rules, arguments, formats, priorities and effective rules, null where they stay; anchors,
/// states, reasons, and from where a revived schedule goes on. ?2 now.
pub(super) const UPDATE: &str = "
UPDATE futurecall_schedule AS s SET declared = coalesce(u.declared, s.declared), args = coalesce(u.args, s.args),
    format = coalesce(u.format, s.format), priority = coalesce(u.priority, s.priority),
    effective = coalesce(u.effective, s.effective), anchor = u.anchor, state = u.state, reason = u.reason,
    missed_from = u.missed_from, known_at = iif(u.declared IS NULL, s.known_at, ?2), updated_at = ?2
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS declared, value ->> 2 AS args, value ->> 3 AS format,
        value ->> 4 AS priority, value ->> 5 AS effective, value ->> 6 AS anchor, value ->> 7 AS state,
        value ->> 8 AS reason, value ->> 9 AS missed_from
    FROM json_each(?1)) AS u
WHERE s.id = u.id";

/// Reads schedules and their runs. Of these, `claimed` are the claims that are to be decided about.
pub(super) async fn load(
    tx: &mut Tx<'_>,
    doing: &'static str,
    wanted: Wanted<'_>,
    claimed: &[CallId],
) -> Result<Timetable> {
    let rows = match &wanted {
        Wanted::Ids(ids) => tx.rows(tx.sql(BY_ID).bind(batch(doing, &hexes(ids.iter().copied()))?)).await?,
        Wanted::Keys(keys) => tx.rows(tx.sql(BY_KEY).bind(batch(doing, keys)?)).await?,
    };
    let schedules = rows.iter().map(records::schedule).collect::<Result<Vec<_>>>()?;
    let known: BTreeSet<Uuid> = schedules.iter().map(|schedule| schedule.id.as_uuid()).collect();
    let of = match wanted {
        Wanted::Ids(ids) => batch(doing, &hexes(ids.iter().copied()))?,
        Wanted::Keys(_) => batch(doing, &hexes(known.iter().copied()))?,
    };
    let claimed = batch(doing, &hexes(claimed.iter().map(CallId::as_uuid)))?;
    let now = tx.now;
    let rows = tx.rows(tx.sql(RUNS).bind(of).bind(now.as_micros()).bind(claimed)).await?;
    let runs = rows.iter().map(records::run).collect::<Result<Vec<_>>>()?;
    let missing: BTreeSet<_> =
        runs.iter().map(|(schedule, _)| *schedule).filter(|id| !known.contains(&id.as_uuid())).collect();
    let mut timetable = Timetable::new(now, schedules, runs);
    timetable.missing(missing);
    Ok(timetable)
}

/// Writes what was decided. `kept`: which states the history keeps.
pub(super) async fn write(tx: &mut Tx<'_>, doing: &'static str, changes: Changes, kept: i64) -> Result<()> {
    let Changes { removed, cancelled, stored, schedules } = changes;
    let now = tx.now.as_micros();
    if !removed.is_empty() {
        let removed = batch(doing, &hexes(removed.iter().map(CallId::as_uuid)))?;
        tx.run(tx.sql(REMOVE).bind(removed)).await?;
    }
    if !cancelled.is_empty() {
        let cancelled: Vec<End> = cancelled
            .into_iter()
            .map(|(id, reason)| End::unstarted(id, CallState::Cancelled, reason.to_owned()))
            .collect();
        end(tx, doing, &cancelled, kept).await?;
    }
    // First, because what is stored takes its priority and arguments from the row.
    if !schedules.is_empty() {
        let rows = schedules.iter().map(|row| updated(tx, row)).collect::<Result<Vec<_>, _>>()?;
        tx.run(tx.sql(UPDATE).bind(batch(doing, &rows)?).bind(now)).await?;
    }
    if !stored.is_empty() {
        let stored: Vec<_> = stored
            .iter()
            .map(|run| (hex(run.id.as_uuid()), hex(run.schedule.as_uuid()), run.due.as_micros()))
            .collect();
        tx.run(tx.sql(STORE).bind(batch(doing, &stored)?).bind(now)).await?;
    }
    Ok(())
}

/// A row as [`UPDATE`] takes it.
type Updated = (
    uuid::fmt::Simple,
    Option<String>,
    Option<String>,
    Option<i16>,
    Option<i16>,
    Option<String>,
    i64,
    i16,
    Option<String>,
    Option<i64>,
);

fn updated(tx: &Tx<'_>, row: &ScheduleRow) -> Result<Updated> {
    let rule_text = |rule| codec::rule_text(rule).map_err(|error| tx.refused(error.to_string()));
    let new = row.declaration.as_ref();
    Ok((
        hex(row.id.as_uuid()),
        new.map(|new| rule_text(&new.rule)).transpose()?,
        new.map(|new| new.args.clone()),
        new.map(|new| new.format),
        new.map(|new| new.priority),
        row.effective.as_ref().map(rule_text).transpose()?,
        row.anchor.as_micros(),
        codec::schedule_code(row.state),
        row.reason.clone(),
        row.missed_from.map(Moment::as_micros),
    ))
}

fn hexes(ids: impl Iterator<Item = Uuid>) -> Vec<uuid::fmt::Simple> {
    ids.map(hex).collect()
}
