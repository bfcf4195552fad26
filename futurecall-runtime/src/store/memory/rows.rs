//! The tables: rows, and the few ways in which they change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock;
use crate::error::StoreError;
use crate::id::{ActionId, CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::recurring::Rule;
use crate::shape::Shapes;
use crate::store::{
    ATTEMPTS_KEPT, ActionRecord, AttemptRecord, CallState, Now, OnVanish, PausedName, PodBeat, Result,
    Retention, RunLog, ScheduleOrigin, ScheduleState, Span, Statistics,
};

/// Everything the store holds.
#[derive(Default)]
pub(super) struct State {
    /// Where the clock stands; `None`: it is the machine's.
    pub(super) clock: Option<Moment>,
    /// What is scheduled or running; nothing finished.
    calls: BTreeMap<CallId, Call>,
    /// The unclaimed ones, by name and priority: the lanes, each in the order in which it is claimed.
    pub(super) waiting: BTreeMap<String, BTreeMap<i16, BTreeSet<(Moment, CallId)>>>,
    /// Which calls belong to which schedule.
    of_schedule: BTreeMap<ScheduleId, BTreeSet<CallId>>,
    /// What is over.
    pub(super) finished: BTreeMap<CallId, Finished>,
    pub(super) schedules: BTreeMap<ScheduleId, Schedule>,
    pub(super) pods: BTreeMap<PodId, Pod>,
    /// What pods have said of their shapes, by the hash of all of them, and when last.
    pub(super) shapes: BTreeMap<i64, (Shapes, Moment)>,
    pub(super) logs: BTreeMap<(CallId, u32), RunLog>,
    pub(super) paused: BTreeMap<String, PausedName>,
    /// Until when calls may have ended without a row in the history.
    pub(super) gap_until: Option<Moment>,
    pub(super) actions: BTreeMap<ActionId, ActionRecord>,
    /// By minute, name and pod.
    pub(super) statistics: BTreeMap<(Span, Moment, String, PodId), Statistics>,
}

/// A call that is scheduled or running.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) name: String,
    pub(super) priority: i16,
    /// Of its next attempt, or of the one that runs.
    pub(super) due: Moment,
    /// Of its first attempt, once it has been made due again.
    pub(super) first_due: Option<Moment>,
    pub(super) expires: Option<Moment>,
    pub(super) identifier: Option<String>,
    pub(super) args: String,
    pub(super) format: i16,
    pub(super) schedule: Option<ScheduleId>,
    pub(super) rerun_of: Option<CallId>,
    pub(super) traceparent: Option<String>,
    pub(super) created: Moment,
    pub(super) attempt: u32,
    /// Of its attempts: those that ended, and are not the last.
    pub(super) past: Vec<PastAttempt>,
    pub(super) failures: u32,
    /// How many of its pods have vanished.
    pub(super) vanished: u32,
    pub(super) error: Option<String>,
    /// The shapes under which pods could not read its arguments.
    pub(super) declined: BTreeSet<i64>,
    pub(super) held: Option<HeldBy>,
}

/// An attempt that ended, after which the call is run again.
#[derive(Clone)]
pub(super) struct PastAttempt {
    pub(super) record: AttemptRecord,
    pub(super) claim_no: i64,
}

/// Who has claimed a call.
#[derive(Clone, Copy)]
pub(super) struct HeldBy {
    pub(super) pod: PodId,
    pub(super) claim_no: i64,
    pub(super) claimed: Moment,
    pub(super) lease_until: Moment,
    pub(super) on_vanish: OnVanish,
    pub(super) started: bool,
    pub(super) cancel_requested: bool,
}

/// A call that is over. `call.held` says who held it last.
pub(super) struct Finished {
    pub(super) call: Call,
    pub(super) state: CallState,
    pub(super) started: Option<Moment>,
    pub(super) duration: Option<Duration>,
    pub(super) at: Moment,
}

/// A recurring rule.
pub(super) struct Schedule {
    pub(super) id: ScheduleId,
    pub(super) key: String,
    pub(super) name: String,
    pub(super) identifier: Option<String>,
    pub(super) args: String,
    pub(super) format: i16,
    pub(super) priority: i16,
    pub(super) declared: Rule,
    pub(super) effective: Rule,
    /// The first run's moment: interval boundaries are anchor + n * interval, without drift.
    pub(super) anchor: Moment,
    pub(super) origin: ScheduleOrigin,
    pub(super) state: ScheduleState,
    pub(super) reason: Option<String>,
    /// When its call was last known: when it was declared, or the last heartbeat of a pod that has left and knew it.
    pub(super) known: Moment,
    /// The run that was pending when it ended because nobody declared it.
    pub(super) missed_from: Option<Moment>,
    pub(super) created: Moment,
}

/// A pod's last heartbeat.
pub(super) struct Pod {
    pub(super) said: PodBeat,
    pub(super) started: Moment,
    pub(super) beat: Moment,
}

/// How a call ended.
pub(super) struct End {
    pub(super) state: CallState,
    pub(super) error: Option<String>,
    pub(super) started: Option<Moment>,
    pub(super) duration: Option<Duration>,
}

impl End {
    /// The end of a call without a run.
    pub(super) fn without_run(state: CallState, error: &str) -> Self {
        Self { state, error: Some(error.to_owned()), started: None, duration: None }
    }
}

impl Call {
    /// A call that has just been stored, and has nothing that not every call has.
    pub(super) fn new(
        id: CallId,
        name: &str,
        priority: i16,
        due: Moment,
        (args, format): (&str, i16),
        created: Moment,
    ) -> Self {
        Self {
            id,
            name: name.to_owned(),
            priority,
            due,
            first_due: None,
            expires: None,
            identifier: None,
            args: args.to_owned(),
            format,
            schedule: None,
            rerun_of: None,
            traceparent: None,
            created,
            attempt: 0,
            past: Vec::new(),
            failures: 0,
            vanished: 0,
            error: None,
            declined: BTreeSet::new(),
            held: None,
        }
    }

    /// Whether exactly this claim holds the call.
    pub(super) fn is_held_by(&self, pod: PodId, claim_no: i64) -> bool {
        self.held.is_some_and(|held| held.pod == pod && held.claim_no == claim_no)
    }

    /// Whether it has been made due again after an attempt. If it is a run of a schedule, its successor is stored.
    pub(super) fn is_again(&self) -> bool {
        self.first_due.is_some()
    }

    /// Makes a claimed call due again; its attempt goes on record.
    pub(super) fn again(&mut self, due: Moment, end: &End, now: Moment) {
        let Some(held) = self.held.take() else { return };
        let record = AttemptRecord {
            number: self.attempt,
            pod: Some(held.pod),
            started: end.started,
            duration: end.duration,
            ended: Some(now),
            outcome: end.state,
            error: end.error.clone(),
        };
        if self.past.len() >= ATTEMPTS_KEPT {
            self.past.remove(0);
        }
        self.past.push(PastAttempt { record, claim_no: held.claim_no });
        self.first_due.get_or_insert(self.due);
        self.due = due;
        self.error.clone_from(&end.error);
    }

    /// Whether a pod holds it whose lease has not ended.
    pub(super) fn is_running(&self, now: Moment) -> bool {
        self.held.is_some_and(|held| held.lease_until >= now)
    }
}

impl State {
    pub(super) fn now(&self, now: Now) -> Moment {
        match now {
            Now::At(moment) => moment,
            Now::Database => self.clock.unwrap_or_else(clock::wall),
        }
    }

    pub(super) fn call(&self, id: CallId) -> Option<&Call> {
        self.calls.get(&id)
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.values()
    }

    /// The calls of a schedule that are not over.
    pub(super) fn calls_of(&self, schedule: ScheduleId) -> impl Iterator<Item = &Call> {
        self.of_schedule.get(&schedule).into_iter().flatten().filter_map(|id| self.call(*id))
    }

    /// Stores a call, or a changed one again.
    pub(super) fn put(&mut self, call: Call) {
        self.take(call.id);
        if call.held.is_none() {
            let lanes = self.waiting.entry(call.name.clone()).or_default();
            lanes.entry(call.priority).or_default().insert((call.due, call.id));
        }
        if let Some(schedule) = call.schedule {
            self.of_schedule.entry(schedule).or_default().insert(call.id);
        }
        self.calls.insert(call.id, call);
    }

    /// Removes a call, to change it or to end it.
    pub(super) fn take(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        if let Some(schedule) = call.schedule
            && let Some(calls) = self.of_schedule.get_mut(&schedule)
        {
            calls.remove(&id);
            if calls.is_empty() {
                self.of_schedule.remove(&schedule);
            }
        }
        if let Some(lanes) = self.waiting.get_mut(&call.name) {
            if let Some(lane) = lanes.get_mut(&call.priority) {
                lane.remove(&(call.due, call.id));
                if lane.is_empty() {
                    lanes.remove(&call.priority);
                }
            }
            if lanes.is_empty() {
                self.waiting.remove(&call.name);
            }
        }
        Some(call)
    }

    /// Changes the claim of a call in place; claimed calls stand in no lane.
    pub(super) fn held_mut(&mut self, id: CallId) -> Option<&mut HeldBy> {
        self.calls.get_mut(&id)?.held.as_mut()
    }

    /// Moves a call to the history, unless outcomes of that kind are not kept.
    pub(super) fn end(&mut self, now: Moment, id: CallId, end: End, retention: &Retention) {
        let Some(mut call) = self.take(id) else { return };
        if retention.of(end.state).is_zero() {
            return;
        }
        call.error = end.error;
        let finished =
            Finished { call, state: end.state, started: end.started, duration: end.duration, at: now };
        self.finished.insert(id, finished);
    }
}

/// PostgreSQL holds no NUL in a text; so no store does.
pub(super) fn refuse_nul<'a>(doing: &'static str, texts: impl IntoIterator<Item = &'a str>) -> Result<()> {
    if texts.into_iter().any(|text| text.contains('\0')) {
        return Err(StoreError::refused(doing, "a text holds a NUL character, which databases cannot store"));
    }
    Ok(())
}
