//! The memory store: the model that the databases are compared with, and a store for tests. Nothing outlives the
//! process.
//!
//! Every method is one critical section under one lock, so that atomicity needs no thought here: a method checks
//! everything that can fail first, and then changes rows.

mod actions;
mod cancel;
mod claim;
mod counting;
mod finish;
mod history_gap;
mod insert;
mod inspect;
mod listing;
mod logs;
mod operate;
mod pending;
mod pods;
mod reschedule;
mod rows;
mod schedule;
mod statistics;
#[cfg(test)]
mod tests;
mod timetable;
mod transaction;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use self::rows::State;
use super::{DatabaseSetting, MigrationRecord, Now, Store};

use crate::moment::Moment;
use crate::store::Result;

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

    async fn migrate(&self) -> Result<()> {
        Ok(())
    }

    async fn separate(&self) -> Result<Box<dyn Store>> {
        Ok(Box::new(self.clone()))
    }

    /// There is nothing to close: what other handles share stays.
    async fn close(&self) {}

    async fn now(&self) -> Result<Moment> {
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

    async fn settings(&self) -> Result<Vec<DatabaseSetting>> {
        Ok(vec![DatabaseSetting::new("version", env!("CARGO_PKG_VERSION"))])
    }

    async fn migrations(&self) -> Result<Vec<MigrationRecord>> {
        Ok(Vec::new())
    }
}
