//! Outcomes leave in batches: a flush takes whatever gathered while the previous one was in flight.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::backoff::Backoff;
use super::outcome::How;
use super::report::{self, Report, Stored};
use super::supervise::supervised;
use super::{Engine, NOW};
use crate::id::CallId;
use crate::signals::Op;
use crate::store::{Finish, Outcome as StoredOutcome};

/// The most outcomes of one statement.
const MOST: usize = 2_000;

/// One outcome on its way to the database.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) finish: Finish,
    pub(super) name: String,
    /// The schedule's next run may have waited for this one to end.
    pub(super) is_of_schedule: bool,
    /// What is to be logged and counted when it is stored.
    pub(super) report: Option<Box<Report>>,
    /// Waits until it is stored, and takes how the run counts.
    pub(super) stored: Option<oneshot::Sender<How>>,
    /// A shutdown waits for it.
    pub(super) token: TaskTrackerToken,
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

    /// Hands in an outcome to be stored.
    pub(super) fn send(&self, engine: &Engine, outcome: Outcome) {
        if let Err(refused) = self.sender.send(outcome) {
            lose(engine, refused.0);
        }
    }
}

/// Starts the task that flushes.
pub(super) fn start(engine: &Arc<Engine>, outcomes: mpsc::UnboundedReceiver<Outcome>) {
    let (engine, outcomes) = (Arc::clone(engine), Mutex::new(outcomes));
    let (tracker, process) = (engine.flushers.clone(), engine.process.clone());
    tracker.spawn(process.task(async move {
        supervised(&engine, "finish", || async { run(&engine, &mut *outcomes.lock().await).await }).await;
    }));
}

/// Flushes until the pod is over and nothing is left.
async fn run(engine: &Engine, outcomes: &mut mpsc::UnboundedReceiver<Outcome>) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = outcomes.recv_many(&mut batch, MOST) => if count == 0 { return },
            () = engine.over.cancelled() => {
                outcomes.close();
                while let Ok(outcome) = outcomes.try_recv() {
                    lose(engine, outcome);
                }
                return;
            }
        }
        flush(engine, std::mem::take(&mut batch)).await;
    }
}

/// The pod has ended: nothing is stored any more.
fn lose(engine: &Engine, outcome: Outcome) {
    let Outcome { finish, name, report, stored, .. } = outcome;
    let how = report::tell(engine, &name, &finish, report, Stored::PodEnded);
    if let Some(stored) = stored {
        let _ = stored.send(how);
    }
}

async fn flush(engine: &Engine, batch: Vec<Outcome>) {
    let mut finished = Vec::with_capacity(batch.len());
    let mut waiting = Vec::with_capacity(batch.len());
    let mut frees_a_schedule = false;
    for outcome in batch {
        frees_a_schedule |= outcome.is_of_schedule;
        finished.push(outcome.finish);
        waiting.push((outcome.name, outcome.report, outcome.stored, outcome.token));
    }
    let is_due_again = is_due_again_soon(engine, &finished);
    if is_due_again || frees_a_schedule {
        engine.calm.tell();
    }
    let stored = match settle(engine, &finished).await {
        Ok(stored) => stored,
        Err(Refused) => one_by_one(engine, &finished).await,
    };
    engine.held.remove(finished.iter().map(claim));
    for ((finish, (name, report, waits, _token)), stored) in finished.iter().zip(waiting).zip(stored) {
        let how = report::tell(engine, &name, finish, report, stored);
        if let Some(waits) = waits {
            let _ = waits.send(how);
        }
    }
    if frees_a_schedule {
        engine.sweep_now();
    } else if is_due_again {
        engine.wake();
    }
    engine.wake_if_wanting();
}

/// Whether one of these calls is due again before this pod looks by itself.
fn is_due_again_soon(engine: &Engine, finished: &[Finish]) -> bool {
    finished.iter().any(|finish| match finish.outcome {
        StoredOutcome::Retry { after, .. } => after <= engine.config.scan_interval,
        _ => finish.outcome.is_again(),
    })
}

/// The database refused one of several outcomes.
struct Refused;

/// Stores outcomes, trying again for as long as it takes: the fence makes a late or repeated try safe, and an outcome
/// that is never stored ends as interrupted when its lease does.
async fn settle(engine: &Engine, finished: &[Finish]) -> Result<Vec<Stored>, Refused> {
    let mut backoff = Backoff::default();
    loop {
        let error = match engine.store.finish(NOW, engine.pod, finished, &engine.config.retention).await {
            Ok(finished) => return Ok(finished.into_iter().map(Stored::As).collect()),
            Err(error) => error,
        };
        engine.meter.failed(Op::Finish);
        if error.is_refused() && finished.len() > 1 {
            return Err(Refused);
        }
        if error.is_refused()
            && let [finish] = finished
            && let Some(bare) = without_text(finish)
        {
            tracing::warn!(%error, id = %finish.id, "the database refuses what an outcome says; it is stored without it");
            return Box::pin(settle(engine, &[bare])).await;
        }
        // What the database says of its own state may be wrong, or be put right: only its leases limit what is tried.
        let is_hopeless = error.is_closed() || error.is_refused();
        if is_hopeless
            || !error.may_pass() && !engine.held.is_leased(finished.iter().map(claim), crate::clock::read())
        {
            tracing::error!(%error, calls = finished.len(), "the database refuses outcomes; they will show as interrupted");
            return Ok(vec![Stored::Refused; finished.len()]);
        }
        let wait = backoff.failed();
        if backoff.may_log() {
            tracing::warn!(%error, calls = finished.len(), "could not store outcomes; trying again");
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {}
            () = engine.over.cancelled() => return Ok(vec![Stored::PodEnded; finished.len()]),
        }
    }
}

fn claim(finish: &Finish) -> (CallId, i64) {
    (finish.id, finish.claim_no)
}

/// The same outcome with a text that no database refuses, unless it has that already: what a handler says must not keep
/// its outcome from being recorded.
fn without_text(finish: &Finish) -> Option<Finish> {
    const LEFT_OUT: &str = "(the database refused the text)";
    let mut finish = finish.clone();
    match &mut finish.outcome {
        StoredOutcome::Succeeded => return None,
        StoredOutcome::Failed { error }
        | StoredOutcome::Interrupted { error }
        | StoredOutcome::Retry { error, .. }
        | StoredOutcome::Rerun { error }
        | StoredOutcome::Expired { error } => {
            if error == LEFT_OUT {
                return None;
            }
            LEFT_OUT.clone_into(error);
        }
    }
    Some(finish)
}

/// A refused batch fails only for the outcome that the database refuses (an error text it cannot hold, say).
async fn one_by_one(engine: &Engine, finished: &[Finish]) -> Vec<Stored> {
    let mut stored = Vec::with_capacity(finished.len());
    for finish in finished {
        let one = settle(engine, std::slice::from_ref(finish)).await;
        stored.push(one.ok().and_then(|one| one.first().copied()).unwrap_or(Stored::Refused));
    }
    stored
}
