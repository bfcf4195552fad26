//! What any pod does for all: finds the calls of vanished pods, offers declined calls again, deletes old history.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::backoff::{Backoff, jittered};
use super::claim::first_look;
use super::supervise::supervised;
use super::{BEAT, Engine, NOW};
use crate::signals::Op;
use crate::store::Result;

/// Rows at once: a long transaction would hold up others.
const CHUNK: usize = 1_000;
/// The search for vanished pods takes at most this share of the time, unless it would come less than once in a lease.
const SHARE: u32 = 20;
/// How often the history is pruned.
const PRUNE: Duration = Duration::from_mins(1);

/// How often gauges are brought up to date that need the database.
const GAUGES: Duration = Duration::from_secs(30);
/// Where counting for them stops.
const CAP: u64 = 10_000;

/// Starts the tasks.
pub(super) fn start(engine: &Arc<Engine>) {
    let (rescuer, pruner, reopener) = (Arc::clone(engine), Arc::clone(engine), Arc::clone(engine));
    let rescue = async move { supervised(&rescuer, "rescue", || rescue_until_stopped(&rescuer)).await };
    let prune = async move { supervised(&pruner, "prune", || prune_until_stopped(&pruner)).await };
    tokio::spawn(engine.process.task(rescue));
    let reopen = async move { supervised(&reopener, "reopen", || reopen_until_stopped(&reopener)).await };
    tokio::spawn(engine.process.task(prune));
    tokio::spawn(engine.process.task(reopen));
    if cfg!(feature = "metrics") {
        let gauger = Arc::clone(engine);
        let gauge = async move { supervised(&gauger, "gauge", || gauge_until_stopped(&gauger)).await };
        tokio::spawn(engine.process.task(gauge));
    }
}

/// One look in half a minute leaves an idle pod within its budget of a transaction every two seconds.
async fn gauge_until_stopped(engine: &Engine) {
    first_look(engine).await;
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = jittered(GAUGES);
        match engine.store.backlog(NOW, CAP, engine.pod_live()).await {
            Ok(backlog) => engine.meter.backlog(&backlog),
            Err(error) => {
                engine.meter.failed(Op::Look);
                tracing::debug!(%error, "could not see what waits; the gauges are not up to date");
            }
        }
    }
}

async fn rescue_until_stopped(engine: &Engine) {
    first_look(engine).await;
    let mut backoff = Backoff::default();
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let began = crate::clock::instant();
        wait = match rescue(engine).await {
            Ok(_) => {
                backoff.succeeded();
                let took = crate::clock::instant().saturating_duration_since(began);
                jittered(until_next_look(engine.config.lease, took))
            }
            Err(error) => {
                engine.meter.failed(Op::Rescue);
                let wait = backoff.failed();
                if backoff.may_log() {
                    tracing::warn!(%error, "could not look for calls of vanished pods; trying again");
                }
                wait
            }
        };
    }
}

/// How long to wait after a look that took so long. It reads all that is due, and with a million due calls that takes a
/// while; but a look that only waited (for a lock, for a server that came back) must not hold up the next for longer
/// than a lease.
fn until_next_look(lease: Duration, took: Duration) -> Duration {
    took.saturating_mul(SHARE).min(lease).max((lease / 3).min(BEAT))
}

/// Takes every claim whose lease has ended; returns how many calls were interrupted.
pub(super) async fn rescue(engine: &Engine) -> Result<u64> {
    let mut total: u64 = 0;
    loop {
        let rescued = engine.store.rescue(NOW, CHUNK, &engine.config.retention).await?;
        for call in &rescued {
            engine.call_meter(&call.name).reclaimed();
            tracing::warn!(id = %call.id, name = call.name, pod = %call.pod, rerun = call.rerun, "a call was interrupted: its pod vanished");
        }
        if rescued.iter().any(|call| call.rerun) {
            engine.sweep_now();
        }
        let kept = rescued.iter().filter(|call| !call.rerun).count();
        total = total.saturating_add(u64::try_from(kept).unwrap_or(u64::MAX));
        if rescued.len() < CHUNK {
            return Ok(total);
        }
    }
}

/// Where no call was declined, it never looks: heartbeats tell whether there are any.
async fn reopen_until_stopped(engine: &Engine) {
    let mut backoff = Backoff::default();
    loop {
        tokio::select! {
            biased;
            () = engine.stop.cancelled() => return,
            () = engine.has_declined.notified() => {}
        }
        match reopen(engine).await {
            Ok(()) => backoff.succeeded(),
            Err(error) => {
                engine.meter.failed(Op::Rescue);
                let _ = backoff.failed();
                if backoff.may_log() {
                    tracing::warn!(%error, "could not look for declined calls; the next heartbeat tries again");
                }
            }
        }
    }
}

/// Lets declined calls be claimed again that no live pod is left to try.
async fn reopen(engine: &Engine) -> Result<()> {
    loop {
        let reopened = engine.store.reopen(NOW, engine.pod_live(), CHUNK).await?;
        if reopened > 0 {
            engine.sweep_now();
        }
        if reopened < CHUNK as u64 {
            return Ok(());
        }
    }
}

/// The same if the last heartbeat has told of declined calls: for who does no housekeeping in the background.
pub(super) async fn reopen_if_told(engine: &Engine) -> Result<()> {
    if engine.has_declined.notified().now_or_never().is_none() {
        return Ok(());
    }
    reopen(engine).await
}

async fn prune_until_stopped(engine: &Engine) {
    let mut backoff = Backoff::default();
    let mut wait = jittered(PRUNE);
    loop {
        tokio::select! {
            biased;
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let pruned = engine.store.prune(NOW, &engine.config.retention, CHUNK).await;
        if let Ok(deleted) = pruned {
            engine.meter.pruned(deleted);
        }
        wait = match pruned {
            // A full chunk: there is more, and others had their turn meanwhile.
            Ok(deleted) if deleted >= CHUNK as u64 => Duration::from_millis(10),
            Ok(_) => {
                backoff.succeeded();
                jittered(PRUNE)
            }
            Err(error) => {
                engine.meter.failed(Op::Prune);
                if backoff.may_log() {
                    tracing::warn!(%error, "could not prune the history; trying again");
                }
                backoff.failed()
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::until_next_look;

    #[test]
    fn a_look_that_took_long_puts_the_next_off_for_a_lease_at_most() {
        let (lease, millis) = (Duration::from_secs(30), Duration::from_millis);
        assert_eq!(until_next_look(lease, millis(5)), millis(10_000));
        assert_eq!(until_next_look(lease, millis(1_000)), millis(20_000));
        // It waited for a lock, for a minute: 20 minutes were once too many.
        assert_eq!(until_next_look(lease, millis(60_000)), lease);
        assert_eq!(until_next_look(millis(2_000), millis(4_000)), millis(2_000));
    }
}
