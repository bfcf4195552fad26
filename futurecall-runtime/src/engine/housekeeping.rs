//! Background work that any pod does for all of them: rescues calls of vanished pods, reopens declined calls, prunes
//! the history.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::backoff::{Backoff, jittered};
use super::claim::first_look;
use super::supervise::supervised;
use super::{BEAT, Engine, NOW};
use crate::signals::Op;
use crate::store::Result;

/// Rows per transaction: a long one would block others.
const CHUNK: usize = 1_000;
/// The search for expired leases uses at most one part in this many of the time, but runs at least once per lease.
const SHARE: u32 = 20;
/// Interval at which the history is pruned.
const PRUNE: Duration = Duration::from_mins(1);

/// Interval at which gauges that need the database are updated.
const GAUGES: Duration = Duration::from_secs(30);
/// Limit up to which calls are counted for the gauges.
const CAP: u64 = 10_000;

/// Starts the housekeeping tasks.
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

/// Updates the gauges. Twice a minute keeps an idle pod within its budget of one transaction every two seconds.
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
                tracing::debug!(%error, "could not count waiting calls; the gauges are out of date");
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
                jittered(until_next_search(engine.config.lease, took))
            }
            Err(error) => {
                engine.meter.failed(Op::Rescue);
                let wait = backoff.failed();
                if backoff.may_log() {
                    tracing::warn!(%error, "could not search for calls of vanished pods; trying again");
                }
                wait
            }
        };
    }
}

/// Returns how long to wait after a search that took `took`. The search reads everything that is due, which takes a
/// while with a million due calls; but one that was only blocked (by a lock, or a server restart) must not delay the
/// next by more than a lease.
fn until_next_search(lease: Duration, took: Duration) -> Duration {
    took.saturating_mul(SHARE).min(lease).max((lease / 3).min(BEAT))
}

/// Rescues every claim whose lease has expired; returns how many calls were interrupted.
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

/// Reopens declined calls when a heartbeat reports that there are any; without that it sends no query.
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
                    tracing::warn!(%error, "could not reopen declined calls; the next heartbeat tries again");
                }
            }
        }
    }
}

/// Makes declined calls claimable again if no live pod is left that has not tried them.
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

/// Reopens declined calls if the last heartbeat reported any; for pods without background housekeeping.
pub(super) async fn reopen_if_declined(engine: &Engine) -> Result<()> {
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
            // The chunk was full: there is more, after a pause for others.
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

    use super::until_next_search;

    #[test]
    fn a_slow_search_delays_the_next_by_a_lease_at_most() {
        let (lease, millis) = (Duration::from_secs(30), Duration::from_millis);
        assert_eq!(until_next_search(lease, millis(5)), millis(10_000));
        assert_eq!(until_next_search(lease, millis(1_000)), millis(20_000));
        // It was blocked by a lock for a minute; that once delayed the next by 20 minutes.
        assert_eq!(until_next_search(lease, millis(60_000)), lease);
        assert_eq!(until_next_search(millis(2_000), millis(4_000)), millis(2_000));
    }
}
