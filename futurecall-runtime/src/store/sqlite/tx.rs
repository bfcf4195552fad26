//! The statements of a transaction, and how rows travel: as one JSON array in, as columns out.
//!
//! The database's clock is the machine's wall clock, read once for each operation. No reading is kept beyond the
//! transaction: otherwise processes would disagree after the clock is set back.

use std::fmt;
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqliteConnection};
use uuid::Uuid;
use uuid::fmt::Simple;

use super::SqliteStore;
use super::connect::{Tables, fault, lent_fault};
use crate::clock;
use crate::error::StoreError;
use crate::moment::Moment;
use crate::store::columns::{Columns, StoredRow};
use crate::store::transaction::TransactionRef;
use crate::store::{CallState, Now, Result, Retention, codec};
use futures_util::future::BoxFuture;

pub(super) type Sql = Query<'static, Sqlite, SqliteArguments>;

/// A connection inside a transaction, what is being done in it, and the moment at which it happens.
#[derive(Debug)]
pub(super) struct Tx<'c> {
    connection: &'c mut SqliteConnection,
    tables: Tables,
    /// As a fragment that fits "could not …".
    doing: &'static str,
    /// The moment at which everything in this transaction happens.
    pub(super) now: Moment,
    /// Whether the connection is the application's own.
    lent: bool,
}

/// A row of an answer.
pub(super) type Row = StoredRow<SqliteRow>;

impl Columns for Row {
    fn uuid(&self, column: &str) -> Result<Option<Uuid>> {
        self.column(column)
    }

    fn text(&self, column: &str) -> Result<Option<String>> {
        self.column(column)
    }

    fn number(&self, column: &str) -> Result<Option<i64>> {
        self.column(column)
    }

    fn flag(&self, column: &str) -> Result<Option<bool>> {
        self.column(column)
    }

    fn moment(&self, column: &str) -> Result<Option<Moment>> {
        let moment = self.number(column)?.map(Moment::from_micros).transpose();
        moment.map_err(|error| self.misfit(column, error))
    }

    fn unfit(&self, column: &str, why: impl fmt::Display) -> StoreError {
        self.misfit(column, why)
    }
}

/// Runs a block in a transaction: `run!(store.write, DOING, now, |tx| …)`, for [`write`](SqliteStore::write) and
/// [`read`](SqliteStore::read), which want its future boxed, because no bound can say yet that it is `Send`.
macro_rules! run {
    ($store:ident.$way:ident, $doing:expr, $now:expr, |$tx:ident| $work:expr) => {
        $store.$way($doing, $now, move |mut $tx| Box::pin(async move { $work }))
    };
}
pub(super) use run;

impl SqliteStore {
    /// Runs `work` in a transaction on the writer's connection, which other operations may share.
    pub(super) async fn write<T, F>(&self, doing: &'static str, now: Now, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Tx<'c>) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        let tables = self.tables.clone();
        self.writer.run(doing, move |connection| work(Tx::own(connection, tables, doing, now))).await
    }

    /// Runs `work` on one state of the database, beside the writer.
    pub(super) async fn read<T, F>(&self, doing: &'static str, now: Now, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Tx<'c>) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        let Some(readers) = &self.readers else { return self.write(doing, now, work).await };
        self.check(doing)?;
        let mut transaction = readers.begin().await.map_err(|error| fault(doing, error))?;
        work(Tx::own(&mut transaction, self.tables.clone(), doing, now)).await
    }
}

impl<'c> Tx<'c> {
    /// A transaction of ours.
    pub(super) fn own(
        connection: &'c mut SqliteConnection,
        tables: Tables,
        doing: &'static str,
        now: Now,
    ) -> Self {
        Self { connection, tables, doing, now: moment(now), lent: false }
    }

    /// The application's transaction.
    pub(super) fn lent(connection: &'c mut SqliteConnection, tables: Tables, doing: &'static str) -> Self {
        Self { connection, tables, doing, now: moment(Now::Database), lent: true }
    }

    /// A statement of ours, written with the default prefix.
    pub(super) fn sql(&self, text: &'static str) -> Sql {
        sqlx::query(self.tables.sql(text))
    }

    /// A statement put together of our own pieces.
    pub(super) fn composed(&self, text: &str) -> Sql {
        sqlx::query(self.tables.composed(text))
    }

    /// Runs a statement and says how many rows it changed.
    pub(super) async fn run(&mut self, sql: Sql) -> Result<u64> {
        let start = clock::instant();
        match self.try_run(sql).await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.fault(error, start).await),
        }
    }

    /// Like [`run`](Self::run), for who looks at the driver's error first.
    pub(super) async fn try_run(&mut self, sql: Sql) -> Result<u64, sqlx::Error> {
        sql.execute(&mut *self.connection).await.map(|done| done.rows_affected())
    }

    /// Runs a statement and gathers its rows.
    pub(super) async fn rows(&mut self, sql: Sql) -> Result<Vec<Row>> {
        let start = clock::instant();
        match sql.fetch_all(&mut *self.connection).await {
            Ok(rows) => Ok(Row::all(self.doing, rows)),
            Err(error) => Err(self.fault(error, start).await),
        }
    }

    /// Runs a query whose answer is at most one row.
    pub(super) async fn row(&mut self, sql: Sql) -> Result<Option<Row>> {
        Ok(self.rows(sql).await?.into_iter().next())
    }

    /// Runs a query that always answers with a row.
    pub(super) async fn one(&mut self, sql: Sql) -> Result<Row> {
        let row = self.row(sql).await?;
        row.ok_or_else(|| StoreError::permanent(self.doing, sqlx::Error::RowNotFound))
    }

    /// Runs several statements without parameters.
    pub(super) async fn script(&mut self, text: &'static str) -> Result<()> {
        let script = sqlx::raw_sql(self.tables.sql(text)).execute(&mut *self.connection).await;
        script.map(drop).map_err(|error| fault(self.doing, error))
    }

    /// An error of this transaction that is not the driver's.
    pub(super) fn refused(&self, why: impl Into<String>) -> StoreError {
        StoreError::refused(self.doing, why.into())
    }

    async fn fault(&mut self, error: sqlx::Error, start: std::time::Instant) -> StoreError {
        if self.lent {
            let waited = clock::instant().saturating_duration_since(start);
            lent_fault(self.doing, self.connection, error, waited).await
        } else {
            fault(self.doing, error)
        }
    }
}

/// The application's connection, if it is one of SQLite.
pub(super) fn lent<'c>(
    doing: &'static str,
    transaction: TransactionRef<'c>,
) -> Result<&'c mut SqliteConnection> {
    match transaction {
        TransactionRef::Sqlite(connection) => Ok(connection),
        _ => Err(StoreError::wrong_database(doing)),
    }
}

/// Several statements on the application's connection as one: undone when dropped before [`keep`](Self::keep).
///
/// It nests in whatever transaction is open, begun through the driver or not, and is a transaction where none is.
#[derive(Debug)]
pub(super) struct Savepoint<'c> {
    connection: &'c mut SqliteConnection,
    kept: bool,
    doing: &'static str,
}

impl<'c> Savepoint<'c> {
    pub(super) async fn set(connection: &'c mut SqliteConnection, doing: &'static str) -> Result<Self> {
        let savepoint = Self { connection, kept: false, doing };
        let set = sqlx::query("SAVEPOINT futurecall").execute(&mut *savepoint.connection).await;
        set.map(|_| savepoint).map_err(|error| fault(doing, error))
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        self.connection
    }

    pub(super) async fn keep(mut self) -> Result<()> {
        let released = sqlx::query("RELEASE futurecall").execute(&mut *self.connection).await;
        self.kept = released.is_ok();
        released.map(drop).map_err(|error| fault(self.doing, error))
    }
}

impl Drop for Savepoint<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // One poll hands a command to the connection's thread, which runs commands in order, so whatever the
            // application does next comes after it. After a RELEASE whose answer nobody awaited, both are refused.
            drop(sqlx::query("ROLLBACK TO futurecall").execute(&mut *self.connection).now_or_never());
            drop(sqlx::query("RELEASE futurecall").execute(&mut *self.connection).now_or_never());
        }
    }
}

/// Returns the moment at which a transaction happens. The clock of a SQLite file is the wall clock of the machine, read for
/// each transaction: no process remembers what it said before, because another one, started since, would not know of it.
pub(super) fn moment(now: Now) -> Moment {
    match now {
        Now::At(moment) => moment,
        Now::Database => clock::wall(),
    }
}

/// That long from `now`, at most the last moment there is.
pub(super) fn after(now: Moment, time: Duration) -> Moment {
    now.checked_add(time).unwrap_or(Moment::MAX)
}

/// That long before `now`; negative before 1970.
pub(super) fn before(now: Moment, time: Duration) -> i64 {
    now.as_micros().saturating_sub(micros(time))
}

/// A duration in microseconds, rounded up; what is longer than all of time is all of time.
pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_nanos().div_ceil(1_000))
        .unwrap_or(Moment::MAX.as_micros())
        .min(Moment::MAX.as_micros())
}

/// A limit as SQL takes it: small enough to be added to, and more than any statement could handle.
pub(super) fn limit(count: usize) -> i64 {
    i64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The rows of a statement as the one JSON text that it takes.
pub(super) fn batch<T: Serialize + ?Sized>(doing: &'static str, rows: &T) -> Result<String> {
    serde_json::to_string(rows).map_err(|error| StoreError::refused(doing, error))
}

/// An id as it stands in such an array: SQL reads it with `unhex()`.
pub(super) fn hex(id: Uuid) -> Simple {
    id.simple()
}

/// Refuses text that PostgreSQL could not store and SQLite would cut short.
pub(super) fn no_nul(doing: &'static str, what: &str, text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(StoreError::refused(
            doing,
            format!("{what} contains a NUL character, which databases cannot store"),
        ));
    }
    Ok(())
}

/// One bit for each state (by its number) whose history is kept at all.
pub(super) fn kept(retention: &Retention) -> i64 {
    CallState::ALL
        .into_iter()
        .filter(|&state| !retention.of(state).is_zero())
        .filter_map(codec::state_code)
        .fold(0, |mask, code| mask | 1 << code)
}
