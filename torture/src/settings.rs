//! Settings that differ between pods: each draws its own, at random.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futurecall_runtime::Config;
use futurecall_runtime::store::Retention;

use futurecall_testbed::rng::Rng;

const DAY: u64 = 86_400;
/// For how many seconds: not at all, for less than a run lasts, and for longer.
const RETENTIONS: [u64; 3] = [0, 3, DAY];

/// Where the pods of one place draw them.
#[derive(Debug)]
pub(crate) struct Settings(Option<Mutex<Rng>>);

impl Settings {
    /// Without a seed, all are the same.
    pub(crate) fn new(seed: Option<u64>, part: u64) -> Self {
        Self(seed.map(|seed| Mutex::new(Rng::part(seed, part))))
    }

    /// Returns for how many seconds the next pod keeps succeeded calls.
    pub(crate) fn retention(&self) -> u64 {
        let Some(rng) = &self.0 else { return DAY };
        let place = rng.lock().unwrap_or_else(PoisonError::into_inner).below(RETENTIONS.len());
        RETENTIONS.get(place).copied().unwrap_or(DAY)
    }
}

/// Returns the settings of a pod that keeps succeeded calls for that many seconds.
pub(crate) fn keeping(config: Config, seconds: u64) -> Config {
    config.retention(Retention { succeeded: Duration::from_secs(seconds), ..Retention::default() })
}

#[cfg(test)]
mod tests {
    use super::{DAY, RETENTIONS, Settings};

    #[test]
    fn every_retention_is_drawn_and_none_without_a_seed() {
        let settings = Settings::new(Some(7), 40);
        let drawn: Vec<_> = (0..50).map(|_| settings.retention()).collect();
        assert!(RETENTIONS.iter().all(|each| drawn.contains(each)), "{drawn:?}");
        assert_eq!(Settings::new(None, 40).retention(), DAY);
    }
}
