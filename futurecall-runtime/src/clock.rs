//! The only file that reads the time.

use std::time::{Duration, Instant, SystemTime};

use crate::moment::Moment;

/// The machine's wall clock, as the clock of databases that have none of their own (memory, SQLite).
#[expect(clippy::disallowed_methods, reason = "this file is the one that may")]
pub(crate) fn wall() -> Moment {
    // A clock set before 1970 or past 9999 reads as the nearest moment that a database can hold.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Moment::MIN.checked_add(since).unwrap_or(Moment::MAX)
}

/// The monotonic clock, for leases and timers of this process. It stands still while the machine is suspended.
#[expect(clippy::disallowed_methods, reason = "this file is the one that may")]
pub(crate) fn instant() -> Instant {
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
