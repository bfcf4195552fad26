//! The only file that reads the time.

use std::time::{Duration, Instant, SystemTime};

use crate::moment::Moment;

/// The machine's wall clock, as the clock of databases that have none of their own (memory, SQLite).
#[expect(clippy::disallowed_methods, reason = "this file is the one that may")]
pub(crate) fn wall() -> Moment {
    #[cfg(feature = "testing")]
    if let Some(wall) = simulated::wall() {
        return wall;
    }
    // A clock set before 1970 or past 9999 reads as the nearest moment that a database can hold.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Moment::MIN.checked_add(since).unwrap_or(Moment::MAX)
}

/// The monotonic clock, for leases and timers of this process. It stands still while the machine is suspended.
#[expect(clippy::disallowed_methods, reason = "this file is the one that may")]
pub(crate) fn instant() -> Instant {
    #[cfg(feature = "testing")]
    if let Some(instant) = simulated::instant() {
        return instant;
    }
    Instant::now()
}

/// A deadline by both clocks: the monotonic one, which nobody can set, and the wall clock, which also runs while the
/// machine is suspended. Over as soon as either says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    monotonic: Option<Instant>,
    wall: Moment,
}

impl Deadline {
    /// That long from `start`.
    pub(crate) fn new(start: Reading, after: Duration) -> Self {
        Self {
            monotonic: start.monotonic.checked_add(after),
            wall: start.wall.checked_add(after).unwrap_or(Moment::MAX),
        }
    }

    /// How long is left by the monotonic clock alone: the wall clock may have been set forward. Zero when it is over.
    pub(crate) fn left_by_timer(&self, now: Reading) -> Duration {
        self.monotonic.map_or(Duration::MAX, |at| at.saturating_duration_since(now.monotonic))
    }

    /// How long is left by the more pessimistic clock; zero when it is over.
    pub(crate) fn left(&self, now: Reading) -> Duration {
        let by_wall = self.wall.saturating_since(now.wall);
        self.monotonic.map_or(by_wall, |at| at.saturating_duration_since(now.monotonic).min(by_wall))
    }
}

/// Both clocks, read at one point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// The monotonic clock.
    pub(crate) monotonic: Instant,
    /// The wall clock.
    pub(crate) wall: Moment,
}

/// Reads both clocks.
pub(crate) fn read() -> Reading {
    Reading { monotonic: instant(), wall: wall() }
}

#[cfg(feature = "testing")]
pub(crate) use self::simulated::{set_back, simulate, skip};

/// The clocks of a simulation: of this thread, and of the runtime that it is in, whose time is paused.
#[cfg(feature = "testing")]
mod simulated {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    use crate::moment::Moment;

    thread_local! {
        /// When the simulation began, by both clocks.
        static BEGAN: Cell<Option<(Instant, Moment)>> = const { Cell::new(None) };
    }

    /// Begins, or ends, a simulation on this thread.
    pub(crate) fn simulate(wall: Option<Moment>) {
        BEGAN.set(wall.map(|wall| (tokio_instant(), wall)));
    }

    /// Sets the wall clock forward.
    pub(crate) fn skip(time: Duration) {
        BEGAN.set(BEGAN.get().map(|(instant, wall)| (instant, wall.checked_add(time).unwrap_or(wall))));
    }

    /// Sets the wall clock back, to 1970 at most.
    pub(crate) fn set_back(time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let back = |wall: Moment| {
            Moment::from_micros(wall.as_micros().saturating_sub(micros)).unwrap_or(Moment::MIN)
        };
        BEGAN.set(BEGAN.get().map(|(instant, wall)| (instant, back(wall))));
    }

    pub(super) fn wall() -> Option<Moment> {
        let (instant, wall) = BEGAN.get()?;
        wall.checked_add(tokio_instant().saturating_duration_since(instant)).ok()
    }

    pub(super) fn instant() -> Option<Instant> {
        BEGAN.get().map(|_| tokio_instant())
    }

    #[expect(clippy::disallowed_methods, reason = "this file is the one that may")]
    fn tokio_instant() -> Instant {
        tokio::time::Instant::now().into_std()
    }
}
