//! The database of a pod: a URL, the application's own pool, or a store.

use std::fmt;
use std::sync::Arc;

use crate::error::StartError;
use crate::store::table_names::{check_prefix, check_schema};
use crate::store::{MemoryStore, Store};

/// The application's own sqlx pool, of either database. Sealed.
///
/// The pod takes only the pool's connect options and opens a small pool of its own, so that neither can starve the
/// other of connections.
pub trait ApplicationPool: sealed::Sealed {
    #[doc(hidden)]
    fn __database(&self) -> Database;
}

mod sealed {
    pub trait Sealed {}
}

/// The database that a builder was given.
#[doc(hidden)]
#[derive(Clone)]
#[non_exhaustive]
pub enum Database {
    Url(String),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqlitePool),
    Store(Arc<dyn Store>),
}

#[cfg(feature = "postgres")]
impl sealed::Sealed for sqlx::PgPool {}
#[cfg(feature = "postgres")]
impl ApplicationPool for sqlx::PgPool {
    fn __database(&self) -> Database {
        Database::Postgres(self.clone())
    }
}

#[cfg(feature = "sqlite")]
impl sealed::Sealed for sqlx::SqlitePool {}
#[cfg(feature = "sqlite")]
impl ApplicationPool for sqlx::SqlitePool {
    fn __database(&self) -> Database {
        Database::Sqlite(self.clone())
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the URL or the pool's options: they may contain a password.
        f.write_str("Database")
    }
}

/// The schema or prefix of the tables, and the size of the pool.
#[derive(Clone, Debug)]
pub(super) struct Placement {
    pub(super) schema: String,
    pub(super) table_prefix: String,
    pub(super) connections: u32,
}

impl Default for Placement {
    fn default() -> Self {
        Self { schema: "futurecall".to_owned(), table_prefix: "futurecall_".to_owned(), connections: 4 }
    }
}

impl Placement {
    /// Refuses names that would need quoting, and invalid pool sizes.
    pub(super) fn validate(&self) -> Result<(), StartError> {
        setting("schema", &self.schema, check_schema(&self.schema))?;
        setting("table_prefix", &self.table_prefix, check_prefix(&self.table_prefix))?;
        if (1..=1_000).contains(&self.connections) {
            return Ok(());
        }
        Err(StartError::setting("connections", format!("{} is outside 1 to 1000", self.connections)))
    }
}

fn setting(name: &str, value: &str, check: Result<(), &str>) -> Result<(), StartError> {
    check.map_err(|fault| StartError::setting(name, format!("`{}` {fault}", value.escape_debug())))
}

/// Opens the store of a database.
pub(super) async fn open(database: Database, placement: &Placement) -> Result<Arc<dyn Store>, StartError> {
    match database {
        Database::Store(store) => Ok(store),
        Database::Url(url) => open_url(&url, placement).await,
        #[cfg(feature = "postgres")]
        Database::Postgres(pool) => Ok(Arc::new(
            crate::store::PostgresStore::from_pool(&pool, &placement.schema, placement.connections).await?,
        )),
        #[cfg(feature = "sqlite")]
        Database::Sqlite(pool) => Ok(Arc::new(
            crate::store::SqliteStore::from_pool(&pool, &placement.table_prefix, placement.connections)
                .await?,
        )),
    }
}

async fn open_url(url: &str, placement: &Placement) -> Result<Arc<dyn Store>, StartError> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "memory" => Ok(Arc::new(MemoryStore::new())),
        "sqlite" => open_sqlite(url, placement).await,
        "postgres" | "postgresql" => open_postgres(url, placement).await,
        _ => {
            let reason = "it begins with none of `sqlite:`, `postgres://`, `postgresql://` and `memory:`";
            Err(StartError::setting("database_url", reason))
        }
    }
}

#[cfg(feature = "sqlite")]
async fn open_sqlite(url: &str, placement: &Placement) -> Result<Arc<dyn Store>, StartError> {
    crate::store::sqlite::check_url(url).map_err(|fault| StartError::setting("database_url", fault))?;
    Ok(Arc::new(
        crate::store::SqliteStore::open_with(url, &placement.table_prefix, placement.connections).await?,
    ))
}

#[cfg(not(feature = "sqlite"))]
#[expect(clippy::unused_async, reason = "as the one with the store")]
async fn open_sqlite(_: &str, _: &Placement) -> Result<Arc<dyn Store>, StartError> {
    Err(StartError::FeatureOff { feature: "sqlite" })
}

#[cfg(feature = "postgres")]
async fn open_postgres(url: &str, placement: &Placement) -> Result<Arc<dyn Store>, StartError> {
    Ok(Arc::new(crate::store::PostgresStore::open_with(url, &placement.schema, placement.connections).await?))
}

#[cfg(not(feature = "postgres"))]
#[expect(clippy::unused_async, reason = "as the one with the store")]
async fn open_postgres(_: &str, _: &Placement) -> Result<Arc<dyn Store>, StartError> {
    Err(StartError::FeatureOff { feature: "postgres" })
}
