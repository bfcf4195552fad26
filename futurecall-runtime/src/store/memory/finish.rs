use std::time::Duration;

use super::rows::{Call, End, HeldBy, State, refuse_nul};
use crate::error::StoreError;
use crate::id::{CallId, PodId};
use crate::moment::Moment;
use crate::store::{CallState, Finish, Held, Lease, Now, OnVanish, Outcome, Renewed, Rescued, Retention};

impl State {
    pub(super) fn finish(
        &mut self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<bool>, StoreError> {
        refuse_nul("record outcomes", finished.iter().filter_map(|finish| said(&finish.outcome)))?;
        let now = self.now(now);
        Ok(finished.iter().map(|finish| self.finish_one(now, pod, finish, retention)).collect())
    }

    pub(super) fn renew(&mut self, now: Now, pod: PodId, held: &[Held], lease: Duration) -> Vec<Renewed> {
        let now = self.now(now);
        let until = now.checked_add(lease).unwrap_or(Moment::MAX);
        held.iter().map(|held| self.renew_one(pod, held, until)).collect()
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

    pub(super) fn prune(&mut self, now: Now, retention: &Retention, limit: usize) -> u64 {
        let now = self.now(now);
        let mut old: Vec<_> = self
            .finished
            .iter()
            .filter(|(_, row)| now.saturating_since(row.at) > retention.of(row.state))
            .map(|(id, row)| (row.at, *id))
            .collect();
        old.sort_unstable();
        old.truncate(limit);
        for (_, id) in &old {
            self.finished.remove(id);
        }
        old.len() as u64
    }

    fn finish_one(&mut self, now: Moment, pod: PodId, finish: &Finish, retention: &Retention) -> bool {
        let Some(held) = self
            .call(finish.id)
            .filter(|call| call.is_held_by(pod, finish.claim_no))
            .and_then(|call| call.held)
        else {
            let before = self.finished.get(&finish.id);
            let ours = before.filter(|before| before.call.is_held_by(pod, finish.claim_no));
            return ours.is_some_and(|before| may_stand_as(&finish.outcome, before.state));
        };
        let state = match finish.outcome {
            Outcome::Succeeded => CallState::Succeeded,
            // Told to stop, and stopped in whatever way: it was cancelled.
            Outcome::Failed { .. } | Outcome::Interrupted { .. } if held.cancel_requested => {
                CallState::Cancelled
            }
            Outcome::Failed { .. } => CallState::Failed,
            Outcome::Interrupted { .. } => CallState::Interrupted,
        };
        let started =
            finish.started_after.map(|after| held.claimed.checked_add(after).unwrap_or(Moment::MAX));
        let end = End {
            state,
            error: said(&finish.outcome).map(str::to_owned),
            started,
            duration: started.map(|_| finish.ran_for),
        };
        self.end(now, finish.id, end, retention);
        true
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
        let mut call = self.call(id)?.clone();
        let rerun = held.on_vanish == OnVanish::Rerun && !held.cancel_requested;
        let rescued = Rescued { id, name: call.name.clone(), pod: held.pod, rerun };
        let proven = if held.started { "proven" } else { "not proven" };
        let error = format!(
            "pod {} vanished: its lease ended at {}; the handler's start is {proven}",
            held.pod, held.lease_until
        );
        if rerun {
            call.held = None;
            call.error = Some(error);
            self.put(call);
        } else {
            let state = if held.cancel_requested { CallState::Cancelled } else { CallState::Interrupted };
            // A started handler's exact moment went with its pod; the claim is the nearest that is known.
            let started = held.started.then_some(held.claimed);
            self.end(now, id, End { state, error: Some(error), started, duration: None }, retention);
        }
        Some(rescued)
    }
}

fn said(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Succeeded => None,
        Outcome::Failed { error } | Outcome::Interrupted { error } => Some(error),
    }
}

/// Whether a history row of that state can be this outcome, recorded before. One of another state was written by a
/// rescue: the pod came too late.
fn may_stand_as(outcome: &Outcome, state: CallState) -> bool {
    match outcome {
        Outcome::Succeeded => state == CallState::Succeeded,
        Outcome::Failed { .. } => matches!(state, CallState::Failed | CallState::Cancelled),
        Outcome::Interrupted { .. } => matches!(state, CallState::Interrupted | CallState::Cancelled),
    }
}
