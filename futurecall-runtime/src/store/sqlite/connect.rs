//! Reaching the file: whose options, which tables, and what the driver's errors mean.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqlSafeStr, SqlStr, SqliteConnection};

use super::file_identity::Original;
use crate::error::StoreError;
use crate::store::Result;
use crate::store::table_names::check_prefix;

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
    /// The file that was opened first; `None` before that, and in memory.
    pub(super) original: Option<Arc<Original>>,
}

impl Source {
    /// The source that a URL names. The file is created if it is missing, unless `mode=rw` says otherwise.
    pub(super) fn from_url(url: &str, connections: u32) -> Result<Self> {
        check_url(url).map_err(|fault| StoreError::permanent(OPEN, fault))?;
        let options = url.parse::<SqliteConnectOptions>().map_err(|error| fault(OPEN, error))?;
        let creates = parameter(url, "mode") != Some("rw");
        Ok(Self::new(options.create_if_missing(creates), connections))
    }

    /// The source that the application's own pool uses.
    pub(super) fn from_pool(pool: &SqlitePool, connections: u32) -> Self {
        Self::new((*pool.connect_options()).clone().create_if_missing(true), connections)
    }

    fn new(options: SqliteConnectOptions, connections: u32) -> Self {
        let options = options
            // Two connections with a shared cache answer "locked" without ever waiting.
            .shared_cache(false)
            .locking_mode(SqliteLockingMode::Normal)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // Looks at `data_version` are many: nobody wants them in a log.
            .disable_statement_logging();
        let options = match absolute(options.get_filename()) {
            // Connections are opened later, too, when the process may have gone to another folder.
            Some(path) => options.filename(path),
            None => options,
        };
        Self { options, connections, patience: Duration::from_secs(5), original: None }
    }

    /// The source of further connections to the file that was opened: one that is gone by then is not made anew.
    pub(super) fn opened(mut self, original: Option<Arc<Original>>) -> Self {
        if original.is_some() {
            self.options = self.options.create_if_missing(false);
        }
        self.original = original;
        self
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

/// Refuses a URL that names no file, or one that could not be written to. The fault says what to write.
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    if url.contains("://") && !url.starts_with("sqlite:") && !url.starts_with("file:") {
        // The driver would take it for the name of a file.
        return Err("the URL does not begin with `sqlite:`".to_owned());
    }
    // An error of the driver's is told when the file is opened.
    let Ok(options) = url.parse::<SqliteConnectOptions>() else { return Ok(()) };
    let mode = parameter(url, "mode");
    let (file, in_memory) = (options.get_filename(), mode == Some("memory"));
    if file.as_os_str().is_empty() && !in_memory {
        // SQLite would make a database that is gone with its connection.
        return Err("the URL names no file (was a variable empty?): write `sqlite:calls.db`, or `sqlite::memory:` for \
                    a database that is gone with the pod"
            .to_owned());
    }
    if mode == Some("ro") || matches!(parameter(url, "immutable"), Some("true" | "1")) {
        return Err(format!("the URL opens the file {READ_ONLY}"));
    }
    // Of SQLite's own names it says so itself.
    if mode == Some("rw") && !file.exists() && !file.to_string_lossy().starts_with("file:") {
        return Err(format!(
            "there is no file {}, and `mode=rw` creates none: name the file that is there, or leave `mode=rw` out to \
             have it created",
            file.display()
        ));
    }
    Ok(())
}

const READ_ONLY: &str =
    "read-only, and a pod writes to it: write `sqlite:calls.db`, without `mode=ro` and `immutable`";

/// The value of a parameter of the URL; of several the last, as the driver has it.
fn parameter<'u>(url: &'u str, name: &str) -> Option<&'u str> {
    let (_, parameters) = url.split_once('?')?;
    let values = parameters.split('&').filter_map(|parameter| parameter.split_once('='));
    values.rev().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The same file from any folder; `None` where that name is good from everywhere, as of a database in memory.
fn absolute(path: &Path) -> Option<PathBuf> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return None;
    }
    // One of SQLite's own names: `file:`, a path, and perhaps parameters.
    let Some(uri) = path.to_str().and_then(|path| path.strip_prefix("file:")) else {
        return std::path::absolute(path).ok();
    };
    // The driver's own names are those of databases in memory.
    let mut anywhere = [":memory:", "sqlx-in-memory-", "/", "?", "#"].iter();
    if uri.is_empty() || anywhere.any(|name| uri.starts_with(name)) {
        return None;
    }
    let folder = std::env::current_dir().ok()?;
    let folder = folder.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file:{folder}/{uri}").into())
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
    pub(super) fn new(prefix: &str) -> Result<Self> {
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
        CANTOPEN => StoreError::denied(
            doing,
            format!("{error}: does its folder exist, and may this process read and write there?"),
        ),
        READONLY => StoreError::denied(
            doing,
            format!(
                "{error}: give the pod a file that it may write to, and no pool that is opened with `mode=ro`"
            ),
        ),
        TOOBIG | CONSTRAINT | MISMATCH => StoreError::refused(doing, error),
        PERM => StoreError::denied(doing, error),
        ERROR if error.to_string().contains("no such table") => StoreError::denied(
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
const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
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

#[cfg(test)]
mod tests {
    use super::{Source, parameter};

    #[test]
    fn a_file_is_the_same_from_any_folder() {
        let here = std::env::current_dir().expect("a folder");
        let source = Source::from_url("sqlite:calls.db?mode=rwc", 4).expect("a sound URL");
        assert_eq!(source.options.get_filename(), here.join("calls.db"));
        let uri = Source::from_url("sqlite:file:calls.db%3Fpsow=0", 4).expect("a sound URL");
        let expected = format!("file:{}/calls.db?psow=0", here.display());
        assert_eq!(uri.options.get_filename().to_string_lossy(), expected);
        for anywhere in
            ["sqlite::memory:", "sqlite:file:/calls.db", "sqlite:%3Amemory:", "sqlite:file::memory:"]
        {
            let source = Source::from_url(anywhere, 4).expect("a sound URL");
            let name = source.options.get_filename().to_string_lossy();
            assert!(!name.contains(&here.to_string_lossy()[..]), "{anywhere}: {name}");
        }
    }

    #[test]
    fn of_a_parameter_the_last_value_counts() {
        let url = "sqlite:x?mode=ro&cache=private&mode=rw";
        assert_eq!((parameter(url, "mode"), parameter(url, "cache")), (Some("rw"), Some("private")));
        assert_eq!((parameter(url, "vfs"), parameter("sqlite:mode=ro", "mode")), (None, None));
    }
}
