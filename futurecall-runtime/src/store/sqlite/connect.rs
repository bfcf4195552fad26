//! Reaching the file: whose options, which tables, and what the driver's errors mean.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqlSafeStr, SqlStr, SqliteConnection};

use crate::error::StoreError;
use crate::store::place::check_prefix;

/// The prefix that stands in the SQL of this folder and in the migrations.
const DEFAULT_PREFIX: &str = "futurecall_";

/// Where a store finds its file, and how it behaves there.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) options: SqliteConnectOptions,
    /// How many connections it may open, the writer among them.
    pub(super) connections: u32,
    /// How long a lock that somebody else holds is waited for.
    pub(super) patience: Duration,
}

impl Source {
    /// The source that a URL names. The file is created if it is missing.
    pub(super) fn from_url(url: &str, connections: u32) -> Result<Self, StoreError> {
        if url.contains("://") && !url.starts_with("sqlite:") && !url.starts_with("file:") {
            // The driver would take it for the name of a file.
            return Err(StoreError::permanent(OPEN, "the URL does not begin with `sqlite:`"));
        }
        let options = url.parse::<SqliteConnectOptions>().map_err(|error| fault(OPEN, error))?;
        Ok(Self::new(options, connections))
    }

    /// The source that the application's own pool uses.
    pub(super) fn from_pool(pool: &SqlitePool, connections: u32) -> Self {
        Self::new((*pool.connect_options()).clone(), connections)
    }

    fn new(options: SqliteConnectOptions, connections: u32) -> Self {
        let options = options
            .create_if_missing(true)
            // Two connections with a shared cache answer "locked" without ever waiting.
            .shared_cache(false)
            .locking_mode(SqliteLockingMode::Normal)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // Looks at `data_version` are many: nobody wants them in a log.
            .disable_statement_logging();
        Self { options, connections, patience: Duration::from_secs(5) }
    }

    /// Opens the connection that writes, and says where its file is; a database in memory has none.
    pub(super) async fn writing(&self) -> Result<(SqliteConnection, Option<PathBuf>), sqlx::Error> {
        // The writer waits for locks itself: SQLite's own waiting ends up at tenths of a second a try.
        let mut connection = self.options.clone().busy_timeout(Duration::ZERO).connect().await?;
        let file: Option<String> = sqlx::query("SELECT file FROM pragma_database_list WHERE name = 'main'")
            .fetch_one(&mut connection)
            .await?
            .try_get(0)?;
        Ok((connection, file.filter(|file| !file.is_empty()).map(PathBuf::from)))
    }

    /// The connections that read, opened when they are first needed. One that tried to write would be refused.
    pub(super) fn reading(&self) -> SqlitePool {
        let options = self.options.clone().busy_timeout(self.patience).pragma("query_only", "ON");
        SqlitePoolOptions::new()
            .max_connections(self.connections.saturating_sub(1).max(1))
            .acquire_timeout(self.patience.max(Duration::from_secs(5)))
            .test_before_acquire(false)
            .connect_lazy_with(options)
    }
}

/// What opening a store does, as a fragment of its errors.
pub(super) const OPEN: &str = "open the SQLite database";

/// The names of our tables: a validated prefix.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// `None` is [`DEFAULT_PREFIX`], with which the SQL is used as it stands.
    prefix: Option<Arc<str>>,
}

impl Tables {
    /// Takes a prefix that cannot be anything but the beginning of a name.
    pub(super) fn new(prefix: &str) -> Result<Self, StoreError> {
        check_prefix(prefix).map_err(|fault| {
            StoreError::permanent(OPEN, format!("table_prefix `{}` {fault}", prefix.escape_debug()))
        })?;
        Ok(Self { prefix: (prefix != DEFAULT_PREFIX).then(|| prefix.into()) })
    }

    /// SQL of ours, with our prefix in place of the default one.
    pub(super) fn sql(&self, text: &'static str) -> SqlStr {
        match &self.prefix {
            None => SqlStr::from_static(text),
            // The prefix is letters, digits and underscores: see `new`.
            Some(prefix) => AssertSqlSafe(text.replace(DEFAULT_PREFIX, prefix)).into_sql_str(),
        }
    }

    /// SQL put together of our own pieces (never of values).
    pub(super) fn composed(&self, text: &str) -> SqlStr {
        AssertSqlSafe(text.replace(DEFAULT_PREFIX, &self.to_string())).into_sql_str()
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.prefix.as_deref().unwrap_or(DEFAULT_PREFIX))
    }
}

/// What a driver's error means.
pub(super) fn fault(doing: &'static str, error: sqlx::Error) -> StoreError {
    let Some(code) = code(&error) else {
        return match error {
            sqlx::Error::PoolClosed => StoreError::closed(doing),
            sqlx::Error::WorkerCrashed | sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => {
                StoreError::transient(doing, error)
            }
            error => StoreError::permanent(doing, error),
        };
    };
    match code & 0xff {
        BUSY | LOCKED => StoreError::busy(doing, error),
        NOMEM | INTERRUPT | IOERR | FULL | PROTOCOL | SCHEMA => StoreError::transient(doing, error),
        CANTOPEN => StoreError::permanent(
            doing,
            format!("{error}: does its folder exist, and may this process read and write there?"),
        ),
        TOOBIG | CONSTRAINT | MISMATCH => StoreError::refused(doing, error),
        ERROR if error.to_string().contains("no such table") => StoreError::permanent(
            doing,
            format!(
                "{error}: this database has no tables of Futurecall, so it is not the pod's or not yet migrated"
            ),
        ),
        _ => StoreError::permanent(doing, error),
    }
}

/// What a driver's error means on the application's own connection, where a lock was not waited for by us.
pub(super) async fn lent_fault(
    doing: &'static str,
    connection: &mut SqliteConnection,
    error: sqlx::Error,
    waited: Duration,
) -> StoreError {
    let locked = code(&error).is_some_and(|code| code & 0xff == BUSY);
    if !locked {
        return fault(doing, error);
    }
    // SQLite waits for a lock as long as it was told to, except in a transaction that has read already: there waiting
    // could not help, because what it read is about to be out of date.
    let told = sqlx::query("PRAGMA busy_timeout")
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get::<i64, _>(0));
    let told = Duration::from_millis(told.ok().and_then(|told| u64::try_from(told).ok()).unwrap_or(0));
    if code(&error) == Some(BUSY_SNAPSHOT) || waited < told / 2 {
        return StoreError::conflict(doing, error);
    }
    StoreError::busy(doing, error)
}

/// SQLite's extended result code.
pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Whether somebody else holds the file's lock.
pub(super) fn is_locked(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| matches!(code & 0xff, BUSY | LOCKED))
}

const ERROR: i32 = 1;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const INTERRUPT: i32 = 9;
pub(super) const IOERR: i32 = 10;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const SCHEMA: i32 = 17;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const BUSY_SNAPSHOT: i32 = 517;
/// A row of this id exists already.
pub(super) const CONSTRAINT_PRIMARYKEY: i32 = 1555;
