//! The store in a SQLite file: embedded, durable, shared by the processes of one machine.
//!
//! All writing goes through one connection on a thread of its own, whatever waits in one `BEGIN IMMEDIATE` transaction;
//! reading has connections of its own. Rows travel as one JSON array, in and out: through the driver a statement costs
//! some 10 microseconds and each row it answers with more than one, a row inside it almost nothing.

mod actions;
mod cancel;
mod change_signal;
mod chunks;
mod claim;
mod claim_rows;
mod claim_scheduled;
mod connect;
mod counting;
mod file_identity;
mod finish;
mod history;
mod history_gap;
mod insert;
mod inspect;
mod listing;
mod logs;
mod migrate;
mod operate;
mod pending;
mod pods;
mod release;
mod requeue;
mod reschedule;
mod schedule;
mod settings;
mod shared_file;
mod statistics;
#[cfg(test)]
mod tests;
mod timetable;
mod transaction;
mod tx;
mod unreadable;
mod wal_watch;
mod writer_handle;
mod writer_message;
mod writer_thread;

use async_trait::async_trait;
use futures_util::future::OptionFuture;
use sqlx::SqlitePool;

pub(crate) use self::connect::check_url;
use self::connect::{OPEN, Source, Tables};
use self::tx::moment;
use self::unreadable::UnreadableRuns;
use self::writer_handle::Writer;
use super::{DatabaseSetting, MigrationRecord, Now, Store, sealed};
use crate::error::StoreError;
use crate::store::Result;

use crate::moment::Moment;

/// Calls in a SQLite file.
///
/// The file is in WAL mode with `synchronous=FULL`: what is stored survives a power cut. Several processes on one
/// machine may share it (not over a network file system, where SQLite's locks cannot be trusted). The database's
/// clock is the wall clock of the machine, read for each transaction, so that all processes agree on it; where it is set,
/// leases and moments go by the new time.
#[derive(Debug)]
pub struct SqliteStore {
    source: Source,
    tables: Tables,
    writer: Writer,
    /// `None` in memory, where the writer's connection is the only one.
    readers: Option<SqlitePool>,
    /// For the transactions of handlers; `None` in memory.
    lending: Option<SqlitePool>,
    /// What its claims leave to a pod of a newer version.
    unreadable: UnreadableRuns,
    /// Whether the writer is another handle's, which closes it.
    shares_writer: bool,
}

/// How many connections a store opens unless told, the writer among them.
const CONNECTIONS: u32 = 4;

impl SqliteStore {
    /// Opens the database that `url` names (`sqlite:calls.db`, `sqlite::memory:`), creating the file if it is missing.
    ///
    /// `table_prefix` begins the names of all tables, so that several services can share a file: 1 to 48 lower-case
    /// letters, digits and underscores, no digit first. A database in memory has one connection, which
    /// [`separate`](Store::separate) shares, and is gone with the last handle.
    ///
    /// # Errors
    ///
    /// Permanent when the URL, the prefix or the file cannot be used; busy when the file stays locked for 5 seconds.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use futurecall_runtime::store::prelude::*;
    /// use futurecall_runtime::store::{Now, SqliteStore};
    /// let store = SqliteStore::open("sqlite::memory:", "futurecall_").await?;
    /// store.migrate().await?;
    /// assert_eq!(store.pending_names(Now::Database, 10).await?, []);
    /// assert!(SqliteStore::open("sqlite::memory:", "drop table").await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(url: &str, table_prefix: &str) -> Result<Self> {
        Self::open_with(url, table_prefix, CONNECTIONS).await
    }

    /// [`open`](Self::open) with at most `connections` connections, at least 2.
    pub async fn open_with(url: &str, table_prefix: &str, connections: u32) -> Result<Self> {
        let tables = Tables::new(table_prefix)?;
        Self::start(Source::from_url(url, connections)?, tables).await
    }

    /// Opens connections of our own (at most `connections`, at least 2) to the file that the application's pool uses.
    ///
    /// The pool lends nothing but its connect options. A pool whose database lives in memory is refused: nobody else
    /// can reach such a database. The file is put into WAL mode.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub async fn from_pool(pool: &SqlitePool, table_prefix: &str, connections: u32) -> Result<Self> {
        let tables = Tables::new(table_prefix)?;
        let store = Self::start(Source::from_pool(pool, connections), tables).await?;
        if store.writer.in_memory {
            return Err(StoreError::permanent(
                OPEN,
                "the pool's database lives in memory, where a connection of our own would open another, empty one: \
                 give the pod a file, or `database_url(\"sqlite::memory:\")` for a database of its own",
            ));
        }
        Ok(store)
    }

    async fn start(source: Source, tables: Tables) -> Result<Self> {
        let writer = Writer::start(source.clone()).await?;
        Ok(Self::with(source.opened(writer.original.clone()), tables, writer))
    }

    fn with(source: Source, tables: Tables, writer: Writer) -> Self {
        let readers = (!writer.in_memory).then(|| source.reading());
        let lending = (!writer.in_memory).then(|| transaction::pool(&source));
        let unreadable = UnreadableRuns::default();
        Self { source, tables, writer, readers, lending, unreadable, shares_writer: false }
    }
}

impl sealed::Sealed for SqliteStore {}

#[async_trait]
impl Store for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    async fn migrate(&self) -> Result<()> {
        migrate::migrate(self).await
    }

    async fn separate(&self) -> Result<Box<dyn Store>> {
        let (source, tables) = (self.source.clone(), self.tables.clone());
        if self.writer.in_memory {
            let store = Self::with(source, tables, self.writer.clone());
            return Ok(Box::new(Self { shares_writer: true, ..store }));
        }
        Ok(Box::new(Self::start(source, tables).await?))
    }

    async fn close(&self) {
        if self.shares_writer {
            return;
        }
        // From here on no handler gets a transaction; one that is open keeps its connection until its end.
        let lending = OptionFuture::from(self.lending.as_ref().map(SqlitePool::close));
        OptionFuture::from(self.readers.as_ref().map(SqlitePool::close)).await;
        // Last, because it writes the log back into the file.
        tokio::join!(lending, self.writer.close());
    }

    async fn now(&self) -> Result<Moment> {
        Ok(moment(Now::Database))
    }

    async fn changed(&self) {
        self.writer.others_wrote().await;
    }

    async fn settings(&self) -> Result<Vec<DatabaseSetting>> {
        settings::settings(self).await
    }

    async fn migrations(&self) -> Result<Vec<MigrationRecord>> {
        migrate::migrations(self).await
    }
}
