//! Wakes the thread that starts calls at their due time.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the thread sleeps while no call waits for its due time, before it checks whether the pod still exists.
pub(super) const IDLE: Duration = Duration::from_mins(1);

/// The timer of the thread, with a flag that ends its sleep early.
#[derive(Debug, Default)]
pub(super) struct TimerWakeup {
    is_set: Mutex<bool>,
    changed: Condvar,
    #[cfg(feature = "testing")]
    pub(super) notify: tokio::sync::Notify,
}

impl TimerWakeup {
    /// Wakes the thread: an earlier call was added, or the pod is stopping.
    pub(super) fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
        #[cfg(feature = "testing")]
        self.notify.notify_one();
    }

    /// Returns whether it is set, and clears it.
    #[cfg(test)]
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut *self.is_set.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sleeps until `until`, or until it is set.
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
    fn it_sleeps_until_the_given_time_or_until_it_is_set() {
        let wakeup = Arc::new(TimerWakeup::default());
        let (start, ms) = (crate::clock::instant(), Duration::from_millis(1));
        wakeup.sleep(Some(start + 5 * ms));
        assert!(crate::clock::instant() >= start + 5 * ms);
        // Set before it sleeps, or while it does: it does not sleep for an hour.
        wakeup.set();
        wakeup.sleep(Some(start + Duration::from_hours(1)));
        let other = Arc::clone(&wakeup);
        let thread = std::thread::spawn(move || other.sleep(Some(start + Duration::from_hours(1))));
        while !thread.is_finished() {
            wakeup.set();
        }
        assert!(crate::clock::instant() < start + Duration::from_mins(1));
    }
}
