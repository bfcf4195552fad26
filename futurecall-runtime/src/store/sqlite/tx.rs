//! One transaction's hands, and how rows travel: as one JSON array in, as columns out.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, SqliteConnection};
use uuid::Uuid;
use uuid::fmt::Simple;

use super::SqliteStore;
use super::connect::{Tables, fault, lent_fault};
use crate::clock;
use crate::error::StoreError;
use crate::moment::Moment;
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
    misfits: Misfits,
}

/// A row, whose columns are read by the functions below.
#[derive(Debug)]
pub(super) struct StoredRow {
    row: SqliteRow,
    misfits: Misfits,
}

/// What was found in the columns of a transaction's rows that cannot be there: the first of it fails the operation. A row
/// that cannot be read is never left out: whoever counts on the answer would take it for all there is.
#[derive(Clone, Debug, Default)]
pub(super) struct Misfits(Arc<OnceLock<String>>);

impl Misfits {
    fn note(&self, column: &str, why: impl std::fmt::Display) {
        // Which value it is stays untold: it may be an argument.
        self.0.get_or_init(|| format!("a row's column `{column}` holds what cannot stand there: {why}"));
    }

    /// An error where something did not fit.
    pub(super) fn check(&self, doing: &'static str) -> Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(misfit) => Err(StoreError::permanent(
                doing,
                format!("{misfit}. Was the database edited by hand, or written by another version?"),
            )),
        }
    }
}

impl SqliteStore {
    /// Runs `work` in a transaction on the writer's connection, which other operations may share.
    pub(super) async fn write<T, F>(&self, doing: &'static str, now: Now, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Tx<'c>) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        let tables = self.tables.clone();
        self.writer
            .run(doing, move |connection| {
                let tx = Tx::own(connection, tables, doing, now);
                sound(doing, tx.misfits(), work(tx))
            })
            .await
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
        let tx = Tx::own(&mut transaction, self.tables.clone(), doing, now);
        sound(doing, tx.misfits(), work(tx)).await
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
        Self { connection, tables, doing, now: moment(now), lent: false, misfits: Misfits::default() }
    }

    /// The application's transaction.
    pub(super) fn lent(connection: &'c mut SqliteConnection, tables: Tables, doing: &'static str) -> Self {
        Self {
            connection,
            tables,
            doing,
            now: moment(Now::Database),
            lent: true,
            misfits: Misfits::default(),
        }
    }

    /// What did not fit in the rows that are read in this transaction.
    pub(super) fn misfits(&self) -> Misfits {
        self.misfits.clone()
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
    pub(super) async fn rows(&mut self, sql: Sql) -> Result<Vec<StoredRow>> {
        let start = clock::instant();
        match sql.fetch_all(&mut *self.connection).await {
            Ok(rows) => {
                Ok(rows.into_iter().map(|row| StoredRow { row, misfits: self.misfits.clone() }).collect())
            }
            Err(error) => Err(self.fault(error, start).await),
        }
    }

    /// Runs a query whose answer is at most one row.
    pub(super) async fn row(&mut self, sql: Sql) -> Result<Option<StoredRow>> {
        Ok(self.rows(sql).await?.into_iter().next())
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

/// What came of an operation, unless it has met something in a row that cannot be there.
pub(super) fn sound<'c, T: Send + 'c>(
    doing: &'static str,
    misfits: Misfits,
    work: BoxFuture<'c, Result<T>>,
) -> BoxFuture<'c, Result<T>> {
    Box::pin(async move {
        let done = work.await?;
        misfits.check(doing)?;
        Ok(done)
    })
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

impl StoredRow {
    fn get<'r, T>(&'r self, column: &str) -> Option<T>
    where
        T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
    {
        match self.row.try_get(column) {
            Ok(value) => value,
            // The statement does not ask for it.
            Err(sqlx::Error::ColumnNotFound(_)) => None,
            Err(sqlx::Error::ColumnDecode { .. }) => {
                self.misfits.note(column, "it is of another kind");
                None
            }
            Err(error) => {
                self.misfits.note(column, error);
                None
            }
        }
    }

    /// What was made of a column, which cannot be what stands there if it is `None`.
    pub(super) fn fit<T>(&self, column: &str, made: Option<T>) -> Option<T> {
        if made.is_none() {
            self.misfits.note(column, "this version does not know it");
        }
        made
    }

    /// The first column, as a number or a text.
    pub(super) fn first(&self) -> Option<String> {
        let number = self.row.try_get::<i64, _>(0).map(|number| number.to_string());
        number.or_else(|_| self.row.try_get::<String, _>(0)).ok()
    }
}

/// A column that holds an id. Like all of these, `None` for NULL; what cannot be one fails the operation.
pub(super) fn uuid(row: &StoredRow, column: &str) -> Option<Uuid> {
    row.get(column)
}

/// A column that holds text.
pub(super) fn text(row: &StoredRow, column: &str) -> Option<String> {
    row.get(column)
}

/// A column that holds a number.
pub(super) fn number(row: &StoredRow, column: &str) -> Option<i64> {
    row.get(column)
}

/// A column that holds a small number.
pub(super) fn small<T: TryFrom<i64>>(row: &StoredRow, column: &str) -> Option<T> {
    number(row, column).and_then(|number| row.fit(column, T::try_from(number).ok()))
}

/// A column that holds a moment.
pub(super) fn moment_in(row: &StoredRow, column: &str) -> Option<Moment> {
    number(row, column).and_then(|micros| row.fit(column, Moment::from_micros(micros).ok()))
}

/// A column that holds JSON.
pub(super) fn json<T: DeserializeOwned>(row: &StoredRow, column: &str) -> Option<T> {
    text(row, column).and_then(|text| row.fit(column, serde_json::from_str(&text).ok()))
}

/// A column that holds 0 or 1.
pub(super) fn flag(row: &StoredRow, column: &str) -> bool {
    number(row, column).is_some_and(|flag| flag != 0)
}
