//! The conformance suite on the memory store.

use std::sync::Arc;

use async_trait::async_trait;
use futurecall_runtime::store::MemoryStore;
use futurecall_tests::{Database, Fixture, Harness, Transaction};

use crate::transactions;

pub(crate) struct Memory;

#[async_trait]
impl Harness for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn fresh(&self) -> Fixture {
        let store = MemoryStore::new();
        let other = Arc::new(store.clone());
        Fixture { store: Arc::new(store), other, database: Box::new(NoDatabase) }
    }
}

/// There is no application's database beside this store.
struct NoDatabase;

#[async_trait]
impl Database for NoDatabase {
    async fn begin(&self) -> Option<Box<dyn Transaction>> {
        None
    }

    async fn begin_foreign(&self) -> Option<Box<dyn Transaction>> {
        Some(transactions::sqlite_in_memory().await)
    }

    async fn write(&self, _sql: &str) -> bool {
        false
    }

    async fn remove(&self) {}
}

futurecall_tests::conformance!(Memory);
