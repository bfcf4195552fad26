use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PostgresStore;
use super::connect::{empty, nothing_done};
use super::sql::{Query, Reading, at, micros, moment, moment_or_none, pod as pod_column, small_count};
use crate::error::StoreError;
use crate::id::{CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::shape::hash_of_all;
use crate::store::codec::{attempts_of, origin_of, rule_of, schedule_of, shapes_of, shapes_text, state_of};
use crate::store::{AttemptRecord, CallRecord, CallState, Now, PodBeat, PodRecord, ScheduleRecord};

const LOOKING: &str = "look a call up";
const BEATING: &str = "write the pod's heartbeat";
const REOPENING: &str = "offer declined calls again";
const LEAVING: &str = "remove the pod's row";
const POD_LISTING: &str = "list pods";
const SCHEDULE_LISTING: &str = "list schedules";

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

/// The columns of a record, of a call that is not over. A state of none: scheduled or running.
pub(super) const PENDING: &str = "c.id, c.name, c.args::text AS args, c.format, c.identifier, c.priority, {us coalesce(c.first_due_at, c.due_at)} AS due,
    NULL::smallint AS state, c.attempt, c.schedule_id, c.rerun_of, {us c.created_at} AS created, NULL::bigint AS finished,
    c.claimed_by AS pod, {us c.lease_until} AS lease_until,
    CASE WHEN c.started THEN {us c.claimed_at} END AS started, NULL::bigint AS duration_us, c.cancel_requested,
    c.error, CASE WHEN c.first_due_at IS NOT NULL AND c.claimed_by IS NULL THEN {us c.due_at} END AS next_attempt,
    {us c.expires_at} AS expires, coalesce(c.declined, ARRAY[]::bigint[]) AS declined";

/// The same of one that is over.
pub(super) const FINISHED: &str =
    "f.id, f.name, f.args::text AS args, f.format, f.identifier, f.priority, {us f.due_at} AS due,
    f.state, f.attempt, f.schedule_id, f.rerun_of, {us f.created_at} AS created, {us f.finished_at} AS finished,
    f.pod, NULL::bigint AS lease_until, {us f.started_at} AS started, f.duration_us,
    false AS cancel_requested, f.error, NULL::bigint AS next_attempt, NULL::bigint AS expires,
    ARRAY[]::bigint[] AS declined";

const RECORD: &str = "
    SELECT :pending, c.attempts::text AS attempts FROM futurecall.call AS c WHERE c.id = $1::uuid
    UNION ALL
    SELECT :finished, f.attempts::text FROM futurecall.finished AS f WHERE f.id = $1::uuid";

const SCHEDULES: &str = "
    SELECT s.id, s.name, s.identifier, s.args::text AS args, s.declared::text AS declared,
        s.effective::text AS effective, s.origin, s.state, s.reason, {us s.anchor} AS anchor, {us s.created_at} AS created,
        CASE WHEN s.state = 0 THEN (SELECT {us min(c.due_at)} FROM futurecall.call AS c
            WHERE c.schedule_id = s.id AND c.claimed_by IS NULL AND c.first_due_at IS NULL) END AS next
    FROM futurecall.schedule AS s ORDER BY s.created_at, s.id";

const PODS: &str = "
    SELECT p.id, p.label, p.role, p.version, p.names, p.redacted::text AS redacted, p.slots, p.running, {us p.started_at} AS started,
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

impl PostgresStore {
    pub(super) async fn clock(&self) -> Result<Moment, StoreError> {
        const DOING: &str = "read the database's clock";
        let rows = self.read(DOING, self.query("SELECT {us clock_timestamp()} AS now")).await?;
        let row = rows.first().ok_or_else(|| empty(DOING))?;
        moment(row, "now").map_err(nothing_done(DOING))
    }

    pub(super) async fn call_record(&self, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        let sql = RECORD.replace(":pending", PENDING).replace(":finished", FINISHED);
        let rows = self.read(LOOKING, self.shown(&sql).await?.bind(id.as_uuid())).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut found = record(row).map_err(nothing_done(LOOKING))?;
        let before: Option<String> = row.try_get("attempts").map_err(nothing_done(LOOKING))?;
        found.attempts = attempts_of(before.as_deref());
        let attempt = attempt(row, &found).map_err(nothing_done(LOOKING))?;
        found.attempts.extend(attempt);
        Ok(Some(found))
    }

    pub(super) async fn schedule_records(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        let rows = self.read(SCHEDULE_LISTING, self.shown(SCHEDULES).await?).await?;
        let records = rows.iter().map(schedule_record).collect::<Reading<Vec<_>>>();
        Ok(records.map_err(nothing_done(SCHEDULE_LISTING))?.into_iter().flatten().collect())
    }

    pub(super) async fn pod_records(&self, now: Now, within: Duration) -> Result<Vec<PodRecord>, StoreError> {
        let query = self.query(PODS).bind(at(now)).bind(micros(within)).bind(micros(REMEMBERED));
        let rows = self.read(POD_LISTING, query).await?;
        let records = rows.iter().map(pod_record).collect::<Reading<Vec<_>>>();
        Ok(records.map_err(nothing_done(POD_LISTING))?.into_iter().flatten().collect())
    }

    pub(super) async fn write_beat(&self, now: Now, pod: &PodBeat) -> Result<bool, StoreError> {
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
        row.try_get("has_declined").map_err(nothing_done(BEATING))
    }

    fn bind_beat(
        &self,
        template: &'static str,
        now: Now,
        pod: &PodBeat,
        shapes: i64,
    ) -> Result<Query, StoreError> {
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

    pub(super) async fn reopen_calls(
        &self,
        now: Now,
        live: Duration,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = self.query(REOPEN).persistent(false).bind(at(now)).bind(micros(live)).bind(limit);
        let rows = self.write(REOPENING, query).await?;
        let row = rows.first().ok_or_else(|| empty(REOPENING))?;
        let calls: i64 = row.try_get("calls").map_err(nothing_done(REOPENING))?;
        Ok(u64::try_from(calls).unwrap_or_default())
    }

    pub(super) async fn forget_pod(&self, pod: PodId) -> Result<(), StoreError> {
        let query = self.query(LEAVE).bind(pod.as_uuid());
        self.write(LEAVING, query).await.map(drop)
    }
}

pub(super) fn record(row: &PgRow) -> Reading<CallRecord> {
    let pod = pod_column(row, "pod")?;
    let state = match row.try_get::<Option<i16>, _>("state")? {
        Some(code) => state_of(code),
        None if pod.is_some() => CallState::Running,
        None => CallState::Scheduled,
    };
    let started = moment_or_none(row, "started")?;
    Ok(CallRecord {
        id: CallId::from_uuid(row.try_get("id")?),
        name: row.try_get("name")?,
        args: row.try_get("args")?,
        format: row.try_get("format")?,
        identifier: row.try_get("identifier")?,
        priority: row.try_get("priority")?,
        due: moment(row, "due")?,
        state,
        attempt: small_count(row, "attempt")?,
        broken: None,
        declined: row.try_get("declined")?,
        next_attempt: moment_or_none(row, "next_attempt")?,
        expires: moment_or_none(row, "expires")?,
        schedule: row.try_get::<Option<Uuid>, _>("schedule_id")?.map(ScheduleId::from_uuid),
        rerun_of: row.try_get::<Option<Uuid>, _>("rerun_of")?.map(CallId::from_uuid),
        created: moment(row, "created")?,
        finished: moment_or_none(row, "finished")?,
        pod,
        lease_until: moment_or_none(row, "lease_until")?,
        start_proven: pod.map(|_| started.is_some()),
        cancel_requested: row.try_get("cancel_requested")?,
        error: row.try_get("error")?,
        attempts: Vec::new(),
    })
}

/// The attempt that a call is in, or ended with.
fn attempt(row: &PgRow, record: &CallRecord) -> Reading<Option<AttemptRecord>> {
    if record.pod.is_none() || record.attempt == 0 {
        return Ok(None);
    }
    let duration: Option<i64> = row.try_get("duration_us")?;
    Ok(Some(AttemptRecord {
        number: record.attempt,
        pod: record.pod,
        started: moment_or_none(row, "started")?,
        duration: duration.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
        ended: record.finished,
        outcome: record.state,
        error: record.error.clone().filter(|_| record.state.is_finished()),
    }))
}

/// A schedule, or none where a newer release wrote its rule or its state.
fn schedule_record(row: &PgRow) -> Reading<Option<ScheduleRecord>> {
    let id = ScheduleId::from_uuid(row.try_get("id")?);
    let declared: String = row.try_get("declared")?;
    let effective: String = row.try_get("effective")?;
    let (declared, effective) = match (rule_of(&declared), rule_of(&effective)) {
        (Ok(declared), Ok(effective)) => (declared, effective),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(schedule = %id, %error, "a rule that this version cannot read is not listed");
            return Ok(None);
        }
    };
    let Some(state) = schedule_of(row.try_get("state")?) else {
        tracing::warn!(schedule = %id, "a schedule in a state that this release does not know is not listed");
        return Ok(None);
    };
    Ok(Some(ScheduleRecord {
        id,
        name: row.try_get("name")?,
        identifier: row.try_get("identifier")?,
        args: row.try_get("args")?,
        declared,
        effective,
        origin: origin_of(row.try_get("origin")?),
        state,
        reason: row.try_get("reason")?,
        next: moment_or_none(row, "next")?,
        anchor: moment(row, "anchor")?,
        created: moment(row, "created")?,
    }))
}

/// `None` for a row that a hand has spoiled.
fn pod_record(row: &PgRow) -> Reading<Option<PodRecord>> {
    let Ok(redacted) = serde_json::from_str(row.try_get("redacted")?) else { return Ok(None) };
    // None where the pod is of a version that says nothing of them.
    let shapes: Option<String> = row.try_get("shapes")?;
    let Ok(shapes) = shapes.map_or_else(|| Ok(BTreeMap::new()), |text| shapes_of(&text)) else {
        return Ok(None);
    };
    Ok(Some(PodRecord {
        id: PodId::from_uuid(row.try_get("id")?),
        label: row.try_get("label")?,
        role: row.try_get("role")?,
        version: row.try_get("version")?,
        names: row.try_get("names")?,
        shapes,
        redacted,
        slots: small_count(row, "slots")?,
        running: small_count(row, "running")?,
        started: moment(row, "started")?,
        beat: moment(row, "beat")?,
        live: row.try_get("live")?,
    }))
}
