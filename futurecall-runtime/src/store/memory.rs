//! The memory store: the model that the databases are compared with, and a store for tests. Nothing outlives the
//! process.
//!
//! Every method is one critical section under one lock, so that atomicity needs no thought here: a method checks
//! everything that can fail first, and then changes rows.

mod actions;
mod backlog;
mod cancel;
mod claim;
mod finish;
mod gap;
mod insert;
mod inspect;
mod keys;
mod logs;
mod operate;
mod reschedule;
mod rows;
mod schedule;
mod statistics;
#[cfg(test)]
mod tests;
mod timetable;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use self::rows::State;
use super::transaction::OpenTransaction;
use super::{
    ActionFilter, ActionRecord, Backlog, CallFilter, CallPage, CallRecord, CancelTarget, Cancelled, Claim,
    ClaimRequest, ClaimedCall, Completed, Counts, Declared, Due, Finish, Finished, Held, Inserted, KeysLook,
    LivePod, MigrationRecord, NewAction, NewCall, NewLog, NewSchedule, Now, PausedName, PendingKeys, PodBeat,
    PodRecord, Renewed, Rescheduled, Rescued, Retention, RunAgain, RunLog, ScheduleChange, ScheduleChanged,
    ScheduleRecord, Span, Statistics, Store, TimelineCount, TransactionRef,
};
use crate::error::StoreError;
use crate::id::{ActionId, CallId, PodId, ScheduleId};
use crate::moment::Moment;

/// Calls in this process's memory: for tests, and for programs whose calls may die with them.
///
/// A clone is another handle on the same calls, as another pod on the same database would have it.
///
/// ```
/// use futurecall_runtime::Moment;
/// use futurecall_runtime::store::{MemoryStore, Store};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let noon = Moment::from_micros(43_200_000_000).unwrap();
/// let store = MemoryStore::at(noon);
/// assert_eq!(store.now().await.unwrap(), noon, "its clock stands still until it is set");
/// # });
/// ```
#[derive(Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    /// The number of the last change that this handle has heard of or made.
    heard: AtomicU64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Grows with every change that makes a call due soon.
    changes: AtomicU64,
    changed: Notify,
}

impl MemoryStore {
    /// An empty store that goes by the machine's clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose clock stands at `now` until [`set_now`](Self::set_now) moves it.
    pub fn at(now: Moment) -> Self {
        let store = Self::default();
        store.state().clock = Some(now);
        store
    }

    /// Sets the clock, of all handles, to `now`; it stands there. All who wait in
    /// [`changed`](Store::changed) wake, as something may be due.
    pub fn set_now(&self, now: Moment) {
        self.state().clock = Some(now);
        self.wake_all();
    }

    /// Rows are never left half-changed (see the module's text), so a poisoned lock is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the other handles.
    fn wake_others(&self) {
        let before = self.shared.changes.fetch_add(1, Ordering::AcqRel);
        // A handle that had heard of everything has heard of its own change as well.
        let _ =
            self.heard.compare_exchange(before, before.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed);
        self.shared.changed.notify_waiters();
    }

    /// Wakes every handle.
    fn wake_all(&self) {
        self.shared.changes.fetch_add(1, Ordering::AcqRel);
        self.shared.changed.notify_waiters();
    }
}

impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        let heard = AtomicU64::new(self.shared.changes.load(Ordering::Acquire));
        Self { shared: Arc::clone(&self.shared), heard }
    }
}

impl fmt::Debug for MemoryStore {
    /// Without the rows: arguments do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl super::sealed::Sealed for MemoryStore {}

#[async_trait]
impl Store for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn separate(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(self.clone()))
    }

    /// There is nothing to close: what other handles share stays.
    async fn close(&self) {}

    async fn now(&self) -> Result<Moment, StoreError> {
        Ok(self.state().now(Now::Database))
    }

    async fn changed(&self) {
        loop {
            let notified = self.shared.changed.notified();
            tokio::pin!(notified);
            // Registered before the number is read: a change between the two is not missed.
            notified.as_mut().enable();
            let latest = self.shared.changes.load(Ordering::Acquire);
            if self.heard.swap(latest, Ordering::AcqRel) != latest {
                return;
            }
            notified.await;
        }
    }

    async fn insert(
        &self,
        now: Now,
        calls: &[NewCall],
        again: bool,
        soon: Duration,
    ) -> Result<Vec<Inserted>, StoreError> {
        let (inserted, wake) = self.state().insert(now, calls, again, soon)?;
        if wake {
            self.wake_others();
        }
        Ok(inserted)
    }

    async fn insert_claimed(
        &self,
        now: Now,
        call: &NewCall,
        request: &ClaimRequest,
    ) -> Result<Option<ClaimedCall>, StoreError> {
        self.state().insert_claimed(now, call, request)
    }

    async fn insert_in(
        &self,
        _transaction: TransactionRef<'_>,
        _calls: &[NewCall],
        _soon: Duration,
    ) -> Result<(), StoreError> {
        Err(StoreError::wrong_database("store calls in the transaction"))
    }

    async fn cancel(
        &self,
        now: Now,
        target: &CancelTarget,
        retention: &Retention,
    ) -> Result<Cancelled, StoreError> {
        self.state().cancel(now, target, retention)
    }

    async fn cancel_in(
        &self,
        _transaction: TransactionRef<'_>,
        _target: &CancelTarget,
        _retention: &Retention,
    ) -> Result<Cancelled, StoreError> {
        Err(StoreError::wrong_database("cancel in the transaction"))
    }

    async fn reschedule(
        &self,
        now: Now,
        target: &CancelTarget,
        due: Due,
        soon: Duration,
    ) -> Result<Rescheduled, StoreError> {
        let (moved, wake) = self.state().reschedule(now, target, due, soon)?;
        if wake {
            self.wake_others();
        }
        Ok(moved)
    }

    async fn run_again(&self, now: Now, of: CallId, id: CallId, again: bool) -> Result<RunAgain, StoreError> {
        let outcome = self.state().run_again(now, of, id, again);
        if outcome == RunAgain::Stored {
            self.wake_others();
        }
        Ok(outcome)
    }

    async fn declare(&self, now: Now, schedules: &[NewSchedule]) -> Result<Vec<Declared>, StoreError> {
        let declared = self.state().declare(now, schedules)?;
        self.wake_others();
        Ok(declared)
    }

    async fn end_undeclared(&self, now: Now, live: &LivePod, grace: Duration) -> Result<u64, StoreError> {
        Ok(self.state().end_undeclared(now, live, grace))
    }

    async fn claim(&self, now: Now, request: &ClaimRequest) -> Result<Claim, StoreError> {
        self.state().claim(now, request)
    }

    async fn find_claim(&self, pod: PodId, claim_no: i64) -> Result<Vec<ClaimedCall>, StoreError> {
        Ok(self.state().find_claim(pod, claim_no))
    }

    async fn renew(
        &self,
        now: Now,
        pod: PodId,
        held: &[Held],
        lease: Duration,
    ) -> Result<Vec<Renewed>, StoreError> {
        Ok(self.state().renew(now, pod, held, lease))
    }

    async fn finish(
        &self,
        now: Now,
        pod: PodId,
        finished: &[Finish],
        retention: &Retention,
    ) -> Result<Vec<Finished>, StoreError> {
        let results = self.state().finish(now, pod, finished, retention)?;
        if finished.iter().any(|finish| finish.outcome.is_again()) {
            self.wake_others();
        }
        Ok(results)
    }

    async fn begin(&self, _limit: Duration) -> Result<Option<OpenTransaction>, StoreError> {
        Ok(None)
    }

    async fn complete(
        &self,
        _transaction: OpenTransaction,
        _now: Now,
        _pod: PodId,
        _finish: &Finish,
        _retention: &Retention,
    ) -> Result<bool, StoreError> {
        Err(StoreError::wrong_database("complete the call in its transaction"))
    }

    async fn completed(&self, pod: PodId, id: CallId, claim_no: i64) -> Result<Completed, StoreError> {
        Ok(self.state().completed(pod, id, claim_no))
    }

    async fn release(
        &self,
        now: Now,
        pod: PodId,
        held: &[Held],
        declined: Option<i64>,
    ) -> Result<u64, StoreError> {
        let released = self.state().release(now, pod, held, declined);
        if released > 0 {
            self.wake_others();
        }
        Ok(released)
    }

    async fn rescue(
        &self,
        now: Now,
        limit: usize,
        retention: &Retention,
    ) -> Result<Vec<Rescued>, StoreError> {
        let rescued = self.state().rescue(now, limit, retention);
        if rescued.iter().any(|rescued| rescued.rerun) {
            self.wake_others();
        }
        Ok(rescued)
    }

    async fn beat(&self, now: Now, pod: &PodBeat) -> Result<bool, StoreError> {
        self.state().beat(now, pod)
    }

    async fn reopen(&self, now: Now, live: Duration, limit: usize) -> Result<u64, StoreError> {
        Ok(self.state().reopen(now, live, limit))
    }

    async fn leave(&self, pod: PodId) -> Result<(), StoreError> {
        self.state().forget_pods(|id, _| *id == pod);
        Ok(())
    }

    async fn prune(&self, now: Now, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        Ok(self.state().prune(now, retention, limit))
    }

    async fn note_history_gap(&self, now: Now, lasts: Duration) -> Result<(), StoreError> {
        self.state().note_gap(now, lasts);
        Ok(())
    }

    async fn discard(
        &self,
        now: Now,
        calls: &[(CallId, String)],
        retention: &Retention,
    ) -> Result<u64, StoreError> {
        self.state().discard(now, calls, retention)
    }

    async fn calls(&self, _now: Now, filter: &CallFilter) -> Result<CallPage, StoreError> {
        self.state().page(filter)
    }

    async fn call(&self, _now: Now, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        Ok(self.state().record(id))
    }

    async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        Ok(self.state().schedule_records())
    }

    async fn pods(&self, now: Now, within: Duration) -> Result<Vec<PodRecord>, StoreError> {
        Ok(self.state().pod_records(now, within))
    }

    async fn counts(&self, now: Now, cap: u64) -> Result<Counts, StoreError> {
        Ok(self.state().counts(now, cap))
    }

    async fn count(&self, _now: Now, filter: &CallFilter, cap: u64) -> Result<u64, StoreError> {
        self.state().count(filter, cap)
    }

    async fn ahead(&self, now: Now, id: CallId, cap: u64) -> Result<u64, StoreError> {
        Ok(self.state().ahead(now, id, cap))
    }

    async fn timeline(
        &self,
        _now: Now,
        edges: &[Moment],
        cap: u64,
    ) -> Result<Vec<TimelineCount>, StoreError> {
        Ok(self.state().timeline(edges, cap))
    }

    async fn pending_names(&self, _now: Now, cap: u64) -> Result<Vec<(String, u64)>, StoreError> {
        Ok(self.state().pending_names(cap))
    }

    async fn pending_keys(&self, _now: Now, look: &KeysLook) -> Result<Vec<PendingKeys>, StoreError> {
        self.state().pending_keys(look)
    }

    async fn backlog(&self, now: Now, cap: u64, pod_live: Duration) -> Result<Backlog, StoreError> {
        Ok(self.state().backlog(now, cap, pod_live))
    }

    async fn keep_logs(&self, now: Now, logs: &[NewLog]) -> Result<(), StoreError> {
        self.state().keep_logs(now, logs)
    }

    async fn logs(&self, id: CallId) -> Result<Vec<RunLog>, StoreError> {
        Ok(self.state().logs(id))
    }

    async fn settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        Ok(vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())])
    }

    async fn migrations(&self) -> Result<Vec<MigrationRecord>, StoreError> {
        Ok(Vec::new())
    }

    async fn delete(&self, now: Now, ids: &[CallId]) -> Result<u64, StoreError> {
        Ok(self.state().delete(now, ids))
    }

    async fn change_schedule(
        &self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged, StoreError> {
        let changed = self.state().change_schedule(now, id, change, retention)?;
        if changed == ScheduleChanged::Changed {
            self.wake_others();
        }
        Ok(changed)
    }

    async fn trigger(
        &self,
        now: Now,
        schedule: ScheduleId,
        id: CallId,
        again: bool,
    ) -> Result<Option<Inserted>, StoreError> {
        let triggered = self.state().trigger(now, schedule, id, again);
        if triggered == Some(Inserted::Stored) {
            self.wake_others();
        }
        Ok(triggered)
    }

    async fn pause_name(&self, now: Now, name: &str, actor: &str, reason: &str) -> Result<bool, StoreError> {
        let paused = self.state().pause_name(now, name, actor, reason)?;
        if paused {
            self.wake_others();
        }
        Ok(paused)
    }

    async fn resume_name(&self, name: &str) -> Result<bool, StoreError> {
        let resumed = self.state().paused.remove(name).is_some();
        if resumed {
            self.wake_others();
        }
        Ok(resumed)
    }

    async fn paused_names(&self) -> Result<Vec<PausedName>, StoreError> {
        Ok(self.state().paused.values().cloned().collect())
    }

    async fn note_action(&self, now: Now, action: &NewAction) -> Result<(), StoreError> {
        self.state().note_action(now, action)
    }

    async fn settle_action(&self, id: ActionId, outcome: &str) -> Result<(), StoreError> {
        self.state().settle_action(id, outcome)
    }

    async fn actions(&self, filter: &ActionFilter) -> Result<Vec<ActionRecord>, StoreError> {
        Ok(self.state().action_records(filter))
    }

    async fn put_statistics(&self, pod: PodId, counted: &[Statistics]) -> Result<(), StoreError> {
        self.state().put_statistics(pod, counted)
    }

    async fn statistics(
        &self,
        span: Span,
        since: Moment,
        name: Option<&str>,
    ) -> Result<Vec<Statistics>, StoreError> {
        Ok(self.state().read_statistics(span, since, name))
    }
}
