//! Backoff between retries, and a limit on how often failures are logged.

use std::time::{Duration, Instant};

/// Exponential backoff from 50 ms to 5 s, with jitter, and at most one log line per second.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    logged: Option<Instant>,
}

impl Backoff {
    /// Counts a failure, and returns how long to wait.
    pub(super) fn failed(&mut self) -> Duration {
        let doublings = self.failures.min(7);
        self.failures = self.failures.saturating_add(1);
        let base = Duration::from_millis(50).saturating_mul(1_u32 << doublings).min(Duration::from_secs(5));
        jittered(base)
    }

    /// Returns whether a line may be logged now.
    pub(super) fn may_log(&mut self) -> bool {
        let now = crate::clock::instant();
        let due =
            self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= Duration::from_secs(1));
        if due {
            self.logged = Some(now);
        }
        due
    }

    /// Resets the backoff after a success.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// Returns `base`, give or take a tenth, so that pods started together do not poll at the same time.
pub(super) fn jittered(base: Duration) -> Duration {
    let share = crate::random::bits() & 0xFFFF;
    let tenth = base / 10;
    base.saturating_sub(tenth).saturating_add(tenth.saturating_mul(2).saturating_mul(share) / 0xFFFF)
}

/// Returns a random number from 0 to 1.
pub(super) fn chance() -> f64 {
    f64::from(crate::random::bits()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, jittered};

    #[test]
    fn waits_grow_to_a_limit_and_start_over() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..20).map(|_| backoff.failed()).collect();
        assert!(waits.first().is_some_and(|wait| *wait <= Duration::from_millis(55)));
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(5_500)));
        assert!(waits.last().is_some_and(|wait| *wait >= Duration::from_millis(4_500)));
        backoff.succeeded();
        assert!(backoff.failed() <= Duration::from_millis(55));
    }

    #[test]
    fn five_minutes_without_a_database_are_few_tries() {
        let mut backoff = Backoff::default();
        let (mut passed, mut tries) = (Duration::ZERO, 0);
        while passed < Duration::from_mins(5) {
            passed += backoff.failed();
            tries += 1;
        }
        assert!((60..80).contains(&tries), "{tries}");
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        for _ in 0..1_000 {
            let wait = jittered(Duration::from_secs(10));
            assert!(wait >= Duration::from_secs(9) && wait <= Duration::from_secs(11), "{wait:?}");
        }
    }

    #[test]
    fn logs_once_a_second() {
        let mut backoff = Backoff::default();
        assert!(backoff.may_log());
        assert!(!backoff.may_log());
    }
}
