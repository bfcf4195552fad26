//! One test, every store: what a test of pods needs to run on memory, SQLite and PostgreSQL.

use std::time::Duration;

use futurecall_runtime::store::{MemoryStore, PostgresStore, SqliteStore, Store};
use futurecall_runtime::{Config, Pod, PodBuilder};

use crate::database::{self, TestDatabase, TestFile};

/// A fresh database of one kind.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a test has one")]
pub enum Backend {
    /// Nothing outlives the process; pods share it by cloning the handle.
    Memory(MemoryStore),
    /// A file in a temporary folder.
    Sqlite(TestFile),
    /// A database, or a schema, of the test server.
    Postgres(TestDatabase),
}

impl Backend {
    /// Creates a memory store.
    pub fn memory() -> Self {
        Self::Memory(MemoryStore::new())
    }

    /// Creates a SQLite file.
    pub fn sqlite() -> Self {
        Self::Sqlite(database::sqlite())
    }

    /// Creates a PostgreSQL database.
    pub async fn postgres() -> Self {
        Self::Postgres(database::postgres().await)
    }

    /// Returns a builder of a pod on it: without discovery, since all types of the test binary would be found, and with
    /// a lease short enough for tests that wait for one to end.
    pub fn builder(&self) -> PodBuilder {
        let builder = Pod::builder().without_discovery().config(Self::config());
        match self {
            Self::Memory(store) => builder.store(store.clone()),
            Self::Sqlite(file) => builder.database_url(&file.url),
            Self::Postgres(database) => builder.database_url(&database.url).schema(&database.schema),
        }
    }

    /// Returns the settings of [`builder`](Self::builder): the defaults, except for the lease.
    pub fn config() -> Config {
        Config::new().lease(Duration::from_secs(3))
    }

    /// Opens the store itself, like another pod, with its tables up to date.
    ///
    /// # Panics
    ///
    /// If it cannot be opened.
    pub async fn store(&self) -> Box<dyn Store> {
        let store: Box<dyn Store> = match self {
            Self::Memory(store) => Box::new(store.clone()),
            Self::Sqlite(file) => {
                Box::new(SqliteStore::open(&file.url, "futurecall_").await.expect("the file can be opened"))
            }
            Self::Postgres(database) => Box::new(
                PostgresStore::open(&database.url, &database.schema)
                    .await
                    .expect("the database can be opened"),
            ),
        };
        store.migrate().await.expect("the tables can be made");
        store
    }

    /// Removes it. (A test that fails leaves it for inspection.)
    pub async fn drop(self) {
        if let Self::Postgres(database) = self {
            database.drop().await;
        }
    }
}

/// Defines each test three times, once for every kind of database: `name::on_memory`, `name::on_sqlite` and
/// `name::on_postgres`.
#[macro_export]
macro_rules! on_all_stores {
    ($($(#[$meta:meta])* async fn $name:ident($backend:ident: &Backend) $body:block)*) => {
        $(
            $(#[$meta])*
            mod $name {
                use super::*;

                async fn check($backend: &Backend) $body

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_memory() {
                    let backend = Backend::memory();
                    check(&backend).await;
                    backend.drop().await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_sqlite() {
                    let backend = Backend::sqlite();
                    check(&backend).await;
                    backend.drop().await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_postgres() {
                    let backend = Backend::postgres().await;
                    check(&backend).await;
                    backend.drop().await;
                }
            }
        )*
    };
}
