use std::time::Duration;

use async_trait::async_trait;

use super::rows::{Call, End, HeldBy, PastAttempt, State, refuse_nul};
use crate::id::{CallId, PodId};
use crate::moment::Moment;
use crate::store::policy::{Ending, Vanished, ending_of};
use crate::store::{
    ACTIONS_KEPT, CallState, Completed, Finish, FinishStore, Finished, Held, Lease, MemoryStore, Now,
    Outcome, REPEATED, Renewed, Rescued, Result, Retention,
};

#[async_trait]
impl FinishStore for MemoryStore {
    async fn renew(&self, now: Now, pod: PodId, held: &[Held], lease: Duration) -> Result<Vec<Renewed>> {
        let state = &mut *self.state();
        let now = state.now(now);
        let until = now.checked_add(lease).unwrap_or(Moment::MAX);
        Ok(held.iter().map(|held| state.renew_one(pod, held, until)).collect())
    }

    async fn finish(
        &self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>> {
        let results = self.state().finish(now, pod, finished, retention)?;
        if finished.iter().any(|finish| finish.outcome.is_again()) {
            self.wake_others();
        }
        Ok(results)
    }

    async fn rescue(&self, now: Now, limit: usize, retention: &Retention) -> Result<Vec<Rescued>> {
        let rescued = self.state().rescue(now, limit, retention);
        if rescued.iter().any(|rescued| rescued.rerun) {
            self.wake_others();
        }
        Ok(rescued)
    }

    async fn prune(&self, now: Now, retention: &Retention, limit: usize) -> Result<u64> {
        let state = &mut *self.state();
        if !retention.outlasts_repetitions() {
            state.note_gap(now, REPEATED);
        }
        let now = state.now(now);
        let mut old: Vec<_> = state
            .finished
            .iter()
            .filter(|(_, row)| now.saturating_since(row.at) > retention.of(row.state))
            .map(|(id, row)| (row.at, *id))
            .collect();
        old.sort_unstable();
        old.truncate(limit);
        let gone: Vec<_> = old.into_iter().map(|(_, id)| id).collect();
        for id in &gone {
            state.finished.remove(id);
        }
        state.prune_logs(Now::At(now), retention, &gone);
        state.actions.retain(|_, action| now.saturating_since(action.at) <= ACTIONS_KEPT);
        state.statistics.retain(|_, row| now.saturating_since(row.start) <= row.span.kept());
        Ok(gone.len() as u64)
    }

    async fn note_history_gap(&self, now: Now, lasts: Duration) -> Result<()> {
        self.state().note_gap(now, lasts);
        Ok(())
    }
}

impl State {
    pub(super) fn finish(
        &mut self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>> {
        refuse_nul("record outcomes", finished.iter().filter_map(|finish| finish.outcome.error()))?;
        let now = self.now(now);
        Ok(finished.iter().map(|finish| self.finish_one(now, pod, finish, retention)).collect())
    }

    pub(super) fn completed(&self, pod: PodId, id: CallId, claim_no: i64) -> Completed {
        if self.call(id).is_some_and(|call| call.is_held_by(pod, claim_no)) {
            return Completed::No;
        }
        let before = self.finished.get(&id).filter(|before| before.call.is_held_by(pod, claim_no));
        match before {
            Some(before) if before.state == CallState::Succeeded => Completed::Yes,
            _ => Completed::Lost,
        }
    }

    pub(super) fn rescue(&mut self, now: Now, limit: usize, retention: &Retention) -> Vec<Rescued> {
        let now = self.now(now);
        let expired =
            |call: &Call| call.held.filter(|held| held.lease_until < now).map(|held| (held, call.id));
        let mut vanished: Vec<_> = self.calls().filter_map(expired).collect();
        vanished.sort_by_key(|(held, id)| (held.lease_until, *id));
        vanished.truncate(limit);
        vanished.into_iter().filter_map(|(held, id)| self.rescue_one(now, held, id, retention)).collect()
    }

    fn finish_one(&mut self, now: Moment, pod: PodId, finish: &Finish, retention: &Retention) -> Finished {
        let Some(held) = self
            .call(finish.id)
            .filter(|call| call.is_held_by(pod, finish.claim_no))
            .and_then(|call| call.held)
        else {
            return self.finished_before(pod, finish);
        };
        // Told to stop, and stopped in whatever way: it was cancelled.
        let recorded = finish.outcome.recorded(held.cancel_requested);
        let is_cancelled = recorded == Finished::Cancelled;
        let state = if is_cancelled { CallState::Cancelled } else { state_of(&finish.outcome) };
        let started =
            finish.started_after.map(|after| held.claimed.checked_add(after).unwrap_or(Moment::MAX));
        let end = End {
            state,
            error: finish.outcome.error().map(str::to_owned),
            started,
            duration: started.map(|_| finish.ran_for),
        };
        match &finish.outcome {
            Outcome::Retry { after, .. } if !is_cancelled => {
                self.again(now, finish.id, *after, &end, Why::Failed);
            }
            Outcome::Rerun { .. } if !is_cancelled => {
                self.again(now, finish.id, Duration::ZERO, &end, Why::HandedBack);
            }
            Outcome::Expired { .. } => {
                self.give_attempt_back(finish.id);
                self.end(now, finish.id, end, retention);
            }
            _ => self.end(now, finish.id, end, retention),
        }
        recorded
    }

    /// What was recorded of that outcome before, by the flush whose reply was lost.
    fn finished_before(&self, pod: PodId, finish: &Finish) -> Finished {
        let before = self.finished.get(&finish.id);
        match before.filter(|before| before.call.is_held_by(pod, finish.claim_no)).map(|ours| ours.state) {
            Some(CallState::Cancelled) if finish.outcome.yields_to_cancel() => return Finished::Cancelled,
            // Of another state, it was written by a rescue: the pod came too late.
            Some(state) if state == state_of(&finish.outcome) && !finish.outcome.is_again() => {
                return Finished::Recorded;
            }
            _ => {}
        }
        let past = self.call(finish.id).or(before.map(|before| &before.call)).map(|call| &call.past);
        let is_ours = |past: &PastAttempt| {
            past.record.pod == Some(pod)
                && past.claim_no == finish.claim_no
                && past.record.outcome == state_of(&finish.outcome)
        };
        let is_recorded = finish.outcome.is_again() && past.is_some_and(|past| past.iter().any(is_ours));
        if is_recorded { Finished::Recorded } else { Finished::Lost }
    }

    /// Makes a claimed call due again.
    fn again(&mut self, now: Moment, id: CallId, after: Duration, end: &End, why: Why) {
        let Some(mut call) = self.take(id) else { return };
        call.again(now.checked_add(after).unwrap_or(Moment::MAX), end, now);
        match why {
            Why::Failed => call.failures = call.failures.saturating_add(1),
            Why::Vanished => call.vanished = call.vanished.saturating_add(1),
            Why::HandedBack => {}
        }
        self.put(call);
    }

    fn give_attempt_back(&mut self, id: CallId) {
        if let Some(mut call) = self.take(id) {
            call.attempt = call.attempt.saturating_sub(1);
            self.put(call);
        }
    }

    fn renew_one(&mut self, pod: PodId, held: &Held, until: Moment) -> Renewed {
        let row = self.held_mut(held.id).filter(|row| row.pod == pod && row.claim_no == held.claim_no);
        let Some(row) = row else { return Renewed { lease: Lease::Lost, cancelled: false } };
        row.lease_until = until;
        row.started |= held.started;
        Renewed { lease: Lease::Held, cancelled: row.cancel_requested }
    }

    fn rescue_one(
        &mut self,
        now: Moment,
        held: HeldBy,
        id: CallId,
        retention: &Retention,
    ) -> Option<Rescued> {
        let call = self.call(id)?;
        let name = call.name.clone();
        let Ending { state, error, again_after } = ending_of(&Vanished {
            pod: held.pod,
            lease_until: held.lease_until,
            started: held.started,
            cancel_requested: held.cancel_requested,
            on_vanish: held.on_vanish,
            pods: call.vanished.saturating_add(1),
        });
        // A started handler's exact moment went with its pod; the claim is the nearest that is known.
        let end =
            End { state, error: Some(error), started: held.started.then_some(held.claimed), duration: None };
        match again_after {
            Some(after) => self.again(now, id, after, &end, Why::Vanished),
            None => self.end(now, id, end, retention),
        }
        Some(Rescued { id, name, pod: held.pod, rerun: again_after.is_some() })
    }
}

/// Why a call is due again.
#[derive(Clone, Copy)]
enum Why {
    Failed,
    Vanished,
    HandedBack,
}

/// How the attempt stands on record; of one that is the last, how the call does.
fn state_of(outcome: &Outcome) -> CallState {
    match outcome {
        Outcome::Succeeded => CallState::Succeeded,
        Outcome::Failed { .. } | Outcome::Retry { .. } => CallState::Failed,
        Outcome::Interrupted { .. } | Outcome::Rerun { .. } => CallState::Interrupted,
        Outcome::Expired { .. } => CallState::Expired,
    }
}
