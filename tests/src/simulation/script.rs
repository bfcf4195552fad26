//! The external events of a simulation and their times, drawn once, in advance.

use std::time::Duration;

use super::Settings;
use super::handlers::{PLAIN, RETRY, TIMED};
use futurecall_testbed::rng::Rng;

/// An external event.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// A client of a pod schedules a call, and changes its mind some time later if set.
    Schedule {
        place: usize,
        name: &'static str,
        delay: Duration,
        expires_after: Option<Duration>,
        then: Option<(Duration, Whim)>,
    },
    /// A process is paused for that long.
    Pause { place: usize, length: Duration },
    /// A process vanishes, and another takes its place after that long.
    Kill { place: usize, down: Duration },
    /// A pod is shut down, and another takes its place.
    Shutdown { place: usize },
    /// No pod reaches the database for that long.
    Outage { length: Duration },
    /// The server rejects all pods for that long.
    Deny { length: Duration },
    /// All machines are suspended for that long: only their wall clocks advance.
    Suspend { length: Duration },
}

/// A client's later request about a call that it has scheduled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whim {
    /// It is cancelled.
    Cancel,
    /// It is rescheduled to that long after now.
    Move(Duration),
    /// It is run again, if it has ended and did not succeed.
    RunAgain,
}

/// Everything that is to happen, in order.
pub(crate) fn script(seed: u64, settings: &Settings) -> Vec<(Duration, Deed)> {
    let mut dice = Rng::new(seed ^ 0x5eed);
    let mut deeds = Vec::new();
    for _ in 0..settings.calls {
        let at = seconds(&mut dice, settings.length);
        let name = *dice.one_of(&[PLAIN, PLAIN, RETRY, RETRY, TIMED]).unwrap_or(&PLAIN);
        let delay =
            if dice.below(3) == 0 { Duration::ZERO } else { seconds(&mut dice, Duration::from_secs(15)) };
        let after = seconds(&mut dice, delay + Duration::from_secs(1));
        let expires_after = (dice.below(4) == 0).then(|| seconds(&mut dice, Duration::from_secs(4)));
        let then = match dice.below(10) {
            0 | 1 => Some((after, Whim::Cancel)),
            2 => Some((after, Whim::Move(seconds(&mut dice, Duration::from_secs(10))))),
            3..=7 => Some((after + seconds(&mut dice, Duration::from_secs(20)), Whim::RunAgain)),
            _ => None,
        };
        let place = dice.below(settings.pods);
        deeds.push((at, Deed::Schedule { place, name, delay, expires_after, then }));
    }
    if settings.denials {
        for _ in 0..settings.troubles {
            let at = seconds(&mut dice, settings.length);
            deeds.push((at, Deed::Deny { length: seconds(&mut dice, settings.lease / 4) }));
        }
    }
    if settings.faults {
        for _ in 0..settings.troubles {
            let at = seconds(&mut dice, settings.length);
            let length = seconds(&mut dice, settings.lease * 3);
            let place = dice.below(settings.pods);
            deeds.push((
                at,
                match dice.below(8) {
                    0 | 1 => Deed::Kill { place, down: length },
                    2..=4 => Deed::Pause { place, length },
                    5 => Deed::Shutdown { place },
                    6 => Deed::Outage { length },
                    _ => Deed::Suspend { length },
                },
            ));
        }
    }
    deeds.sort_by_key(|(at, _)| *at);
    deeds
}

fn seconds(dice: &mut Rng, longest: Duration) -> Duration {
    Duration::from_millis(dice.below(usize::try_from(longest.as_millis()).unwrap_or(1).max(1)) as u64)
}
