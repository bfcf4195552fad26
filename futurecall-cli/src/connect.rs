//! Reaching the database, without changing it.

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

/// How long the database may take to answer at first.
const PATIENCE: Duration = Duration::from_secs(15);
/// One to look, and one to act.
const CONNECTIONS: u32 = 2;

/// The URL that was given, in one of three ways.
pub(crate) fn url(globals: &Globals) -> Result<String, Failure> {
    let fallback = || std::env::var("DATABASE_URL").ok();
    globals.database_url.clone().or_else(fallback).filter(|url| !url.is_empty()).ok_or_else(|| {
        Failure::usage(
            "no database: set DATABASE_URL, or give --database-url postgres://user@host/database or \
             --database-url sqlite:calls.db",
        )
    })
}

/// The file of a SQLite URL; `None`: it is another database, or one in memory.
pub(crate) fn file(url: &str) -> Option<PathBuf> {
    if !url.starts_with("sqlite:") || url.contains(":memory:") {
        return None;
    }
    let options = SqliteConnectOptions::from_str(url).ok()?;
    // Without a file in it, opening says what to write.
    Some(options.get_filename().to_owned()).filter(|file| !file.as_os_str().is_empty())
}

/// The store itself, migrated or not. `create`: a SQLite file that is missing may be made.
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

/// A pod that looks and acts, runs nothing, and leaves the schema as it is.
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

/// How long the history is kept is the pods' setting; where it stands in the environment, it holds here as well.
fn config() -> Result<Config, Failure> {
    let retention = std::env::vars_os().filter(|(_, value)| !value.is_empty()).filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("FUTURECALL_RETENTION_"))?;
        Some((name, value.to_string_lossy().into_owned()))
    });
    Ok(Config::from_vars(retention)?)
}

const UNKNOWN_SCHEME: &str =
    "the database URL begins with none of `sqlite:`, `postgres://`, `postgresql://` and `memory:`";

/// Opening would make the file, and a typing error would look like a database without calls.
fn must_exist(url: &str) -> Result<(), Failure> {
    match file(url) {
        Some(file) if !file.exists() => Err(Failure::failed(format!(
            "there is no file {}: name the one that the service uses, or make it with `futurecall migrate up`. If it was \
             deleted or moved away under a running service, put it back or restart the service: until then its pods \
             take no more calls",
            file.display()
        ))),
        _ => Ok(()),
    }
}

/// Connects once by itself: a pool tries again and again, and says in the end only that it took too long.
async fn reach(url: &str) -> Result<(), Failure> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let failed = |error| Failure::failed(format!("could not connect to the database: {error}"));
        // As a pod connects: PgBouncer refuses the parameter.
        let options = PgConnectOptions::from_str(url).map_err(failed)?.extra_float_digits(None);
        let connection = PgConnection::connect_with(&options).await.map_err(failed)?;
        // What comes of saying goodbye is of no interest.
        let _ = connection.close().await;
    }
    Ok(())
}

async fn in_time<T>(opening: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, Box::pin(opening)).await.unwrap_or_else(|_| {
        Err(Failure::failed(format!("the database did not answer within {} s", PATIENCE.as_secs())))
    })
}
