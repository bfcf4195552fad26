//! The lines of the trace.

use std::collections::BTreeMap;

use futurecall_model::line::{Fate, Successor, What};
use futurecall_model::state::End;
use futurecall_runtime::store::prelude::*;
use futurecall_runtime::store::{
    CallFilter, CallRecord, CallState, CancelTarget, ClaimedCall, Finish, Held, NewCall, NewSchedule,
    Renewed, Rescued, ScheduleState,
};
use futurecall_runtime::{CallId, PodId, ScheduleId};

use crate::simulation::handlers;

use super::{Holder, Server, done, ending, number_of, of};

/// Runs of schedules that were just stored or skipped.
pub(super) struct Fresh {
    stored: BTreeMap<ScheduleId, Successor>,
    skipped: Vec<(CallId, Option<Successor>)>,
}

impl Fresh {
    pub(super) fn of(&self, schedule: Option<ScheduleId>) -> Option<Successor> {
        self.stored.get(&schedule?).cloned()
    }
}

impl Server {
    pub(super) fn stored(&self, call: &NewCall) {
        let Some(record) = self.record(call.id) else { return };
        if self.world.shared().calls.contains_key(&call.id) {
            self.world.violated(format!("{} was stored twice", self.world.name(call.id)));
        }
        let name = self.world.shared().name_new(call.id);
        let attempts = if call.name == handlers::RETRY { handlers::ATTEMPTS } else { 1 };
        let reruns = self.world.settings.reruns();
        self.world.write(What::Stored { call: name, due: of(record.due), attempts, reruns });
        self.limited(call.id);
    }

    /// Records until when a call may start, if it has a limit.
    pub(super) fn limited(&self, id: CallId) {
        if let Some(expires) = self.record(id).and_then(|record| record.expires) {
            self.world.write(What::Limited { call: self.world.name(id), expires: of(expires) });
        }
    }

    /// Records a call that repeats a finished one.
    pub(super) fn ran_again(&self, old: CallId, id: CallId) {
        let Some(record) = self.record(id) else { return };
        let of_name = self.world.name(old);
        let call = self.world.shared().name_new(id);
        self.world.write(What::RanAgain { of: of_name, call, due: of(record.due) });
    }

    pub(super) fn pruned(&self, id: CallId) {
        let mut shared = self.world.shared();
        shared.pruned.push(id);
        shared.counts.pruned += 1;
        drop(shared);
        self.world.write(What::Pruned { call: self.world.name(id) });
    }

    pub(super) fn declared(&self, id: ScheduleId, new: &NewSchedule) {
        let record = self.runs_of(id).into_iter().next();
        let Some(record) = record else { return };
        let mut shared = self.world.shared();
        let schedule = format!("s{}", shared.schedules.len());
        shared.schedules.insert(id, schedule.clone());
        let call = shared.name_new(record.id);
        drop(shared);
        let next = new.rule.advance(record.due, record.due, record.due).ok().and_then(|advance| advance.next);
        let interval = next.map_or(0, |next| of(next) - of(record.due));
        let (due, reruns) = (of(record.due), self.world.settings.reruns());
        self.world.write(What::Declared { schedule, call, due, interval, reruns });
    }

    pub(super) fn claimed(&self, pod: PodId, call: &ClaimedCall, sent: u64, successor: Option<Successor>) {
        let since = self.world.now();
        let holder = Holder { pod: self.pod.clone(), id: pod, number: call.claim_no, since };
        self.world.shared().claims.insert(call.id, holder);
        self.world.write(What::Claimed {
            pod: self.pod.clone(),
            call: self.world.name(call.id),
            number: number_of(call.claim_no),
            attempt: u8::try_from(call.attempt).unwrap_or(u8::MAX),
            sent,
            successor,
        });
    }

    pub(super) fn finished(&self, finish: &Finish, fate: Fate) {
        let mut shared = self.world.shared();
        match fate {
            Fate::Over(end) => {
                shared.counts.expired += u64::from(end == End::Expired);
                shared.claims.remove(&finish.id);
            }
            Fate::Again(_) => drop(shared.claims.remove(&finish.id)),
            Fate::Refused => shared.counts.refusals += 1,
            Fate::Known => {}
        }
        drop(shared);
        self.world.write(What::Finished {
            pod: self.pod.clone(),
            call: self.world.name(finish.id),
            number: number_of(finish.claim_no),
            outcome: ending(&finish.outcome),
            fate,
        });
    }

    /// Records that the reply to a renewal has reached the pod.
    pub(crate) fn heard(&self, held: &[Held], renewed: &[Renewed]) {
        for (one, _) in held.iter().zip(renewed).filter(|(_, renewed)| renewed.cancelled) {
            let (pod, call) = (self.pod.clone(), self.world.name(one.id));
            self.world.write(What::Heard { pod, call, number: number_of(one.claim_no) });
        }
    }

    pub(super) fn released(&self, held: &Held, fate: Fate) {
        if fate != Fate::Refused {
            self.world.shared().claims.remove(&held.id);
        }
        self.world.write(What::Released {
            pod: self.pod.clone(),
            call: self.world.name(held.id),
            number: number_of(held.claim_no),
            fate,
        });
    }

    /// Records that a pod has vanished, or seems to have: a fault must have affected it.
    pub(super) fn rescued(&self, rescued: &Rescued) {
        let name = self.world.name(rescued.id);
        let holder = self.world.shared().claims.remove(&rescued.id);
        self.world.shared().counts.rescues += 1;
        let pod = holder.as_ref().map(|holder| holder.pod.clone());
        if let Some(holder) = holder
            && !self.world.was_troubled(&holder.pod, holder.since)
        {
            self.world.violated(format!(
                "{name} was taken from {}, which nothing had befallen since it was claimed",
                holder.pod
            ));
        }
        if let Some(pod) = pod.filter(|pod| self.world.runs_on(pod, rescued.id)) {
            self.world.violated(format!("{name} was taken from {pod}, where its handler still runs"));
        }
        let fate = self.fate(rescued.id);
        self.world.write(What::Rescued { call: name, fate });
    }

    /// Returns the result for a call, by its row.
    pub(super) fn fate(&self, id: CallId) -> Fate {
        let Some(record) = self.record(id) else { return Fate::Refused };
        match record.state {
            CallState::Succeeded => Fate::Over(End::Succeeded),
            CallState::Interrupted => Fate::Over(End::Interrupted),
            CallState::Cancelled => Fate::Over(End::Cancelled),
            CallState::Skipped => Fate::Over(End::Skipped),
            CallState::Expired => Fate::Over(End::Expired),
            CallState::Scheduled => Fate::Again(of(record.due)),
            CallState::Running => Fate::Refused,
            _ => Fate::Over(End::Failed),
        }
    }

    /// Returns what a cancellation is about to find.
    pub(super) fn targets(&self, target: &CancelTarget) -> Vec<CallRecord> {
        match target {
            CancelTarget::Call(id) => self.record(*id).into_iter().collect(),
            CancelTarget::Calls(ids) => ids.iter().filter_map(|id| self.record(*id)).collect(),
            CancelTarget::Identifier(identifier) => {
                let mut all = self.list(CallFilter::new().identifier(identifier));
                all.retain(|record| matches!(record.state, CallState::Scheduled | CallState::Running));
                all
            }
        }
    }

    pub(super) fn note_ended_schedules(&self) {
        for record in self.schedules().unwrap_or_default() {
            let is_over = record.state == ScheduleState::Ended;
            let ended = if is_over { self.world.shared().schedules.remove(&record.id) } else { None };
            if let Some(schedule) = ended {
                self.world.write(What::Ended { schedule });
            }
        }
    }

    /// Finds the runs of schedules that the last statement stored or skipped.
    pub(super) fn fresh_runs(&self) -> Fresh {
        let schedules: Vec<_> = self.world.shared().schedules.keys().copied().collect();
        let mut fresh = Fresh { stored: BTreeMap::new(), skipped: Vec::new() };
        for schedule in schedules {
            let (mut next, mut skipped) = (None, Vec::new());
            for record in self.runs_of(schedule) {
                let mut shared = self.world.shared();
                if !shared.calls.contains_key(&record.id) {
                    let call = shared.name_new(record.id);
                    next = Some(Successor { call, due: of(record.due) });
                }
                if record.state == CallState::Skipped && !shared.skipped.contains(&record.id) {
                    shared.skipped.push(record.id);
                    skipped.push(record.id);
                }
            }
            fresh.skipped.extend(skipped.into_iter().map(|id| (id, next.take())));
            fresh.stored.extend(next.map(|next| (schedule, next)));
        }
        fresh
    }

    /// Runs are skipped because another is running, which may have been claimed by the same statement: they come after.
    pub(super) fn skipped(&self, fresh: Fresh) {
        for (id, successor) in fresh.skipped {
            self.world.write(What::Skipped { call: self.world.name(id), successor });
        }
    }

    fn runs_of(&self, schedule: ScheduleId) -> Vec<CallRecord> {
        self.list(CallFilter::new().schedule(schedule))
    }

    fn list(&self, filter: CallFilter) -> Vec<CallRecord> {
        let page = done(self.inner.calls(self.now(), &filter.limit(10_000)));
        page.map(|page| page.calls).unwrap_or_default()
    }
}
