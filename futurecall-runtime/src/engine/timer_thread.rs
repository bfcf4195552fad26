//! Starts what was claimed ahead, each call at its moment.
//!
//! On a thread of its own: the timers of the asynchronous runtime go by whole milliseconds, rounded up twice, which was
//! most of the lateness of a pod with nothing else to do (measured: a median of 1.4 ms, against 0.3).

use std::sync::Arc;

#[cfg(feature = "testing")]
use super::timer_wakeup::IDLE;
use super::{Engine, run};

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
