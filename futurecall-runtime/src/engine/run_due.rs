//! Runs everything that is due now.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use super::claim::{Claimed, claim, give_back_late};
use super::outcome::RunStatus;
use super::ready_queue::ReadyCall;
use super::{Engine, RunSummary, housekeeping, run};
use crate::store::Result;

/// Runs everything that is due now, within the pod's slots, and waits for it. Claims no more once the caller has
/// stopped waiting (`left`).
pub(super) async fn run_due(engine: &Arc<Engine>, left: &CancellationToken) -> Result<RunSummary> {
    let mut summary = RunSummary::default();
    if !engine.runs_calls() {
        return Ok(summary);
    }
    let until = engine.open_store("run what is due")?.now().await?;
    summary.interrupted = housekeeping::rescue(engine).await?;
    housekeeping::reopen_if_declined(engine).await?;
    let mut running = FuturesUnordered::new();
    loop {
        let room = engine.config.concurrency_limit.saturating_sub(running.len());
        let mut none_due = true;
        let claiming = engine.claimers.token();
        if room > 0 && summary.released == 0 && !engine.stop.is_cancelled() && !left.is_cancelled() {
            let claimed = claim(engine, room, Some(until), Duration::ZERO, true).await?;
            let is_late = give_back_late(engine, &claimed).await;
            let Claimed { mut claim, deadline } = claimed;
            summary.skipped = summary.skipped.saturating_add(claim.skipped);
            none_due = claim.calls.is_empty() && claim.skipped == 0;
            if is_late {
                claim.calls.clear();
            }
            for call in claim.calls {
                running.push(spawn(engine, ReadyCall { call, deadline }));
            }
        }
        drop(claiming);
        match running.next().await {
            Some(ended) => summary.count(&ended),
            None if none_due => return Ok(summary),
            None => {}
        }
    }
}

/// Spawns a run as a task, so that dropping `run_due` does not stop it; returns a future of its result.
fn spawn(engine: &Arc<Engine>, ready_call: ReadyCall) -> impl Future<Output = run::RunResult> + use<> {
    let engine = Arc::clone(engine);
    let (tracker, process) = (engine.runs.clone(), engine.process.clone());
    let task = tracker.spawn(process.task(async move { run::run_in_turn(&engine, ready_call).await }));
    async move { task.await.unwrap_or_default() }
}

impl RunSummary {
    fn count(&mut self, ended: &run::RunResult) {
        self.released = self.released.saturating_add(u64::from(ended.is_released));
        let Some(status) = ended.status else { return };
        if status != RunStatus::Expired {
            self.started = self.started.saturating_add(1);
            let total = self.by_name.entry(ended.name.clone()).or_default();
            *total = total.saturating_add(1);
        }
        let counter = match status {
            RunStatus::Succeeded => &mut self.succeeded,
            RunStatus::Failed => &mut self.failed,
            RunStatus::Retried => &mut self.retried,
            RunStatus::Expired => &mut self.expired,
            RunStatus::Interrupted => &mut self.interrupted,
        };
        *counter = counter.saturating_add(1);
    }
}
