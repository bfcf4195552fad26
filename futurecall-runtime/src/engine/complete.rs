//! Completes a call in the same transaction as its handler's own writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::flag::Flag;
use super::resend::Retries;
use super::{Engine, NOW};
use crate::error::{StoreError, TransactionError};
use crate::id::CallId;
use crate::signals::Op;
use crate::store::transaction::{OpenTransaction, TransactionDatabase};
use crate::store::{Completed, Finish, Outcome};

/// How long a handler's transaction may be open while it blocks all other writers: less than the 5 seconds for which
/// other processes wait for a SQLite file.
const LONGEST: Duration = Duration::from_secs(4);

/// How long the database may take to commit, and then to report the outcome of a COMMIT whose reply was lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// The state of a run's completion by its handler.
#[derive(Debug)]
pub(crate) struct Completion {
    id: CallId,
    claim_no: i64,
    began: Instant,
    started_after: Duration,
    step: Mutex<Step>,
    stepped: Notify,
    /// Set when a transaction has blocked other writers for too long: the handler is dropped.
    pub(super) overdue: Flag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// No transaction is open: none was begun, or the last one was dropped.
    Idle { dropped: bool },
    /// A transaction is open.
    Open,
    /// The transaction is being committed.
    Committing,
    /// The call is complete.
    Done,
}

/// A guard that exists while the run has a transaction open.
#[derive(Debug)]
pub(crate) struct Opened {
    completion: Arc<Completion>,
    /// Cancels the timer of the transaction's limit.
    closed: CancellationToken,
}

impl Completion {
    pub(super) fn new(id: CallId, claim_no: i64, began: Instant, started_after: Duration) -> Arc<Self> {
        let step = Mutex::new(Step::Idle { dropped: false });
        let (stepped, overdue) = (Notify::new(), Flag::default());
        Arc::new(Self { id, claim_no, began, started_after, step, stepped, overdue })
    }

    /// Waits for a commit in progress, and returns whether the call is complete.
    pub(super) async fn settled(&self) -> bool {
        loop {
            let stepped = self.stepped.notified();
            match self.step() {
                Step::Committing => stepped.await,
                step => return step == Step::Done,
            }
        }
    }

    /// Returns whether the handler's last transaction was dropped, and so rolled back.
    pub(super) fn was_dropped(&self) -> bool {
        self.step() == Step::Idle { dropped: true }
    }

    fn transition(&self, from: Step, to: Step) -> bool {
        let mut step = self.lock();
        let is_from = *step == from;
        if is_from {
            *step = to;
            self.stepped.notify_waiters();
        }
        is_from
    }

    fn step(&self) -> Step {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.closed.cancel();
        self.completion.transition(Step::Open, Step::Idle { dropped: true });
    }
}

/// A commit in progress; counts as failed if dropped before `is_done` is set.
struct Committing {
    engine: Arc<Engine>,
    completion: Arc<Completion>,
    is_done: bool,
}

impl Drop for Committing {
    fn drop(&mut self) {
        let Completion { id, claim_no, .. } = *self.completion;
        self.engine.held.settle(id, claim_no, self.is_done);
        let to = if self.is_done { Step::Done } else { Step::Idle { dropped: false } };
        self.completion.transition(Step::Committing, to);
    }
}

impl Engine {
    /// Returns how long a handler's transaction may block other writers: short enough that leases can still be
    /// renewed after it.
    pub(super) fn transaction_limit(&self) -> Duration {
        (self.config.lease / 4).min(LONGEST)
    }

    /// Begins a transaction for a handler.
    pub(crate) async fn begin<Db: TransactionDatabase>(
        self: &Arc<Self>,
        completion: &Arc<Completion>,
    ) -> Result<(Db::Open, Opened), TransactionError> {
        let database = self.store.kind();
        if database == "memory" {
            return Err(TransactionError::NoTransactions);
        }
        let wrong = || TransactionError::WrongDatabase { asked: Db::KIND, database };
        if database != Db::KIND {
            return Err(wrong());
        }
        let idle = completion.step();
        match idle {
            Step::Done => return Err(TransactionError::AlreadyComplete),
            Step::Open | Step::Committing => return Err(TransactionError::AlreadyOpen),
            Step::Idle { .. } if !completion.transition(idle, Step::Open) => {
                return Err(TransactionError::AlreadyOpen);
            }
            Step::Idle { .. } => {}
        }
        let opened = Opened { completion: Arc::clone(completion), closed: CancellationToken::new() };
        let (begun, limit) = (Arc::new(UntakenTransaction::default()), self.transaction_limit());
        let beginning =
            begin(Arc::clone(self), Arc::clone(&begun), Arc::clone(completion), opened.closed.clone());
        self.drive_while_awaited(beginning).await.map_err(|not| not.as_store(BEGINNING))??;
        let open = begun.take().ok_or_else(|| not_taken(limit))?;
        Ok((open.downcast().ok_or_else(wrong)?, opened))
    }

    /// Completes a run's call in its handler's transaction. Continues to the end if this future is dropped.
    pub(crate) async fn complete(
        self: &Arc<Self>,
        open: OpenTransaction,
        opened: Opened,
    ) -> Result<(), TransactionError> {
        let completion = Arc::clone(&opened.completion);
        if let Some(limit) = open.limit().filter(|_| open.is_overdue()) {
            return Err(TransactionError::TooLong { limit });
        }
        let (id, claim_no) = (completion.id, completion.claim_no);
        if !self.held.begin_to_settle(id, claim_no) {
            return Err(TransactionError::LeaseLost);
        }
        completion.transition(Step::Open, Step::Committing);
        drop(opened);
        let mut committing = Committing { engine: Arc::clone(self), completion, is_done: false };
        let (sender, receiver) = oneshot::channel();
        let committing = self.process.task(async move {
            let completed = commit(&committing.engine, &committing.completion, open).await;
            committing.is_done = completed.is_ok();
            drop(committing);
            // The handler may have been dropped; then nobody needs the result.
            let _ = sender.send(completed);
        });
        self.runs.spawn_on(committing, &self.handle);
        let unknown = || StoreError::unknown("complete the call", "the pod has ended");
        receiver.await.unwrap_or_else(|_| Err(TransactionError::OutcomeUnknown { id, source: unknown() }))
    }
}

const BEGINNING: &str = "begin a transaction";

/// A transaction that was begun and is not yet taken by its handler, whose future may never be polled again.
#[derive(Debug, Default)]
struct UntakenTransaction(Mutex<Option<OpenTransaction>>);

impl UntakenTransaction {
    fn put(&self, open: OpenTransaction) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
    }

    fn take(&self) -> Option<OpenTransaction> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Begins a transaction, and limits how long it stays open. One that its handler does not take is rolled back.
async fn begin(
    engine: Arc<Engine>,
    begun: Arc<UntakenTransaction>,
    completion: Arc<Completion>,
    closed: CancellationToken,
) -> Result<(), TransactionError> {
    let limit = engine.transaction_limit();
    let open = engine.store.begin(limit).await?.ok_or(TransactionError::NoTransactions)?;
    let is_limited = open.limit().is_some();
    begun.put(open);
    engine.spawn(async move {
        let is_open = closed.run_until_cancelled(tokio::time::sleep(limit)).await.is_some();
        if begun.take().is_none() && is_open && is_limited {
            completion.overdue.set();
        }
    });
    Ok(())
}

fn not_taken(limit: Duration) -> StoreError {
    let reason = format!(
        "it was begun, and rolled back because its future was not polled for {} s",
        limit.as_secs_f32()
    );
    StoreError::busy(BEGINNING, reason)
}

async fn commit(
    engine: &Engine,
    completion: &Completion,
    open: OpenTransaction,
) -> Result<(), TransactionError> {
    let Completion { id, claim_no, began, started_after, .. } = *completion;
    let ran_for = crate::clock::instant().saturating_duration_since(began);
    let finish =
        Finish { id, claim_no, outcome: Outcome::Succeeded, started_after: Some(started_after), ran_for };
    let completing = engine.store.complete(open, NOW, engine.pod, &finish, &engine.config.retention);
    let source = match tokio::time::timeout(PATIENCE, completing).await {
        Ok(Ok(true)) => return Ok(()),
        Ok(Ok(false)) => return Err(TransactionError::LeaseLost),
        Ok(Err(error)) if !error.outcome_unknown() => {
            engine.meter.failed(Op::Finish);
            return Err(error.into());
        }
        Ok(Err(error)) => error,
        Err(_) => StoreError::unknown("complete the call", "the database did not answer in time"),
    };
    engine.meter.failed(Op::Finish);
    tracing::warn!(%id, error = %source, "the reply to the COMMIT that completes a call was lost; looking what became of it");
    let unkept = engine.config.retention.succeeded.is_zero();
    match look_up(engine, id, claim_no).await {
        Some(Completed::Yes) => Ok(()),
        Some(Completed::No) => Err(TransactionError::Store(StoreError::transient(
            "complete the call",
            "the connection broke, and the transaction was rolled back",
        ))),
        Some(Completed::Lost) if !unkept => Err(TransactionError::LeaseLost),
        Some(Completed::Lost) | None => Err(TransactionError::OutcomeUnknown { id, source }),
    }
}

/// Asks for the outcome of a completion until there is an answer or `PATIENCE` has passed.
async fn look_up(engine: &Engine, id: CallId, claim_no: i64) -> Option<Completed> {
    let asking = async {
        let mut retries = Retries::within(PATIENCE);
        loop {
            match engine.store.completed(engine.pod, id, claim_no).await {
                Ok(completed) => return Some(completed),
                Err(error) => retries.after(error).await.ok()?,
            }
        }
    };
    // A single reply may take longer than the retries are limited to.
    tokio::time::timeout(PATIENCE, asking).await.ok().flatten()
}
