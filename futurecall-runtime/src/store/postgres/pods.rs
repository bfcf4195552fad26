//! The rows of pods: heartbeats, and what pods know.
//!
//! A heartbeat names a pod's shapes by their hash. The shapes are sent only if the database does not have that hash, and
//! are kept for as long as a pod's row refers to it.

use std::time::Duration;

use async_trait::async_trait;

use super::PostgresStore;
use super::encoding::{Spelled as _, is_refused};
use super::sql::{Query, at, micros};
use crate::error::StoreError;
use crate::id::PodId;
use crate::shape::hash_of_all;
use crate::store::codec::shapes_text;
use crate::store::columns::Columns as _;
use crate::store::{Now, PodBeat, PodRecord, PodStore, Result, records};

const BEATING: &str = "write the pod's heartbeat";

const REOPENING: &str = "offer declined calls again";

const LEAVING: &str = "remove the pod's row";

const POD_LISTING: &str = "list pods";

/// What pods knew that are `gone` is remembered with the schedules.
macro_rules! remembered {
    () => {
        ", known AS MATERIALIZED (
        SELECT s.id, (SELECT max(g.beat_at) FROM gone AS g WHERE s.name = ANY (g.names)) AS at
        FROM futurecall.schedule AS s
        WHERE s.origin = 1 AND EXISTS (SELECT FROM gone AS g WHERE s.name = ANY (g.names) AND g.beat_at > s.known_at)
        ORDER BY s.id FOR UPDATE OF s
    ), remembered AS (
        UPDATE futurecall.schedule AS s SET known_at = greatest(s.known_at, k.at) FROM known AS k WHERE s.id = k.id
    )"
    };
}

/// How long a pod that is not heard of any more is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);

const PODS: &str = "
    SELECT p.id, p.label, p.role, p.version, array_to_json(p.names)::text AS names, p.redacted::text AS redacted, p.slots, p.running, {us p.started_at} AS started,
        {us p.beat_at} AS beat, p.beat_at >= {ago $2::bigint} AS live, h.shapes::text AS shapes
    FROM futurecall.pod AS p LEFT JOIN futurecall.shapes AS h ON h.hash = p.shapes WHERE p.beat_at >= {ago $3::bigint}
    ORDER BY p.beat_at DESC, p.id";

/// The pod's row, where `$seen` gives the hash of its shapes. $2 the pod, $3 to $10 what it says of itself, $11 how long what
/// is not heard of is remembered, $12 the hash of its shapes.
macro_rules! beat {
    ($seen:literal) => {
        concat!(
            "
    WITH gone AS (
        DELETE FROM futurecall.pod AS p WHERE p.beat_at < {ago $11::bigint} AND p.id <> $2::uuid
        RETURNING p.names, p.beat_at
    )",
            remembered!(),
            ", seen AS (",
            $seen,
            "
        RETURNING h.hash
    ), unseen AS (
        DELETE FROM futurecall.shapes AS h WHERE h.seen_at < {ago $11::bigint} AND h.hash <> $12::bigint
            AND NOT EXISTS (SELECT FROM futurecall.pod AS p WHERE p.shapes = h.hash AND p.beat_at >= {ago $11::bigint})
    )
    INSERT INTO futurecall.pod
        (id, label, role, version, names, schedules, redacted, slots, running, started_at, beat_at, shapes)
    SELECT $2::uuid, $3::text, $4::text, $5::text, $6::text[], $7::text[], $8::jsonb, $9::integer, $10::integer,
        {now}, {now}, s.hash FROM seen AS s
    ON CONFLICT (id) DO UPDATE SET label = excluded.label, role = excluded.role, version = excluded.version,
        names = excluded.names, schedules = excluded.schedules, redacted = excluded.redacted,
        slots = excluded.slots, running = excluded.running, beat_at = excluded.beat_at,
        shapes = excluded.shapes
    RETURNING (SELECT c.id FROM futurecall.call AS c WHERE c.declined IS NOT NULL AND c.claimed_by IS NULL
        ORDER BY c.id LIMIT 1) IS NOT NULL AS has_declined"
        )
    };
}

/// Writes nothing of the pod, and gives no row, where the shapes are not known.
const BEAT: &str = beat!(
    "
        UPDATE futurecall.shapes AS h SET seen_at = greatest(h.seen_at, {now}) WHERE h.hash = $12::bigint"
);

/// The same, and stores the shapes: $13 they themselves, $14 the hash of each.
const BEAT_WITH_SHAPES: &str = beat!(
    "
        INSERT INTO futurecall.shapes AS h (hash, shapes, hashes, seen_at)
        VALUES ($12::bigint, $13::jsonb, $14::jsonb, {now})
        ON CONFLICT (hash) DO UPDATE SET seen_at = greatest(h.seen_at, excluded.seen_at)"
);

/// $2 how recently a live shape was heard of, $3 how many calls at most.
const REOPEN: &str = "
    WITH live AS MATERIALIZED (
        SELECT DISTINCT one.key AS name, one.value::bigint AS shape
        FROM futurecall.shapes AS h CROSS JOIN jsonb_each_text(h.hashes) AS one WHERE h.seen_at >= {ago $2::bigint}
    ), reopened AS (
        UPDATE futurecall.call AS c SET declined = NULL WHERE c.id IN (
            SELECT c.id FROM futurecall.call AS c
            WHERE c.declined IS NOT NULL AND c.claimed_by IS NULL
                AND NOT EXISTS (SELECT FROM live AS l WHERE l.name = c.name AND l.shape <> ALL (c.declined))
            ORDER BY c.id LIMIT (SELECT $3::bigint) FOR UPDATE OF c SKIP LOCKED)
        RETURNING c.id
    )
    SELECT count(*) AS calls FROM reopened";

/// $1 the pod.
const LEAVE: &str = concat!(
    "
    WITH gone AS (DELETE FROM futurecall.pod AS p WHERE p.id = $1::uuid RETURNING p.names, p.beat_at)",
    remembered!(),
    "
    SELECT count(*) AS gone FROM gone"
);

#[async_trait]
impl PodStore for PostgresStore {
    async fn beat(&self, now: Now, pod: &PodBeat) -> Result<bool> {
        let done = self.write_beat(now, pod).await;
        if is_refused(&done) { self.write_beat(now, &pod.in_ascii()).await } else { done }
    }

    async fn reopen(&self, now: Now, live: Duration, limit: usize) -> Result<u64> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = self.query(REOPEN).persistent(false).bind(at(now)).bind(micros(live)).bind(limit);
        self.write_one(REOPENING, query).await?.get("calls")
    }

    async fn leave(&self, pod: PodId) -> Result<()> {
        self.wake.said().await;
        let query = self.query(LEAVE).bind(pod.as_uuid());
        self.write(LEAVING, query).await.map(drop)
    }

    async fn pods(&self, now: Now, within: Duration) -> Result<Vec<PodRecord>> {
        let query = self.query(PODS).bind(at(now)).bind(micros(within)).bind(micros(REMEMBERED));
        self.read(POD_LISTING, query).await?.iter().map(records::pod).collect()
    }
}

impl PostgresStore {
    async fn write_beat(&self, now: Now, pod: &PodBeat) -> Result<bool> {
        let hash = hash_of_all(&pod.shapes);
        let rows = self.write(BEATING, self.bind_beat(BEAT, now, pod, hash)?).await?;
        let row = if let Some(row) = rows.into_iter().next() {
            row
        } else {
            let (shapes, hashes) =
                shapes_text(&pod.shapes).map_err(|error| StoreError::refused(BEATING, error))?;
            let query = self.bind_beat(BEAT_WITH_SHAPES, now, pod, hash)?.bind(shapes).bind(hashes);
            self.write_one(BEATING, query).await?
        };
        row.get("has_declined")
    }

    fn bind_beat(&self, template: &'static str, now: Now, pod: &PodBeat, shapes: i64) -> Result<Query> {
        let redacted =
            serde_json::to_string(&pod.redacted).map_err(|error| StoreError::refused(BEATING, error))?;
        Ok(self
            .query(template)
            // Planned anew, by what the tables hold now: on empty ones it would be planned to walk all calls.
            .persistent(false)
            .bind(at(now))
            .bind(pod.id.as_uuid())
            .bind(pod.label.clone())
            .bind(pod.role.clone())
            .bind(pod.version.clone())
            .bind(pod.names.clone())
            .bind(pod.schedules.clone())
            .bind(redacted)
            .bind(i32::try_from(pod.slots).unwrap_or(i32::MAX))
            .bind(i32::try_from(pod.running).unwrap_or(i32::MAX))
            .bind(micros(REMEMBERED))
            .bind(shapes))
    }
}
