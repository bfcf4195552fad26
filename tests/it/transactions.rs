//! The application's transactions, in the form that the suite uses.

use async_trait::async_trait;
use futurecall_runtime::InTransaction;
use futurecall_tests::Transaction;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Postgres, Sqlite};

/// A transaction of the application on a SQLite file.
pub(crate) struct SqliteTransaction(pub(crate) sqlx::Transaction<'static, Sqlite>);

#[async_trait]
impl Transaction for SqliteTransaction {
    fn lend(&mut self) -> &mut dyn InTransaction {
        &mut self.0
    }

    async fn commit(self: Box<Self>) {
        self.0.commit().await.expect("a commit");
    }

    async fn rollback(self: Box<Self>) {
        self.0.rollback().await.expect("a rollback");
    }
}

/// A transaction of some SQLite database that has nothing to do with the store.
pub(crate) async fn sqlite_in_memory() -> Box<dyn Transaction> {
    let pool =
        SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.expect("a database");
    Box::new(SqliteTransaction(pool.begin().await.expect("a transaction")))
}

/// A transaction of the application on PostgreSQL.
pub(crate) struct PostgresTransaction(sqlx::Transaction<'static, Postgres>);

#[async_trait]
impl Transaction for PostgresTransaction {
    fn lend(&mut self) -> &mut dyn InTransaction {
        &mut self.0
    }

    async fn commit(self: Box<Self>) {
        self.0.commit().await.expect("a commit");
    }

    async fn rollback(self: Box<Self>) {
        self.0.rollback().await.expect("a rollback");
    }
}

/// A transaction in the database of `DATABASE_URL`; none where that is not set.
pub(crate) async fn postgres() -> Option<Box<dyn Transaction>> {
    let url = std::env::var("DATABASE_URL").ok()?;
    Some(postgres_at(&url).await)
}

/// A transaction in the PostgreSQL database of that URL.
pub(crate) async fn postgres_at(url: &str) -> Box<dyn Transaction> {
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await.expect("the server of the URL");
    Box::new(PostgresTransaction(pool.begin().await.expect("a transaction")))
}
