//! Schedules and their runs as the policy sees them, and what a store has to write of them. (What holds arguments has no
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
    /// As the code declares it. `None`: a newer release wrote it, and this one cannot read it.
    pub(crate) declared: Option<Rule>,
    /// By which it runs. `None`, as above.
    pub(crate) effective: Option<Rule>,
    /// The moment of the rule's first run.
    pub(crate) anchor: Moment,
    /// `None`: of a newer release, which alone may change the schedule.
    pub(crate) state: Option<ScheduleState>,
    pub(crate) reason: Option<String>,
    /// The run that was pending when it ended because nobody declared it.
    pub(crate) missed_from: Option<Moment>,
}

/// A call of a schedule that is not over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) id: CallId,
    pub(crate) due: Moment,
    pub(crate) phase: Phase,
    /// It is run again after an attempt, or was triggered by hand: its successor is stored, and it is none of the
    /// schedule's next runs.
    pub(crate) has_successor: bool,
}

/// How far a run has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody has claimed it, or the claim that decides about it has.
    Waiting,
    /// A pod holds it, and its lease has not ended.
    Running,
    /// A pod holds it whose lease has ended.
    Abandoned,
}

/// A run that is to be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRun {
    pub(crate) id: CallId,
    pub(crate) schedule: ScheduleId,
    pub(crate) due: Moment,
}

/// What a store has to write.
#[derive(Default)]
pub(crate) struct Changes {
    /// Runs that are removed without a trace: others take their places.
    pub(crate) removed: BTreeSet<CallId>,
    /// Runs that end as cancelled, and why.
    pub(crate) cancelled: Vec<(CallId, &'static str)>,
    /// Runs that are stored.
    pub(crate) stored: Vec<NewRun>,
    /// Schedules whose rows change.
    pub(crate) schedules: Vec<ScheduleRow>,
}

impl Changes {
    /// When the first of the new runs is due.
    pub(crate) fn earliest(&self) -> Option<Moment> {
        self.stored.iter().map(|run| run.due).min()
    }
}

/// A schedule's row as it is to be.
pub(crate) struct ScheduleRow {
    pub(crate) id: ScheduleId,
    /// What the code declares now. `None`: as before.
    pub(crate) declaration: Option<Declaration>,
    /// The rule in effect. `None`: as before.
    pub(crate) effective: Option<Rule>,
    pub(crate) anchor: Moment,
    pub(crate) state: ScheduleState,
    pub(crate) reason: Option<String>,
    pub(crate) missed_from: Option<Moment>,
}

/// What code declares of a schedule.
#[derive(Clone)]
pub(crate) struct Declaration {
    pub(crate) rule: Rule,
    pub(crate) args: String,
    pub(crate) format: i16,
    pub(crate) priority: i16,
}

impl Schedule {
    /// A schedule that has just been declared for the first time.
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

    /// Whether the stored declaration says the same.
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
    /// Whether it is one of its schedule's next runs.
    pub(super) fn is_next(&self) -> bool {
        self.phase == Phase::Waiting && !self.has_successor
    }
}
