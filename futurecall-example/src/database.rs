//! The application's own database: connections to SQLite or PostgreSQL, and its tables.
//!
//! A service with one database would hold a `PgPool` or a `SqlitePool` and need none of this: it would contain just the
//! bodies that are passed to `on_pool!` and `in_transaction!`.

use std::str::FromStr;
use std::time::Duration;

use futurecall_runtime::{Pod, PodBuilder};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{PgPool, SqlitePool};

/// A pool of either database. Cloning it shares the pool.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file.
    Sqlite(SqlitePool),
    /// A server.
    Postgres(PgPool),
}

/// Runs the same code on the pool of either database. Both support `$1` parameters and `RETURNING`, so that statements are
/// written once.
macro_rules! on_pool {
    ($database:expr, $pool:ident => $body:expr) => {
        match $database {
            $crate::database::Database::Sqlite($pool) => $body,
            $crate::database::Database::Postgres($pool) => $body,
        }
    };
}

/// Runs the same code in a transaction of either database, and commits. An error that leaves the body by `?` drops the
/// transaction, which rolls it back.
macro_rules! in_transaction {
    ($database:expr, $tx:ident => $body:expr) => {
        match $database {
            $crate::database::Database::Sqlite(pool) => {
                // A SQLite transaction that will write says so at once. One that begins as a reader may find, when it
                // first writes, that somebody else wrote meanwhile, and then has to be repeated from the start.
                let mut $tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                let value = $body;
                $tx.commit().await?;
                value
            }
            $crate::database::Database::Postgres(pool) => {
                let mut $tx = pool.begin().await?;
                let value = $body;
                $tx.commit().await?;
                value
            }
        }
    };
}

pub(crate) use {in_transaction, on_pool};

impl Database {
    /// Connects to `sqlite:…` (a file, created if missing) or `postgres://…`, and sets the tables up.
    ///
    /// # Errors
    ///
    /// If the URL is invalid, or the database fails.
    pub async fn connect(url: &str) -> Result<Self, sqlx::Error> {
        let database = if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::Postgres(PgPool::connect(url).await?)
        } else if !url.starts_with("sqlite:") {
            // sqlx would take anything else for the path of a new SQLite file, a misspelt `postgres` too.
            let reason = "the database URL begins with neither `sqlite:` nor `postgres://`";
            return Err(sqlx::Error::Configuration(reason.into()));
        } else {
            // The pod puts the file into WAL mode, and waits for its turn to do so: SQLite refuses at once, whatever the
            // timeout, where two services that start together both ask for it.
            let options = SqliteConnectOptions::from_str(url)?
                .create_if_missing(true)
                .busy_timeout(Duration::from_secs(15));
            // SQLite has one writer at a time, whatever the number of connections: more of them would only wait.
            Self::Sqlite(SqlitePoolOptions::new().max_connections(4).connect_with(options).await?)
        };
        database.set_up().await?;
        Ok(database)
    }

    /// Returns a builder for a pod whose calls are stored in this database, next to the application's tables, so that a
    /// sign-up and its mails can be one transaction.
    pub(crate) fn pod(&self) -> PodBuilder {
        on_pool!(self, pool => Pod::builder().pool(pool))
    }

    async fn set_up(&self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(pool) => {
                let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                sqlx::raw_sql(SQLITE_TABLES).execute(&mut *tx).await?;
                tx.commit().await
            }
            Self::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                // `IF NOT EXISTS` does not keep two services that start at once from both creating the table.
                sqlx::raw_sql("SELECT pg_advisory_xact_lock(7203648)").execute(&mut *tx).await?;
                sqlx::raw_sql(POSTGRES_TABLES).execute(&mut *tx).await?;
                tx.commit().await
            }
        }
    }
}

// Times are microseconds since 1970 in both databases, as inside futurecall.
const SQLITE_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS account (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        email TEXT NOT NULL,
        signed_up INTEGER NOT NULL,
        unsubscribed INTEGER
    ) STRICT;
    CREATE TABLE IF NOT EXISTS mail_log (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        call_id TEXT NOT NULL,
        account_id INTEGER,
        mail TEXT NOT NULL,
        due INTEGER NOT NULL,
        started INTEGER NOT NULL,
        written INTEGER
    ) STRICT;";

const POSTGRES_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS account (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name TEXT NOT NULL,
        email TEXT NOT NULL,
        signed_up BIGINT NOT NULL,
        unsubscribed BIGINT
    );
    CREATE TABLE IF NOT EXISTS mail_log (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        call_id TEXT NOT NULL,
        account_id BIGINT,
        mail TEXT NOT NULL,
        due BIGINT NOT NULL,
        started BIGINT NOT NULL,
        written BIGINT
    );";
