//! How the attempts of calls that are tried again end: by dice that the handler and the checker throw alike.

use std::time::Duration;

use uuid::Uuid;

use futurecall_testbed::rng::Rng;

/// How many attempts may fail, as the handler's policy says.
pub(crate) const MOST: usize = 4;
/// How long after a failure the next attempt is due, as the policy says.
pub(crate) const BACKOFF: Duration = Duration::from_millis(40);
/// How long after it where the handler itself says when.
pub(crate) const ASKED: Duration = Duration::from_millis(150);
/// How long an attempt may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

/// How one attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Throw {
    Success,
    Error,
    Panic,
    /// An error that says when the next attempt is to be.
    RetryIn,
    /// An error that says that there is to be none.
    GiveUp,
    /// It never ends by itself.
    Hang,
}

impl Throw {
    /// Of that attempt of that call.
    pub(crate) fn of(call: Uuid, attempt: u32) -> Self {
        let mut dice = Rng::part(call.as_u64_pair().1, u64::from(attempt));
        match dice.below(100) {
            0..45 => Self::Success,
            45..65 => Self::Error,
            65..75 => Self::Panic,
            75..90 => Self::RetryIn,
            90..95 => Self::GiveUp,
            _ => Self::Hang,
        }
    }

    /// How long after such an end the next attempt is due; none if there is not to be another.
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

    use super::Throw;

    #[test]
    fn the_same_attempt_ends_the_same_way_and_others_otherwise() {
        let throws: Vec<_> = (1..200).map(|attempt| Throw::of(Uuid::from_u128(7), attempt)).collect();
        assert_eq!(
            throws,
            (1..200).map(|attempt| Throw::of(Uuid::from_u128(7), attempt)).collect::<Vec<_>>()
        );
        for throw in [Throw::Success, Throw::Error, Throw::Panic, Throw::RetryIn, Throw::GiveUp, Throw::Hang]
        {
            assert!(throws.contains(&throw), "{throw:?}");
        }
    }
}
