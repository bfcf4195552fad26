use std::collections::BTreeSet;

use async_trait::async_trait;

use super::rows::{Call, End, State, refuse_nul};
use crate::error::StoreError;
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::store::policy::reasons::CANCELLED;
use crate::store::transaction::TransactionRef;
use crate::store::{
    CallState, CancelStore, CancelTarget, Cancelled, MemoryStore, Now, Result, Retention, ScheduleState,
};

#[async_trait]
impl CancelStore for MemoryStore {
    async fn cancel(&self, now: Now, target: &CancelTarget, retention: &Retention) -> Result<Cancelled> {
        let state = &mut *self.state();
        let now = state.now(now);
        match target {
            CancelTarget::Identifier(identifier) => {
                refuse_nul("cancel", [identifier.as_str()])?;
                Ok(state.cancel_identifier(now, identifier, retention))
            }
            CancelTarget::Call(id) => Ok(state.cancel_call(now, *id, retention)),
            CancelTarget::Calls(ids) => {
                let ids: BTreeSet<_> = ids.iter().copied().collect();
                Ok(ids.into_iter().fold(Cancelled::default(), |total, id| {
                    let one = state.cancel_call(now, id, retention);
                    Cancelled::new(total.calls + one.calls, 0, total.running + one.running)
                }))
            }
        }
    }

    async fn cancel_in(
        &self,
        _transaction: TransactionRef<'_>,
        _target: &CancelTarget,
        _retention: &Retention,
    ) -> Result<Cancelled> {
        Err(StoreError::wrong_database("cancel in the transaction"))
    }

    async fn discard(&self, now: Now, calls: &[(CallId, String)], retention: &Retention) -> Result<u64> {
        self.state().discard(now, calls, retention)
    }
}

impl State {
    pub(super) fn discard(
        &mut self,
        now: Now,
        calls: &[(CallId, String)],
        retention: &Retention,
    ) -> Result<u64> {
        refuse_nul("discard calls", calls.iter().map(|(_, reason)| reason.as_str()))?;
        let now = self.now(now);
        let mut discarded = 0;
        for (id, reason) in calls {
            if self.call(*id).is_some_and(|call| call.held.is_none()) {
                self.pass_over(now, *id, reason, retention);
                discarded += 1;
            }
        }
        Ok(discarded)
    }

    fn cancel_identifier(&mut self, now: Moment, identifier: &str, retention: &Retention) -> Cancelled {
        let ended = self.end_schedules_of(identifier);
        let mut cancelled = Cancelled::new(0, ended.len() as u64, 0);
        let is_target = |call: &&Call| {
            call.identifier.as_deref() == Some(identifier)
                || call.schedule.is_some_and(|id| ended.contains(&id))
        };
        let targets: Vec<_> = self.calls().filter(is_target).cloned().collect();
        for call in targets {
            if call.held.is_some() {
                cancelled.running += u64::from(self.flag(now, call.id));
            } else {
                self.end(now, call.id, End::without_run(CallState::Cancelled, CANCELLED), retention);
                let counts_as_schedule = call.schedule.is_some_and(|id| ended.contains(&id));
                cancelled.calls += u64::from(!counts_as_schedule);
            }
        }
        cancelled
    }

    /// Cancels one call. Of a schedule, that is one run: its successor comes all the same.
    fn cancel_call(&mut self, now: Moment, id: CallId, retention: &Retention) -> Cancelled {
        match self.call(id) {
            None => Cancelled::default(),
            Some(call) if call.held.is_some() => Cancelled::new(0, 0, u64::from(self.flag(now, id))),
            Some(_) => {
                self.pass_over(now, id, CANCELLED, retention);
                Cancelled::new(1, 0, 0)
            }
        }
    }

    /// Records an unclaimed call as cancelled; the schedule that it belongs to goes on.
    fn pass_over(&mut self, now: Moment, id: CallId, reason: &str, retention: &Retention) {
        if let Some(schedule) = self.call(id).and_then(|call| call.schedule) {
            self.succeed(now, schedule, id);
        }
        self.end(now, id, End::without_run(CallState::Cancelled, reason), retention);
    }

    fn end_schedules_of(&mut self, identifier: &str) -> Vec<ScheduleId> {
        let mut ended = Vec::new();
        for schedule in self.schedules.values_mut() {
            if schedule.identifier.as_deref() == Some(identifier) && schedule.state != ScheduleState::Ended {
                schedule.state = ScheduleState::Ended;
                schedule.reason = Some(CANCELLED.to_owned());
                ended.push(schedule.id);
            }
        }
        ended
    }

    /// Flags a claimed call, and says whether its pod is still believed to run it.
    fn flag(&mut self, now: Moment, id: CallId) -> bool {
        self.held_mut(id).is_some_and(|held| {
            held.cancel_requested = true;
            held.lease_until >= now
        })
    }
}
