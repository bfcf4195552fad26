//! Opens the database without changing it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use futurecall_runtime::store::{MemoryStore, PostgresStore, SqliteStore, Store};
use futurecall_runtime::{Config, Pod, Role};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnectOptions;

use crate::exit::Failure;
use crate::globals::Globals;

/// Time limit for opening the database.
const TIMEOUT: Duration = Duration::from_secs(15);
/// One for queries and one for actions.
const CONNECTIONS: u32 = 2;

/// Returns the database URL: the option, its variable, or `DATABASE_URL`.
pub(crate) fn url(globals: &Globals) -> Result<String, Failure> {
    let fallback = || std::env::var("DATABASE_URL").ok();
    globals.database_url.clone().or_else(fallback).filter(|url| !url.is_empty()).ok_or_else(|| {
        Failure::usage(
            "no database given: set DATABASE_URL, or use --database-url postgres://user@host/database or \
             --database-url sqlite:calls.db",
        )
    })
}

/// Returns the file of a SQLite URL; `None` for other databases and for one in memory.
pub(crate) fn file(url: &str) -> Option<PathBuf> {
    if !url.starts_with("sqlite:") || url.contains(":memory:") {
        return None;
    }
    let options = SqliteConnectOptions::from_str(url).ok()?;
    // For a URL without a file, opening it returns the error.
    Some(options.get_filename().to_owned()).filter(|file| !file.as_os_str().is_empty())
}

/// Opens the store, migrated or not. With `create`, a missing SQLite file is created.
pub(crate) async fn store(globals: &Globals, create: bool) -> Result<Box<dyn Store>, Failure> {
    let url = url(globals)?;
    if !create {
        must_exist(&url)?;
    }
    let opening = async {
        reach(&url).await?;
        let store: Box<dyn Store> = match url.split(':').next().unwrap_or_default() {
            "sqlite" => Box::new(SqliteStore::open_with(&url, &globals.table_prefix, CONNECTIONS).await?),
            "postgres" | "postgresql" => {
                Box::new(PostgresStore::open_with(&url, &globals.schema, CONNECTIONS).await?)
            }
            "memory" => Box::new(MemoryStore::new()),
            _ => return Err(Failure::usage(UNKNOWN_SCHEME)),
        };
        Ok(store)
    };
    in_time(opening).await
}

/// Opens a pod that runs no calls and does not migrate the schema.
pub(crate) async fn pod(globals: &Globals) -> Result<Pod, Failure> {
    let url = url(globals)?;
    must_exist(&url)?;
    let opening = Pod::builder()
        .database_url(&url)
        .schema(&globals.schema)
        .table_prefix(&globals.table_prefix)
        .connections(CONNECTIONS)
        .role(Role::Serverless)
        .config(config()?)
        .without_discovery()
        .without_migration()
        .start();
    in_time(async {
        reach(&url).await?;
        Ok(Box::pin(opening).await?)
    })
    .await
}

/// Returns the configuration: the retention of the environment, as for pods.
fn config() -> Result<Config, Failure> {
    let retention = std::env::vars_os().filter(|(_, value)| !value.is_empty()).filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("FUTURECALL_RETENTION_"))?;
        Some((name, value.to_string_lossy().into_owned()))
    });
    Ok(Config::from_vars(retention)?)
}

const UNKNOWN_SCHEME: &str =
    "the database URL must begin with `sqlite:`, `postgres://`, `postgresql://` or `memory:`";

/// Checks that a SQLite file exists: opening would create it, and a mistyped path would look like an empty database.
fn must_exist(url: &str) -> Result<(), Failure> {
    match file(url) {
        Some(file) if !file.exists() => Err(Failure::failed(format!(
            "there is no file {}: give the path that the service uses, or create it with `futurecall migrate up`. If it was \
             deleted or moved while the service was running, restore it or restart the service: until then its pods \
             run no calls",
            file.display()
        ))),
        _ => Ok(()),
    }
}

/// Connects once without a pool, which would retry and report only a timeout.
async fn reach(url: &str) -> Result<(), Failure> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let failed = |error| Failure::failed(format!("could not connect to the database: {error}"));
        // As pods do: PgBouncer refuses this parameter.
        let options = PgConnectOptions::from_str(url).map_err(failed)?.extra_float_digits(None);
        let connection = PgConnection::connect_with(&options).await.map_err(failed)?;
        // The result of closing does not matter.
        let _ = connection.close().await;
    }
    Ok(())
}

async fn in_time<T>(opening: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(TIMEOUT, Box::pin(opening)).await.unwrap_or_else(|_| {
        Err(Failure::failed(format!("the database did not answer within {} s", TIMEOUT.as_secs())))
    })
}
