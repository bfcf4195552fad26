//! Gives claimed calls back unstarted.

use std::sync::PoisonError;
use std::time::Duration;

use super::resend::Retries;
use super::{Engine, NOW};
use crate::signals::Op;
use crate::store::Held;

/// How long to retry giving calls back.
const GIVING_BACK: Duration = Duration::from_secs(10);

/// Gives claims back unstarted.
pub(super) async fn release(engine: &Engine, held: &[Held]) {
    give_back(engine, held, None).await;
}

/// Gives one claim back unstarted, batched with others that arrive while such a statement is in flight.
pub(super) async fn release_one(engine: &Engine, held: Held) {
    let gathered = || engine.unstarted.lock().unwrap_or_else(PoisonError::into_inner);
    gathered().push(held);
    let _turn = engine.giving_back.lock().await;
    let all = std::mem::take(&mut *gathered());
    if !all.is_empty() {
        release(engine, &all).await;
    }
}

/// Gives back a claim whose arguments this pod could not decode under that shape. Returns whether the database has
/// recorded it.
pub(super) async fn decline(engine: &Engine, held: Held, shape: i64) -> bool {
    give_back(engine, &[held], Some(shape)).await
}

/// Gives claims back unstarted. Returns whether the database has recorded it.
async fn give_back(engine: &Engine, held: &[Held], declined: Option<i64>) -> bool {
    // Closed before the calls are claimable, so that no call stored from now on overtakes them.
    engine.fast_path.close();
    let mut retries = Retries::within(GIVING_BACK.min(engine.config.lease));
    // The statement is fenced, so repeating it is harmless.
    let mut is_back = true;
    while let Err(error) = engine.store.release(NOW, engine.pod, held, declined).await {
        engine.meter.failed(Op::Release);
        let after = if engine.over.is_cancelled() { Err(error) } else { retries.after(error).await };
        if let Err(error) = after {
            // Their leases will end, and they are recorded as interrupted, with no start proven.
            tracing::warn!(%error, calls = held.len(), "could not give back unstarted calls");
            is_back = false;
            break;
        }
    }
    engine.held.remove(held.iter().map(|held| (held.id, held.claim_no)));
    is_back
}
