//! When a failed attempt is followed by another: arithmetic, without a clock and without chance.

use std::fmt;
use std::time::Duration;

/// Whether and when a failed call is tried again: what `retry(…)` of the attribute says.
///
/// ```
/// use std::time::Duration;
/// use futurecall_runtime::{Backoff, RetryPolicy};
/// let policy = RetryPolicy::new(3).backoff(Backoff::exponential(Duration::from_secs(1)));
/// assert_eq!(policy.next(1, 0.0), Some(Duration::from_secs(1)), "after the first failure");
/// assert_eq!(policy.next(2, 0.0), Some(Duration::from_secs(2)));
/// assert_eq!(policy.next(3, 0.0), None, "that was the last attempt");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    max_attempts: u32,
    backoff: Backoff,
}

/// How long a call waits before it is tried again.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Backoff {
    /// Always as long.
    Fixed(Duration),
    /// Twice as long after each failure.
    Exponential {
        /// After the first.
        first: Duration,
        /// The longest.
        max: Duration,
        /// Whether chance shortens each wait, by up to a half: calls that failed together then do not come back together.
        jitter: bool,
    },
    /// As long as this says of the attempt that failed; 1 is the first.
    Custom(fn(u32) -> Duration),
}

impl RetryPolicy {
    /// The most attempts that a policy can allow.
    pub const MOST_ATTEMPTS: u32 = 10_000;

    /// Allows at most `max_attempts` attempts in all, from 1 to [`MOST_ATTEMPTS`](Self::MOST_ATTEMPTS): a number outside of
    /// that counts as the nearest one within. The backoff is the default one: from one second, doubling, to one hour, with
    /// jitter.
    ///
    /// ```
    /// use futurecall_runtime::RetryPolicy;
    /// assert_eq!(RetryPolicy::new(0).max_attempts(), 1);
    /// assert_eq!(RetryPolicy::new(40_000).max_attempts(), 10_000);
    /// ```
    pub const fn new(max_attempts: u32) -> Self {
        let max_attempts = match max_attempts {
            0 => 1,
            Self::MOST_ATTEMPTS.. => Self::MOST_ATTEMPTS,
            within => within,
        };
        Self { max_attempts, backoff: Backoff::DEFAULT }
    }

    /// Waits so between attempts.
    #[must_use]
    pub const fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// How many attempts there are in all, at most.
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// How long after the failure of an attempt the next is due; `None` if there is none. `failed` is how many have
    /// failed by now, that one included. `chance` is a random number from 0 to 1, for the jitter.
    pub fn next(&self, failed: u32, chance: f64) -> Option<Duration> {
        (failed < self.max_attempts).then(|| self.backoff.after(failed, chance))
    }
}

impl Backoff {
    /// Of a policy that names none.
    pub(crate) const DEFAULT: Self =
        Self::Exponential { first: Duration::from_secs(1), max: LONGEST, jitter: true };

    /// From `first` on twice as long after each failure, to at most an hour (or `first`, if that is longer), without
    /// jitter.
    pub const fn exponential(first: Duration) -> Self {
        Self::Exponential { first, max: longest(first), jitter: false }
    }

    /// How long the wait is after that many failures. It never overflows; what is longer than 100 years is cut to that.
    pub fn after(&self, failed: u32, chance: f64) -> Duration {
        let wait = match *self {
            Self::Fixed(wait) => wait,
            Self::Exponential { first, max, jitter } => {
                let doublings = failed.saturating_sub(1);
                let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
                let wait = first.saturating_mul(factor).min(max).min(CENTURY);
                if jitter { shortened(wait, chance) } else { wait }
            }
            Self::Custom(wait) => wait(failed),
        };
        wait.min(CENTURY)
    }
}

/// The longest wait of most exponential backoffs.
const LONGEST: Duration = Duration::from_hours(1);
/// Longer waits are nonsense, and would leave the years that databases hold.
const CENTURY: Duration = Duration::from_hours(36_525 * 24);

/// The longest wait of an exponential backoff that names none.
pub(crate) const fn longest(first: Duration) -> Duration {
    if first.as_micros() > LONGEST.as_micros() { first } else { LONGEST }
}

/// Between a half and all of it.
fn shortened(wait: Duration, chance: f64) -> Duration {
    let chance = if chance.is_finite() { chance.clamp(0.0, 1.0) } else { 0.0 };
    wait.mul_f64(1.0 - chance / 2.0).min(wait)
}

impl fmt::Debug for Backoff {
    /// The address of a custom function says nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(wait) => f.debug_tuple("Fixed").field(wait).finish(),
            Self::Exponential { first, max, jitter } => f
                .debug_struct("Exponential")
                .field("first", first)
                .field("max", max)
                .field("jitter", jitter)
                .finish(),
            Self::Custom(_) => f.write_str("Custom(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_attempts_are_counted_in_all() {
        let policy = RetryPolicy::new(2).backoff(Backoff::Fixed(SECOND));
        assert_eq!(
            (policy.next(1, 0.5), policy.next(2, 0.5), policy.next(3, 0.5)),
            (Some(SECOND), None, None)
        );
        assert_eq!(RetryPolicy::new(1).next(1, 0.0), None, "one attempt is no retry");
        let most = |attempts| RetryPolicy::new(attempts).max_attempts();
        assert_eq!([0, 1, 2, 10_000, 10_001, u32::MAX].map(most), [1, 1, 2, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn an_exponential_wait_doubles_up_to_its_longest() {
        let backoff = Backoff::Exponential { first: SECOND, max: SECOND * 10, jitter: false };
        let waits: Vec<_> = (1..=6).map(|failed| backoff.after(failed, 0.9).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn an_exponential_wait_that_names_no_longest_grows_to_an_hour_or_stays_as_long_as_its_first() {
        let last = |first: Duration| Backoff::exponential(first).after(32, 1.0);
        assert_eq!([last(SECOND), last(SECOND * 7_200)], [SECOND * 3_600, SECOND * 7_200]);
    }

    #[test]
    fn chance_shortens_a_wait_by_up_to_a_half() {
        let backoff = Backoff::Exponential { first: SECOND * 8, max: SECOND * 100, jitter: true };
        let waits: Vec<_> = [0.0, 0.25, 0.5, 1.0].map(|chance| backoff.after(1, chance).as_secs()).into();
        assert_eq!(waits, [8, 7, 6, 4]);
        // What is no chance shortens nothing.
        assert_eq!(backoff.after(2, f64::NAN), SECOND * 16);
    }

    #[test]
    fn a_custom_wait_is_told_which_attempt_failed() {
        let backoff = Backoff::Custom(|attempt| SECOND * attempt);
        assert_eq!(backoff.after(7, 0.0), SECOND * 7);
        assert_eq!(Backoff::Custom(|_| Duration::MAX).after(1, 0.0), SECOND * 3_155_760_000, "100 years");
        assert_eq!(format!("{backoff:?}"), "Custom(..)");
    }

    proptest! {
        #[test]
        fn no_wait_overflows_or_passes_its_bounds(
            first in any::<Duration>(),
            max in any::<Duration>(),
            jitter in any::<bool>(),
            failed in any::<u32>(),
            chance in any::<f64>(),
        ) {
            let backoff = Backoff::Exponential { first, max, jitter };
            let wait = backoff.after(failed, chance);
            prop_assert!(wait <= max.min(CENTURY));
            // Chance takes half of it at most.
            let whole = Backoff::Exponential { first, max, jitter: false }.after(failed, chance);
            prop_assert!(wait <= whole);
            let least = if jitter { first.min(max) / 2 } else { first.min(max) };
            prop_assert!(failed == 0 || wait.saturating_add(Duration::from_micros(1)) >= least.min(whole / 2));
        }

        #[test]
        fn a_later_wait_is_never_shorter(first in any::<Duration>(), failed in 1..u32::MAX, chance in 0.0..=1.0) {
            let backoff = Backoff::Exponential { first, max: Duration::MAX, jitter: true };
            prop_assert!(backoff.after(failed, chance) <= backoff.after(failed + 1, chance));
        }

        #[test]
        fn attempts_end(max_attempts in any::<u32>(), failed in any::<u32>(), chance in any::<f64>()) {
            let policy = RetryPolicy::new(max_attempts);
            prop_assert_eq!(policy.next(failed, chance).is_some(), failed < max_attempts.clamp(1, 10_000));
        }
    }
}
