//! Outcomes leave in batches: a flush takes whatever gathered while the previous one was in flight.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::backoff::Backoff;
use super::{Engine, NOW};
use crate::error::StoreError;
use crate::store::Finish;

/// The most outcomes of one statement.
const MOST: usize = 2_000;

/// One outcome on its way to the database, and the run that waits for it.
#[derive(Debug)]
pub(super) struct Outcome {
    finish: Finish,
    stored: oneshot::Sender<bool>,
}

/// Where runs hand in their outcomes.
#[derive(Debug)]
pub(super) struct Finisher {
    sender: mpsc::UnboundedSender<Outcome>,
}

impl Finisher {
    /// Unbounded on purpose: what waits here is bounded by the calls in hand.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Outcome>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender }, receiver)
    }

    /// Stores an outcome; `false` if the claim was no longer ours, or the pod is over.
    pub(super) async fn send(&self, finish: Finish) -> bool {
        let (stored, answer) = oneshot::channel();
        if self.sender.send(Outcome { finish, stored }).is_err() {
            return false;
        }
        answer.await.unwrap_or(false)
    }
}

/// Flushes until the pod is over and nothing is left.
pub(super) async fn run(engine: Arc<Engine>, mut outcomes: mpsc::UnboundedReceiver<Outcome>) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = outcomes.recv_many(&mut batch, MOST) => if count == 0 { return },
            () = engine.over.cancelled() => return,
        }
        flush(&engine, std::mem::take(&mut batch)).await;
    }
}

/// Stores a batch, trying again for as long as it takes: the fence makes a late or repeated try safe, and an outcome
/// that is never stored ends as interrupted when its lease does.
async fn flush(engine: &Engine, batch: Vec<Outcome>) {
    let (finished, waiting): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|done| (done.finish, done.stored)).unzip();
    let mut backoff = Backoff::default();
    let stored = loop {
        match engine.store.finish(NOW, engine.pod, &finished, &engine.config.retention).await {
            Ok(stored) => break stored,
            Err(error) if error.is_refused() && finished.len() > 1 => {
                break one_by_one(engine, &finished).await;
            }
            Err(error) if !error.is_transient() => {
                tracing::error!(%error, calls = finished.len(), "the database refuses outcomes; they will show as interrupted");
                break vec![false; finished.len()];
            }
            Err(error) => {
                let wait = backoff.failed();
                if backoff.may_log() {
                    tracing::warn!(%error, calls = finished.len(), "could not store outcomes; trying again");
                }
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = engine.over.cancelled() => break vec![false; finished.len()],
                }
            }
        }
    };
    for (waiting, stored) in waiting.into_iter().zip(stored) {
        let _ = waiting.send(stored);
    }
}

/// A refused batch fails only for the outcome that the database refuses (an error text it cannot hold, say).
async fn one_by_one(engine: &Engine, finished: &[Finish]) -> Vec<bool> {
    let mut stored = Vec::with_capacity(finished.len());
    for finish in finished {
        let one = engine
            .store
            .finish(NOW, engine.pod, std::slice::from_ref(finish), &engine.config.retention)
            .await;
        stored.push(settled(one));
    }
    stored
}

fn settled(one: Result<Vec<bool>, StoreError>) -> bool {
    match one {
        Ok(stored) => stored.first().copied().unwrap_or(false),
        Err(error) => {
            tracing::error!(%error, "an outcome could not be stored; its call will show as interrupted");
            false
        }
    }
}
