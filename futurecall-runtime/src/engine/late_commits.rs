//! Claims that commit late: the connection was lost while the statement was running, so that the pod looked for the
//! claimed calls before all of them were committed.
//!
//! Without this, such calls would be interrupted when their lease ends, although no handler ever started. So the pod
//! keeps looking for as long as the leases of that claim can last, and gives back what it finds.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::jittered;
use super::{Engine, release};
use crate::clock::Deadline;
use crate::id::CallId;
use crate::store::Held;

/// The first pause between queries, and the longest unless the queries themselves are slow.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The queries use at most one part in this many of the time.
const SHARE: u32 = 20;

/// Watches for calls taken by a claim whose reply was lost, besides those that are `known` by now.
pub(super) fn watch(engine: &Arc<Engine>, claim_no: i64, known: HashSet<CallId>) {
    let watching = Arc::clone(engine);
    // The leases count from when the server began the claim, and the connection existed until now.
    let until = Deadline::new(crate::clock::read(), engine.config.lease);
    // Tracked as a claim, because a shutdown waits for those to give back what they took.
    engine
        .claimers
        .spawn(engine.process.task(async move { look_until_over(&watching, claim_no, &known, until).await }));
}

async fn look_until_over(engine: &Engine, claim_no: i64, known: &HashSet<CallId>, until: Deadline) {
    let mut pause = PAUSES.0;
    loop {
        let wait = jittered(pause).min(until.left(crate::clock::read()));
        // A pod that is stopping queries once more.
        let is_stopping = engine.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none();
        // Calls that commit later than that have expired leases from the start, and are rescued as interrupted.
        let is_last = is_stopping || until.left(crate::clock::read()).is_zero();
        let began = crate::clock::instant();
        look_up(engine, claim_no, known).await;
        if is_last {
            return;
        }
        let took = crate::clock::instant().saturating_duration_since(began);
        let longest = (engine.config.lease / 3).max(PAUSES.0);
        pause = pause.saturating_mul(2).min(PAUSES.1).max(took.saturating_mul(SHARE)).min(longest);
    }
}

async fn look_up(engine: &Engine, claim_no: i64, known: &HashSet<CallId>) {
    let calls = match engine.store.find_claim(engine.pod, claim_no).await {
        Ok(calls) => calls,
        Err(error) => {
            tracing::debug!(%error, claim_no, "could not look for calls that a claim took late; trying again");
            return;
        }
    };
    // Known calls were started, and may have run since.
    let late = calls.into_iter().filter(|call| !known.contains(&call.id));
    let late: Vec<_> = late.map(|call| Held { id: call.id, claim_no, started: false }).collect();
    if late.is_empty() {
        return;
    }
    tracing::warn!(
        claim_no,
        calls = late.len(),
        "a claim whose reply was lost committed late; its calls are given back"
    );
    release::release(engine, &late).await;
    engine.wake();
}
