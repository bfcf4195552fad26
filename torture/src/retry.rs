//! The ends of attempts of calls with retries: drawn at random, so that handler and checker draw the same.

use std::time::Duration;

use uuid::Uuid;

use futurecall_testbed::rng::Rng;

/// How many attempts may fail, by the handler's policy.
pub(crate) const MOST: usize = 4;
/// How long after a failure the next attempt is due, by the policy.
pub(crate) const BACKOFF: Duration = Duration::from_millis(40);
/// How long after it if the handler itself sets the delay.
pub(crate) const ASKED: Duration = Duration::from_millis(150);
/// How long an attempt may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

/// The end of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptEnd {
    Success,
    Error,
    Panic,
    /// An error that sets the time of the next attempt.
    RetryIn,
    /// An error that gives up.
    GiveUp,
    /// It never ends by itself.
    Hang,
}

impl AttemptEnd {
    /// Draws the end of that attempt of that call.
    pub(crate) fn of(call: Uuid, attempt: u32) -> Self {
        let mut rng = Rng::part(call.as_u64_pair().1, u64::from(attempt));
        match rng.below(100) {
            0..45 => Self::Success,
            45..65 => Self::Error,
            65..75 => Self::Panic,
            75..90 => Self::RetryIn,
            90..95 => Self::GiveUp,
            _ => Self::Hang,
        }
    }

    /// Returns how long after such an end the next attempt is due; `None` if there is no other.
    pub(crate) const fn backoff(self) -> Option<Duration> {
        match self {
            Self::Error | Self::Panic | Self::Hang => Some(BACKOFF),
            Self::RetryIn => Some(ASKED),
            Self::Success | Self::GiveUp => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::AttemptEnd;

    #[test]
    fn the_same_attempt_ends_the_same_way_and_others_otherwise() {
        let throws: Vec<_> = (1..200).map(|attempt| AttemptEnd::of(Uuid::from_u128(7), attempt)).collect();
        assert_eq!(
            throws,
            (1..200).map(|attempt| AttemptEnd::of(Uuid::from_u128(7), attempt)).collect::<Vec<_>>()
        );
        for throw in [
            AttemptEnd::Success,
            AttemptEnd::Error,
            AttemptEnd::Panic,
            AttemptEnd::RetryIn,
            AttemptEnd::GiveUp,
            AttemptEnd::Hang,
        ] {
            assert!(throws.contains(&throw), "{throw:?}");
        }
    }
}
