//! What wakes the thread that starts calls at their moments.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the thread sleeps where nothing waits for its moment: it looks whether the pod is still there.
pub(super) const IDLE: Duration = Duration::from_mins(1);

/// Wakes the thread.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    is_set: Mutex<bool>,
    changed: Condvar,
    #[cfg(feature = "testing")]
    pub(super) rung: tokio::sync::Notify,
}

impl Alarm {
    /// Something earlier waits for its moment, or the pod stops.
    pub(super) fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
        #[cfg(feature = "testing")]
        self.rung.notify_one();
    }

    /// Whether it is set; it is not any more.
    #[cfg(test)]
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut *self.is_set.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sleeps until then, or until it is set.
    pub(super) fn sleep(&self, until: Option<Instant>) {
        let is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let time = until.map_or(IDLE, |until| until.saturating_duration_since(crate::clock::instant()));
        let slept = self.changed.wait_timeout_while(is_set, time, |is_set| !*is_set);
        *slept.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn it_sleeps_until_the_moment_or_until_it_is_set() {
        let alarm = Arc::new(Alarm::default());
        let (start, ms) = (crate::clock::instant(), Duration::from_millis(1));
        alarm.sleep(Some(start + 5 * ms));
        assert!(crate::clock::instant() >= start + 5 * ms);
        // Set before it sleeps, or while it does: it does not sleep for an hour.
        alarm.set();
        alarm.sleep(Some(start + Duration::from_hours(1)));
        let other = Arc::clone(&alarm);
        let thread = std::thread::spawn(move || other.sleep(Some(start + Duration::from_hours(1))));
        while !thread.is_finished() {
            alarm.set();
        }
        assert!(crate::clock::instant() < start + Duration::from_mins(1));
    }
}
