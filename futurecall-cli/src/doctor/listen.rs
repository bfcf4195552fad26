//! Checks that PostgreSQL's notifications arrive. Without them, pods find new calls only by polling.

use std::time::Duration;

use futurecall_runtime::StoreError;
use futurecall_runtime::inspect::{Finding, Severity};
use futurecall_runtime::store::{PostgresStore, Store as _};

use crate::sanitize::scrub;

const CODE: &str = "listen";
const TIMEOUT: Duration = Duration::from_secs(5);
const MEANS: &str =
    "Pods are not notified of new calls: calls that are due soon start up to a scan interval late.";

/// Sends a notification to itself over a second connection, on a channel of its own.
pub(super) async fn examine(url: &str) -> Finding {
    match tokio::time::timeout(TIMEOUT, receives(url)).await {
        Ok(Ok(())) => Finding::ok(CODE, "notifications arrive"),
        Ok(Err(error)) => Finding::new(
            Severity::Warning,
            CODE,
            scrub(&format!("failed: {error}")),
            MEANS,
            "Check the database's error; a connection pooler must be in session mode.",
        ),
        Err(_) => Finding::new(
            Severity::Warning,
            CODE,
            "notifications do not arrive",
            MEANS,
            "If there is a connection pooler in transaction mode (PgBouncer, a cloud proxy), use a direct connection or \
             session mode.",
        ),
    }
}

/// Waits until the store has verified its `LISTEN` session, as a pod does.
async fn receives(url: &str) -> Result<(), StoreError> {
    let channel = format!("doctor_{}", uuid::Uuid::new_v4().simple());
    let store = PostgresStore::open_with(url, &channel, 1).await?;
    let mut polls = tokio::time::interval(Duration::from_millis(10));
    while !store.hears() {
        tokio::select! {
            () = store.changed() => {}
            _ = polls.tick() => {}
        }
    }
    Ok(())
}
