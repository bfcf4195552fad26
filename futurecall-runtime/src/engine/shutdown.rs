//! The end of a pod, in order: no more claims, running handlers get their grace, then a signal, then they are
//! abandoned as interrupted; every outcome is flushed.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, claim};
use crate::store::Held;

/// What a shutdown found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownSummary {
    /// Calls that were in hand when it began.
    pub running: u64,
    /// Of them: ended within the grace period or after the signal.
    pub finished: u64,
    /// Of them: recorded as interrupted, because they did not end.
    pub interrupted: u64,
    /// How long it took.
    pub took: Duration,
}

/// How long handlers get between the signal and being abandoned.
const AFTER_SIGNAL: Duration = Duration::from_secs(2);
/// How long the last outcomes may take to be stored.
const FLUSH: Duration = Duration::from_secs(5);

pub(super) async fn run(engine: &Arc<Engine>) -> ShutdownSummary {
    let began = crate::clock::instant();
    engine.stop.cancel();
    let count = || u64::try_from(engine.runs.len()).unwrap_or(u64::MAX);
    let running = count();
    engine.runs.close();

    let mut left = 0;
    if tokio::time::timeout(engine.config.shutdown_grace, engine.runs.wait()).await.is_err() {
        tracing::info!(calls = count(), "the shutdown's grace is over; asking handlers to stop");
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
    let took = crate::clock::instant().saturating_duration_since(began);
    ShutdownSummary { running, finished: running.saturating_sub(left), interrupted: left, took }
}

async fn leave(engine: &Arc<Engine>) {
    let unstarted: Vec<Held> = engine.held.all().into_iter().filter(|held| !held.started).collect();
    let goodbye = async {
        if !unstarted.is_empty() {
            claim::release(engine, &unstarted).await;
        }
        if let Err(error) = engine.store.leave(engine.pod).await {
            tracing::debug!(%error, "could not remove this pod's row; it will be forgotten within a day");
        }
    };
    // A database that is gone must not hold up the end of the process.
    let _ = tokio::time::timeout(FLUSH, goodbye).await;
    engine.over.cancel();
    // What was handed in before is stored, or its caller told, before anybody hears that the pod has ended.
    if tokio::time::timeout(FLUSH, engine.flushers.wait()).await.is_err() {
        tracing::error!("calls that were being stored when the pod ended may not be: their callers are told");
    }
}
