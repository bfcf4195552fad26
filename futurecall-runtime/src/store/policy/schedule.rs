//! The schedules and runs that the policy reads, and the changes that a store writes. (Types with arguments have no
//! `Debug`.)

use std::collections::BTreeSet;

use crate::args::is_same;
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::recurring::Rule;
use crate::store::{NewSchedule, ScheduleState};

/// A schedule as it is stored.
#[derive(Clone)]
pub(crate) struct Schedule {
    pub(crate) id: ScheduleId,
    pub(crate) key: String,
    pub(crate) args: String,
    pub(crate) format: i16,
    pub(crate) priority: i16,
    /// The declared rule. `None` if a newer release wrote it, and this one cannot read it.
    pub(crate) declared: Option<Rule>,
    /// The rule in effect. `None` for the same reason.
    pub(crate) effective: Option<Rule>,
    /// The time of the rule's first run.
    pub(crate) anchor: Moment,
    /// `None` if a newer release wrote it, which alone may change the schedule.
    pub(crate) state: Option<ScheduleState>,
    pub(crate) reason: Option<String>,
    /// The due time of the run that was pending when the schedule ended because it was no longer declared.
    pub(crate) missed_from: Option<Moment>,
}

/// A pending or running call of a schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) id: CallId,
    pub(crate) due: Moment,
    pub(crate) phase: Phase,
    /// Whether its successor is already stored, because it is run again after an attempt or was triggered by hand.
    /// Then it does not count as the schedule's next run.
    pub(crate) has_successor: bool,
}

/// The phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not claimed, or being claimed by the claim that decides about it.
    Waiting,
    /// Claimed by a pod under a lease that has not expired.
    Running,
    /// Claimed by a pod whose lease has expired.
    Abandoned,
}

/// A new run to be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRun {
    pub(crate) id: CallId,
    pub(crate) schedule: ScheduleId,
    pub(crate) due: Moment,
}

/// The changes that a store has to write.
#[derive(Default)]
pub(crate) struct Changes {
    /// Runs that are deleted without a history row, because others replace them.
    pub(crate) removed: BTreeSet<CallId>,
    /// Runs that end as cancelled, with the reason.
    pub(crate) cancelled: Vec<(CallId, &'static str)>,
    /// New runs.
    pub(crate) stored: Vec<NewRun>,
    /// Schedules whose rows change.
    pub(crate) schedules: Vec<ScheduleRow>,
}

impl Changes {
    /// Returns when the first of the new runs is due.
    pub(crate) fn earliest(&self) -> Option<Moment> {
        self.stored.iter().map(|run| run.due).min()
    }
}

/// The new row of a schedule.
pub(crate) struct ScheduleRow {
    pub(crate) id: ScheduleId,
    /// The new declaration; `None` if it is unchanged.
    pub(crate) declaration: Option<Declaration>,
    /// The new rule in effect; `None` if it is unchanged.
    pub(crate) effective: Option<Rule>,
    pub(crate) anchor: Moment,
    pub(crate) state: ScheduleState,
    pub(crate) reason: Option<String>,
    pub(crate) missed_from: Option<Moment>,
}

/// The part of a schedule that code declares.
#[derive(Clone)]
pub(crate) struct Declaration {
    pub(crate) rule: Rule,
    pub(crate) args: String,
    pub(crate) format: i16,
    pub(crate) priority: i16,
}

impl Schedule {
    /// Creates a schedule that is declared for the first time.
    pub(crate) fn new(new: &NewSchedule, first: Moment) -> Self {
        Self {
            id: new.id,
            key: new.key.clone(),
            args: new.args.clone(),
            format: new.format,
            priority: new.priority,
            declared: Some(new.rule.clone()),
            effective: Some(new.rule.clone()),
            anchor: first,
            state: Some(ScheduleState::Active),
            reason: None,
            missed_from: None,
        }
    }

    /// Returns whether the stored declaration is the same.
    pub(super) fn is_declared_as(&self, new: &NewSchedule) -> bool {
        self.declared.as_ref() == Some(&new.rule)
            && is_same(&self.args, &new.args)
            && self.format == new.format
            && self.priority == new.priority
    }

    pub(super) fn is_active(&self) -> bool {
        self.state == Some(ScheduleState::Active)
    }
}

impl Run {
    /// Returns whether it counts as its schedule's next run.
    pub(super) fn is_next(&self) -> bool {
        self.phase == Phase::Waiting && !self.has_successor
    }
}
