//! Random operations on SQLite and PostgreSQL, each compared with the memory store: equal results, equal rows.
//!
//! Few walks here; `FUTURECALL_TEST_WALKS=1000` makes it the long test.

use futurecall_tests::walks::walks;

use crate::postgres::Postgres;
use crate::sqlite::Sqlite;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    assert!(walks(&Sqlite).await > 0, "no walk was gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    assert!(walks(&Postgres).await > 0, "no walk was gone");
}
