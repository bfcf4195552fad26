//! When to look whether others have written to the file: looking costs, and most of the time nobody has.
//!
//! On Linux the kernel says when the log is written to. A write comes before its commit counts, by as long as the disk
//! takes, so that looks follow it at growing distances until the commit shows. Elsewhere the log's length and time are
//! looked at often, and SQLite is asked when they change.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::clock;

/// How long each look comes after the one before, the first after the write.
const LOOKS: [Duration; 10] = [
    Duration::from_micros(100),
    Duration::from_micros(150),
    Duration::from_micros(150),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(32),
];

/// The first of the looks that may be a little late: before it the thread itself pauses, as timers are too coarse. The
/// file's lock is somebody else's then, and whatever this thread might be asked to do would wait for it.
const LATER: usize = 4;

/// Where the looks begin after a write of our own: what else was written beside it has not been told apart.
const OWN: usize = LATER + 2;

/// How long after news the next is looked for: who writes all the time wakes others only so often.
const REST: Duration = Duration::from_millis(5);

/// How often the log is looked at where the kernel tells: should it not have, after all.
const ANYWAY: Duration = Duration::from_secs(1);

/// How often the log is looked at where the kernel does not tell.
const POLL: Duration = Duration::from_millis(20);

/// How often a look at the log asks SQLite even if it seems untouched: file systems tell the time coarsely.
const POLLS_PER_LOOK: u32 = 50;

#[derive(Debug)]
pub(super) struct Ear {
    log: PathBuf,
    watch: Option<watch::Watch>,
    /// When to look, and which of [`LOOKS`] that is; `None`: there is no reason to.
    next: Option<(Instant, usize)>,
    rested: Instant,
    looked: Instant,
    /// The log when it was last looked at, and how often it has been.
    polled: Option<(u64, SystemTime)>,
    polls: u32,
}

impl Ear {
    /// Listens to that log.
    pub(super) fn new(log: PathBuf) -> Self {
        let watch = watch::Watch::new(&log);
        if watch.is_none() {
            tracing::debug!(log = %log.display(), "the log of the SQLite database cannot be watched, so it is polled");
        }
        let now = clock::instant();
        // What has been written before is looked for at once.
        Self { log, watch, next: Some((now, LOOKS.len())), rested: now, looked: now, polled: None, polls: 0 }
    }

    /// Waits until it is time to look. Cancel-safe.
    pub(super) async fn due(&mut self) {
        loop {
            let now = clock::instant();
            let at = match self.next {
                Some((at, _)) => at.max(self.rested),
                None if self.watch.is_some() => self.looked + ANYWAY,
                None => self.looked + POLL,
            };
            let wait = at.saturating_duration_since(now);
            match self.next {
                Some((_, look)) if wait.is_zero() || (look < LATER && wait < LOOKS[LATER]) => {
                    return std::thread::sleep(wait);
                }
                None if wait.is_zero() => {
                    if self.log_has_changed(now) {
                        return;
                    }
                    continue;
                }
                _ => {}
            }
            let listens = self.next.is_none_or(|(_, look)| look >= LATER);
            tokio::select! {
                () = written(&mut self.watch), if listens => self.next = Some((clock::instant() + LOOKS[0], 0)),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Says what a look has shown.
    pub(super) fn looked(&mut self, changed: bool) {
        let now = clock::instant();
        self.looked = now;
        self.next = match self.next {
            _ if changed => {
                self.rested = now + REST;
                Some((now, OWN))
            }
            Some((_, look)) => LOOKS.get(look + 1).map(|pause| (now + *pause, look + 1)),
            None => None,
        };
    }

    /// Says that this thread has written.
    pub(super) async fn wrote(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        // The runtime asks the kernel before it goes on: then it has heard of our own writes.
        tokio::task::yield_now().await;
        watch.forget();
        let soon = clock::instant() + LOOKS[LATER];
        match self.next {
            Some((_, look)) if look < LATER => {}
            Some((at, _)) => self.next = Some((at.min(soon), OWN)),
            None => self.next = Some((soon, OWN)),
        }
    }

    /// Says that a neighbour has written: that commit shows already.
    pub(super) fn told(&mut self) {
        let look = self.next.map_or(LOOKS.len(), |(_, look)| look);
        self.next = Some((clock::instant(), look));
    }

    /// Whether the log is another than it was; now and then, that it may be.
    fn log_has_changed(&mut self, now: Instant) -> bool {
        self.looked = now;
        self.polls = self.polls.wrapping_add(1);
        let before = std::mem::replace(&mut self.polled, written_until(&self.log));
        // As long as nobody has written to the log, asking SQLite would cost more than it tells.
        self.polled.is_none() || self.polled != before || self.polls.is_multiple_of(POLLS_PER_LOOK)
    }
}

/// The log's length, and when it was last written; `None` where that cannot be told.
fn written_until(log: &Path) -> Option<(u64, SystemTime)> {
    let log = std::fs::metadata(log).ok()?;
    Some((log.len(), log.modified().ok()?))
}

async fn written(watch: &mut Option<watch::Watch>) {
    match watch {
        Some(watch) => watch.written().await,
        None => std::future::pending().await,
    }
}

#[cfg(target_os = "linux")]
mod watch {
    use std::path::Path;

    use futures_util::{FutureExt, StreamExt};
    use inotify::{EventStream, Inotify, WatchMask};

    /// The kernel's word that a file is written to.
    #[derive(Debug)]
    pub(super) struct Watch(EventStream<[u8; 1024]>);

    impl Watch {
        /// `None` where the kernel does not watch it. Needs a Tokio runtime that drives input and output.
        pub(super) fn new(log: &Path) -> Option<Self> {
            let inotify = Inotify::init().ok()?;
            inotify.watches().add(log, WatchMask::MODIFY).ok()?;
            inotify.into_event_stream([0; _]).ok().map(Self)
        }

        /// Waits for a write since the last one was told or forgotten. Cancel-safe.
        pub(super) async fn written(&mut self) {
            match self.0.next().await {
                Some(Ok(_)) => self.forget(),
                Some(Err(_)) | None => std::future::pending().await,
            }
        }

        /// Forgets what was written, as far as the runtime has heard of it.
        pub(super) fn forget(&mut self) {
            while let Some(Some(Ok(_))) = self.0.next().now_or_never() {}
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod watch {
    use std::path::Path;

    /// Other kernels are not asked.
    #[derive(Debug)]
    pub(super) enum Watch {}

    impl Watch {
        pub(super) fn new(_log: &Path) -> Option<Self> {
            None
        }

        pub(super) async fn written(&mut self) {
            match *self {}
        }

        pub(super) fn forget(&mut self) {
            match *self {}
        }
    }
}
