//! The conformance suite on the SQLite store.

use std::sync::Arc;

use async_trait::async_trait;
use futurecall_runtime::store::SqliteStore;
use futurecall_tests::{Database, Fixture, Harness, Transaction};
use sqlx::{AssertSqlSafe, SqlitePool};
use tempfile::TempDir;

use crate::transactions::{self, SqliteTransaction};

pub(crate) struct Sqlite;

#[async_trait]
impl Harness for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    /// A file of its own; the two handles have nothing in common but the file, as two processes.
    async fn fresh(&self) -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("calls.db").display());
        let store = SqliteStore::open(&url, "futurecall_").await.expect("a store");
        let other = SqliteStore::open(&url, "futurecall_").await.expect("a second store");
        Fixture { store: Arc::new(store), other: Arc::new(other), database: Box::new(File { url, folder }) }
    }
}

struct File {
    url: String,
    folder: TempDir,
}

#[async_trait]
impl Database for File {
    async fn begin(&self) -> Option<Box<dyn Transaction>> {
        let pool = SqlitePool::connect(&self.url).await.expect("the file");
        Some(Box::new(SqliteTransaction(pool.begin_with("BEGIN IMMEDIATE").await.expect("a transaction"))))
    }

    async fn begin_foreign(&self) -> Option<Box<dyn Transaction>> {
        let foreign = transactions::postgres().await;
        if foreign.is_none() {
            eprintln!("without DATABASE_URL no PostgreSQL transaction is offered to the SQLite store");
        }
        foreign
    }

    async fn write(&self, sql: &str) -> bool {
        let pool = SqlitePool::connect(&self.url).await.expect("the file");
        let sql = sql.replace("{}", "futurecall_");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.expect("it is written");
        pool.close().await;
        true
    }

    async fn remove(&self) {
        // The folder goes with this value. Nothing may be left beside the file but SQLite's own.
        let names =
            std::fs::read_dir(self.folder.path()).expect("the folder").map(|entry| entry.expect("an entry"));
        for name in names.map(|entry| entry.file_name()) {
            assert!(name.to_string_lossy().starts_with("calls.db"), "{}", name.display());
        }
    }
}

futurecall_tests::conformance!(Sqlite);
