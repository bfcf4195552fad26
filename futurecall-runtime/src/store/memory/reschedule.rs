use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use super::insert::due_at;
use super::rows::{Call, State, refuse_nul};
use crate::id::CallId;
use crate::moment::Moment;
use crate::store::{
    CallState, CancelTarget, Due, MemoryStore, Now, RescheduleStore, Rescheduled, Result, RunAgain,
};

const DOING: &str = "reschedule calls";

#[async_trait]
impl RescheduleStore for MemoryStore {
    async fn reschedule(
        &self,
        now: Now,
        target: &CancelTarget,
        due: Due,
        soon: Duration,
    ) -> Result<Rescheduled> {
        let (moved, wake) = self.state().reschedule(now, target, due, soon)?;
        if wake {
            self.wake_others();
        }
        Ok(moved)
    }

    async fn run_again(&self, now: Now, of: CallId, id: CallId, again: bool) -> Result<RunAgain> {
        let outcome = self.state().run_again(now, of, id, again);
        if outcome == RunAgain::Stored {
            self.wake_others();
        }
        Ok(outcome)
    }
}

impl State {
    /// Moves calls; also says whether they are due soon.
    pub(super) fn reschedule(
        &mut self,
        now: Now,
        target: &CancelTarget,
        due: Due,
        soon: Duration,
    ) -> Result<(Rescheduled, bool)> {
        let now = self.now(now);
        let due = due_at(DOING, now, due)?.max(now);
        let targets: Vec<Call> = match target {
            CancelTarget::Identifier(identifier) => {
                refuse_nul(DOING, [identifier.as_str()])?;
                let is_target = |call: &&Call| call.identifier.as_deref() == Some(identifier);
                self.calls().filter(is_target).cloned().collect()
            }
            CancelTarget::Call(id) => self.call(*id).cloned().into_iter().collect(),
            CancelTarget::Calls(ids) => {
                let ids: BTreeSet<_> = ids.iter().copied().collect();
                ids.into_iter().filter_map(|id| self.call(id)).cloned().collect()
            }
        };
        let mut moved = Rescheduled::default();
        for call in targets {
            if call.held.is_some() {
                moved.running += u64::from(call.is_running(now));
            } else {
                self.take(call.id);
                let expires = expiry(&call, due);
                self.put(Call { due, expires, ..call });
                moved.calls += 1;
            }
        }
        let horizon = now.checked_add(soon).unwrap_or(Moment::MAX);
        Ok((moved, moved.calls > 0 && due <= horizon))
    }

    pub(super) fn run_again(&mut self, now: Now, of: CallId, id: CallId, again: bool) -> RunAgain {
        let now = self.now(now);
        if self.call(id).is_some() || self.finished.contains_key(&id) {
            return RunAgain::Stored;
        }
        if self.call(of).is_some() {
            return RunAgain::Pending;
        }
        match self.finished.get(&of) {
            None => RunAgain::Unknown,
            Some(old) if old.state == CallState::Succeeded => RunAgain::Succeeded,
            Some(_) if again && self.has_gap(now) => RunAgain::Unknown,
            Some(old) => {
                let old = &old.call;
                let call = Call {
                    identifier: old.identifier.clone(),
                    rerun_of: Some(of),
                    traceparent: old.traceparent.clone(),
                    ..Call::new(id, &old.name, old.priority, now, (&old.args, old.format), now)
                };
                self.put(call);
                RunAgain::Stored
            }
        }
    }
}

/// A call keeps the time within which it may start; one that is run again after an attempt is bound by its policy.
fn expiry(call: &Call, due: Moment) -> Option<Moment> {
    let expires = call.expires.filter(|_| !call.is_again());
    let time = expires.map(|expires| expires.saturating_since(call.due.max(call.created)));
    time.map_or(call.expires, |time| Some(due.checked_add(time).unwrap_or(Moment::MAX)))
}
