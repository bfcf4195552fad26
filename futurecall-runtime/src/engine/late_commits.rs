//! Claims that commit late: the connection was lost, and the statement still runs at the server, when the pod looks for what
//! it took and finds nothing, or not yet all.
//!
//! Nobody would know of such calls until their lease ends, and then they would be interrupted, although no handler ever
//! started. So the pod looks again, for as long as the leases of that claim can last, and gives back what it finds.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::jittered;
use super::{Engine, release};
use crate::clock::Deadline;
use crate::id::CallId;
use crate::store::Held;

/// The first pause, and the longest unless looking takes long itself.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Looking takes at most this share of the time.
const SHARE: u32 = 20;

/// Looks again for what a claim takes, whose reply was lost, besides what is `known` of it by now.
pub(super) fn watch(engine: &Arc<Engine>, claim_no: i64, known: HashSet<CallId>) {
    let watching = Arc::clone(engine);
    // A lease is counted from when the server began with the claim, and the connection was there until now.
    let until = Deadline::new(crate::clock::read(), engine.config.lease);
    // Among the claims under way, because a shutdown waits for those to give back what they took.
    engine
        .claimers
        .spawn(engine.process.task(async move { look_until_over(&watching, claim_no, &known, until).await }));
}

async fn look_until_over(engine: &Engine, claim_no: i64, known: &HashSet<CallId>, until: Deadline) {
    let mut pause = PAUSES.0;
    loop {
        let wait = jittered(pause).min(until.left(crate::clock::read()));
        // A pod that ends looks once more.
        let is_stopping = engine.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none();
        // What a claim takes later than that is interrupted the moment it commits: its leases have ended by then.
        let is_last = is_stopping || until.left(crate::clock::read()).is_zero();
        let began = crate::clock::instant();
        look(engine, claim_no, known).await;
        if is_last {
            return;
        }
        let took = crate::clock::instant().saturating_duration_since(began);
        let longest = (engine.config.lease / 3).max(PAUSES.0);
        pause = pause.saturating_mul(2).min(PAUSES.1).max(took.saturating_mul(SHARE)).min(longest);
    }
}

async fn look(engine: &Engine, claim_no: i64, known: &HashSet<CallId>) {
    let calls = match engine.store.find_claim(engine.pod, claim_no).await {
        Ok(calls) => calls,
        Err(error) => {
            tracing::debug!(%error, claim_no, "could not look for what a claim took late; trying again");
            return;
        }
    };
    // What was known of the claim was handed out: it may have run, whatever became of it since.
    let late = calls.into_iter().filter(|call| !known.contains(&call.id));
    let late: Vec<_> = late.map(|call| Held { id: call.id, claim_no, started: false }).collect();
    if late.is_empty() {
        return;
    }
    tracing::warn!(
        claim_no,
        calls = late.len(),
        "a claim whose reply was lost came through late; its calls are given back"
    );
    release::release(engine, &late).await;
    engine.wake();
}
