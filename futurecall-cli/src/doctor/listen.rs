//! Whether PostgreSQL's notifications arrive: pods that are not told of new calls start them at their next poll.

use std::time::Duration;

use futurecall_runtime::StoreError;
use futurecall_runtime::inspect::{Finding, Severity};
use futurecall_runtime::store::{PostgresStore, Store as _};

use crate::sanitize::scrub;

const CODE: &str = "listen";
const PATIENCE: Duration = Duration::from_secs(5);
const MEANS: &str =
    "Pods are not told when others schedule: calls that are due soon start up to a scan interval late.";

/// Sends itself a notification over a second connection, on a channel that nobody else hears.
pub(super) async fn examine(url: &str) -> Finding {
    match tokio::time::timeout(PATIENCE, heard(url)).await {
        Ok(Ok(())) => Finding::ok(CODE, "notifications arrive"),
        Ok(Err(error)) => Finding::new(
            Severity::Warning,
            CODE,
            scrub(&format!("failed: {error}")),
            MEANS,
            "See what the database says; a connection pooler in between must keep sessions.",
        ),
        Err(_) => Finding::new(
            Severity::Warning,
            CODE,
            "notifications do not arrive",
            MEANS,
            "Is there a connection pooler in transaction mode (PgBouncer, a cloud's proxy)? Give pods a direct \
             connection, or the pooler's session mode.",
        ),
    }
}

/// Listens as a pod does, which makes sure before that nobody else is given its session.
async fn heard(url: &str) -> Result<(), StoreError> {
    let channel = format!("doctor_{}", uuid::Uuid::new_v4().simple());
    let store = PostgresStore::open_with(url, &channel, 1).await?;
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    while !store.hears() {
        tokio::select! {
            () = store.changed() => {}
            _ = looks.tick() => {}
        }
    }
    Ok(())
}
