//! Starts what was claimed ahead, each call at its moment.
//!
//! On a thread of its own: the timers of the asynchronous runtime go by whole milliseconds, rounded up twice, which was
//! most of the lateness of a pod with nothing else to do (measured: a median of 1.4 ms, against 0.3).

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Engine, run};

/// How long the thread sleeps where nothing waits for its moment: it looks whether the pod is still there.
const IDLE: Duration = Duration::from_mins(1);

/// Wakes the thread.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    is_set: Mutex<bool>,
    changed: Condvar,
    #[cfg(feature = "testing")]
    rung: tokio::sync::Notify,
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
    fn sleep(&self, until: Option<Instant>) {
        let is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let time = until.map_or(IDLE, |until| until.saturating_duration_since(crate::clock::instant()));
        let slept = self.changed.wait_timeout_while(is_set, time, |is_set| !*is_set);
        *slept.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// Starts the thread. It ends when the pod stops.
pub(super) fn start(engine: &Arc<Engine>) -> std::io::Result<()> {
    #[cfg(feature = "testing")]
    if engine.process.has_no_threads() {
        tokio::spawn(engine.process.task(ring_until_stopped(Arc::clone(engine))));
        return Ok(());
    }
    let weak = Arc::downgrade(engine);
    let alarm = Arc::clone(&engine.ready.alarm);
    let runtime = tokio::runtime::Handle::current();
    let ring = move || {
        let _in_runtime = runtime.enter();
        loop {
            let Some(engine) = weak.upgrade().filter(|engine| !engine.stop.is_cancelled()) else { return };
            let next = engine.ready.ripen(crate::clock::instant());
            run::dispatch(&engine);
            drop(engine);
            alarm.sleep(next);
        }
    };
    std::thread::Builder::new().name("futurecall-alarm".to_owned()).spawn(ring).map(drop)
}

/// The same as a task, where there are no threads.
#[cfg(feature = "testing")]
async fn ring_until_stopped(engine: Arc<Engine>) {
    while !engine.stop.is_cancelled() {
        let now = crate::clock::instant();
        let next = engine.ready.ripen(now);
        run::dispatch(&engine);
        tokio::select! {
            biased;
            () = engine.ready.alarm.rung.notified() => {}
            () = tokio::time::sleep_until(next.unwrap_or(now + IDLE).into()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
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
