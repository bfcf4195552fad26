//! The rows of pods: heartbeats, and what pods know.
//!
//! A heartbeat names a pod's shapes by their hash. The shapes are sent only if the database does not have that hash, and
//! are kept for as long as a pod's row refers to it.

use std::time::Duration;

use async_trait::async_trait;

use super::SqliteStore;
use super::tx::{batch, before, no_nul, run};
use crate::error::StoreError;
use crate::id::PodId;
use crate::shape::hash_of_all;
use crate::store::columns::Columns as _;
use crate::store::{Now, PodBeat, PodRecord, PodStore, Result, codec, records};

const DAY: Duration = Duration::from_hours(24);

/// ?1 since when, ?2 since when a heartbeat is recent.
const PODS: &str = "
SELECT p.id, p.label, p.role, p.version, p.names, p.redacted, p.slots, p.running, p.started_at AS started,
    p.beat_at AS beat, p.beat_at >= ?2 AS live, h.shapes
FROM futurecall_pod p LEFT JOIN futurecall_shapes h ON h.hash = p.shapes
WHERE p.beat_at >= ?1 ORDER BY p.beat_at DESC, p.id";

const BEAT: &str = "write the pod's heartbeat";

/// ?1 the pod, ?2 to ?9 what it says of itself, ?10 now, ?11 the hash of its shapes.
const SAY: &str = "
INSERT INTO futurecall_pod (id, label, role, version, names, schedules, redacted, slots, running, started_at, beat_at,
    shapes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11)
ON CONFLICT (id) DO UPDATE SET label = ?2, role = ?3, version = ?4, names = ?5, schedules = ?6, redacted = ?7,
    slots = ?8, running = ?9, beat_at = ?10, shapes = ?11";

/// ?1 since when.
const FORGET: &str = "DELETE FROM futurecall_pod WHERE beat_at < ?1";

/// What pods knew that are about to be forgotten is remembered with the schedules. Which: by ?1.
macro_rules! remember {
    ($gone:literal) => {
        concat!(
            "
UPDATE futurecall_schedule SET known_at = max(known_at, gone.beat_at)
FROM (SELECT j.value AS name, max(p.beat_at) AS beat_at FROM futurecall_pod p, json_each(p.names) j
    WHERE ",
            $gone,
            " GROUP BY j.value) AS gone
WHERE futurecall_schedule.origin = 1 AND futurecall_schedule.name = gone.name"
        )
    };
}

const REMEMBER_FORGOTTEN: &str = remember!("p.beat_at < ?1");

const REMEMBER_LEAVING: &str = remember!("p.id = ?1");

/// ?1 their hash, ?2 now.
const SEEN: &str = "UPDATE futurecall_shapes SET seen_at = max(seen_at, ?2) WHERE hash = ?1";

/// ?1 their hash, ?2 the shapes, ?3 the hash of each, ?4 now.
const SAY_SHAPES: &str =
    "INSERT INTO futurecall_shapes (hash, shapes, hashes, seen_at) VALUES (?1, ?2, ?3, ?4)";

/// ?1 since when. Those stay to which a pod refers that is not forgotten.
const FORGET_SHAPES: &str = "DELETE FROM futurecall_shapes WHERE seen_at < ?1
    AND hash NOT IN (SELECT p.shapes FROM futurecall_pod p WHERE p.shapes IS NOT NULL)";

/// Whether calls wait that were declined.
pub(super) const HAS_DECLINED: &str = "
SELECT EXISTS (SELECT 1 FROM futurecall_call INDEXED BY futurecall_call_declined
    WHERE declined IS NOT NULL AND claimed_by IS NULL) AS has_declined";

/// ?1 since when a shape is live, ?2 how many calls at most.
pub(super) const REOPEN: &str = "
WITH live (name, shape) AS MATERIALIZED (
    SELECT DISTINCT one.key, ',' || one.value || ',' FROM futurecall_shapes h, json_each(h.hashes) AS one
    WHERE h.seen_at >= ?1
)
UPDATE futurecall_call SET declined = NULL WHERE rowid IN (
    SELECT c.rowid FROM futurecall_call c INDEXED BY futurecall_call_declined
    WHERE c.declined IS NOT NULL AND c.claimed_by IS NULL
        AND NOT EXISTS (SELECT 1 FROM live WHERE live.name = c.name AND instr(c.declined, live.shape) = 0)
    ORDER BY c.id LIMIT ?2 + 0)";

/// ?1 the pod.
const LEAVE: &str = "DELETE FROM futurecall_pod WHERE id = ?1";

#[async_trait]
impl PodStore for SqliteStore {
    async fn beat(&self, now: Now, pod: &PodBeat) -> Result<bool> {
        for text in pod.texts() {
            no_nul(BEAT, "what the pod says of itself", text)?;
        }
        let (names, schedules) = (batch(BEAT, &pod.names)?, batch(BEAT, &pod.schedules)?);
        let redacted = batch(BEAT, &pod.redacted)?;
        let hash = hash_of_all(&pod.shapes);
        let pod = pod.clone();
        run!(self.write, BEAT, now, |tx| {
            let seen = tx.sql(SEEN).bind(hash).bind(tx.now.as_micros());
            if tx.run(seen).await? == 0 {
                let (shapes, hashes) =
                    codec::shapes_text(&pod.shapes).map_err(|error| StoreError::refused(BEAT, error))?;
                let say = tx.sql(SAY_SHAPES).bind(hash).bind(shapes).bind(hashes);
                tx.run(say.bind(tx.now.as_micros())).await?;
            }
            let say = tx
                .sql(SAY)
                .bind(pod.id.as_uuid())
                .bind(pod.label)
                .bind(pod.role)
                .bind(pod.version)
                .bind(names)
                .bind(schedules)
                .bind(redacted)
                .bind(pod.slots)
                .bind(pod.running)
                .bind(tx.now.as_micros())
                .bind(hash);
            tx.run(say).await?;
            tx.run(tx.sql(REMEMBER_FORGOTTEN).bind(before(tx.now, DAY))).await?;
            tx.run(tx.sql(FORGET).bind(before(tx.now, DAY))).await?;
            tx.run(tx.sql(FORGET_SHAPES).bind(before(tx.now, DAY))).await?;
            tx.one(tx.sql(HAS_DECLINED)).await?.get("has_declined")
        })
        .await
    }

    async fn reopen(&self, now: Now, live: Duration, limit: usize) -> Result<u64> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        run!(self.write, "offer declined calls again", now, |tx| tx
            .run(tx.sql(REOPEN).bind(before(tx.now, live)).bind(limit))
            .await)
        .await
    }

    async fn leave(&self, pod: PodId) -> Result<()> {
        run!(self.write, "remove the pod's row", Now::Database, |tx| {
            tx.run(tx.sql(REMEMBER_LEAVING).bind(pod.as_uuid())).await?;
            tx.run(tx.sql(LEAVE).bind(pod.as_uuid())).await.map(drop)
        })
        .await
    }

    async fn pods(&self, now: Now, within: Duration) -> Result<Vec<PodRecord>> {
        run!(self.read, "list pods", now, |tx| {
            let (since, live) = (before(tx.now, DAY), before(tx.now, within));
            let rows = tx.rows(tx.sql(PODS).bind(since).bind(live)).await?;
            rows.iter().map(records::pod).collect()
        })
        .await
    }
}
