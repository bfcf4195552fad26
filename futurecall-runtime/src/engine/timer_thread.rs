//! Starts calls that were claimed ahead, each at its due time.
//!
//! Uses a thread of its own: the timers of the asynchronous runtime count whole milliseconds, rounded up twice, which
//! was most of the lateness of an idle pod (measured: a median of 1.4 ms, against 0.3).

use std::sync::Arc;

#[cfg(feature = "testing")]
use super::timer_wakeup::IDLE;
use super::{Engine, run};

/// Starts the thread. It ends when the pod stops.
pub(super) fn start(engine: &Arc<Engine>) -> std::io::Result<()> {
    #[cfg(feature = "testing")]
    if engine.process.has_no_threads() {
        tokio::spawn(engine.process.task(run_until_stopped(Arc::clone(engine))));
        return Ok(());
    }
    let weak = Arc::downgrade(engine);
    let wakeup = Arc::clone(&engine.ready.wakeup);
    let runtime = tokio::runtime::Handle::current();
    let run_timer = move || {
        let _in_runtime = runtime.enter();
        loop {
            let Some(engine) = weak.upgrade().filter(|engine| !engine.stop.is_cancelled()) else { return };
            let next = engine.ready.move_due(crate::clock::instant());
            run::dispatch(&engine);
            drop(engine);
            wakeup.sleep(next);
        }
    };
    std::thread::Builder::new().name("futurecall-alarm".to_owned()).spawn(run_timer).map(drop)
}

/// The same as a task, in simulations, which have no threads.
#[cfg(feature = "testing")]
async fn run_until_stopped(engine: Arc<Engine>) {
    while !engine.stop.is_cancelled() {
        let now = crate::clock::instant();
        let next = engine.ready.move_due(now);
        run::dispatch(&engine);
        tokio::select! {
            biased;
            () = engine.ready.wakeup.notify.notified() => {}
            () = tokio::time::sleep_until(next.unwrap_or(now + IDLE).into()) => {}
        }
    }
}
