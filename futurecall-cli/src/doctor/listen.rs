//! Whether PostgreSQL's notifications arrive: pods that are not told of new calls start them at their next poll.

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Connection, PgConnection};

use super::Finding;
use crate::output::scrub;

const CHECK: &str = "LISTEN";
const PATIENCE: Duration = Duration::from_secs(5);
const MEANS: &str =
    "Pods are not told when others schedule: calls that are due soon start up to a scan interval late.";

/// Sends itself a word over a second connection, on a channel that nobody else hears.
pub(super) async fn examine(url: &str) -> Finding {
    match tokio::time::timeout(PATIENCE, heard(url)).await {
        Ok(Ok(())) => Finding::fine(CHECK, "notifications arrive"),
        Ok(Err(error)) => Finding::warning(
            CHECK,
            scrub(&format!("failed: {error}")),
            MEANS,
            "See what the database says; a connection pooler in between must keep sessions.",
        ),
        Err(_) => Finding::warning(
            CHECK,
            "notifications do not arrive",
            MEANS,
            "Is there a connection pooler in transaction mode (PgBouncer, a cloud's proxy)? Give pods a direct \
             connection, or the pooler's session mode.",
        ),
    }
}

async fn heard(url: &str) -> sqlx::Result<()> {
    let channel = format!("futurecall_doctor_{}", uuid::Uuid::new_v4().simple());
    let mut listener = PgListener::connect(url).await?;
    listener.listen(&channel).await?;
    let mut sender = PgConnection::connect(url).await?;
    sqlx::query("SELECT pg_notify($1, '')").bind(&channel).execute(&mut sender).await?;
    listener.recv().await?;
    sender.close().await
}
