//! A run that completes its call by itself, in a transaction with its handler's own writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::flag::Signal;
use super::resend::Retries;
use super::{Engine, NOW};
use crate::error::{StoreError, TransactionError};
use crate::id::CallId;
use crate::signals::Op;
use crate::store::transaction::{OpenTransaction, TransactionDatabase};
use crate::store::{Completed, Finish, Outcome};

/// The longest that a handler's transaction may be open where everybody else waits for it: less than the 5 seconds for
/// which other processes wait for a SQLite file.
const LONGEST: Duration = Duration::from_secs(4);

/// How long the database may take to commit, and then to say what became of a COMMIT that got no reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far a run is with completing its call by itself.
#[derive(Debug)]
pub(crate) struct Completion {
    id: CallId,
    claim_no: i64,
    began: Instant,
    started_after: Duration,
    step: Mutex<Step>,
    stepped: Notify,
    /// A transaction is open for longer than everybody else can wait: the handler is dropped.
    pub(super) overdue: Signal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// No transaction was begun, or the last one was dropped.
    Idle { dropped: bool },
    /// One is open.
    Open,
    /// It is being committed.
    Underway,
    /// The call is complete.
    Done,
}

/// While this lives, the run has a transaction open.
#[derive(Debug)]
pub(crate) struct Opened {
    completion: Arc<Completion>,
    /// Ends the watch over the transaction's time.
    closed: CancellationToken,
}

impl Completion {
    pub(super) fn new(id: CallId, claim_no: i64, began: Instant, started_after: Duration) -> Arc<Self> {
        let step = Mutex::new(Step::Idle { dropped: false });
        let (stepped, overdue) = (Notify::new(), Signal::default());
        Arc::new(Self { id, claim_no, began, started_after, step, stepped, overdue })
    }

    /// Waits for a completion under way; says whether the call is complete.
    pub(super) async fn settled(&self) -> bool {
        loop {
            let stepped = self.stepped.notified();
            match self.step() {
                Step::Underway => stepped.await,
                step => return step == Step::Done,
            }
        }
    }

    /// Whether the handler's last transaction was dropped, so that what it wrote there is gone.
    pub(super) fn was_dropped(&self) -> bool {
        self.step() == Step::Idle { dropped: true }
    }

    fn go(&self, from: Step, to: Step) -> bool {
        let mut step = self.lock();
        let goes = *step == from;
        if goes {
            *step = to;
            self.stepped.notify_waiters();
        }
        goes
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
        self.completion.go(Step::Open, Step::Idle { dropped: true });
    }
}

/// A completion under way; given up when dropped.
struct Underway {
    engine: Arc<Engine>,
    completion: Arc<Completion>,
    is_done: bool,
}

impl Drop for Underway {
    fn drop(&mut self) {
        let Completion { id, claim_no, .. } = *self.completion;
        self.engine.held.settle(id, claim_no, self.is_done);
        let to = if self.is_done { Step::Done } else { Step::Idle { dropped: false } };
        self.completion.go(Step::Underway, to);
    }
}

impl Engine {
    /// How long a handler's transaction may be open where everybody else waits for it: so short that a lease can be
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
            Step::Open | Step::Underway => return Err(TransactionError::AlreadyOpen),
            Step::Idle { .. } if !completion.go(idle, Step::Open) => {
                return Err(TransactionError::AlreadyOpen);
            }
            Step::Idle { .. } => {}
        }
        let opened = Opened { completion: Arc::clone(completion), closed: CancellationToken::new() };
        let (begun, limit) = (Arc::new(Begun::default()), self.transaction_limit());
        let beginning =
            begin(Arc::clone(self), Arc::clone(&begun), Arc::clone(completion), opened.closed.clone());
        self.drive_while_awaited(beginning).await.map_err(|not| not.as_store(BEGINNING))??;
        let open = begun.take().ok_or_else(|| not_taken(limit))?;
        Ok((open.downcast().ok_or_else(wrong)?, opened))
    }

    /// Completes a run's call in its handler's transaction. Goes on to its end if this future is dropped.
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
        completion.go(Step::Open, Step::Underway);
        drop(opened);
        let mut underway = Underway { engine: Arc::clone(self), completion, is_done: false };
        let (tell, told) = oneshot::channel();
        let committing = self.process.task(async move {
            let completed = commit(&underway.engine, &underway.completion, open).await;
            underway.is_done = completed.is_ok();
            drop(underway);
            // A handler that is gone does not need the answer.
            let _ = tell.send(completed);
        });
        self.runs.spawn_on(committing, &self.handle);
        let unknown = || StoreError::unknown("complete the call", "the pod has ended");
        told.await.unwrap_or_else(|_| Err(TransactionError::OutcomeUnknown { id, source: unknown() }))
    }
}

const BEGINNING: &str = "begin a transaction";

/// A transaction that was begun, until its handler takes it: the handler's future may never be polled again.
#[derive(Debug, Default)]
struct Begun(Mutex<Option<OpenTransaction>>);

impl Begun {
    fn put(&self, open: OpenTransaction) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
    }

    fn take(&self) -> Option<OpenTransaction> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Begins a transaction, and sees to it that it ends in time. One that its handler does not take is rolled back.
async fn begin(
    engine: Arc<Engine>,
    begun: Arc<Begun>,
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
    match look(engine, id, claim_no).await {
        Some(Completed::Yes) => Ok(()),
        Some(Completed::No) => Err(TransactionError::Store(StoreError::transient(
            "complete the call",
            "the connection broke, and the transaction was rolled back",
        ))),
        Some(Completed::Lost) if !unkept => Err(TransactionError::LeaseLost),
        Some(Completed::Lost) | None => Err(TransactionError::OutcomeUnknown { id, source }),
    }
}

/// Asks what became of a completion until there is an answer, or patience is over.
async fn look(engine: &Engine, id: CallId, claim_no: i64) -> Option<Completed> {
    let asking = async {
        let mut retries = Retries::within(PATIENCE);
        loop {
            match engine.store.completed(engine.pod, id, claim_no).await {
                Ok(completed) => return Some(completed),
                Err(error) => retries.after(error).await.ok()?,
            }
        }
    };
    // An answer may be on its way for longer than that.
    tokio::time::timeout(PATIENCE, asking).await.ok().flatten()
}
