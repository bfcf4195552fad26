//! Transactions for handlers: one at a time, on a connection of their own, in turn with the writers of this process.
//!
//! SQLite has one lock for all writing, and a handler's transaction holds it from its beginning to its end. So it takes
//! its turn like a writer (only one of them is ever in the queue, so that renewals never wait for two), it ends within a
//! limit, and now and then it leaves the file to other processes.

use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::OwnedMutexGuard;

use super::SqliteStore;
use super::connect::{self, Source, fault, is_locked};
use super::history::{Ended, end_held, was_recorded};
use super::shared_file::{File, Lending};
use super::tx::{Tx, kept, run};
use super::writer_thread::PAUSE;
use crate::clock;
use crate::error::StoreError;
use crate::id::{CallId, PodId};
use crate::store::transaction::{
    InTransaction, Open, OpenTransaction, TransactionDatabase, TransactionRef, sealed,
};
use crate::store::{Completed, Finish, Now, Outcome, Result, Retention, TransactionStore};

const BEGIN: &str = "begin a transaction";

const COMPLETE: &str = "complete the call in its transaction";

const ASK: &str = "ask what became of the transaction";

/// How long a handler waits for its turn among handlers.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long handlers may hold the lock in a row before they leave it to other processes, who look for it now and then.
const IN_A_ROW: Duration = Duration::from_millis(100);

/// How long they leave it then.
const REST: Duration = Duration::from_millis(20);

/// After about how many steps a statement looks whether its time is over.
const STEPS: i32 = 10_000;

/// ?1 the call, ?2 the pod, ?3 the claim's number.
const IS_HELD: &str = "SELECT 1 FROM futurecall_call WHERE id = ?1 AND claimed_by = ?2 AND claim_no = ?3";

const NO_TURN: &str =
    "the transactions of other calls took their turns for 30 seconds: keep such transactions short";

#[async_trait]
impl TransactionStore for SqliteStore {
    async fn begin(&self, limit: Duration) -> Result<Option<OpenTransaction>> {
        // A database in memory has one connection, which is the pod's.
        let Some(pool) = &self.lending else { return Ok(None) };
        let file = &self.writer.file;
        let lending = tokio::time::timeout(PATIENCE, Arc::clone(&file.lending).lock_owned());
        let mut lending = lending.await.map_err(|_| StoreError::busy(BEGIN, NO_TURN))?;
        if lending.held >= IN_A_ROW {
            let rested =
                lending.until.map_or(REST, |until| clock::instant().saturating_duration_since(until));
            tokio::time::sleep(REST.saturating_sub(rested)).await;
            lending.held = Duration::ZERO;
        }
        let (mut transaction, turn) = lock(pool, file, self.source.patience).await?;
        let (since, over) = (clock::instant(), Arc::new(AtomicBool::new(false)));
        file.is_lent.store(true, Ordering::Relaxed);
        let place = Place { file: Arc::clone(file), since, over: Arc::clone(&over), _turn: turn, lending };
        self.check(BEGIN)?;
        // A statement that runs on and on must not keep the lock either.
        let is_in_time = move || {
            !over.load(Ordering::Relaxed) && clock::instant().saturating_duration_since(since) <= limit
        };
        let mut handle = transaction.lock_handle().await.map_err(|error| fault(BEGIN, error))?;
        handle.set_progress_handler(STEPS, is_in_time);
        drop(handle);
        Ok(Some(OpenTransaction::new(SqliteOpen { transaction, limit, place })))
    }

    async fn complete(
        &self,
        open: OpenTransaction,
        now: Now,
        pod: PodId,
        finish: &Finish,
        retention: &Retention,
    ) -> Result<bool> {
        let Some(SqliteOpen { mut transaction, place, .. }) = open.downcast() else {
            return Err(StoreError::wrong_database(COMPLETE));
        };
        let rows = [Ended::of(finish)?];
        let mut tx = Tx::own(&mut transaction, self.tables.clone(), COMPLETE, now);
        if end_held(&mut tx, &rows, pod.as_uuid(), kept(retention)).await?.places.is_empty() {
            transaction.rollback().await.map_err(|error| fault(COMPLETE, error))?;
            return Ok(false);
        }
        self.check(COMPLETE)?;
        transaction.commit().await.map_err(|error| match connect::code(&error) {
            // Written, but not known to be on the disk; or the driver's thread is gone.
            Some(code) if code & 0xff == connect::IOERR => StoreError::unknown(COMPLETE, error),
            None => StoreError::unknown(COMPLETE, error),
            Some(_) => fault(COMPLETE, error),
        })?;
        drop(place);
        self.writer.file.tell_all();
        Ok(true)
    }

    async fn completed(&self, pod: PodId, id: CallId, claim_no: i64) -> Result<Completed> {
        let finish = Finish {
            id,
            claim_no,
            outcome: Outcome::Succeeded,
            started_after: None,
            ran_for: Duration::ZERO,
        };
        let rows = [Ended::of(&finish)?];
        // Through the writer, whose turn comes when the transaction has ended.
        run!(self.write, ASK, Now::Database, |tx| {
            let held = tx.sql(IS_HELD).bind(id.as_uuid()).bind(pod.as_uuid()).bind(claim_no);
            if tx.row(held).await?.is_some() {
                return Ok(Completed::No);
            }
            let recorded = was_recorded(&mut tx, &rows, pod.as_uuid()).await?;
            Ok(if recorded.places.is_empty() { Completed::Lost } else { Completed::Yes })
        })
        .await
    }
}

/// A handler's transaction. Dropped, it is rolled back.
#[derive(Debug)]
pub struct SqliteOpen {
    transaction: Transaction<'static, Sqlite>,
    limit: Duration,
    /// Released after the transaction's end.
    place: Place,
}

impl sealed::Sealed for Sqlite {}
impl TransactionDatabase for Sqlite {
    type Connection = SqliteConnection;
    type Open = SqliteOpen;
    const KIND: &'static str = "sqlite";
}

impl sealed::Sealed for SqliteOpen {}
impl InTransaction for SqliteOpen {
    fn lend(&mut self) -> TransactionRef<'_> {
        TransactionRef::Sqlite(&mut self.transaction)
    }
}

impl Open for SqliteOpen {
    fn limit(&self) -> Option<Duration> {
        Some(self.limit)
    }

    fn is_overdue(&self) -> bool {
        clock::instant().saturating_duration_since(self.place.since) > self.limit
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

impl Deref for SqliteOpen {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.transaction
    }
}

impl DerefMut for SqliteOpen {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

/// The right to write, while it is held.
#[derive(Debug)]
struct Place {
    file: Arc<File>,
    since: Instant,
    /// Interrupts a statement that still runs when its handler is gone.
    over: Arc<AtomicBool>,
    _turn: OwnedMutexGuard<Option<Instant>>,
    lending: OwnedMutexGuard<Lending>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.file.is_lent.store(false, Ordering::Relaxed);
        let now = clock::instant();
        self.lending.held += now.saturating_duration_since(self.since);
        self.lending.until = Some(now);
    }
}

/// The connections for handlers, opened when the first is wanted.
pub(super) fn pool(source: &Source) -> SqlitePool {
    let options = source.options.clone().busy_timeout(Duration::ZERO);
    SqlitePoolOptions::new()
        // One is in use; the one before may still be at its rollback.
        .max_connections(2)
        .acquire_timeout(source.patience.max(Duration::from_secs(5)))
        .idle_timeout(Duration::from_mins(1))
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Takes the file's lock, in turn with the writers of this process.
async fn lock(
    pool: &SqlitePool,
    file: &Arc<File>,
    patience: Duration,
) -> Result<(Transaction<'static, Sqlite>, OwnedMutexGuard<Option<Instant>>)> {
    let asked = clock::instant();
    let mut pause = Duration::from_millis(1);
    loop {
        let mut turn = Arc::clone(&file.turn).lock_owned().await;
        let error = match pool.begin_with("BEGIN IMMEDIATE").await {
            Ok(transaction) => {
                *turn = None;
                return Ok((transaction, turn));
            }
            Err(error) => error,
        };
        let now = clock::instant();
        let blocked = *turn.get_or_insert(now);
        drop(turn);
        if !is_locked(&error) || now.saturating_duration_since(blocked.max(asked)) >= patience {
            return Err(fault(BEGIN, error));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE);
    }
}
