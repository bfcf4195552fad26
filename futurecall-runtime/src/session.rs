//! What a handler is given while it runs.

mod transaction;

use std::sync::Arc;

pub use self::transaction::CallTransaction;
use crate::engine::runner::Run;
use crate::engine::{Completion, RunSignals};
use crate::error::{MissingState, TransactionError};
use crate::facade::FutureCalls;
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::pod::Pod;
use crate::registry::Given;
use crate::state::StateMap;
use crate::store::transaction::TransactionDatabase;

/// The company of one run: who called, what the pod offers, and whether to stop.
///
/// Lives as long as the run; handlers borrow it.
///
/// ```standalone_crate
/// use futurecall_runtime::prelude::*;
/// use futurecall_runtime::Role;
///
/// pub struct ChainFutureCall;
///
/// #[future_call]
/// impl ChainFutureCall {
///     pub async fn step(session: &Session, n: u32) -> Result<(), BoxError> {
///         let greeting = session.state::<String>()?;
///         println!("{greeting} from step {n} of call {}", session.call().id);
///         if n < 3 && !session.is_cancelled() {
///             session.future_calls().call_now().chain().step(n + 1).await?;
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let builder = Pod::builder().database_url("memory:").role(Role::Maintenance).state("hello".to_owned());
/// let pod = builder.start().await?;
/// pod.future_calls().call_now().chain().step(1).await?;
/// // Each run schedules the next, which is due when the one after it is looked for.
/// while pod.run_due().await?.started > 0 {}
/// assert_eq!(pod.inspect().counts().await?.succeeded, 3);
/// # pod.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Session {
    pod: Pod,
    state: Arc<StateMap>,
    call: CallInfo,
    signals: Arc<RunSignals>,
    completion: Arc<Completion>,
}

/// The call that is being run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallInfo {
    /// Which call. The same for every attempt: a good idempotency key for effects outside the database.
    pub id: CallId,
    /// Its stored name.
    pub name: String,
    /// Its identifier, if it has one.
    pub identifier: Option<String>,
    /// When it was due, by the database's clock: its first attempt, however often it was tried since.
    pub due: Moment,
    /// Which attempt this is; 1 is the first. Attempts of pods that vanished count.
    pub attempt: u32,
    /// The schedule that produced it, if one did.
    pub schedule: Option<ScheduleId>,
    /// The W3C `traceparent` of whoever scheduled it, if given.
    pub traceparent: Option<String>,
}

impl Session {
    /// The session of a run.
    pub(crate) fn of(given: Given<'_>) -> Self {
        let Given { run: Run { engine, call, signals, completion }, registry } = given;
        let call = CallInfo {
            id: call.id,
            name: call.name.clone(),
            identifier: call.identifier.clone(),
            due: call.first_due,
            attempt: call.attempt,
            schedule: call.schedule,
            traceparent: call.traceparent.clone(),
        };
        Self {
            pod: Pod::of_session(engine, registry),
            state: Arc::clone(&engine.state),
            call,
            signals: Arc::clone(signals),
            completion: Arc::clone(completion),
        }
    }

    /// The pod that runs this call.
    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    /// Schedules from within a call, also while the pod drains.
    pub fn future_calls(&self) -> FutureCalls {
        self.pod.future_calls()
    }

    /// What `PodBuilder::state` was given of this type.
    ///
    /// # Errors
    ///
    /// [`MissingState`], which names the type. A parameter marked `#[future_call(state)]` is checked at start instead.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<&T, MissingState> {
        self.state.get().ok_or_else(MissingState::of::<T>)
    }

    /// The call that is being run.
    pub fn call(&self) -> &CallInfo {
        &self.call
    }

    /// Begins a transaction of the pod's database, in which the handler's own writes and the call's completion are
    /// committed together: either both stand, or neither does, whatever breaks, and however often the call is run.
    ///
    /// `Db` is `sqlx::Postgres` or `sqlx::Sqlite`. [`complete`](CallTransaction::complete) commits; it is fenced, so that a
    /// pod that lost the call in the meantime can complete nothing. A run has one such transaction at a time.
    ///
    /// On PostgreSQL it is READ COMMITTED, on one of as many connections of its own as the pod's `connections`; more
    /// runs at once wait for each other, 30 seconds at most. On SQLite it is begun with `BEGIN IMMEDIATE`, such
    /// transactions run one at a time, and everybody else waits for its end before they write. So it may be open for a
    /// quarter of the lease, 4 seconds at most: after that the handler is dropped, and its call has failed. (One that blocks
    /// its thread cannot be dropped: it keeps everybody waiting until it goes on, and is told then.) Inside it, schedule with
    /// `.in_transaction(&mut tx)`: awaiting a call without that would wait for this very transaction.
    ///
    /// Dropping this future begins nothing. If it is kept unpolled after the transaction was begun, the transaction is
    /// rolled back after a quarter of the lease, 4 seconds at most, and the future then returns an error.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]: the wrong database, the memory store, a transaction that is open already, or what the
    /// database said. Nothing was written.
    ///
    /// ```standalone_crate
    /// use futurecall_runtime::prelude::*;
    /// use futurecall_runtime::{CallState, Role};
    ///
    /// pub struct LedgerFutureCall;
    ///
    /// #[future_call]
    /// impl LedgerFutureCall {
    ///     pub async fn book(session: &Session, amount: i64) -> Result<(), BoxError> {
    ///         let mut tx = session.transaction::<sqlx::Sqlite>().await?;
    ///         sqlx::query("INSERT INTO entry (amount) VALUES (?)").bind(amount).execute(&mut *tx).await?;
    ///         tx.complete().await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}", folder.path().join("app.db").display());
    /// # let options = url.parse::<sqlx::sqlite::SqliteConnectOptions>()?.create_if_missing(true);
    /// let pool = sqlx::SqlitePool::connect_with(options).await?;
    /// sqlx::query("CREATE TABLE entry (amount INTEGER NOT NULL)").execute(&pool).await?;
    /// let pod = Pod::builder().pool(&pool).role(Role::Maintenance).start().await?;
    /// let id = pod.future_calls().call_now().ledger().book(7).await?;
    /// pod.run_due().await?;
    /// let booked: i64 = sqlx::query_scalar("SELECT sum(amount) FROM entry").fetch_one(&pool).await?;
    /// assert_eq!((booked, pod.future_calls().status(id).await?), (7, Some(CallState::Succeeded)));
    /// # pod.shutdown().await;
    /// # Ok(()) }
    /// ```
    pub async fn transaction<Db: TransactionDatabase>(
        &self,
    ) -> Result<CallTransaction<'_, Db>, TransactionError> {
        CallTransaction::begin(self).await
    }

    /// Resolves when the run should stop: its call was cancelled, or the pod's shutdown grace is over. A run that
    /// never looks is not disturbed by a cancellation; at the end of a shutdown it is abandoned.
    ///
    /// Cancel-safe.
    pub async fn cancelled(&self) {
        self.signals.cancelled.wait().await;
    }

    /// Whether [`cancelled`](Self::cancelled) would resolve at once.
    pub fn is_cancelled(&self) -> bool {
        self.signals.cancelled.is_set()
    }
}
