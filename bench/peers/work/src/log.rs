//! Where handlers write down that they ran.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

/// What handlers have told so far.
#[derive(Debug)]
pub struct Log {
    runs: AtomicU64,
    /// Somebody waits for that many runs.
    awaited: AtomicU64,
    first: OnceLock<Instant>,
    stamps: Vec<OnceLock<Stamp>>,
    reached: Notify,
}

/// When a handler started, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) at: Instant,
    pub(crate) moment: SystemTime,
}

impl Log {
    /// With room for that many stamps: for the calls with the lowest numbers.
    pub(crate) fn new(stamps: u32) -> Arc<Self> {
        Arc::new(Self {
            runs: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            first: OnceLock::new(),
            stamps: (0..stamps).map(|_| OnceLock::new()).collect(),
            reached: Notify::new(),
        })
    }

    /// What each handler says in its first line, and all that it does.
    pub fn ran(&self, number: u32) {
        let at = Instant::now();
        if let Some(stamp) = usize::try_from(number).ok().and_then(|place| self.stamps.get(place)) {
            // Of a call that runs twice the first run counts; the figure says how many runs there were.
            let _ = stamp.set(Stamp { at, moment: SystemTime::now() });
        }
        let before = self.runs.fetch_add(1, Ordering::SeqCst);
        if before == 0 {
            // Only one run is the first.
            let _ = self.first.set(at);
        }
        if before + 1 >= self.awaited.load(Ordering::SeqCst) {
            self.reached.notify_one();
        }
    }

    /// How often handlers ran.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }

    /// When the first handler started.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.first.get().copied()
    }

    /// When one call started.
    pub(crate) fn stamp(&self, number: u32) -> Option<Stamp> {
        self.stamps.get(usize::try_from(number).ok()?)?.get().copied()
    }

    /// Waits for that many runs, but not for longer than that; says whether there were so many.
    pub(crate) async fn reaches(&self, runs: u64, patience: Duration) -> bool {
        self.awaited.store(runs, Ordering::SeqCst);
        let reached = async {
            while self.runs() < runs {
                self.reached.notified().await;
            }
        };
        tokio::time::timeout(patience, reached).await.is_ok()
    }
}
