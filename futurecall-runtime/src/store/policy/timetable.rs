//! Schedules and their unfinished runs: decides what each run may do, and what follows it.
//!
//! A schedule that no code declares any more remembers the run that was pending when it ended (`missed_from`), and goes on
//! from there when it is declared again. One that an operator ended does not.

use std::collections::{BTreeMap, BTreeSet};

use super::reasons::{MISSED, NO_FURTHER_RUN, SCHEDULE_UNDECLARED, STILL_RUNNING, UNDECLARED, stopped};
use super::schedule::{Changes, Declaration, NewRun, Phase, Run, Schedule, ScheduleRow};
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::recurring::{Advance, Missed, Overlap, Rule, RuleError};
use crate::store::{Declared, NewSchedule, ScheduleChange, ScheduleChanged, ScheduleState};

/// Some schedules, their runs, and the changes decided so far.
pub(crate) struct Timetable {
    now: Moment,
    schedules: BTreeMap<ScheduleId, Schedule>,
    runs: BTreeMap<ScheduleId, Vec<Run>>,
    /// Schedules that this declaration has inserted.
    new: BTreeSet<ScheduleId>,
    /// Schedules whose row is gone (deleted by hand), though their runs exist.
    missing: BTreeSet<ScheduleId>,
    changed: BTreeMap<ScheduleId, Columns>,
    changes: Changes,
}

/// The columns of a changed schedule that are written besides its state.
#[derive(Clone, Copy, Debug, Default)]
struct Columns {
    declaration: bool,
    effective: bool,
}

/// The decision about a due run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is claimed.
    Run,
    /// It waits for another run of its schedule.
    Wait,
    /// It waits for a pod of the release that wrote its schedule.
    Unreadable,
    /// It is recorded as skipped, with that reason.
    Skip(&'static str),
    /// Another transaction has locked its schedule.
    Taken,
    /// It is no longer waiting.
    Gone,
}

/// Returns whether a due run waits until another one has ended, instead of being skipped for it: if the rule runs all
/// missed ones, or if its successor is stored already (it was given back, or is run again), so that it was not
/// missed.
pub(crate) fn waits_for_running(rule: &Rule, is_last: bool) -> bool {
    rule.overlap == Overlap::Skip && (rule.missed == Missed::RunAll || !is_last)
}

/// Returns whether this release can compute what follows a run of a schedule: it can read the schedule's state, its
/// rule, and the time zone that the rule names.
pub(crate) fn can_be_read(
    state: Option<ScheduleState>,
    effective: Option<&Rule>,
    anchor: Moment,
    due: Moment,
) -> bool {
    match state {
        None => false,
        Some(ScheduleState::Active) => effective.is_some_and(|rule| rule.advance(anchor, due, due).is_ok()),
        Some(ScheduleState::Paused | ScheduleState::Ended) => true,
    }
}

impl Timetable {
    /// Creates a timetable of schedules and their runs as they are stored.
    pub(crate) fn new(
        now: Moment,
        schedules: impl IntoIterator<Item = Schedule>,
        runs: impl IntoIterator<Item = (ScheduleId, Run)>,
    ) -> Self {
        let mut of_schedules: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (schedule, run) in runs {
            of_schedules.entry(schedule).or_default().push(run);
        }
        Self {
            now,
            schedules: schedules.into_iter().map(|schedule| (schedule.id, schedule)).collect(),
            runs: of_schedules,
            new: BTreeSet::new(),
            missing: BTreeSet::new(),
            changed: BTreeMap::new(),
            changes: Changes::default(),
        }
    }

    /// Marks schedules whose rows are gone. (Others that were not loaded are locked by another transaction.)
    pub(crate) fn missing(&mut self, schedules: impl IntoIterator<Item = ScheduleId>) {
        self.missing.extend(schedules);
    }

    /// Marks schedules inserted by the declaration that follows, which have no run yet.
    pub(crate) fn stored_new(&mut self, schedules: impl IntoIterator<Item = ScheduleId>) {
        self.new.extend(schedules);
    }

    /// Adds a schedule to be inserted by the declaration that follows.
    pub(crate) fn add_new(&mut self, schedule: Schedule) {
        self.new.insert(schedule.id);
        self.schedules.insert(schedule.id, schedule);
    }

    /// Changes the key of a schedule.
    pub(crate) fn rename(&mut self, schedule: ScheduleId, key: &str) {
        if let Some(known) = self.schedules.get_mut(&schedule) {
            key.clone_into(&mut known.key);
        }
    }

    /// Returns the time by which everything is decided.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// Returns whether a schedule of that key was loaded.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.schedules.values().any(|known| known.key == key)
    }

    /// Returns the changes to write.
    pub(crate) fn into_changes(self) -> Changes {
        let Self { mut schedules, changed, mut changes, .. } = self;
        changes.schedules =
            changed
                .into_iter()
                .filter_map(|(id, columns)| {
                    let known = schedules.remove(&id)?;
                    let declaration = known.declared.filter(|_| columns.declaration).map(|rule| {
                        Declaration { rule, args: known.args, format: known.format, priority: known.priority }
                    });
                    Some(ScheduleRow {
                        id,
                        declaration,
                        effective: known.effective.filter(|_| columns.effective),
                        anchor: known.anchor,
                        state: known.state?,
                        reason: known.reason,
                        missed_from: known.missed_from,
                    })
                })
                .collect();
        changes
    }

    /// Decides about a due run, and stores its successor unless the run has to wait.
    pub(crate) fn turn(&mut self, schedule: ScheduleId, id: CallId) -> Turn {
        if self.waiting(schedule, id).is_none() {
            return Turn::Gone;
        }
        let Some(known) = self.schedules.get(&schedule) else {
            return if self.missing.contains(&schedule) { Turn::Run } else { Turn::Taken };
        };
        let rule = known.effective.as_ref();
        if known.state.is_none() || (known.is_active() && rule.is_none()) {
            return Turn::Unreadable;
        }
        if self.waits(schedule, id) {
            return Turn::Wait;
        }
        let is_overlapped = self.is_overlapped(schedule, id);
        let may_overlap = rule.is_none_or(|rule| rule.overlap == Overlap::Allow);
        // The rule can be read but not evaluated: a cron expression, or a time zone, of a newer release.
        let Ok(advance) = self.succeed(schedule, id) else { return Turn::Unreadable };
        let turn = match advance {
            Some(Advance { run: false, .. }) => Turn::Skip(MISSED),
            Some(_) if is_overlapped && !may_overlap => Turn::Skip(STILL_RUNNING),
            // Also a run that was claimed before (given back, or run again): it has its successor already, and
            // whether it was missed was decided then.
            _ => Turn::Run,
        };
        let runs = self.runs.entry(schedule).or_default();
        match turn {
            Turn::Skip(_) => runs.retain(|run| run.id != id),
            _ => runs.iter_mut().filter(|run| run.id == id).for_each(|run| run.phase = Phase::Running),
        }
        turn
    }

    /// Returns whether a due run waits until another one of its schedule has ended.
    pub(crate) fn waits(&self, schedule: ScheduleId, id: CallId) -> bool {
        let rule = self.schedules.get(&schedule).and_then(|known| known.effective.as_ref());
        let waits = |run: Run| rule.is_some_and(|rule| waits_for_running(rule, self.is_last(schedule, &run)));
        self.is_overlapped(schedule, id) && self.waiting(schedule, id).is_some_and(waits)
    }

    /// Stores the successor of a run of an active schedule, unless it has one already; ends the schedule if its rule
    /// has no further run. On an error this release cannot evaluate the rule, and leaves the schedule alone.
    pub(crate) fn succeed(&mut self, schedule: ScheduleId, id: CallId) -> Result<Option<Advance>, RuleError> {
        let Some(run) = self.waiting(schedule, id) else { return Ok(None) };
        let Some(known) = self.schedules.get(&schedule) else { return Ok(None) };
        if !known.is_active() || !self.is_last(schedule, &run) {
            return Ok(None);
        }
        let Some(rule) = &known.effective else { return Ok(None) };
        let advance = rule.advance(known.anchor, run.due, self.now)?;
        self.follow(schedule, advance.next);
        Ok(Some(advance))
    }

    /// Puts a declaration in effect.
    ///
    /// If the declaration is unchanged, what is in effect stays, and a missing pending run is restored. Otherwise the
    /// pending run is replaced; it keeps its due time if the rule is unchanged, unless the schedule was paused. A
    /// revived schedule continues where it ended, unless it was ended by hand.
    pub(crate) fn declare(&mut self, new: &NewSchedule) -> Result<Declared, RuleError> {
        let Some(known) = self.schedules.values().find(|known| known.key == new.key) else {
            // It was not stored because its rule has no first run.
            return Err(new.rule.first(self.now).err().unwrap_or(RuleError::NoFurtherRun));
        };
        let (id, anchor) = (known.id, known.anchor);
        let unchanged = Declared { id, created: false, changed: false };
        if self.new.remove(&id) {
            self.follow(id, Some(anchor));
            return Ok(Declared { created: true, ..unchanged });
        }
        let Some(state) = known.state else { return Ok(unchanged) };
        let is_revived = state == ScheduleState::Ended;
        if !is_revived && known.is_declared_as(new) {
            self.restore(id);
            return Ok(unchanged);
        }
        let first = new.rule.first(self.now)?;
        let keeps_rhythm = known.effective.as_ref() == Some(&new.rule);
        let missed_from = known.missed_from;
        let pending = self.remove_pending(id);
        let due = if is_revived { missed_from } else { pending }.filter(|_| keeps_rhythm);
        if let Some(known) = self.schedules.get_mut(&id) {
            *known = Schedule {
                id,
                key: std::mem::take(&mut known.key),
                anchor: due.map_or(first, |_| anchor),
                ..Schedule::new(new, first)
            };
        }
        self.changed.insert(id, Columns { declaration: true, effective: true });
        self.follow(id, Some(due.unwrap_or(first)));
        Ok(Declared { id, created: is_revived, changed: !is_revived })
    }

    /// Ends a schedule that is no longer declared; returns whether it does. If it is declared again, it continues
    /// from the run that is pending now.
    pub(crate) fn end_undeclared(&mut self, schedule: ScheduleId) -> bool {
        if self.schedules.get(&schedule).is_none_or(|known| known.state.is_none()) {
            return false;
        }
        let pending = self.pending(schedule).map(|run| run.due).min();
        self.end(schedule, ScheduleState::Ended, UNDECLARED);
        if let Some(known) = self.schedules.get_mut(&schedule) {
            known.missed_from = pending;
        }
        self.cancel(schedule, SCHEDULE_UNDECLARED, |run| run.phase == Phase::Waiting);
        true
    }

    /// Applies an operator's change to a schedule. The declared rule stays.
    pub(crate) fn change(
        &mut self,
        schedule: ScheduleId,
        change: &ScheduleChange,
    ) -> Result<ScheduleChanged, RuleError> {
        let Some(known) = self.schedules.get(&schedule) else { return Ok(ScheduleChanged::Unknown) };
        let Some(state) = known.state else { return Ok(ScheduleChanged::Unreadable) };
        let is_so = match change {
            ScheduleChange::End { .. } => state == ScheduleState::Ended,
            _ if state == ScheduleState::Ended => return Ok(ScheduleChanged::Ended),
            ScheduleChange::Pause { .. } => state == ScheduleState::Paused,
            ScheduleChange::Resume => state == ScheduleState::Active,
            ScheduleChange::Edit(rule) => known.effective.as_ref() == Some(rule),
        };
        if is_so {
            return Ok(ScheduleChanged::Unchanged);
        }
        match change {
            ScheduleChange::Pause { reason } => self.stop(schedule, ScheduleState::Paused, reason),
            ScheduleChange::End { reason } => self.stop(schedule, ScheduleState::Ended, reason),
            ScheduleChange::Resume => self.resume(schedule),
            ScheduleChange::Edit(rule) => self.edit(schedule, rule)?,
        }
        Ok(ScheduleChanged::Changed)
    }

    /// Pauses or ends a schedule, and cancels its next run.
    fn stop(&mut self, schedule: ScheduleId, state: ScheduleState, reason: &str) {
        self.end(schedule, state, reason);
        self.cancel(schedule, stopped(state), Run::is_next);
    }

    fn resume(&mut self, schedule: ScheduleId) {
        if let Some(known) = self.schedules.get_mut(&schedule) {
            known.state = Some(ScheduleState::Active);
            known.reason = None;
            self.changed.entry(schedule).or_default();
            self.restore(schedule);
        }
    }

    /// Puts another rule in effect; the pending run of an active schedule is replaced.
    fn edit(&mut self, schedule: ScheduleId, rule: &Rule) -> Result<(), RuleError> {
        let first = rule.first(self.now)?;
        let Some(known) = self.schedules.get_mut(&schedule) else { return Ok(()) };
        known.effective = Some(rule.clone());
        known.anchor = first;
        let is_active = known.is_active();
        self.changed.entry(schedule).or_default().effective = true;
        if is_active {
            self.remove_pending(schedule);
            self.follow(schedule, Some(first));
        }
        Ok(())
    }

    /// Gives an active schedule that has no pending run its next one.
    fn restore(&mut self, schedule: ScheduleId) {
        let Some(known) = self.schedules.get(&schedule) else { return };
        if !known.is_active() || self.pending(schedule).next().is_some() {
            return;
        }
        // A rule of a newer release is left to its pods.
        let advance = known.effective.as_ref().map(|rule| rule.advance(known.anchor, self.now, self.now));
        if let Some(Ok(advance)) = advance {
            self.follow(schedule, advance.next);
        }
    }

    /// Stores the next run of a schedule, or ends the schedule if there is none.
    fn follow(&mut self, schedule: ScheduleId, next: Option<Moment>) {
        let Some(due) = next else {
            self.end(schedule, ScheduleState::Ended, NO_FURTHER_RUN);
            return;
        };
        let id = CallId::new();
        self.changes.stored.push(NewRun { id, schedule, due });
        let run = Run { id, due, phase: Phase::Waiting, has_successor: false };
        self.runs.entry(schedule).or_default().push(run);
    }

    fn end(&mut self, schedule: ScheduleId, state: ScheduleState, reason: &str) {
        if let Some(known) = self.schedules.get_mut(&schedule) {
            known.state = Some(state);
            known.reason = Some(reason.to_owned());
            self.changed.entry(schedule).or_default();
        }
    }

    /// Cancels some unclaimed runs of a schedule.
    fn cancel(&mut self, schedule: ScheduleId, reason: &'static str, which: impl Fn(&Run) -> bool) {
        let Some(runs) = self.runs.get_mut(&schedule) else { return };
        let ended = runs.extract_if(.., |run| which(run));
        self.changes.cancelled.extend(ended.map(|run| (run.id, reason)));
    }

    /// Removes the pending runs of a schedule; returns when the last of them was due.
    fn remove_pending(&mut self, schedule: ScheduleId) -> Option<Moment> {
        let runs = self.runs.get_mut(&schedule)?;
        let mut last = None;
        for run in runs.extract_if(.., |run| run.is_next()) {
            last = last.max(Some(run.due));
            // A run that was not yet stored needs no deletion.
            if self.changes.stored.extract_if(.., |stored| stored.id == run.id).next().is_none() {
                self.changes.removed.insert(run.id);
            }
        }
        last
    }

    fn pending(&self, schedule: ScheduleId) -> impl Iterator<Item = &Run> {
        self.runs.get(&schedule).into_iter().flatten().filter(|run| run.is_next())
    }

    fn waiting(&self, schedule: ScheduleId, id: CallId) -> Option<Run> {
        let mut runs = self.runs.get(&schedule)?.iter();
        runs.find(|run| run.id == id && run.phase == Phase::Waiting).copied()
    }

    /// Returns whether a run is the last of its schedule (by due time, then id), which alone needs a successor; a run
    /// that is run again never does.
    fn is_last(&self, schedule: ScheduleId, run: &Run) -> bool {
        let mut others = self.runs.get(&schedule).into_iter().flatten().filter(|other| !other.has_successor);
        !run.has_successor && !others.any(|other| (other.due, other.id) > (run.due, run.id))
    }

    fn is_overlapped(&self, schedule: ScheduleId, id: CallId) -> bool {
        let mut runs = self.runs.get(&schedule).into_iter().flatten();
        runs.any(|other| other.id != id && other.phase == Phase::Running)
    }
}
