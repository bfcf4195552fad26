//! The calls that are measured, and the log in which their handlers write when they ran.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use futurecall_runtime::prelude::*;
use tokio::sync::Notify;

use crate::Result;

pub(crate) struct BenchFutureCall;

#[future_call]
impl BenchFutureCall {
    /// Counts itself.
    pub(crate) async fn noop(_session: &Session, _number: i64, #[future_call(state)] log: &Arc<Log>) {
        let now = Instant::now();
        if log.ran.fetch_add(1, Ordering::Relaxed) == 0 {
            // Only one run is the first.
            let _ = log.first.set(now);
        }
        log.changed.notify_one();
    }

    /// Writes down when it started.
    pub(crate) async fn stamp(session: &Session, place: usize, #[future_call(state)] log: &Arc<Log>) {
        let stamp = Stamp { started: Instant::now(), lateness: lateness(session) };
        if let Some(slot) = log.stamps.get(place) {
            // A second run of the same call would be a fault of the product's, not a figure.
            assert!(slot.set(stamp).is_ok(), "call {place} ran twice");
        }
        log.changed.notify_one();
    }
}

/// When a handler started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) started: Instant,
    /// After the due moment; below zero is early. In milliseconds.
    pub(crate) lateness: f64,
}

/// What handlers write down.
#[derive(Debug, Default)]
pub(crate) struct Log {
    ran: AtomicU64,
    first: OnceLock<Instant>,
    stamps: Vec<OnceLock<Stamp>>,
    changed: Notify,
}

impl Log {
    /// A log with room for that many stamps.
    pub(crate) fn new(stamps: usize) -> Arc<Self> {
        Arc::new(Self { stamps: (0..stamps).map(|_| OnceLock::new()).collect(), ..Self::default() })
    }

    /// When the first of that many no-op calls started, once all of them have.
    pub(crate) async fn all_ran(&self, calls: u64) -> Result<Instant> {
        self.until("all calls to run", || self.ran.load(Ordering::Relaxed) >= calls).await?;
        self.first.get().copied().ok_or_else(|| "no call ran".into())
    }

    /// The stamp of one call, once it is there.
    pub(crate) async fn stamp(&self, place: usize) -> Result<Stamp> {
        let slot = self.stamps.get(place).ok_or("no such stamp")?;
        self.until("a call to start", || slot.get().is_some()).await?;
        slot.get().copied().ok_or_else(|| "no stamp".into())
    }

    async fn until(&self, what: &str, is_so: impl Fn() -> bool) -> Result {
        let wait = async {
            while !is_so() {
                self.changed.notified().await;
            }
        };
        let ran = tokio::time::timeout(Duration::from_mins(5), wait).await;
        ran.map_err(|_| format!("waited for {what} for five minutes").into())
    }
}

/// By this machine's clock, which is the database's as well: the server runs beside us.
fn lateness(session: &Session) -> f64 {
    let due = Duration::from_micros(session.call().due.as_micros().unsigned_abs());
    let due = SystemTime::UNIX_EPOCH + due;
    match SystemTime::now().duration_since(due) {
        Ok(late) => late.as_secs_f64() * 1e3,
        Err(early) => -early.duration().as_secs_f64() * 1e3,
    }
}
