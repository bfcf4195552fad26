//! Leases are renewed on a thread of their own, with a current-thread runtime and a connection of its own: a blocked
//! or busy application runtime cannot starve them.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::{BEAT, Engine, NOW};
use crate::clock::Deadline;
use crate::error::StoreError;
use crate::store::{Lease, Store};

/// Starts the thread. It ends with the pod.
pub(super) fn start(engine: Arc<Engine>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("futurecall-lease".to_owned())
        .spawn(move || runtime.block_on(keep_leases(engine)))
        .map(drop)
}

async fn keep_leases(engine: Arc<Engine>) {
    let mut store: Option<Box<dyn Store>> = None;
    let mut backoff = Backoff::default();
    let mut beat_due = Deadline::new(crate::clock::read(), Duration::ZERO);
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            () = engine.over.cancelled() => return,
            () = engine.renew.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        let beat = beat_due.left(crate::clock::read()).is_zero();
        // A call that hangs must not keep this loop from fencing in time.
        let patience = engine.config.lease / 3;
        let result = match tokio::time::timeout(patience, keep_once(&engine, &mut store, beat)).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::transient("renew leases", "the database did not answer in time")),
        };
        let renewed = result.is_ok();
        match result {
            Ok(()) => {
                backoff.succeeded();
                if beat {
                    beat_due = Deadline::new(crate::clock::read(), BEAT);
                }
            }
            Err(error) => {
                // The connection may be in the middle of something: the next try opens another.
                store = None;
                backoff.failed();
                if backoff.may_log() {
                    tracing::warn!(%error, "could not renew leases; trying again");
                }
            }
        }
        wait = fence(&engine, renewed);
    }
}

/// One heartbeat if it is due, one renewal of what is in hand.
async fn keep_once(
    engine: &Engine,
    store: &mut Option<Box<dyn Store>>,
    beat: bool,
) -> Result<(), StoreError> {
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
                // Tried again with the next renewal, or fenced when its deadline comes.
                Lease::Kept => {}
                Lease::Lost => engine.held.lose(held),
            }
            if renewed.cancelled {
                engine.held.cancel(held);
            }
        }
    }
    if beat {
        store.beat(NOW, &engine.beat()).await?;
    }
    Ok(())
}

/// Stops handlers whose lease is about to end unrenewed; returns how long until the next look.
fn fence(engine: &Engine, renewed: bool) -> Duration {
    let lease = engine.config.lease;
    let margin = lease / 10;
    let now = crate::clock::read();
    let stopped = engine.held.fence(now, margin);
    if stopped > 0 {
        tracing::error!(calls = stopped, "leases could not be renewed in time; their handlers are stopped");
    }
    let regular = if renewed { (lease / 3).min(BEAT) } else { lease / 20 };
    match engine.held.shortest(now) {
        Some(left) => regular.min(left.saturating_sub(margin).max(Duration::from_millis(1))),
        None => regular,
    }
}
