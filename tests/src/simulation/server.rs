//! The database of a simulation: a memory store with the simulation's clock, which writes a trace of every commit.

mod broken;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use futurecall_model::line::{Fate, Found, What};
use futurecall_model::state::{End, Outcome as Ending};
use futurecall_runtime::operate::ActionId;
use futurecall_runtime::store::prelude::*;
use futurecall_runtime::store::{
    ActionFilter, ActionRecord, Backlog, CallFilter, CallPage, CallRecord, CallState, CancelTarget,
    Cancelled, Claim, ClaimRequest, ClaimedCall, Completed, Counts, DatabaseSetting, Declared, Due, Finish,
    Finished, Held, Inserted, KeysLook, Lease, LivePod, MemoryStore, MigrationRecord, NewAction, NewCall,
    NewLog, NewSchedule, Now, Outcome, PausedName, PendingKeys, PendingName, PodBeat, PodRecord, Renewed,
    Rescheduled, Rescued, Retention, RunAgain, RunLog, ScheduleChange, ScheduleChanged, ScheduleRecord, Span,
    Statistics, TimelineCount,
};
use futurecall_runtime::{CallId, Moment, PodId, ScheduleId, StoreError};
use futures_util::FutureExt;

use super::mutants::Mutant;
use super::world::{Holder, World, of};

/// One pod's connection to it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) world: Arc<World>,
    pub(crate) pod: String,
    inner: Arc<MemoryStore>,
}

impl Server {
    pub(crate) fn new(world: Arc<World>, inner: MemoryStore, pod: String) -> Self {
        Self { world, pod, inner: Arc::new(inner) }
    }

    pub(crate) async fn changed(&self) {
        self.inner.changed().await;
    }

    pub(crate) fn insert(
        &self,
        calls: &[NewCall],
        again: bool,
        soon: Duration,
    ) -> Result<Vec<Inserted>, StoreError> {
        if self.errs(Mutant::LoseCalls) && self.rolls(20) {
            return Ok(calls.iter().map(|_| Inserted::Stored).collect());
        }
        let again = again && !self.errs(Mutant::InsertAgainBlindly);
        let known: Vec<bool> = calls.iter().map(|call| self.record(call.id).is_some_and(is_live)).collect();
        let inserted = done(self.inner.insert(self.now(), calls, again, soon))?;
        for ((call, was_known), inserted) in calls.iter().zip(known).zip(&inserted) {
            if *inserted == Inserted::Stored && !was_known && self.record(call.id).is_some_and(is_live) {
                self.stored(call);
            }
        }
        Ok(inserted)
    }

    pub(crate) fn insert_claimed(
        &self,
        call: &NewCall,
        request: &ClaimRequest,
        sent: u64,
    ) -> Result<Option<ClaimedCall>, StoreError> {
        let request = self.request(request);
        let mut claimed = done(self.inner.insert_claimed(self.now(), call, &request))?;
        if let Some(claimed) = &mut claimed {
            self.world.shared().counts.at_once += 1;
            self.stored(call);
            self.claimed(request.pod, claimed, sent, None);
            if self.errs(Mutant::ForgetExpiry) {
                claimed.expires = None;
            }
            if self.errs(Mutant::ForgetClaims) {
                self.forget(request.pod, std::slice::from_ref(claimed));
            }
        }
        Ok(claimed)
    }

    /// Returns whether a call of that id was ever stored, by the trace.
    pub(crate) fn was_stored(&self, id: CallId) -> bool {
        self.world.shared().calls.contains_key(&id)
    }

    pub(crate) fn cancel(
        &self,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled, StoreError> {
        let targets = self.targets(target);
        let cancelled = done(self.inner.cancel(self.now(), target, retention))?;
        self.note_ended_schedules();
        let fresh = self.fresh_runs();
        for record in targets {
            let found = found(&record);
            let successor = fresh.of(record.schedule);
            self.world.write(What::Cancelled { call: self.world.name(record.id), found, successor });
        }
        if self.errs(Mutant::CancelClaimedAsWaiting) {
            return Ok(Cancelled::new(cancelled.calls + cancelled.running, cancelled.schedules, 0));
        }
        Ok(cancelled)
    }

    pub(crate) fn reschedule(
        &self,
        target: &CancelTarget,
        due: Due,
        soon: Duration,
    ) -> Result<Rescheduled, StoreError> {
        let targets = self.targets(target);
        let moved = done(self.inner.reschedule(self.now(), target, due, soon))?;
        for record in targets {
            let found = found(&record);
            let to = self.record(record.id).map_or(0, |record| of(record.due));
            self.world.write(What::Moved { call: self.world.name(record.id), to, found });
            self.limited(record.id);
        }
        Ok(moved)
    }

    pub(crate) fn run_again(&self, old: CallId, id: CallId, again: bool) -> Result<RunAgain, StoreError> {
        let id = if again && self.errs(Mutant::RunAgainAnew) { CallId::new() } else { id };
        let was_known = self.record(id).is_some();
        let result = done(self.inner.run_again(self.now(), old, id, again))?;
        if !was_known {
            self.ran_again(old, id);
        }
        Ok(result)
    }

    pub(crate) fn completed(&self, pod: PodId, id: CallId, claim_no: i64) -> Result<Completed, StoreError> {
        done(self.inner.completed(pod, id, claim_no))
    }

    pub(crate) fn declare(&self, schedules: &[NewSchedule]) -> Result<Vec<Declared>, StoreError> {
        let declared = done(self.inner.declare(self.now(), schedules))?;
        for (new, declared) in schedules.iter().zip(&declared) {
            if declared.created {
                self.declared(declared.id, new);
            }
        }
        Ok(declared)
    }

    pub(crate) fn end_undeclared(&self, live: &LivePod, grace: Duration) -> Result<u64, StoreError> {
        done(self.inner.end_undeclared(self.now(), live, grace))
    }

    pub(crate) fn claim(&self, request: &ClaimRequest, sent: u64) -> Result<Claim, StoreError> {
        let mut claim = done(self.inner.claim(self.claim_time(), &self.request(request)))?;
        if self.errs(Mutant::ForgetExpiry) {
            claim.calls.iter_mut().for_each(|call| call.expires = None);
        }
        let fresh = self.fresh_runs();
        for call in &claim.calls {
            if call.due.saturating_since(self.world.now()) > request.ahead {
                self.world.violated(format!("{} is claimed too far ahead", self.world.name(call.id)));
            }
            self.claimed(request.pod, call, sent, fresh.of(call.schedule));
        }
        self.skipped(fresh);
        if self.errs(Mutant::ForgetClaims) {
            self.forget(request.pod, &claim.calls);
        }
        Ok(claim)
    }

    pub(crate) fn find_claim(&self, pod: PodId, claim_no: i64) -> Result<Vec<ClaimedCall>, StoreError> {
        done(self.inner.find_claim(pod, claim_no))
    }

    pub(crate) fn renew(
        &self,
        pod: PodId,
        held: &[Held],
        lease: Duration,
    ) -> Result<Vec<Renewed>, StoreError> {
        let lease = if self.errs(Mutant::ShortLeases) { lease / 2 } else { lease };
        let mut all = Vec::new();
        for one in held {
            let (pod, number) = self.fence(Mutant::RenewWithoutFence, pod, one.id, one.claim_no);
            let asked = Held { claim_no: number, ..*one };
            let renewed = done(self.inner.renew(self.now(), pod, &[asked], lease))?;
            for renewed in renewed {
                self.world.write(What::Renewed {
                    pod: self.pod.clone(),
                    call: self.world.name(one.id),
                    number: number_of(one.claim_no),
                    held: renewed.lease == Lease::Held,
                });
                all.push(renewed);
            }
        }
        Ok(all)
    }

    pub(crate) fn finish(
        &self,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>, StoreError> {
        if self.errs(Mutant::LoseOutcomes) && self.rolls(5) {
            return Ok(finished.iter().map(|_| Finished::Recorded).collect());
        }
        let mut all = Vec::new();
        for one in finished {
            let was_held = self.holds(pod, one.id, one.claim_no);
            let (by, number) = self.fence(Mutant::FinishWithoutFence, pod, one.id, one.claim_no);
            let asked = Finish { claim_no: number, ..one.clone() };
            let is_forged = (by, number) != (pod, one.claim_no);
            let stored = done(self.inner.finish(self.now(), by, &[asked], retention))?;
            let became = stored.first().copied().unwrap_or(Finished::Lost);
            let forgotten = became == Finished::Recorded && was_held && self.record(one.id).is_none();
            let fate = match became {
                Finished::Lost => Fate::Refused,
                _ if forgotten => Fate::Over(End::Succeeded),
                _ if was_held || is_forged => self.fate(one.id),
                _ => Fate::Known,
            };
            self.finished(one, fate);
            if forgotten {
                self.pruned(one.id);
            }
            all.push(became);
        }
        Ok(all)
    }

    pub(crate) fn release(
        &self,
        pod: PodId,
        held: &[Held],
        declined: Option<i64>,
    ) -> Result<u64, StoreError> {
        let mut released = 0;
        for one in held {
            let was_held = self.holds(pod, one.id, one.claim_no);
            let (by, number) = self.fence(Mutant::ReleaseWithoutFence, pod, one.id, one.claim_no);
            let asked = Held { claim_no: number, ..*one };
            let count = done(self.inner.release(self.now(), by, &[asked], declined))?;
            released += count;
            let is_ours = count > 0 || was_held;
            let fate = if is_ours { self.fate(one.id) } else { Fate::Refused };
            self.released(one, fate);
        }
        Ok(released)
    }

    pub(crate) fn rescue(&self, limit: usize, retention: &Retention) -> Result<Vec<Rescued>, StoreError> {
        let rescued = done(self.inner.rescue(self.rescue_time(), limit, retention))?;
        for rescued in &rescued {
            self.rescued(rescued);
        }
        Ok(rescued)
    }

    pub(crate) fn beat(&self, pod: &PodBeat) -> Result<bool, StoreError> {
        done(self.inner.beat(self.now(), pod))
    }

    pub(crate) fn reopen(&self, live: Duration, limit: usize) -> Result<u64, StoreError> {
        done(self.inner.reopen(self.now(), live, limit))
    }

    pub(crate) fn leave(&self, pod: PodId) -> Result<(), StoreError> {
        done(self.inner.leave(pod))
    }

    pub(crate) fn note_history_gap(&self, lasts: Duration) -> Result<(), StoreError> {
        done(self.inner.note_history_gap(self.now(), lasts))
    }

    pub(crate) fn prune(&self, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        let known: Vec<_> = self.world.shared().calls.keys().copied().collect();
        let before: Vec<_> = known.into_iter().filter(|id| self.record(*id).is_some()).collect();
        let pruned = done(self.inner.prune(self.now(), retention, limit))?;
        for id in before.into_iter().filter(|id| self.record(*id).is_none()) {
            self.pruned(id);
        }
        Ok(pruned)
    }

    pub(crate) fn delete(&self, ids: &[CallId]) -> Result<u64, StoreError> {
        done(self.inner.delete(self.now(), ids))
    }

    pub(crate) fn change_schedule(
        &self,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged, StoreError> {
        done(self.inner.change_schedule(self.now(), id, change, retention))
    }

    pub(crate) fn trigger(
        &self,
        schedule: ScheduleId,
        id: CallId,
        again: bool,
    ) -> Result<Option<Inserted>, StoreError> {
        done(self.inner.trigger(self.now(), schedule, id, again))
    }

    pub(crate) fn pause_name(&self, name: &str, actor: &str, reason: &str) -> Result<bool, StoreError> {
        done(self.inner.pause_name(self.now(), name, actor, reason))
    }

    pub(crate) fn resume_name(&self, name: &str) -> Result<bool, StoreError> {
        done(self.inner.resume_name(name))
    }

    pub(crate) fn paused_names(&self) -> Result<Vec<PausedName>, StoreError> {
        done(self.inner.paused_names())
    }

    pub(crate) fn note_action(&self, action: &NewAction) -> Result<(), StoreError> {
        done(self.inner.note_action(self.now(), action))
    }

    pub(crate) fn settle_action(&self, id: ActionId, outcome: &str) -> Result<(), StoreError> {
        done(self.inner.settle_action(id, outcome))
    }

    pub(crate) fn actions(&self, filter: &ActionFilter) -> Result<Vec<ActionRecord>, StoreError> {
        done(self.inner.actions(filter))
    }

    pub(crate) fn put_statistics(&self, pod: PodId, counted: &[Statistics]) -> Result<(), StoreError> {
        done(self.inner.put_statistics(pod, counted))
    }

    pub(crate) fn statistics(
        &self,
        span: Span,
        since: Moment,
        name: Option<&str>,
    ) -> Result<Vec<Statistics>, StoreError> {
        done(self.inner.statistics(span, since, name))
    }

    pub(crate) fn calls(&self, filter: &CallFilter) -> Result<CallPage, StoreError> {
        done(self.inner.calls(self.now(), filter))
    }

    pub(crate) fn record(&self, id: CallId) -> Option<CallRecord> {
        done(self.inner.call(self.now(), id)).ok().flatten()
    }

    pub(crate) fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        done(self.inner.schedules())
    }

    pub(crate) fn pods(&self, within: Duration) -> Result<Vec<PodRecord>, StoreError> {
        done(self.inner.pods(self.now(), within))
    }

    pub(crate) fn counts(&self, cap: u64) -> Result<Counts, StoreError> {
        done(self.inner.counts(self.now(), cap))
    }

    pub(crate) fn count(&self, filter: &CallFilter, cap: u64) -> Result<u64, StoreError> {
        done(self.inner.count(self.now(), filter, cap))
    }

    pub(crate) fn ahead(&self, id: CallId, cap: u64) -> Result<u64, StoreError> {
        done(self.inner.ahead(self.now(), id, cap))
    }

    pub(crate) fn timeline(&self, edges: &[Moment], cap: u64) -> Result<Vec<TimelineCount>, StoreError> {
        done(self.inner.timeline(self.now(), edges, cap))
    }

    pub(crate) fn pending_names(&self, cap: u64) -> Result<Vec<PendingName>, StoreError> {
        done(self.inner.pending_names(self.now(), cap))
    }

    pub(crate) fn pending_keys(&self, look: &KeysLook) -> Result<Vec<PendingKeys>, StoreError> {
        done(self.inner.pending_keys(self.now(), look))
    }

    pub(crate) fn backlog(&self, cap: u64, pod_live: Duration) -> Result<Backlog, StoreError> {
        done(self.inner.backlog(self.now(), cap, pod_live))
    }

    pub(crate) fn keep_logs(&self, logs: &[NewLog]) -> Result<(), StoreError> {
        done(self.inner.keep_logs(self.now(), logs))
    }

    pub(crate) fn logs(&self, id: CallId) -> Result<Vec<RunLog>, StoreError> {
        done(self.inner.logs(id))
    }

    pub(crate) fn settings(&self) -> Result<Vec<DatabaseSetting>, StoreError> {
        done(self.inner.settings())
    }

    pub(crate) fn migrations(&self) -> Result<Vec<MigrationRecord>, StoreError> {
        done(self.inner.migrations())
    }

    fn now(&self) -> Now {
        Now::At(self.world.now())
    }

    /// Returns whether this claim holds the call, by the trace.
    fn holds(&self, pod: PodId, id: CallId, number: i64) -> bool {
        let shared = self.world.shared();
        shared.claims.get(&id).is_some_and(|holder| holder.id == pod && holder.number == number)
    }
}

/// A memory store never waits.
fn done<T>(future: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let pending = || Err(StoreError::permanent("simulate", "the memory store has to be waited for"));
    future.now_or_never().unwrap_or_else(pending)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `is_some_and`")]
fn is_live(record: CallRecord) -> bool {
    matches!(record.state, CallState::Scheduled | CallState::Running)
}

fn found(record: &CallRecord) -> Found {
    match record.state {
        CallState::Scheduled => Found::Waiting,
        CallState::Running => Found::Claimed,
        _ => Found::Nothing,
    }
}

fn number_of(claim_no: i64) -> u64 {
    u64::try_from(claim_no).unwrap_or(0)
}

fn ending(outcome: &Outcome) -> Ending {
    match outcome {
        Outcome::Succeeded => Ending::Succeeded,
        Outcome::Interrupted { .. } | Outcome::Rerun { .. } => Ending::GivenUp,
        Outcome::Expired { .. } => Ending::Expired,
        _ => Ending::Failed,
    }
}
