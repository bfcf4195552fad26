//! Stores outcomes in batches: each flush takes the outcomes that arrived while the previous one was in flight.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::backoff::Backoff;
use super::outcome::RunStatus;
use super::report::{self, FinishResult, Report};
use super::supervise::supervised;
use super::{Engine, NOW};
use crate::id::CallId;
use crate::signals::Op;
use crate::store::{Finish, Outcome as StoredOutcome};

/// Maximum number of outcomes per statement.
const MOST: usize = 2_000;

/// An outcome waiting to be stored.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) finish: Finish,
    pub(super) name: String,
    /// Whether the call belongs to a schedule, whose next run may wait for this one to end.
    pub(super) is_of_schedule: bool,
    /// What to log and count once the outcome is stored.
    pub(super) report: Option<Box<Report>>,
    /// Receives the run's status once the outcome is stored.
    pub(super) stored: Option<oneshot::Sender<RunStatus>>,
    /// Makes a shutdown wait for this outcome.
    pub(super) token: TaskTrackerToken,
}

/// The queue of outcomes to be stored.
#[derive(Debug)]
pub(super) struct Finisher {
    sender: mpsc::UnboundedSender<Outcome>,
}

impl Finisher {
    /// Creates the queue and its receiver. Unbounded on purpose: it never holds more outcomes than the pod holds
    /// calls.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Outcome>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender }, receiver)
    }

    /// Queues an outcome to be stored.
    pub(super) fn send(&self, engine: &Engine, outcome: Outcome) {
        if let Err(refused) = self.sender.send(outcome) {
            lose(engine, refused.0);
        }
    }
}

/// Starts the flush task.
pub(super) fn start(engine: &Arc<Engine>, outcomes: mpsc::UnboundedReceiver<Outcome>) {
    let (engine, outcomes) = (Arc::clone(engine), Mutex::new(outcomes));
    let (tracker, process) = (engine.flushers.clone(), engine.process.clone());
    tracker.spawn(process.task(async move {
        supervised(&engine, "finish", || async { run(&engine, &mut *outcomes.lock().await).await }).await;
    }));
}

/// Flushes until the pod ends and the queue is empty.
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

/// Reports an outcome that is not stored because the pod has ended.
fn lose(engine: &Engine, outcome: Outcome) {
    let Outcome { finish, name, report, stored, .. } = outcome;
    let status = report::report(engine, &name, &finish, report, FinishResult::PodEnded);
    if let Some(stored) = stored {
        let _ = stored.send(status);
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
        engine.fast_path.close();
    }
    let stored = match settle(engine, &finished).await {
        Ok(stored) => stored,
        Err(BatchRefused) => one_by_one(engine, &finished).await,
    };
    engine.held.remove(finished.iter().map(claim));
    for ((finish, (name, report, waits, _token)), stored) in finished.iter().zip(waiting).zip(stored) {
        let status = report::report(engine, &name, finish, report, stored);
        if let Some(waits) = waits {
            let _ = waits.send(status);
        }
    }
    if frees_a_schedule {
        engine.sweep_now();
    } else if is_due_again {
        engine.wake();
    }
    engine.wake_if_wanting();
}

/// Returns whether one of these calls is due again before this pod's next scan.
fn is_due_again_soon(engine: &Engine, finished: &[Finish]) -> bool {
    finished.iter().any(|finish| match finish.outcome {
        StoredOutcome::Retry { after, .. } => after <= engine.config.scan_interval,
        _ => finish.outcome.is_again(),
    })
}

/// The error of a batch in which the database refused an outcome.
struct BatchRefused;

/// Stores outcomes, retrying for as long as it takes: the fence makes late and repeated tries safe, and an outcome
/// that is never stored becomes an interruption when its lease ends.
async fn settle(engine: &Engine, finished: &[Finish]) -> Result<Vec<FinishResult>, BatchRefused> {
    let mut backoff = Backoff::default();
    loop {
        let error = match engine.store.finish(NOW, engine.pod, finished, &engine.config.retention).await {
            Ok(finished) => return Ok(finished.into_iter().map(FinishResult::As).collect()),
            Err(error) => error,
        };
        engine.meter.failed(Op::Finish);
        if error.is_refused() && finished.len() > 1 {
            return Err(BatchRefused);
        }
        if error.is_refused()
            && let [finish] = finished
            && let Some(bare) = without_text(finish)
        {
            tracing::warn!(%error, id = %finish.id, "the database refuses the error text of an outcome; storing the outcome without the text");
            return Box::pin(settle(engine, &[bare])).await;
        }
        // A permanent error about the database's own state may still be fixed: retry while the leases last.
        let is_hopeless = error.is_closed() || error.is_refused();
        if is_hopeless
            || !error.may_pass() && !engine.held.is_leased(finished.iter().map(claim), crate::clock::read())
        {
            tracing::error!(%error, calls = finished.len(), "the database refuses outcomes; their calls will be recorded as interrupted");
            return Ok(vec![FinishResult::Refused; finished.len()]);
        }
        let wait = backoff.failed();
        if backoff.may_log() {
            tracing::warn!(%error, calls = finished.len(), "could not store outcomes; trying again");
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {}
            () = engine.over.cancelled() => return Ok(vec![FinishResult::PodEnded; finished.len()]),
        }
    }
}

fn claim(finish: &Finish) -> (CallId, i64) {
    (finish.id, finish.claim_no)
}

/// Returns the same outcome with a text that no database refuses, unless it has that already: a handler's error text
/// must not prevent its outcome from being recorded.
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

/// Stores the outcomes of a refused batch one by one, so that only the offending one fails (for an error text that
/// the database cannot store, say).
async fn one_by_one(engine: &Engine, finished: &[Finish]) -> Vec<FinishResult> {
    let mut stored = Vec::with_capacity(finished.len());
    for finish in finished {
        let one = settle(engine, std::slice::from_ref(finish)).await;
        stored.push(one.ok().and_then(|one| one.first().copied()).unwrap_or(FinishResult::Refused));
    }
    stored
}
