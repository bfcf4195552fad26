//! What waits, for gauges.

use std::time::Duration;

use super::SqliteStore;
use super::tx::{before, moment_in, small};
use crate::error::StoreError;
use crate::store::{Backlog, Now};

/// ?1 now, ?2 where counting a lane stops, ?3 since when a heartbeat is recent. One step down the due index for each lane.
const BACKLOG: &str = "
WITH RECURSIVE known (name) AS (
    SELECT (SELECT c.name FROM futurecall_call c WHERE c.claimed_by IS NULL ORDER BY c.name LIMIT 1)
    UNION ALL
    SELECT (SELECT c.name FROM futurecall_call c WHERE c.claimed_by IS NULL AND c.name > known.name
        ORDER BY c.name LIMIT 1)
    FROM known WHERE name IS NOT NULL
),
lane (name, priority) AS (
    SELECT name, (SELECT c.priority FROM futurecall_call c
        WHERE c.claimed_by IS NULL AND c.name = known.name ORDER BY c.priority LIMIT 1)
    FROM known WHERE name IS NOT NULL
    UNION ALL
    SELECT name, (SELECT c.priority FROM futurecall_call c
        WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority > lane.priority ORDER BY c.priority LIMIT 1)
    FROM lane WHERE priority IS NOT NULL
),
head (scheduled, due, first) AS (
    SELECT (SELECT count(*) FROM (SELECT 1 FROM futurecall_call c
            WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority = lane.priority LIMIT ?2 + 0)),
        (SELECT count(*) FROM (SELECT 1 FROM futurecall_call c
            WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority = lane.priority AND c.due_at <= ?1
            LIMIT ?2 + 0)),
        (SELECT c.due_at FROM futurecall_call c
            WHERE c.claimed_by IS NULL AND c.name = lane.name AND c.priority = lane.priority AND c.due_at <= ?1
            ORDER BY c.due_at LIMIT 1)
    FROM lane WHERE priority IS NOT NULL
)
SELECT coalesce(sum(scheduled), 0) AS scheduled, coalesce(sum(due), 0) AS due, min(first) AS first,
    (SELECT count(*) FROM futurecall_pod WHERE beat_at >= ?3) AS pods
FROM head";

pub(super) async fn backlog(
    store: &SqliteStore,
    now: Now,
    cap: u64,
    pod_live: Duration,
) -> Result<Backlog, StoreError> {
    let cap = i64::try_from(cap).unwrap_or(i64::MAX);
    store
        .read("see what waits", now, move |mut tx| {
            Box::pin(async move {
                let live = before(tx.now, pod_live);
                let look = tx.sql(BACKLOG).bind(tx.now.as_micros()).bind(cap).bind(live);
                let Some(row) = tx.row(look).await? else { return Ok(Backlog::default()) };
                let first = moment_in(&row, "first");
                Ok(Backlog {
                    scheduled: small(&row, "scheduled").unwrap_or_default(),
                    due: small(&row, "due").unwrap_or_default(),
                    oldest_due_age: first.map(|first| tx.now.saturating_since(first)),
                    pods: small(&row, "pods").unwrap_or_default(),
                })
            })
        })
        .await
}
