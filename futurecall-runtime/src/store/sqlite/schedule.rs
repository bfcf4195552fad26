//! Recurring rules: declaring them, ending them, and the next run of one whose run has been taken.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use uuid::Uuid;
use uuid::fmt::Simple;

use super::SqliteStore;
use super::claim::give_back;
use super::finish::{End, claims, end};
use super::insert::check_json;
use super::tx::{StoredRow, Tx, batch, before, flag, hex, moment_in, no_nul, number, text, uuid};
use crate::args::is_same;
use crate::error::StoreError;
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::recurring::{Advance, Missed, Overlap, Rule};
use crate::store::{
    CallState, ClaimRequest, Declared, Held, LivePod, NewSchedule, Now, ScheduleState, codec,
};

const DECLARE: &str = "declare schedules";

/// ?1 the key.
pub(super) const FIND: &str = "
SELECT s.id, s.args, s.format, s.priority, s.declared, s.effective, s.anchor, s.state, s.missed_from,
    (SELECT max(c.due_at) FROM futurecall_call c
        WHERE c.schedule_id = s.id AND c.claimed_by IS NULL AND c.first_due_at IS NULL) AS pending
FROM futurecall_schedule s WHERE s.key = ?1";

/// ?1 the id, ?2 the key, ?3 the name, ?4 the identifier, ?5 the arguments, ?6 the format, ?7 the priority, ?8 the rule,
/// ?9 the anchor, ?10 the origin, ?11 now. An existing key takes everything but the id.
const STORE: &str = "
INSERT INTO futurecall_schedule (id, key, name, identifier, args, format, priority, declared, effective, anchor,
    origin, state, reason, known_at, missed_from, created_at, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, 0, NULL, ?11, NULL, ?11, ?11)
ON CONFLICT (key) DO UPDATE SET name = ?3, identifier = ?4, args = ?5, format = ?6, priority = ?7, declared = ?8,
    effective = ?8, anchor = ?9, origin = ?10, state = 0, reason = NULL, known_at = ?11, missed_from = NULL,
    updated_at = ?11";

/// ?1 the schedule, ?2 the origin.
const SET_ORIGIN: &str = "UPDATE futurecall_schedule SET origin = ?2 WHERE id = ?1 AND origin <> ?2";

/// ?1 the schedule. Runs that are to be run again stay: they are none of its next ones.
pub(super) const DROP_PENDING: &str =
    "DELETE FROM futurecall_call WHERE schedule_id = ?1 AND claimed_by IS NULL AND first_due_at IS NULL";

pub(super) async fn declare(
    store: &SqliteStore,
    now: Now,
    schedules: &[NewSchedule],
) -> Result<Vec<Declared>, StoreError> {
    for schedule in schedules {
        no_nul(DECLARE, "a name", &schedule.name)?;
        no_nul(DECLARE, "a schedule's key", &schedule.key)?;
        no_nul(DECLARE, "an identifier", schedule.identifier.as_deref().unwrap_or_default())?;
        check_json(DECLARE, &schedule.args)?;
    }
    let schedules = schedules.to_vec();
    store
        .write(DECLARE, now, move |mut tx| {
            Box::pin(async move {
                let mut declared = Vec::with_capacity(schedules.len());
                for schedule in &schedules {
                    declared.push(declare_one(&mut tx, schedule).await?);
                }
                Ok(declared)
            })
        })
        .await
}

/// ?1 the new key, ?2 the new name, ?3 the former keys.
pub(super) const RENAME: &str = "
UPDATE futurecall_schedule SET key = ?1, name = ?2
WHERE id = (SELECT id FROM futurecall_schedule WHERE key IN (SELECT value FROM json_each(?3))
    ORDER BY created_at DESC, id DESC LIMIT 1)
    AND NOT EXISTS (SELECT 1 FROM futurecall_schedule WHERE key = ?1)
RETURNING id";

pub(super) const RENAME_PENDING: &str = "
UPDATE futurecall_call SET name = ?1 WHERE schedule_id = ?2 AND claimed_by IS NULL";

/// The call has a new name: its schedule goes on under it.
async fn rename(tx: &mut Tx<'_>, new: &NewSchedule) -> Result<(), StoreError> {
    if new.former_keys.is_empty() {
        return Ok(());
    }
    let former = batch(DECLARE, &new.former_keys)?;
    let renamed = tx.row(tx.sql(RENAME).bind(new.key.clone()).bind(new.name.clone()).bind(former)).await?;
    if let Some(id) = renamed.as_ref().and_then(|row| uuid(row, "id")) {
        tx.run(tx.sql(RENAME_PENDING).bind(new.name.clone()).bind(id)).await?;
    }
    Ok(())
}

async fn declare_one(tx: &mut Tx<'_>, new: &NewSchedule) -> Result<Declared, StoreError> {
    rename(tx, new).await?;
    let Some(row) = tx.row(tx.sql(FIND).bind(new.key.clone())).await? else {
        let anchor = first(tx, &new.rule)?;
        put(tx, new, new.id, anchor).await?;
        add(tx, DECLARE, &[(hex(CallId::new().as_uuid()), hex(new.id.as_uuid()), anchor.as_micros())])
            .await?;
        return Ok(Declared { id: new.id, created: true, changed: false });
    };
    let id =
        ScheduleId::from_uuid(uuid(&row, "id").ok_or_else(|| tx.refused("a stored schedule has no id"))?);
    let state = number(&row, "state").and_then(|state| i16::try_from(state).ok()).map(codec::schedule_of);
    let pending = moment_in(&row, "pending");
    let anchor = moment_in(&row, "anchor");
    if state == Some(ScheduleState::Ended) || !alike(&row, new) {
        let revived = state == Some(ScheduleState::Ended);
        // New arguments alone do not move the next run. One that is revived goes on where it ended, unless somebody has
        // ended it.
        let keeps_time = rule_in(&row, "effective").is_ok_and(|rule| rule == new.rule);
        let next = if revived { moment_in(&row, "missed_from") } else { pending };
        let (anchor, due) = match (anchor, next) {
            (Some(anchor), Some(pending)) if keeps_time => (anchor, pending),
            _ => first(tx, &new.rule).map(|first| (first, first))?,
        };
        put(tx, new, id, anchor).await?;
        tx.run(tx.sql(DROP_PENDING).bind(id.as_uuid())).await?;
        add(tx, DECLARE, &[(hex(CallId::new().as_uuid()), hex(id.as_uuid()), due.as_micros())]).await?;
        return Ok(Declared { id, created: revived, changed: !revived });
    }
    tx.run(tx.sql(SET_ORIGIN).bind(id.as_uuid()).bind(codec::origin_code(new.origin))).await?;
    if state == Some(ScheduleState::Active) && pending.is_none() {
        restore(tx, DECLARE, id, &rule_in(&row, "effective"), anchor).await?;
    }
    Ok(Declared { id, created: false, changed: false })
}

/// Stores the pending call that an active schedule lacks, at its rule's next moment.
pub(super) async fn restore(
    tx: &mut Tx<'_>,
    doing: &'static str,
    id: ScheduleId,
    rule: &Result<Rule, String>,
    anchor: Option<Moment>,
) -> Result<(), StoreError> {
    // What a newer version has written is left for a pod of it.
    let (Ok(rule), Some(anchor)) = (rule, anchor) else { return Ok(()) };
    let Ok(step) = rule.advance(anchor, tx.now, tx.now) else { return Ok(()) };
    let id = hex(id.as_uuid());
    match step.next {
        Some(next) => add(tx, doing, &[(hex(CallId::new().as_uuid()), id, next.as_micros())]).await,
        None => close(tx, doing, &[(id, NO_MORE.to_owned())]).await,
    }
}

/// Writes a schedule as code declares it.
async fn put(tx: &mut Tx<'_>, new: &NewSchedule, id: ScheduleId, anchor: Moment) -> Result<(), StoreError> {
    let rule = codec::rule_text(&new.rule).map_err(|error| tx.refused(error.to_string()))?;
    let sql = tx
        .sql(STORE)
        .bind(id.as_uuid())
        .bind(new.key.clone())
        .bind(new.name.clone())
        .bind(new.identifier.clone())
        .bind(new.args.clone())
        .bind(new.format)
        .bind(new.priority)
        .bind(rule)
        .bind(anchor.as_micros())
        .bind(codec::origin_code(new.origin))
        .bind(tx.now.as_micros());
    tx.run(sql).await.map(drop)
}

/// Whether the stored declaration says the same.
fn alike(row: &StoredRow, new: &NewSchedule) -> bool {
    rule_in(row, "declared").is_ok_and(|rule| rule == new.rule)
        && text(row, "args").is_some_and(|args| is_same(&args, &new.args))
        && number(row, "format") == Some(i64::from(new.format))
        && number(row, "priority") == Some(i64::from(new.priority))
}

pub(super) fn first(tx: &Tx<'_>, rule: &Rule) -> Result<Moment, StoreError> {
    rule.first(tx.now).map_err(|error| tx.refused(error.to_string()))
}

pub(super) fn rule_in(row: &StoredRow, column: &str) -> Result<Rule, String> {
    codec::rule_of(&text(row, column).unwrap_or_default()).map_err(|error| error.to_string())
}

const END_UNDECLARED: &str = "end undeclared schedules";

/// ?1 the keys that this pod declares, ?2 since when a pod counts as live, ?3 now, ?4 the names that this pod knows, ?5
/// since when a call must have been known.
const UNDECLARED: &str = "
UPDATE futurecall_schedule AS s SET state = 2, reason = 'no longer declared', updated_at = ?3,
    missed_from = (SELECT min(c.due_at) FROM futurecall_call c
        WHERE c.schedule_id = s.id AND c.claimed_by IS NULL AND c.first_due_at IS NULL)
WHERE s.origin = 1 AND s.state <> 2 AND s.key NOT IN (SELECT value FROM json_each(?1))
    AND s.key NOT IN (SELECT j.value FROM futurecall_pod p, json_each(p.schedules) j WHERE p.beat_at >= ?2)
    AND (s.name IN (SELECT value FROM json_each(?4))
        OR s.name IN (SELECT j.value FROM futurecall_pod p, json_each(p.names) j WHERE p.beat_at >= ?2)
        OR s.state = 0 AND ?5 > max(s.known_at, coalesce(
            (SELECT max(p.beat_at) FROM futurecall_pod p, json_each(p.names) j WHERE j.value = s.name), 0)))
RETURNING id";

/// ?1 the schedules.
pub(super) const PENDING: &str = "
SELECT c.id FROM json_each(?1) CROSS JOIN futurecall_call c ON c.schedule_id = unhex(value) WHERE c.claimed_by IS NULL";

pub(super) async fn end_undeclared(
    store: &SqliteStore,
    now: Now,
    live: &LivePod,
    grace: Duration,
) -> Result<u64, StoreError> {
    let (keys, names) = (batch(END_UNDECLARED, &live.schedules)?, batch(END_UNDECLARED, &live.names)?);
    let pod_live = live.pod_live;
    store
        .write(END_UNDECLARED, now, move |mut tx| {
            Box::pin(async move {
                let since = before(tx.now, pod_live);
                let now = tx.now.as_micros();
                let sql = tx.sql(UNDECLARED).bind(keys).bind(since).bind(now).bind(names);
                let rows = tx.rows(sql.bind(before(tx.now, grace))).await?;
                let ended: Vec<_> = rows.iter().filter_map(|row| uuid(row, "id")).map(hex).collect();
                let pending = tx.rows(tx.sql(PENDING).bind(batch(END_UNDECLARED, &ended)?)).await?;
                let ends: Vec<_> = pending
                    .iter()
                    .filter_map(|row| uuid(row, "id"))
                    .map(|id| {
                        End::unstarted(CallId::from_uuid(id), CallState::Cancelled, UNDECLARED_CALL.into())
                    })
                    .collect();
                // It knows no retention: the next pruning does.
                end(&mut tx, END_UNDECLARED, &ends, i64::MAX).await?;
                Ok(ended.len() as u64)
            })
        })
        .await
}

const UNDECLARED_CALL: &str = "its schedule is no longer declared";
const MISSED: &str = "missed";
const STILL_GOING: &str = "the run before was still going";
const NO_MORE: &str = "its rule has no further moment";

/// Whether a run that is still going keeps another waiting, rather than having it skipped: where all are to run, and
/// where the other has been followed already (it was given back, or is run again), so that it was not missed.
pub(super) fn waits(rule: &Rule, latest: bool) -> bool {
    rule.overlap == Overlap::Skip && (rule.missed == Missed::RunAll || !latest)
}

/// A call that its schedule produced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) id: CallId,
    pub(super) schedule: ScheduleId,
    pub(super) due: Moment,
}

/// A schedule as the steps below need it.
struct Stored {
    active: bool,
    rule: Result<Rule, String>,
    anchor: Option<Moment>,
    /// The last of its calls by (due, id), without those that are run again: the only one that needs a successor.
    latest: Option<Uuid>,
    /// Whether a run is under way.
    running: bool,
}

/// What a schedule's rule says cannot be told by this version.
struct Unreadable;

/// What is written once all runs of a batch have been looked at.
#[derive(Default)]
struct Steps {
    next: Vec<(Simple, Simple, i64)>,
    ended: Vec<(Simple, String)>,
}

/// What became of the runs of a claim.
pub(super) struct Settled {
    /// How many were skipped.
    pub(super) skipped: u64,
    /// How many the claim no longer holds: skipped, or given back.
    pub(super) not_held: usize,
    /// The runs that follow, as they are stored.
    pub(super) stored: Vec<Simple>,
    /// Those that were given back because this version cannot tell what their rules say.
    pub(super) left_alone: Vec<Simple>,
}

/// ?1 the schedules, ?2 now, ?3 the calls that do not count as under way.
pub(super) const LOAD: &str = "
SELECT s.id, s.state, s.effective, s.anchor,
    (SELECT c.id FROM futurecall_call c WHERE c.schedule_id = s.id AND c.first_due_at IS NULL
        ORDER BY c.due_at DESC, c.id DESC LIMIT 1) AS latest,
    EXISTS (SELECT 1 FROM futurecall_call c WHERE c.schedule_id = s.id AND c.claimed_by IS NOT NULL
        AND c.lease_until >= ?2 AND c.id NOT IN (SELECT unhex(value) FROM json_each(?3))) AS running
FROM json_each(?1) CROSS JOIN futurecall_schedule s ON s.id = unhex(value)";

/// Decides about runs just claimed: each runs, is skipped, or waits for the one before; and each that is its schedule's
/// latest is followed by the next.
pub(super) async fn settle(
    tx: &mut Tx<'_>,
    doing: &'static str,
    mut runs: Vec<Run>,
    request: &ClaimRequest,
    kept: i64,
) -> Result<Settled, StoreError> {
    runs.sort_by_key(|run| (run.due, run.id));
    let mut schedules = load(tx, doing, &runs).await?;
    let (mut steps, mut skipped, mut waiting) = (Steps::default(), Vec::new(), Vec::new());
    let mut left_alone = Vec::new();
    for run in &runs {
        let Some(schedule) = schedules.get_mut(&run.schedule) else { continue };
        match steps.turn(schedule, *run, tx.now) {
            Turn::Run => schedule.running = true,
            turn @ (Turn::Wait | Turn::Leave) => {
                if matches!(turn, Turn::Leave) {
                    left_alone.push(hex(run.id.as_uuid()));
                }
                waiting.push(Held { id: run.id, claim_no: request.claim_no, started: false });
            }
            Turn::Skip(why) => skipped.push(End::unstarted(run.id, CallState::Skipped, why.into())),
        }
    }
    if !waiting.is_empty() {
        give_back(tx, request.pod.as_uuid(), claims(doing, &waiting)?).await?;
    }
    let not_held = waiting.len() + skipped.len();
    let skipped = end(tx, doing, &skipped, kept).await?;
    let stored = steps.next.iter().map(|(call, ..)| *call).collect();
    steps.write(tx, doing).await?;
    Ok(Settled { skipped, not_held, stored, left_alone })
}

/// Stores the runs that follow those which are about to be cancelled singly.
pub(super) async fn go_on(tx: &mut Tx<'_>, doing: &'static str, runs: &[Run]) -> Result<(), StoreError> {
    if runs.is_empty() {
        return Ok(());
    }
    let mut schedules = load(tx, doing, runs).await?;
    let mut steps = Steps::default();
    for run in runs {
        if let Some(schedule) = schedules.get_mut(&run.schedule) {
            // Where the rule cannot be told, a pod of the version that wrote it stores the next run.
            let _ = steps.follow(schedule, *run, tx.now);
        }
    }
    steps.write(tx, doing).await
}

/// What is to happen to a run that is due.
enum Turn {
    Run,
    /// It waits for the run before it.
    Wait,
    /// It waits for a pod that can tell what its rule says.
    Leave,
    /// It is recorded as skipped, for that reason.
    Skip(&'static str),
}

impl Steps {
    /// Decides about a due run, and notes its successor unless it is to wait.
    fn turn(&mut self, schedule: &mut Stored, run: Run, now: Moment) -> Turn {
        let latest = schedule.latest == Some(run.id.as_uuid());
        let overlap = schedule.rule.as_ref().map_or(Overlap::Allow, |rule| rule.overlap);
        if schedule.running && schedule.rule.as_ref().is_ok_and(|rule| waits(rule, latest)) {
            return Turn::Wait;
        }
        if schedule.active && schedule.rule.is_err() {
            return Turn::Leave;
        }
        let Ok(step) = self.follow(schedule, run, now) else { return Turn::Leave };
        match step {
            Some(step) if !step.run => Turn::Skip(MISSED),
            Some(_) if schedule.running && overlap == Overlap::Skip => Turn::Skip(STILL_GOING),
            _ => Turn::Run,
        }
    }

    /// Notes the successor of a run of an active schedule, unless it has one already; ends the schedule where its rule
    /// has no further moment. An error: this version cannot tell, and leaves the schedule alone.
    fn follow(
        &mut self,
        schedule: &mut Stored,
        run: Run,
        now: Moment,
    ) -> Result<Option<Advance>, Unreadable> {
        if !schedule.active || schedule.latest != Some(run.id.as_uuid()) {
            return Ok(None);
        }
        let (Ok(rule), Some(anchor)) = (&schedule.rule, schedule.anchor) else { return Err(Unreadable) };
        // A cron expression, or a time zone, of a newer version.
        let step = rule.advance(anchor, run.due, now).map_err(|_| Unreadable)?;
        let id = hex(run.schedule.as_uuid());
        if let Some(next) = step.next {
            let call = CallId::new();
            schedule.latest = Some(call.as_uuid());
            self.next.push((hex(call.as_uuid()), id, next.as_micros()));
        } else {
            self.ended.push((id, NO_MORE.into()));
            schedule.active = false;
        }
        Ok(Some(step))
    }

    async fn write(self, tx: &mut Tx<'_>, doing: &'static str) -> Result<(), StoreError> {
        if !self.next.is_empty() {
            add(tx, doing, &self.next).await?;
        }
        if !self.ended.is_empty() {
            close(tx, doing, &self.ended).await?;
        }
        Ok(())
    }
}

async fn load(
    tx: &mut Tx<'_>,
    doing: &'static str,
    runs: &[Run],
) -> Result<HashMap<ScheduleId, Stored>, StoreError> {
    let schedules: HashSet<_> = runs.iter().map(|run| run.schedule).collect();
    let schedules: Vec<_> = schedules.iter().map(|id| hex(id.as_uuid())).collect();
    let own: Vec<_> = runs.iter().map(|run| hex(run.id.as_uuid())).collect();
    let sql = tx.sql(LOAD).bind(batch(doing, &schedules)?).bind(tx.now.as_micros()).bind(batch(doing, &own)?);
    let stored = |row: &StoredRow| {
        let state = number(row, "state").and_then(|state| i16::try_from(state).ok()).map(codec::schedule_of);
        let stored = Stored {
            active: state == Some(ScheduleState::Active),
            rule: rule_in(row, "effective"),
            anchor: moment_in(row, "anchor"),
            latest: uuid(row, "latest"),
            running: flag(row, "running"),
        };
        Some((ScheduleId::from_uuid(uuid(row, "id")?), stored))
    };
    Ok(tx.rows(sql).await?.iter().filter_map(stored).collect())
}

/// ?1 calls with their schedules and moments, ?2 now.
pub(super) const ADD: &str = "
INSERT INTO futurecall_call (id, name, priority, due_at, identifier, args, format, schedule_id, created_at)
SELECT unhex(value ->> 0), s.name, s.priority, value ->> 2, s.identifier, s.args, s.format, s.id, ?2
FROM json_each(?1) CROSS JOIN futurecall_schedule s ON s.id = unhex(value ->> 1)";

/// Stores the next calls of schedules.
pub(super) async fn add(
    tx: &mut Tx<'_>,
    doing: &'static str,
    calls: &[(Simple, Simple, i64)],
) -> Result<(), StoreError> {
    let now = tx.now.as_micros();
    tx.run(tx.sql(ADD).bind(batch(doing, calls)?).bind(now)).await.map(drop)
}

/// ?1 schedules with their reasons, ?2 now.
pub(super) const CLOSE: &str = "
UPDATE futurecall_schedule SET state = 2, reason = over.reason, updated_at = ?2
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS reason FROM json_each(?1)) AS over
WHERE futurecall_schedule.id = over.id";

/// Ends schedules, visibly.
async fn close(tx: &mut Tx<'_>, doing: &'static str, ended: &[(Simple, String)]) -> Result<(), StoreError> {
    let now = tx.now.as_micros();
    tx.run(tx.sql(CLOSE).bind(batch(doing, ended)?).bind(now)).await.map(drop)
}
