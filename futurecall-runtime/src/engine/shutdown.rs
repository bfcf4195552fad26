//! Shuts a pod down: claims stop; calls that have not started are given back; running handlers get a grace period,
//! then a signal, then are abandoned as interrupted; all outcomes are stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::drive::RuntimeWatch;
use super::{Engine, claim, release, statistics};
use crate::store::Held;

/// The result of a shutdown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownSummary {
    /// Calls that were running when it began.
    pub running: u64,
    /// Of `running`: calls that ended within the grace period or after the signal.
    pub finished: u64,
    /// Of `running`: calls that did not end, and were recorded as interrupted, or given back to run again where their
    /// method is declared so.
    pub interrupted: u64,
    /// How long it took.
    pub took: Duration,
}

/// How long handlers may take after the signal before they are abandoned.
const AFTER_SIGNAL: Duration = Duration::from_secs(2);
/// Timeout for storing the last outcomes.
const FLUSH: Duration = Duration::from_secs(5);
/// Timeout for closing the database's connections.
pub(super) const CLOSE: Duration = Duration::from_secs(5);

pub(super) async fn run(engine: &Arc<Engine>) -> ShutdownSummary {
    let began = crate::clock::instant();
    engine.stop.cancel();
    engine.ready.wakeup.set();
    let count = || u64::try_from(engine.held.started()).unwrap_or(u64::MAX);
    let running = count();
    claims_end(engine).await;
    engine.runs.close();

    let mut left = 0;
    // Given back at once, so that other pods can run them: the longest handler may take all of the grace period.
    let given_back = tokio::time::timeout(FLUSH, claim::give_back_all(engine));
    let ended = tokio::time::timeout(engine.config.shutdown_grace, engine.runs.wait());
    let (_, ended) = tokio::join!(given_back, ended);
    if ended.is_err() {
        tracing::info!(calls = count(), "the shutdown's grace period is over; asking handlers to stop");
        engine.asks_to_stop.store(true, Ordering::Relaxed);
        engine.held.cancel_all();
        if tokio::time::timeout(AFTER_SIGNAL, engine.runs.wait()).await.is_err() {
            left = count();
            tracing::warn!(calls = left, "handlers did not stop; they are abandoned as interrupted");
            engine.held.abandon_all();
            if tokio::time::timeout(FLUSH, engine.runs.wait()).await.is_err() {
                tracing::error!(
                    calls = count(),
                    "outcomes could not be stored; their leases will end by themselves"
                );
            }
        }
    }
    leave(engine).await;
    close(engine).await;
    let took = crate::clock::instant().saturating_duration_since(began);
    ShutdownSummary { running, finished: running.saturating_sub(left), interrupted: left, took }
}

/// Ends the pod after its last handle was dropped without a shutdown: running handlers may finish, and their outcomes
/// are stored.
pub(super) async fn without_handles(engine: Arc<Engine>) {
    let _watch = RuntimeWatch(Arc::clone(&engine));
    engine.stop.cancelled().await;
    if engine.is_shutting_down.load(Ordering::Relaxed) {
        return engine.over.cancelled().await;
    }
    claims_end(&engine).await;
    engine.runs.close();
    tokio::join!(claim::give_back_all(&engine), engine.runs.wait());
    leave(&engine).await;
    close(&engine).await;
}

/// Waits for claims in flight, which give back what they took: their handlers would start on a pod that has ended.
async fn claims_end(engine: &Engine) {
    engine.claimers.close();
    if tokio::time::timeout(FLUSH, engine.claimers.wait()).await.is_err() {
        tracing::warn!("a claim is still in flight; its calls are given back when its reply arrives");
    }
}

async fn leave(engine: &Arc<Engine>) {
    let unstarted: Vec<Held> = engine.held.all().into_iter().filter(|held| !held.started).collect();
    // An unreachable database must not delay the end of the process.
    if !unstarted.is_empty() {
        let _ = tokio::time::timeout(FLUSH, release::release(engine, &unstarted)).await;
    }
    engine.over.cancel();
    // Queued calls and outcomes are stored, or their callers get an error, before the shutdown returns.
    if tokio::time::timeout(FLUSH, engine.flushers.wait()).await.is_err() {
        tracing::error!("some calls may not have been stored when the pod ended; their callers get an error");
    }
    if let Ok(Err(error)) = tokio::time::timeout(FLUSH, statistics::write(engine)).await {
        tracing::debug!(%error, "the statistics since the last write are lost");
    }
    if !engine.runs_calls() {
        // Such a pod has no row.
        return;
    }
    // Last, when no heartbeat can insert the row again.
    let goodbye = async {
        if let Err(error) = engine.store.leave(engine.pod).await {
            tracing::debug!(%error, "could not remove this pod's row; it is deleted within a day");
        }
    };
    let _ = tokio::time::timeout(FLUSH, goodbye).await;
}

/// Closes the database's connections. Later use of the pod is a typed error.
async fn close(engine: &Arc<Engine>) {
    engine.closed.store(true, Ordering::Relaxed);
    let hurried = !engine.claimers.is_empty() || !engine.runs.is_empty();
    let closing = Arc::clone(engine);
    // Claims in flight give back what they take, and outcomes may still be stored, as long as the process lives.
    let closed = tokio::spawn(engine.process.task(async move {
        closing.claimers.wait().await;
        closing.runs.wait().await;
        closing.store.close().await;
    }));
    if hurried || tokio::time::timeout(CLOSE, closed).await.is_err() {
        tracing::warn!(
            "the database's connections are still in use; they are closed once they are idle, if the process lives that long"
        );
    }
}
