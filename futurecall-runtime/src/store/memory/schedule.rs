use std::time::Duration;

use super::rows::{Call, End, Pod, Schedule, State, refuse_nul};
use crate::args::is_same;
use crate::error::StoreError;
use crate::id::{CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::recurring::{Advance, Missed, Overlap, Rule, RuleError};
use crate::store::{
    CallState, Declared, LivePod, NewSchedule, Now, Retention, ScheduleOrigin, ScheduleState,
};

const DOING: &str = "declare schedules";

/// What is to happen to a due call of a schedule.
pub(super) enum Turn {
    /// It is claimed.
    Run,
    /// It waits for the run before it.
    Wait,
    /// It is recorded as skipped, for that reason.
    Skip(&'static str),
}

impl State {
    pub(super) fn declare(
        &mut self,
        now: Now,
        schedules: &[NewSchedule],
    ) -> Result<Vec<Declared>, StoreError> {
        let now = self.now(now);
        let firsts: Vec<_> = schedules.iter().map(|new| new.rule.first(now)).collect();
        for (at, new) in schedules.iter().enumerate() {
            let earlier = schedules.iter().take(at).rev().find(|earlier| earlier.key == new.key);
            self.check(new, earlier, firsts.get(at))?;
        }
        for new in schedules {
            self.rename(new);
        }
        // Where it is needed it was found to be a moment by the check above.
        let first = |at: usize| firsts.get(at).and_then(|first| first.as_ref().ok()).copied().unwrap_or(now);
        Ok(schedules.iter().enumerate().map(|(at, new)| self.declare_one(now, new, first(at))).collect())
    }

    pub(super) fn end_undeclared(&mut self, now: Now, live: &LivePod, grace: Duration) -> u64 {
        let now = self.now(now);
        let pods: Vec<_> = self.pods.values().collect();
        let is_live = |pod: &&&Pod| now.saturating_since(pod.beat) <= live.pod_live;
        let is_declared = |schedule: &Schedule| {
            let by = |schedules: &[String]| schedules.contains(&schedule.key);
            by(&live.schedules) || pods.iter().filter(is_live).any(|pod| by(&pod.said.schedules))
        };
        let is_known = |schedule: &Schedule| {
            let by = |names: &[String]| names.contains(&schedule.name);
            by(&live.names) || pods.iter().filter(is_live).any(|pod| by(&pod.said.names))
        };
        let is_forgotten = |schedule: &Schedule| {
            let by = pods.iter().filter(|pod| pod.said.names.contains(&schedule.name)).map(|pod| pod.beat);
            now.saturating_since(by.fold(schedule.known, Moment::max)) > grace
        };
        let ends = |schedule: &&Schedule| {
            schedule.origin == ScheduleOrigin::Attribute
                && schedule.state != ScheduleState::Ended
                && !is_declared(schedule)
                && (is_known(schedule) || schedule.state == ScheduleState::Active && is_forgotten(schedule))
        };
        let ended: Vec<_> = self.schedules.values().filter(ends).map(|schedule| schedule.id).collect();
        for id in &ended {
            let next = self.pending_of(*id).iter().map(|call| call.due).min();
            if let Some(schedule) = self.schedules.get_mut(id) {
                schedule.finish("no longer declared".to_owned());
                schedule.missed_from = next;
            }
            for call in self.unclaimed_of(*id) {
                let end = End::without_run(CallState::Cancelled, "its schedule is no longer declared");
                self.end(now, call.id, end, &Retention::default());
            }
        }
        ended.len() as u64
    }

    /// Forgets pods; what they knew is remembered with the schedules.
    pub(super) fn forget_pods(&mut self, is_gone: impl Fn(&PodId, &Pod) -> bool) {
        for (_, gone) in self.pods.extract_if(.., |id, pod| is_gone(id, pod)) {
            for schedule in self.schedules.values_mut() {
                if gone.said.names.contains(&schedule.name) {
                    schedule.known = schedule.known.max(gone.beat);
                }
            }
        }
    }

    /// Whether a due call may not be claimed before another run of its schedule has ended.
    pub(super) fn is_blocked(&self, now: Moment, call: &Call) -> bool {
        let Some(schedule) = call.schedule.and_then(|id| self.schedules.get(&id)) else { return false };
        let waits = schedule.effective.missed == Missed::RunAll || !self.is_last(call);
        waits && schedule.effective.overlap == Overlap::Skip && self.is_overlapped(now, call)
    }

    /// Decides about a due call, and stores its successor unless it is to wait.
    pub(super) fn turn(&mut self, now: Moment, call: &Call) -> Turn {
        if self.is_blocked(now, call) {
            return Turn::Wait;
        }
        let overlapped = self.is_overlapped(now, call);
        let overlap =
            call.schedule.and_then(|id| self.schedules.get(&id)).map(|schedule| schedule.effective.overlap);
        match self.succeed(now, call.id) {
            Some(Advance { run: false, .. }) => Turn::Skip("missed"),
            Some(_) if overlapped && overlap == Some(Overlap::Skip) => {
                Turn::Skip("the run before was still going")
            }
            // Also a call that was claimed before (released, or to be run again): it has its successor already, and
            // whether it was missed was decided then.
            _ => Turn::Run,
        }
    }

    /// Stores the successor of a call of an active schedule, unless it has one already; ends the schedule where its
    /// rule has no further moment.
    pub(super) fn succeed(&mut self, now: Moment, id: CallId) -> Option<Advance> {
        let call = self.call(id)?.clone();
        let schedule = self.schedules.get(&call.schedule?)?;
        if schedule.state != ScheduleState::Active || !self.is_last(&call) {
            return None;
        }
        let advance = schedule.effective.advance(schedule.anchor, call.due, now);
        let id = schedule.id;
        self.go_on(now, id, advance.as_ref().map(|advance| advance.next).map_err(Clone::clone));
        advance.ok()
    }

    /// Stores the next call of a schedule, or ends the schedule visibly.
    fn go_on(&mut self, now: Moment, id: ScheduleId, next: Result<Option<Moment>, RuleError>) {
        let Some(schedule) = self.schedules.get_mut(&id) else { return };
        match next {
            Ok(Some(due)) => {
                let call = schedule.call(now, due);
                self.put(call);
            }
            Ok(None) => schedule.finish("its rule has no further moment".to_owned()),
            Err(error) => schedule.finish(format!("its next moment cannot be told: {error}")),
        }
    }

    /// Of the calls of a schedule that are not over, only the last one (by due moment, then id) needs a successor; never
    /// one that is run again.
    fn is_last(&self, call: &Call) -> bool {
        let Some(schedule) = call.schedule else { return true };
        let mut others = self.calls_of(schedule).filter(|other| !other.is_again());
        !call.is_again() && !others.any(|other| (other.due, other.id) > (call.due, call.id))
    }

    fn is_overlapped(&self, now: Moment, call: &Call) -> bool {
        call.schedule
            .is_some_and(|id| self.calls_of(id).any(|other| other.id != call.id && other.is_running(now)))
    }

    /// A paused schedule produces calls again.
    pub(super) fn resume_schedule(&mut self, now: Moment, id: ScheduleId) {
        let Some(schedule) = self.schedules.get_mut(&id) else { return };
        schedule.state = ScheduleState::Active;
        schedule.reason = None;
        self.restore(now, id);
    }

    /// Puts a rule in effect; the declared one stays.
    pub(super) fn put_in_effect(&mut self, now: Moment, id: ScheduleId, rule: &Rule, first: Moment) {
        let Some(schedule) = self.schedules.get_mut(&id) else { return };
        schedule.effective = rule.clone();
        schedule.anchor = first;
        if schedule.state == ScheduleState::Active {
            for call in self.pending_of(id) {
                self.take(call.id);
            }
            self.go_on(now, id, Ok(Some(first)));
        }
    }

    fn unclaimed_of(&self, id: ScheduleId) -> Vec<Call> {
        self.calls_of(id).filter(|call| call.held.is_none()).cloned().collect()
    }

    /// Without the runs that are to be run again: a schedule's next run is another.
    pub(super) fn pending_of(&self, id: ScheduleId) -> Vec<Call> {
        self.calls_of(id).filter(|call| call.held.is_none() && !call.is_again()).cloned().collect()
    }

    /// Refuses what cannot be declared, before anything is changed.
    fn check(
        &self,
        new: &NewSchedule,
        earlier: Option<&NewSchedule>,
        first: Option<&Result<Moment, RuleError>>,
    ) -> Result<(), StoreError> {
        let texts = [Some(&new.key), Some(&new.name), new.identifier.as_ref(), Some(&new.args)];
        refuse_nul(DOING, texts.into_iter().flatten().map(String::as_str))?;
        let known = self.schedules.values().find(|known| known.key == new.key);
        let goes_on = match earlier {
            Some(earlier) => is_alike(new, &earlier.rule, &earlier.args, earlier.format, earlier.priority),
            None => known.is_some_and(|known| {
                known.state != ScheduleState::Ended
                    && is_alike(new, &known.declared, &known.args, known.format, known.priority)
            }),
        };
        match first {
            Some(Err(error)) if !goes_on => Err(StoreError::refused(DOING, error.clone())),
            _ => Ok(()),
        }
    }

    /// The call has a new name: its schedule goes on under it.
    fn rename(&mut self, new: &NewSchedule) {
        if self.schedules.values().any(|known| known.key == new.key) {
            return;
        }
        let former = self.schedules.values_mut().filter(|known| new.former_keys.contains(&known.key));
        let Some(renamed) = former.max_by_key(|known| (known.created, known.id)) else { return };
        new.key.clone_into(&mut renamed.key);
        new.name.clone_into(&mut renamed.name);
        let id = renamed.id;
        for mut call in self.unclaimed_of(id) {
            self.take(call.id);
            new.name.clone_into(&mut call.name);
            self.put(call);
        }
    }

    fn declare_one(&mut self, now: Moment, new: &NewSchedule, first: Moment) -> Declared {
        let Some(known) = self.schedules.values_mut().find(|known| known.key == new.key) else {
            return self.create(now, new, first);
        };
        known.origin = new.origin;
        let id = known.id;
        let alike = is_alike(new, &known.declared, &known.args, known.format, known.priority);
        let revived = known.state == ScheduleState::Ended;
        if alike && !revived {
            self.restore(now, id);
            return Declared { id, created: false, changed: false };
        }
        // New arguments or a new priority alone leave the rhythm as it is, unless it was paused. One that is revived
        // goes on where it ended, unless somebody has ended it.
        let keeps_rhythm = known.effective == new.rule;
        let missed_from = known.missed_from.filter(|_| revived);
        known.take(new);
        known.known = now;
        let pending = self.pending_of(id);
        let due = if revived { missed_from } else { pending.iter().map(|call| call.due).max() };
        let due = due.filter(|_| keeps_rhythm);
        if let (None, Some(known)) = (due, self.schedules.get_mut(&id)) {
            known.anchor = first;
        }
        let due = due.unwrap_or(first);
        for call in pending {
            self.take(call.id);
        }
        self.go_on(now, id, Ok(Some(due)));
        Declared { id, created: revived, changed: !revived }
    }

    fn create(&mut self, now: Moment, new: &NewSchedule, first: Moment) -> Declared {
        let schedule = Schedule {
            id: new.id,
            key: new.key.clone(),
            name: new.name.clone(),
            identifier: new.identifier.clone(),
            args: new.args.clone(),
            format: new.format,
            priority: new.priority,
            declared: new.rule.clone(),
            effective: new.rule.clone(),
            anchor: first,
            origin: new.origin,
            state: ScheduleState::Active,
            reason: None,
            known: now,
            missed_from: None,
            created: now,
        };
        self.put(schedule.call(now, first));
        self.schedules.insert(new.id, schedule);
        Declared { id: new.id, created: true, changed: false }
    }

    /// Gives an active schedule that has no pending call its next one.
    fn restore(&mut self, now: Moment, id: ScheduleId) {
        let Some(schedule) = self.schedules.get(&id) else { return };
        if schedule.state == ScheduleState::Active && self.pending_of(id).is_empty() {
            let next = schedule.effective.advance(schedule.anchor, now, now).map(|advance| advance.next);
            self.go_on(now, id, next);
        }
    }
}

impl Schedule {
    /// A new call of this schedule.
    pub(super) fn call(&self, now: Moment, due: Moment) -> Call {
        Call {
            id: CallId::new(),
            name: self.name.clone(),
            priority: self.priority,
            due,
            first_due: None,
            expires: None,
            identifier: self.identifier.clone(),
            args: self.args.clone(),
            format: self.format,
            schedule: Some(self.id),
            rerun_of: None,
            traceparent: None,
            created: now,
            attempt: 0,
            past: Vec::new(),
            failures: 0,
            vanished: 0,
            error: None,
            declined: std::collections::BTreeSet::new(),
            held: None,
        }
    }

    fn take(&mut self, new: &NewSchedule) {
        self.declared = new.rule.clone();
        self.effective = new.rule.clone();
        self.args.clone_from(&new.args);
        self.format = new.format;
        self.priority = new.priority;
        self.state = ScheduleState::Active;
        self.reason = None;
        self.missed_from = None;
    }

    fn finish(&mut self, reason: String) {
        self.state = ScheduleState::Ended;
        self.reason = Some(reason);
    }
}

fn is_alike(new: &NewSchedule, declared: &Rule, args: &str, format: i16, priority: i16) -> bool {
    new.rule == *declared && is_same(&new.args, args) && new.format == format && new.priority == priority
}
