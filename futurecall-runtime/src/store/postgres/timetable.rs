//! Locked schedules with their calls: what is decided about them in Rust, and then written back at once.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::PostgresStore;
use super::connect::{nothing_done, step};
use super::sql::{Reading, Timestamp, moment, moment_or_none};
use crate::error::StoreError;
use crate::id::CallId;
use crate::moment::Moment;
use crate::recurring::{Advance, Missed, Overlap, Rule, RuleError};
use crate::store::codec::{rule_of, schedule_of};
use crate::store::{NewSchedule, ScheduleState};

/// Schedules that this transaction has locked, their calls that are not over, and what is to become of both.
pub(super) struct Timetable {
    pub(super) now: Moment,
    pub(super) schedules: BTreeMap<Uuid, Schedule>,
    calls: Vec<Live>,
    /// Calls to be stored: (id, schedule, due).
    successors: Vec<(Uuid, Uuid, Moment)>,
    /// Unclaimed calls to be deleted.
    dropped: BTreeSet<Uuid>,
    /// Schedules to be ended, and why.
    ended: Vec<(Uuid, String)>,
}

/// A schedule as it stands.
pub(super) struct Schedule {
    pub(super) key: String,
    pub(super) args: String,
    pub(super) format: i16,
    pub(super) priority: i16,
    /// `None`: written by a newer version, and not to be read by this one.
    pub(super) declared: Option<Rule>,
    pub(super) effective: Option<Rule>,
    pub(super) anchor: Moment,
    pub(super) state: ScheduleState,
    /// The run that was pending when it ended because nobody declared it.
    missed_from: Option<Moment>,
}

/// A call of a schedule that is not over.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a column of a statement, true or not whatever the others are"
)]
struct Live {
    id: Uuid,
    schedule: Uuid,
    due: Moment,
    is_waiting: bool,
    is_running: bool,
    /// Its schedule is not in the table (deleted by hand).
    is_orphan: bool,
    /// It is run again after an attempt: its successor is stored, and it is none of its schedule's next runs.
    is_again: bool,
}

/// What is to happen to a due call of a schedule.
pub(super) enum Turn {
    /// It is claimed.
    Run,
    /// It waits for the run before it, or for a pod that can read its rule.
    Wait,
    /// It is recorded as skipped, for that reason.
    Skip(&'static str),
    /// Another transaction has its schedule.
    Taken,
    /// It is not waiting any more.
    Gone,
}

/// Which schedules to lock, and whether to wait for who has them.
pub(super) enum Wanted<'a> {
    /// These, waiting for each.
    Ids(&'a [Uuid]),
    /// Those of these that nobody else has.
    Free(&'a [Uuid]),
    /// Those with these keys, waiting for each.
    Keys(&'a [String]),
}

const COLUMNS: &str = "
    SELECT s.id, s.key, s.args::text AS args, s.format, s.priority, s.declared::text AS declared,
        s.effective::text AS effective, {us s.anchor} AS anchor, s.state,
        {us s.missed_from} AS missed_from
    FROM futurecall.schedule AS s WHERE ";

const CALLS: &str = "
    SELECT c.id, c.schedule_id, {us c.due_at} AS due, c.claimed_by IS NULL AS waiting,
        c.first_due_at IS NOT NULL AS again,
        coalesce(c.lease_until >= {now}, false) AS running,
        NOT EXISTS (SELECT FROM futurecall.schedule AS s WHERE s.id = c.schedule_id) AS orphan
    FROM futurecall.call AS c WHERE c.schedule_id = ANY ($2::uuid[])";

const DROP: &str = "
    WITH locked AS MATERIALIZED (
        SELECT c.id FROM futurecall.call AS c
        WHERE c.id = ANY ($1::uuid[]) AND c.claimed_by IS NULL ORDER BY c.id FOR UPDATE
    )
    DELETE FROM futurecall.call AS c WHERE c.id = ANY (ARRAY(SELECT l.id FROM locked AS l))";

const STORE: &str = "
    INSERT INTO futurecall.call
        (id, name, priority, due_at, identifier, args, format, schedule_id, created_at)
    SELECT u.id, s.name, s.priority, {at u.due}, s.identifier, s.args, s.format, s.id, {now}
    FROM unnest($2::uuid[], $3::uuid[], $4::bigint[]) AS u(id, schedule, due)
    JOIN futurecall.schedule AS s ON s.id = u.schedule";

const END: &str = "
    UPDATE futurecall.schedule AS s SET state = 2, reason = u.reason, updated_at = {now}
    FROM unnest($2::uuid[], $3::text[]) AS u(id, reason) WHERE s.id = u.id";

impl PostgresStore {
    /// Locks schedules in id order, and reads their calls as they stand once the locks are held.
    pub(super) async fn lock_timetable(
        &self,
        doing: &'static str,
        connection: &mut PgConnection,
        now: Moment,
        wanted: Wanted<'_>,
    ) -> Result<Timetable, StoreError> {
        let (found_by, wait) = match &wanted {
            Wanted::Ids(_) => ("s.id = ANY ($1::uuid[])", ""),
            Wanted::Free(_) => ("s.id = ANY ($1::uuid[])", " SKIP LOCKED"),
            Wanted::Keys(_) => ("s.key = ANY ($1::text[])", ""),
        };
        let lock = self.composed(&format!("{COLUMNS}{found_by} ORDER BY s.id FOR UPDATE{wait}"));
        let lock = match &wanted {
            Wanted::Ids(ids) | Wanted::Free(ids) => lock.bind(ids.to_vec()),
            Wanted::Keys(keys) => lock.bind(keys.to_vec()),
        };
        let rows = step(doing, connection, lock).await?;
        let schedules: BTreeMap<_, _> =
            rows.iter().map(Schedule::read).collect::<Reading<_>>().map_err(nothing_done(doing))?;
        let of: Vec<Uuid> = match wanted {
            Wanted::Ids(ids) | Wanted::Free(ids) => ids.to_vec(),
            Wanted::Keys(_) => schedules.keys().copied().collect(),
        };
        let rows = step(doing, connection, self.query(CALLS).bind(Timestamp::from(now)).bind(of)).await?;
        let calls = rows.iter().map(Live::read).collect::<Reading<_>>().map_err(nothing_done(doing))?;
        Ok(Timetable {
            now,
            schedules,
            calls,
            successors: Vec::new(),
            dropped: BTreeSet::new(),
            ended: Vec::new(),
        })
    }

    /// Writes what was decided; says when the earliest of the new calls is due.
    pub(super) async fn write_timetable(
        &self,
        doing: &'static str,
        connection: &mut PgConnection,
        timetable: Timetable,
    ) -> Result<Option<Moment>, StoreError> {
        let now = Timestamp::from(timetable.now);
        if !timetable.dropped.is_empty() {
            let dropped: Vec<Uuid> = timetable.dropped.into_iter().collect();
            step(doing, connection, self.query(DROP).bind(dropped)).await?;
        }
        let earliest = timetable.successors.iter().map(|(_, _, due)| *due).min();
        if earliest.is_some() {
            let ids: Vec<Uuid> = timetable.successors.iter().map(|(id, ..)| *id).collect();
            let schedules: Vec<Uuid> =
                timetable.successors.iter().map(|(_, schedule, _)| *schedule).collect();
            let due: Vec<i64> = timetable.successors.iter().map(|(_, _, due)| due.as_micros()).collect();
            let query = self.query(STORE).bind(now).bind(ids).bind(schedules).bind(due);
            step(doing, connection, query).await?;
        }
        if !timetable.ended.is_empty() {
            let (ids, reasons): (Vec<Uuid>, Vec<String>) = timetable.ended.into_iter().unzip();
            step(doing, connection, self.query(END).bind(now).bind(ids).bind(reasons)).await?;
        }
        Ok(earliest)
    }
}

impl Timetable {
    /// The calls that are to be stored: (id, schedule, due).
    pub(super) fn successors(&self) -> impl Iterator<Item = &(Uuid, Uuid, Moment)> {
        self.successors.iter()
    }

    /// Decides about a due call, and stores its successor unless it is to wait.
    pub(super) fn turn(&mut self, id: Uuid) -> Turn {
        let Some((schedule, due)) = self.waiting(id) else { return Turn::Gone };
        let Some(known) = self.schedules.get(&schedule) else {
            let is_orphan = self.calls.iter().any(|call| call.id == id && call.is_orphan);
            return if is_orphan { Turn::Run } else { Turn::Taken };
        };
        let is_last = self.is_last(schedule, due, id);
        let is_overlapped = self.is_overlapped(schedule, id);
        let (missed, overlap) = match &known.effective {
            Some(rule) => (rule.missed, rule.overlap),
            // What a newer version has written waits for a pod of it.
            None if known.state == ScheduleState::Active => return Turn::Wait,
            None => (Missed::default(), Overlap::Allow),
        };
        if is_overlapped && overlap == Overlap::Skip && (missed == Missed::RunAll || !is_last) {
            return Turn::Wait;
        }
        // A call that was claimed before (released, or to be run again) has its successor already: whether it was
        // missed has been decided.
        let advance = if is_last { self.succeed(id) } else { Ok(None) };
        // It can be read, and not be kept: a cron expression, or a time zone, of a newer version.
        let Ok(advance) = advance else { return Turn::Wait };
        let turn = match advance {
            Some(Advance { run: false, .. }) => Turn::Skip("missed"),
            Some(_) if is_overlapped && overlap == Overlap::Skip => {
                Turn::Skip("the run before was still going")
            }
            _ => Turn::Run,
        };
        if matches!(turn, Turn::Skip(_)) {
            self.calls.retain(|call| call.id != id);
        } else if let Some(call) = self.calls.iter_mut().find(|call| call.id == id) {
            call.is_waiting = false;
            call.is_running = true;
        }
        turn
    }

    /// Stores the successor of a call of an active schedule, unless it has one already; ends the schedule where its
    /// rule has no further moment. An error: this version cannot tell, and leaves the schedule alone.
    pub(super) fn succeed(&mut self, id: Uuid) -> Result<Option<Advance>, RuleError> {
        let Some((schedule, due)) = self.waiting(id) else { return Ok(None) };
        let Some(known) = self.schedules.get(&schedule) else { return Ok(None) };
        if known.state != ScheduleState::Active || !self.is_last(schedule, due, id) {
            return Ok(None);
        }
        let Some(rule) = &known.effective else { return Ok(None) };
        let advance = rule.advance(known.anchor, due, self.now)?;
        self.go_on(schedule, advance.next);
        Ok(Some(advance))
    }

    /// Gives an active schedule that has no pending call its next one.
    pub(super) fn restore(&mut self, schedule: Uuid) {
        let Some(known) = self.schedules.get(&schedule) else { return };
        let has_pending = self.calls.iter().any(|call| call.is_next_of(schedule));
        if known.state != ScheduleState::Active || has_pending {
            return;
        }
        let advance = known.effective.as_ref().map(|rule| rule.advance(known.anchor, self.now, self.now));
        if let Some(Ok(advance)) = advance {
            self.go_on(schedule, advance.next);
        }
    }

    /// Puts a new declaration in effect. Its pending call is replaced; the moment stays where the rule has not
    /// changed, unless it was paused. One that is revived goes on where it ended, unless somebody has ended it.
    pub(super) fn take(&mut self, schedule: Uuid, new: &NewSchedule, first: Moment) {
        let pending = self.drop_pending(schedule);
        let Some(known) = self.schedules.get_mut(&schedule) else { return };
        let keeps_rhythm = known.effective.as_ref() == Some(&new.rule);
        let is_ended = known.state == ScheduleState::Ended;
        let due = if is_ended { known.missed_from } else { pending.into_iter().max() };
        let due = due.filter(|_| keeps_rhythm);
        if due.is_none() {
            known.anchor = first;
        }
        known.declared = Some(new.rule.clone());
        known.effective = Some(new.rule.clone());
        known.args.clone_from(&new.args);
        known.format = new.format;
        known.priority = new.priority;
        known.state = ScheduleState::Active;
        self.go_on(schedule, Some(due.unwrap_or(first)));
    }

    /// A paused schedule produces calls again.
    pub(super) fn resume(&mut self, schedule: Uuid) {
        if let Some(known) = self.schedules.get_mut(&schedule) {
            known.state = ScheduleState::Active;
            self.restore(schedule);
        }
    }

    /// Another rule is in effect: if the schedule is active, its pending call is replaced.
    pub(super) fn edit(&mut self, schedule: Uuid, first: Moment) {
        if self.schedules.get(&schedule).is_some_and(|known| known.state == ScheduleState::Active) {
            self.drop_pending(schedule);
            self.go_on(schedule, Some(first));
        }
    }

    /// Stores the next call of a schedule, or ends the schedule visibly.
    pub(super) fn go_on(&mut self, schedule: Uuid, next: Option<Moment>) {
        if let Some(due) = next {
            let id = CallId::new().as_uuid();
            self.successors.push((id, schedule, due));
            self.calls.push(Live {
                id,
                schedule,
                due,
                is_waiting: true,
                is_running: false,
                is_orphan: false,
                is_again: false,
            });
            return;
        }
        let reason = "its rule has no further moment".to_owned();
        if let Some(known) = self.schedules.get_mut(&schedule) {
            known.state = ScheduleState::Ended;
        }
        self.ended.push((schedule, reason));
    }

    /// Removes the pending calls of a schedule, and says when they were due.
    fn drop_pending(&mut self, schedule: Uuid) -> Vec<Moment> {
        let mut due = Vec::new();
        for call in self.calls.extract_if(.., |call| call.is_next_of(schedule)) {
            due.push(call.due);
            // One that this transaction was yet to store is simply not stored.
            let before = self.successors.len();
            self.successors.retain(|(id, ..)| *id != call.id);
            if self.successors.len() == before {
                self.dropped.insert(call.id);
            }
        }
        due
    }

    fn waiting(&self, id: Uuid) -> Option<(Uuid, Moment)> {
        let call = self.calls.iter().find(|call| call.id == id && call.is_waiting)?;
        Some((call.schedule, call.due))
    }

    /// Of the calls of a schedule that are not over, only the last one (by due moment, then id) needs a successor; never
    /// one that is run again.
    fn is_last(&self, schedule: Uuid, due: Moment, id: Uuid) -> bool {
        let mut calls = self.calls.iter().filter(|call| call.schedule == schedule);
        !calls.any(|call| {
            if call.id == id { call.is_again } else { !call.is_again && (call.due, call.id) > (due, id) }
        })
    }

    fn is_overlapped(&self, schedule: Uuid, id: Uuid) -> bool {
        self.calls.iter().any(|other| other.schedule == schedule && other.id != id && other.is_running)
    }
}

impl Schedule {
    fn read(row: &PgRow) -> Reading<(Uuid, Self)> {
        let rule = |column: &str| -> Reading<Option<Rule>> {
            row.try_get::<String, _>(column).map(|text| rule_of(&text).ok())
        };
        let schedule = Self {
            key: row.try_get("key")?,
            args: row.try_get("args")?,
            format: row.try_get("format")?,
            priority: row.try_get("priority")?,
            declared: rule("declared")?,
            effective: rule("effective")?,
            anchor: moment(row, "anchor")?,
            state: schedule_of(row.try_get("state")?),
            missed_from: moment_or_none(row, "missed_from")?,
        };
        Ok((row.try_get("id")?, schedule))
    }
}

impl Live {
    /// Whether it is one of the schedule's next runs.
    fn is_next_of(&self, schedule: Uuid) -> bool {
        self.schedule == schedule && self.is_waiting && !self.is_again
    }

    fn read(row: &PgRow) -> Reading<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            schedule: row.try_get("schedule_id")?,
            due: moment(row, "due")?,
            is_waiting: row.try_get("waiting")?,
            is_running: row.try_get("running")?,
            is_orphan: row.try_get("orphan")?,
            is_again: row.try_get("again")?,
        })
    }
}
