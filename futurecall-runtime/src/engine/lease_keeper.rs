//! Renews leases and writes heartbeats, on a thread of its own with a current-thread runtime and its own connection:
//! a blocked or busy application runtime cannot starve it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::backoff::Backoff;
use super::shutdown::CLOSE;
use super::supervise::supervised;
use super::{BEAT, Engine, NOW};
use crate::clock::{Deadline, Reading};
use crate::error::StoreError;
use crate::signals::Op;
use crate::store::{Lease, Result, Store};

/// Timeout of a renewal once the wall clock has passed the end of a lease.
const LAST_TRY: Duration = Duration::from_secs(1);

/// Starts the thread. It ends with the pod.
pub(super) fn start(engine: Arc<Engine>) -> std::io::Result<()> {
    // Makes a shutdown wait for the thread's last iteration.
    let (token, process) = (engine.flushers.token(), engine.process.clone());
    let keep = async move {
        supervised(&engine, "lease", || keep_leases(&engine)).await;
        drop(token);
    };
    if process.has_no_threads() {
        tokio::spawn(process.task(keep));
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("futurecall-lease".to_owned())
        .spawn(move || runtime.block_on(keep))
        .map(drop)
}

async fn keep_leases(engine: &Engine) {
    let mut store: Option<Box<dyn Store>> = None;
    let mut backoff = Backoff::default();
    let mut beat_due = Deadline::new(crate::clock::read(), Duration::ZERO);
    let mut planned = None;
    let mut wait = Duration::ZERO;
    loop {
        engine.liveness.lease_loop_ran();
        let (all, available) = (engine.config.concurrency_limit, engine.slots.available_permits());
        engine.meter.slots(all, available, engine.held.started());
        tokio::select! {
            biased;
            () = engine.over.cancelled() => break,
            () = engine.renew.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        let asked = engine.beat_due.swap(false, Ordering::Relaxed);
        let beat = asked || beat_due.left(crate::clock::read()).is_zero();
        let before = crate::clock::read();
        let is_over = is_over(engine, before);
        // A query that hangs must not keep this loop from fencing in time.
        let shortest = engine.held.shortest(|deadline| deadline.left_by_timer(before));
        let patience = patience(engine.config.lease, shortest, is_over);
        let result = match tokio::time::timeout(patience, keep_once(engine, &mut store, beat)).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::transient("renew leases", "the database did not answer in time")),
        };
        let renewed = result.is_ok();
        match result {
            Ok(()) => {
                backoff.succeeded();
                if beat {
                    let now = crate::clock::read();
                    let late = planned
                        .map(|planned: std::time::Instant| now.monotonic.saturating_duration_since(planned));
                    if let Some(late) = late {
                        engine.meter.beat(late);
                    }
                    planned = now.monotonic.checked_add(BEAT);
                    beat_due = Deadline::new(now, BEAT);
                }
            }
            Err(error) => {
                engine.meter.failed(Op::Renew);
                // The connection may be in an undefined state: the next try opens another.
                store = None;
                backoff.failed();
                if backoff.may_log() {
                    tracing::warn!(%error, "could not renew leases; trying again");
                }
            }
        }
        wait = fence(engine, renewed, is_over && !renewed);
    }
    if let Some(store) = store {
        // If that hangs, the connections are closed when the thread ends.
        let _ = tokio::time::timeout(CLOSE, store.close()).await;
    }
}

/// Renews the leases of all held calls, and writes a heartbeat if one is due.
async fn keep_once(engine: &Engine, store: &mut Option<Box<dyn Store>>, beat: bool) -> Result<()> {
    let store = match store {
        Some(store) => store,
        None => store.insert(engine.store.separate().await?),
    };
    let held = engine.held.all();
    if !held.is_empty() {
        let sent = crate::clock::read();
        let renewed = store.renew(NOW, engine.pod, &held, engine.config.lease).await?;
        let deadline = Deadline::new(sent, engine.config.lease);
        for (held, renewed) in held.iter().zip(renewed) {
            match renewed.lease {
                Lease::Held => engine.held.renewed(held, deadline),
                // Renewed next time, or fenced when its deadline comes.
                Lease::Kept => {}
                Lease::Lost => engine.held.lose(held),
            }
            if renewed.cancelled {
                engine.held.cancel(held);
            }
        }
    }
    if beat {
        engine.beat_to(&**store).await?;
    }
    Ok(())
}

/// Returns how long before its end a lease that could not be renewed is given up.
fn margin(lease: Duration) -> Duration {
    lease / 10
}

/// Returns whether, by one of the clocks, a lease must be given up.
fn is_over(engine: &Engine, now: Reading) -> bool {
    let shortest = engine.held.shortest(|deadline| deadline.left(now));
    shortest.is_some_and(|left| left <= margin(engine.config.lease))
}

/// Returns the timeout of one renewal: never past the time at which the lease that ends first must be given up.
/// `is_over`: by the wall clock that time has come. Either the clock was set, and the renewal succeeds; or the
/// machine was suspended, and other pods may have the calls: then their handlers must be stopped soon.
fn patience(lease: Duration, shortest: Option<Duration>, is_over: bool) -> Duration {
    let until_fence = shortest.map_or(lease, |left| left.saturating_sub(margin(lease)));
    let most = if is_over { margin(lease).min(LAST_TRY) } else { lease / 3 };
    most.min(until_fence).max(Duration::from_millis(1))
}

/// Stops handlers whose lease is about to end without a renewal, and returns how long to wait until the next one. The
/// wall clock alone stops a handler only after a renewal has been `tried` and failed, because the clock may have been
/// set forward.
fn fence(engine: &Engine, renewed: bool, tried: bool) -> Duration {
    let lease = engine.config.lease;
    let margin = margin(lease);
    let now = crate::clock::read();
    let stopped = if tried {
        engine.held.fence(|deadline| deadline.left(now), margin)
    } else {
        engine.held.fence(|deadline| deadline.left_by_timer(now), margin)
    };
    if stopped > 0 {
        tracing::error!(calls = stopped, "leases could not be renewed in time; their handlers are stopped");
    }
    let regular = if renewed { (lease / 3).min(BEAT) } else { lease / 20 };
    match engine.held.shortest(|deadline| deadline.left(now)) {
        Some(left) => regular.min(left.saturating_sub(margin).max(Duration::from_millis(1))),
        None => regular,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::patience;

    #[test]
    fn a_renewal_that_hangs_ends_before_the_first_lease_must_be_given_up() {
        let lease = Duration::from_secs(30);
        let seconds = Duration::from_secs;
        assert_eq!(patience(lease, None, false), seconds(10));
        assert_eq!(patience(lease, Some(seconds(30)), false), seconds(10));
        // Two renewals that hung for 10 s each leave less time than a third may take.
        assert_eq!(patience(lease, Some(seconds(8)), false), seconds(5));
        assert_eq!(patience(lease, Some(seconds(2)), false), Duration::from_millis(1));
    }

    #[test]
    fn a_wall_clock_past_the_leases_leaves_time_for_one_renewal() {
        let seconds = Duration::from_secs;
        assert_eq!(patience(seconds(30), Some(seconds(30)), true), seconds(1));
        assert_eq!(patience(seconds(3), Some(seconds(3)), true), Duration::from_millis(300));
        assert_eq!(
            patience(seconds(30), Some(seconds(2)), true),
            Duration::from_millis(1),
            "by the monotonic clock, too"
        );
    }
}
