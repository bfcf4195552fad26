//! Transactions for handlers: on a pool of their own, so that handlers never keep the store from its work.

use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use super::PostgresStore;
use super::connect::{BEGIN, commit, step, step_one};
use super::connection_check::ping_idle;
use super::driver_error::nothing_done;
use super::history::{FINISHED_BEFORE, Gone, History};
use crate::error::StoreError;
use crate::id::{CallId, PodId};
use crate::store::transaction::{
    InTransaction, Open, OpenTransaction, TransactionDatabase, TransactionRef, sealed,
};
use crate::store::{Completed, Finish, Now, Outcome, Result, Retention, TransactionStore};

const BEGINNING: &str = "begin a transaction";

const COMPLETING: &str = "complete the call in its transaction";

const ASKING: &str = "ask what became of the transaction";

/// How long a handler waits for one of the connections.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a connection without work is kept.
const IDLE: Duration = Duration::from_mins(1);

/// A pod that is stopped between two statements must not keep the call's row locked for ever.
const NO_IDLING: &str = "SELECT set_config('idle_in_transaction_session_timeout', '10s', true)";

const NO_WAITING: &str = "SELECT set_config('lock_timeout', '5s', true)";

/// $1 call, $2 pod, $3 claim number. Waits for a completion under way, which has the row locked.
const HELD: &str = "
    SELECT c.id FROM futurecall.call AS c
    WHERE c.id = $1::uuid AND c.claimed_by = $2::uuid AND c.claim_no = $3::bigint FOR UPDATE";

#[async_trait]
impl TransactionStore for PostgresStore {
    async fn begin(&self, _limit: Duration) -> Result<Option<OpenTransaction>> {
        if self.link.pool.is_closed() {
            return Err(StoreError::closed(BEGINNING));
        }
        let begun = self.lending.get_or_init(|| self.lending_pool()).begin_with(BEGIN).await;
        let transaction = begun.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => StoreError::busy(BEGINNING, NO_TURN),
            error => nothing_done(BEGINNING)(error),
        })?;
        Ok(Some(OpenTransaction::new(PostgresOpen { transaction })))
    }

    async fn complete(
        &self,
        open: OpenTransaction,
        now: Now,
        pod: PodId,
        finish: &Finish,
        retention: &Retention,
    ) -> Result<bool> {
        let Some(PostgresOpen { mut transaction }) = open.downcast() else {
            return Err(StoreError::wrong_database(COMPLETING));
        };
        step(COMPLETING, &mut transaction, self.link.fixed(NO_IDLING)).await?;
        let query = self.finishing(now, pod, &[finish], retention, History::Any);
        let row = step_one(COMPLETING, &mut transaction, query).await?;
        if Gone::read(&row, &[finish])?.is_none() {
            transaction.rollback().await.map_err(nothing_done(COMPLETING))?;
            return Ok(false);
        }
        commit(COMPLETING, transaction).await?;
        Ok(true)
    }

    async fn completed(&self, pod: PodId, id: CallId, claim_no: i64) -> Result<Completed> {
        let mut transaction = self.begin(ASKING).await?;
        step(ASKING, &mut transaction, self.link.fixed(NO_WAITING)).await?;
        let query = self.query(HELD).bind(id.as_uuid()).bind(pod.as_uuid()).bind(claim_no);
        let held = step(ASKING, &mut transaction, query).await?;
        if !held.is_empty() {
            return Ok(Completed::No);
        }
        let finish = Finish {
            id,
            claim_no,
            outcome: Outcome::Succeeded,
            started_after: None,
            ran_for: Duration::ZERO,
        };
        transaction.commit().await.map_err(nothing_done(ASKING))?;
        let done = self.finished_before(pod, FINISHED_BEFORE, &[&finish]).await?;
        Ok(if done.is_empty() { Completed::Lost } else { Completed::Yes })
    }
}

/// A handler's transaction. Dropped, it is rolled back.
#[derive(Debug)]
pub struct PostgresOpen {
    transaction: Transaction<'static, Postgres>,
}

impl sealed::Sealed for Postgres {}
impl TransactionDatabase for Postgres {
    type Connection = PgConnection;
    type Open = PostgresOpen;
    const KIND: &'static str = "postgres";
}

impl sealed::Sealed for PostgresOpen {}
impl InTransaction for PostgresOpen {
    fn lend(&mut self) -> TransactionRef<'_> {
        TransactionRef::Postgres(&mut self.transaction)
    }
}

impl Open for PostgresOpen {
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

impl Deref for PostgresOpen {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for PostgresOpen {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}

impl PostgresStore {
    fn lending_pool(&self) -> PgPool {
        ping_idle(PgPoolOptions::new())
            .max_connections(self.link.connections)
            .acquire_timeout(PATIENCE)
            .idle_timeout(IDLE)
            .connect_lazy_with(self.options())
    }
}

const NO_TURN: &str = "all connections for the transactions of handlers were in use for 30 seconds, or the server did \
    not answer: keep such transactions short, or give the pod more connections (`.connections(n)`)";
