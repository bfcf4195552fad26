//! The measured calls, and the log in which their handlers record when they ran.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use futurecall_runtime::prelude::*;
use tokio::sync::Notify;

use crate::Result;

pub(crate) struct BenchFutureCall;

#[future_call]
impl BenchFutureCall {
    /// Counts itself.
    pub(crate) async fn noop(_session: &Session, _number: i64, #[future_call(state)] log: &Arc<Log>) {
        log.ran();
    }

    /// Records when it started.
    pub(crate) async fn stamp(session: &Session, place: usize, #[future_call(state)] log: &Arc<Log>) {
        let stamp = Stamp { started: SystemTime::now(), lateness: lateness(session) };
        if let Some(slot) = log.stamps.get(place) {
            // A second run of the same call would be a bug of the product, not a figure.
            assert!(slot.set(stamp).is_ok(), "call {place} ran twice");
        }
        log.changed.notify_one();
    }

    /// Counts itself and takes some time.
    pub(crate) async fn nap(_session: &Session, millis: u64, #[future_call(state)] log: &Arc<Log>) {
        log.ran();
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Counts itself and keeps its slot as long as its pod lives.
    pub(crate) async fn hold(session: &Session, _number: i64, #[future_call(state)] log: &Arc<Log>) {
        log.ran();
        session.cancelled().await;
    }
}

/// When a handler started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// By the machine's clock, which its other processes share.
    pub(crate) started: SystemTime,
    /// Relative to the due time, in milliseconds; below zero is early.
    pub(crate) lateness: f64,
}

/// The records of handlers.
#[derive(Debug, Default)]
pub(crate) struct Log {
    ran: AtomicU64,
    /// The count at which the waiting task is woken.
    awaited: AtomicU64,
    first: OnceLock<SystemTime>,
    stamps: Vec<OnceLock<Stamp>>,
    changed: Notify,
}

impl Log {
    /// Returns a log with room for that many stamps.
    pub(crate) fn new(stamps: usize) -> Arc<Self> {
        Arc::new(Self { stamps: (0..stamps).map(|_| OnceLock::new()).collect(), ..Self::default() })
    }

    /// Returns how many counting calls have started.
    pub(crate) fn count(&self) -> u64 {
        self.ran.load(Ordering::SeqCst)
    }

    /// Returns when the first counting call started.
    pub(crate) fn first(&self) -> Option<SystemTime> {
        self.first.get().copied()
    }

    /// Waits until that many counting calls have started.
    pub(crate) async fn reaches(&self, calls: u64) -> Result {
        self.awaited.store(calls, Ordering::SeqCst);
        self.until(&format!("{calls} calls to start"), || self.count() >= calls).await
    }

    /// Waits for the stamp of one call.
    pub(crate) async fn stamp(&self, place: usize) -> Result<Stamp> {
        let slot = self.stamps.get(place).ok_or("no such stamp")?;
        self.until("a call to start", || slot.get().is_some()).await?;
        slot.get().copied().ok_or_else(|| "no stamp".into())
    }

    fn ran(&self) {
        let before = self.ran.fetch_add(1, Ordering::SeqCst);
        if before == 0 {
            // Only one run is the first.
            let _ = self.first.set(SystemTime::now());
        }
        // Not at each: waking the waiting task costs more than the call.
        if before + 1 == self.awaited.load(Ordering::SeqCst) {
            self.changed.notify_one();
        }
    }

    /// Gives up when nothing has started for a minute: then calls were lost.
    async fn until(&self, what: &str, is_so: impl Fn() -> bool) -> Result {
        const PATIENCE: Duration = Duration::from_mins(1);
        let mut started = self.count();
        while !is_so() {
            if tokio::time::timeout(PATIENCE, self.changed.notified()).await.is_err() && !is_so() {
                let before = std::mem::replace(&mut started, self.count());
                if started == before {
                    return Err(format!("waited for {what}, and nothing has started for {PATIENCE:?}").into());
                }
            }
        }
        Ok(())
    }
}

/// Reads this machine's clock, which is the database's as well: the server runs on the same machine.
fn lateness(session: &Session) -> f64 {
    let due = Duration::from_micros(session.call().due.as_micros().unsigned_abs());
    millis_between(SystemTime::UNIX_EPOCH + due, SystemTime::now())
}

/// Returns the difference; below zero if the second time is the earlier one.
pub(crate) fn millis_between(from: SystemTime, to: SystemTime) -> f64 {
    match to.duration_since(from) {
        Ok(late) => late.as_secs_f64() * 1e3,
        Err(early) => -early.duration().as_secs_f64() * 1e3,
    }
}
