//! A lower bound of the database's clock, by which a pod can tell, without a query, that a claimed call is due.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::moment::Moment;

/// How much slower than this machine's monotonic clock the database's may run: one part in 5,000, several times the
/// drift between two machines' crystals.
const DRIFT: u32 = 5_000;
/// The error from rounding to microseconds.
const ROUNDING: Duration = Duration::from_micros(1);

/// A lower bound of the database's clock, extrapolated by this machine's monotonic clock.
///
/// A statement sent at `sent` and answered at `received` read the database's clock in between. So at `received` the
/// clock is at least the reading, and at most `received - sent` more. A bound above that maximum is refuted (the
/// clock was set back) and replaced by the new reading. Of the bounds that hold, the highest is kept.
#[derive(Debug, Default)]
pub(super) struct DatabaseClock {
    bound: Mutex<Option<Bound>>,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    database: Moment,
    at: Instant,
}

impl DatabaseClock {
    /// Updates the bound with a reading of the database's clock.
    pub(super) fn saw(&self, database: Moment, sent: Instant, received: Instant) {
        let new = Bound { database, at: received };
        let at_most = database.checked_add(received.saturating_duration_since(sent)).unwrap_or(Moment::MAX);
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = bound.map(|bound| bound.at(received)).filter(|old| *old > database && *old <= at_most);
        if holds.is_none() {
            *bound = Some(new);
        }
    }

    /// Returns the lower bound at `now`; `None` before the first reading.
    pub(super) fn at_least(&self, now: Instant) -> Option<Moment> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).map(|bound| bound.at(now))
    }

    /// Returns how long after `now` the database's clock has certainly reached `moment`; `None` before the first
    /// reading.
    pub(super) fn until(&self, moment: Moment, now: Instant) -> Option<Duration> {
        let left = moment.saturating_since(self.at_least(now)?);
        // Longer by as much as makes up for drift.
        left.checked_add(left / (DRIFT - 1))?.checked_add(ROUNDING)
    }
}

impl Bound {
    fn at(&self, now: Instant) -> Moment {
        let since = now.saturating_duration_since(self.at);
        self.database.checked_add(since.saturating_sub(drift(since))).unwrap_or(Moment::MAX)
    }
}

/// Returns the error from drift over `time`.
fn drift(time: Duration) -> Duration {
    (time / DRIFT).saturating_add(ROUNDING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Moment {
        Moment::from_micros(micros).unwrap()
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_highest_bound_that_holds_counts() {
        let start = crate::clock::instant();
        let clock = DatabaseClock::default();
        assert_eq!((clock.at_least(start), clock.until(at(5), start)), (None, None));
        // The clock said 1 s at some moment of these 10 ms.
        clock.saw(at(1_000_000), start, start + 10 * MS);
        assert_eq!(clock.at_least(start + 10 * MS), Some(at(1_000_000)));
        // A quicker answer tells more.
        clock.saw(at(1_018_000), start + 20 * MS, start + 21 * MS);
        assert_eq!(clock.at_least(start + 21 * MS), Some(at(1_018_000)));
        // A slow one tells less: what is known already still holds.
        clock.saw(at(1_030_000), start + 30 * MS, start + 90 * MS);
        let known = clock.at_least(start + 90 * MS).unwrap();
        assert!(known > at(1_086_900) && known < at(1_087_000), "{known:?}");
    }

    #[test]
    fn a_clock_that_was_set_back_is_believed() {
        let start = crate::clock::instant();
        let clock = DatabaseClock::default();
        clock.saw(at(90_000_000), start, start + MS);
        clock.saw(at(30_000_000), start + 5 * MS, start + 6 * MS);
        assert_eq!(clock.at_least(start + 6 * MS), Some(at(30_000_000)));
    }

    #[test]
    fn the_wait_is_never_too_short() {
        let start = crate::clock::instant();
        let clock = DatabaseClock::default();
        clock.saw(at(1_000_000), start, start);
        for micros in [1_000_000, 1_000_001, 1_005_000, 61_000_000] {
            let wait = clock.until(at(micros), start).unwrap();
            let then = clock.at_least(start + wait).unwrap();
            assert!(then >= at(micros - 1), "{micros}: {then:?}");
            assert!(wait <= Duration::from_micros(u64::try_from(micros).unwrap()) / 50 + 62 * 1_000 * MS);
        }
    }
}
