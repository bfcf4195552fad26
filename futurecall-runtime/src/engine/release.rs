//! Giving claimed calls back unstarted.

use std::sync::PoisonError;
use std::time::Duration;

use super::resend::Retries;
use super::{Engine, NOW};
use crate::signals::Op;
use crate::store::Held;

/// For how long giving calls back is tried again.
const GIVING_BACK: Duration = Duration::from_secs(10);

/// Gives claims back unstarted.
pub(super) async fn release(engine: &Engine, held: &[Held]) {
    give_back(engine, held, None).await;
}

/// Gives one claim back unstarted, in one statement with those that gather while another such statement is under way.
pub(super) async fn release_one(engine: &Engine, held: Held) {
    let gathered = || engine.unstarted.lock().unwrap_or_else(PoisonError::into_inner);
    gathered().push(held);
    let _turn = engine.giving_back.lock().await;
    let all = std::mem::take(&mut *gathered());
    if !all.is_empty() {
        release(engine, &all).await;
    }
}

/// Gives a claim back whose arguments this pod could not read under that shape. Says whether the database has heard of
/// it.
pub(super) async fn decline(engine: &Engine, held: Held, shape: i64) -> bool {
    give_back(engine, &[held], Some(shape)).await
}

/// Gives claims back unstarted. Says whether the database has heard of it.
async fn give_back(engine: &Engine, held: &[Held], declined: Option<i64>) -> bool {
    // Before they are to be had: nothing that is stored from now on may pass them by.
    engine.calm.tell();
    let mut retries = Retries::within(GIVING_BACK.min(engine.config.lease));
    // Fenced, so that it may be said twice.
    let mut is_back = true;
    while let Err(error) = engine.store.release(NOW, engine.pod, held, declined).await {
        engine.meter.failed(Op::Release);
        let after = if engine.over.is_cancelled() { Err(error) } else { retries.after(error).await };
        if let Err(error) = after {
            // Not given back, they end as interrupted with their lease, and `inspect` says that no start is proven.
            tracing::warn!(%error, calls = held.len(), "could not give unstarted calls back");
            is_back = false;
            break;
        }
    }
    engine.held.remove(held.iter().map(|held| (held.id, held.claim_no)));
    is_back
}
