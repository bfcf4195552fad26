//! Several clients on one store at once: each call's events must have a valid order.

use futurecall_tests::Harness;
use futurecall_tests::histories::histories;

use crate::memory::Memory;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;

/// Histories without these would show nothing.
const KINDS: [&str; 6] =
    ["claimed", "outcome accepted", "outcome refused", "cancelled", "told to stop", "rescued"];

async fn are_possible(harness: &dyn Harness) {
    let seen = histories(harness).await;
    assert!(KINDS.iter().all(|kind| seen.contains(kind)), "only {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    are_possible(&Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    are_possible(&Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    are_possible(&Postgres).await;
}
