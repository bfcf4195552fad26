use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PostgresStore;
use super::connect::{empty, nothing_done};
use super::sql::{Query, Reading, at, count, micros, moment, moment_or_none, pod as pod_column, small_count};
use crate::error::StoreError;
use crate::id::{CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::store::codec::{attempts_of, origin_of, rule_of, schedule_of, state_code, state_of};
use crate::store::{
    AttemptRecord, CallFilter, CallPage, CallRecord, CallState, Counts, Now, PodBeat, PodRecord,
    ScheduleRecord, ScheduleState, TimelineCount,
};

const LISTING: &str = "list calls";
const LOOKING: &str = "look a call up";
const COUNTING: &str = "count calls";
const BEATING: &str = "write the pod's heartbeat";
const LEAVING: &str = "remove the pod's row";
const POD_LISTING: &str = "list pods";
const SCHEDULE_LISTING: &str = "list schedules";

/// How long a pod that is not heard of any more is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);

/// The columns of a record, of a call that is not over. A state of none: scheduled or running.
const PENDING: &str = "c.id, c.name, c.args::text AS args, c.format, c.identifier, c.priority, {us coalesce(c.first_due_at, c.due_at)} AS due,
    NULL::smallint AS state, c.attempt, c.schedule_id, c.rerun_of, {us c.created_at} AS created, NULL::bigint AS finished,
    c.claimed_by AS pod, {us c.lease_until} AS lease_until,
    CASE WHEN c.started THEN {us c.claimed_at} END AS started, NULL::bigint AS duration_us, c.cancel_requested,
    c.error, CASE WHEN c.first_due_at IS NOT NULL AND c.claimed_by IS NULL THEN {us c.due_at} END AS next_attempt,
    {us c.expires_at} AS expires";

/// The same of one that is over.
const FINISHED: &str =
    "f.id, f.name, f.args::text AS args, f.format, f.identifier, f.priority, {us f.due_at} AS due,
    f.state, f.attempt, f.schedule_id, f.rerun_of, {us f.created_at} AS created, {us f.finished_at} AS finished,
    f.pod, NULL::bigint AS lease_until, {us f.started_at} AS started, f.duration_us,
    false AS cancel_requested, f.error, NULL::bigint AS next_attempt, NULL::bigint AS expires";

/// Of each lane the first ones, and of these the first: no index has all calls by their due moment. The inner limit is
/// written into the statement, because the planner guesses ill about one that it does not know.
/// $1 name, $2 identifier, $3 schedule, $4 whether running, $5 and $6 after which due moment and id, $7 limit.
const PENDING_PAGE: &str = "
    WITH RECURSIVE {lanes}
    SELECT c.* FROM lane AS l CROSS JOIN LATERAL (
        SELECT :columns, c.due_at FROM futurecall.call AS c
        WHERE c.name = l.name AND c.priority = l.priority
            AND ($2::text IS NULL OR c.identifier = $2::text)
            AND ($3::uuid IS NULL OR c.schedule_id = $3::uuid)
            AND ($4::boolean IS NULL OR (c.claimed_by IS NOT NULL) = $4::boolean)
            AND ($5::bigint IS NULL OR (c.due_at, c.id) > ({at $5::bigint}, $6::uuid))
        ORDER BY c.due_at, c.id LIMIT :limit
    ) AS c
    WHERE {a_lane} AND ($1::text IS NULL OR l.name = $1::text)
    ORDER BY c.due_at, c.id LIMIT $7::bigint";

/// Those with one identifier, of one schedule or running are few, or nowhere in order: all of them, sorted.
const NARROW_PAGE: &str = "
    SELECT :columns FROM futurecall.call AS c
    WHERE :narrow AND ($1::text IS NULL OR c.name = $1::text)
        AND ($2::text IS NULL OR c.identifier = $2::text)
        AND ($3::uuid IS NULL OR c.schedule_id = $3::uuid)
        AND ($4::boolean IS NULL OR (c.claimed_by IS NOT NULL) = $4::boolean)
        AND ($5::bigint IS NULL OR (c.due_at, c.id) > ({at $5::bigint}, $6::uuid))
    ORDER BY c.due_at, c.id LIMIT $7::bigint";

/// $4 states, $5 and $6 before which end and id.
const FINISHED_PAGE: &str = "
    SELECT f.* FROM unnest($4::smallint[]) AS u(state) CROSS JOIN LATERAL (
        SELECT :columns, f.finished_at FROM futurecall.finished AS f
        WHERE f.state = u.state AND ($1::text IS NULL OR f.name = $1::text)
            AND ($2::text IS NULL OR f.identifier = $2::text)
            AND ($3::uuid IS NULL OR f.schedule_id = $3::uuid)
            AND ($5::bigint IS NULL OR (f.finished_at, f.id) < ({at $5::bigint}, $6::uuid))
        ORDER BY f.finished_at DESC, f.id DESC LIMIT :limit
    ) AS f
    ORDER BY f.finished_at DESC, f.id DESC LIMIT $7::bigint";

const KEY: &str = "
    SELECT {us c.due_at} AS moment, false AS over FROM futurecall.call AS c WHERE c.id = $1::uuid
    UNION ALL
    SELECT {us f.finished_at}, true FROM futurecall.finished AS f WHERE f.id = $1::uuid
    ORDER BY over LIMIT 1";

const RECORD: &str = "
    SELECT :pending, c.attempts::text AS attempts FROM futurecall.call AS c WHERE c.id = $1::uuid
    UNION ALL
    SELECT :finished, f.attempts::text FROM futurecall.finished AS f WHERE f.id = $1::uuid";

const COUNTS: &str = "
    SELECT 0::smallint AS state, count(*) FILTER (WHERE c.claimed_by IS NULL) AS calls,
        count(*) FILTER (WHERE c.claimed_by IS NULL AND c.due_at <= {now}) AS due,
        count(*) FILTER (WHERE c.claimed_by IS NOT NULL) AS running
    FROM futurecall.call AS c
    UNION ALL
    SELECT f.state, count(*), 0, 0 FROM futurecall.finished AS f GROUP BY f.state";

const NAMES: &str = "
    WITH RECURSIVE name AS (
        (SELECT c.name FROM futurecall.call AS c ORDER BY c.name LIMIT 1)
        UNION ALL
        SELECT n.name FROM name AS l CROSS JOIN LATERAL (
            SELECT c.name FROM futurecall.call AS c WHERE c.name > l.name ORDER BY c.name LIMIT 1) AS n
    )
    SELECT n.name, k.calls FROM name AS n CROSS JOIN LATERAL (
        SELECT count(*) AS calls FROM (SELECT FROM futurecall.call AS c
            WHERE c.name = n.name AND c.claimed_by IS NULL LIMIT $1::bigint) AS c
    ) AS k
    WHERE k.calls > 0 ORDER BY n.name";

const SCHEDULES: &str = "
    SELECT s.id, s.name, s.identifier, s.args::text AS args, s.declared::text AS declared,
        s.effective::text AS effective, s.origin, s.state, s.reason, {us s.anchor} AS anchor, {us s.created_at} AS created,
        CASE WHEN s.state = 0 THEN (SELECT {us min(c.due_at)} FROM futurecall.call AS c
            WHERE c.schedule_id = s.id AND c.claimed_by IS NULL AND c.first_due_at IS NULL) END AS next
    FROM futurecall.schedule AS s ORDER BY s.created_at, s.id";

const PODS: &str = "
    SELECT p.id, p.label, p.role, p.version, p.names, p.redacted::text AS redacted, p.slots, p.running, {us p.started_at} AS started,
        {us p.beat_at} AS beat, p.beat_at >= {ago $2::bigint} AS live
    FROM futurecall.pod AS p WHERE p.beat_at >= {ago $3::bigint}
    ORDER BY p.beat_at DESC, p.id";

const BEAT: &str = "
    WITH forgotten AS (
        DELETE FROM futurecall.pod AS p WHERE p.beat_at < {ago $11::bigint} AND p.id <> $2::uuid
    )
    INSERT INTO futurecall.pod
        (id, label, role, version, names, schedules, redacted, slots, running, started_at, beat_at)
    VALUES ($2::uuid, $3::text, $4::text, $5::text, $6::text[], $7::text[], $8::jsonb, $9::integer, $10::integer,
        {now}, {now})
    ON CONFLICT (id) DO UPDATE SET label = excluded.label, role = excluded.role, version = excluded.version,
        names = excluded.names, schedules = excluded.schedules, redacted = excluded.redacted,
        slots = excluded.slots, running = excluded.running, beat_at = excluded.beat_at";

impl PostgresStore {
    pub(super) async fn clock(&self) -> Result<Moment, StoreError> {
        const DOING: &str = "read the database's clock";
        let rows = self.read(DOING, self.query("SELECT {us clock_timestamp()} AS now")).await?;
        let row = rows.first().ok_or_else(|| empty(DOING))?;
        moment(row, "now").map_err(nothing_done(DOING))
    }

    pub(super) async fn call_page(&self, filter: &CallFilter) -> Result<CallPage, StoreError> {
        let limit = filter.limit.clamp(1, 10_000);
        let after = match filter.after {
            None => None,
            Some(id) => match self.key_of(id).await? {
                None => return Ok(CallPage::default()),
                found => found,
            },
        };
        let is_pending_wanted = filter.state.is_none_or(|state| !state.is_finished());
        let is_history_wanted = filter.state.is_none_or(CallState::is_finished);
        // Where the listing goes through both, a finished call has all pending ones before it.
        let is_pending_over = is_history_wanted && after.as_ref().is_some_and(|key| key.is_over);
        let mut calls = Vec::new();
        if is_pending_wanted && !is_pending_over {
            let query = self.pending_page(filter, after.as_ref(), limit + 1).await?;
            calls.extend(records(LISTING, &self.read(LISTING, query).await?)?);
        }
        if is_history_wanted && calls.len() <= limit {
            let after = after.as_ref().filter(|key| key.is_over);
            let query = self.finished_page(filter, after, limit + 1 - calls.len()).await?;
            calls.extend(records(LISTING, &self.read(LISTING, query).await?)?);
        }
        let is_more = calls.len() > limit;
        calls.truncate(limit);
        let next = calls.last().filter(|_| is_more).map(|last| last.id);
        Ok(CallPage::new(calls, next))
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

    pub(super) async fn call_counts(&self, now: Now, cap: u64) -> Result<Counts, StoreError> {
        let _ = cap;
        let rows = self.read(COUNTING, self.query(COUNTS).bind(at(now))).await?;
        let mut counts = Counts::default();
        for row in &rows {
            add_count(row, &mut counts).map_err(nothing_done(COUNTING))?;
        }
        Ok(counts)
    }

    pub(super) async fn names_of_pending(&self, cap: u64) -> Result<Vec<(String, u64)>, StoreError> {
        let query = self.query(NAMES).bind(i64::try_from(cap).unwrap_or(i64::MAX));
        let rows = self.read(COUNTING, query).await?;
        let name = |row: &PgRow| Ok((row.try_get("name")?, count(row, "calls")?));
        rows.iter().map(name).collect::<Reading<_>>().map_err(nothing_done(COUNTING))
    }

    pub(super) async fn write_beat(&self, now: Now, pod: &PodBeat) -> Result<(), StoreError> {
        let redacted =
            serde_json::to_string(&pod.redacted).map_err(|error| StoreError::refused(BEATING, error))?;
        let query = self
            .query(BEAT)
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
            .bind(micros(REMEMBERED));
        self.write(BEATING, query).await.map(drop)
    }

    pub(super) async fn forget_pod(&self, pod: PodId) -> Result<(), StoreError> {
        let query = self.query("DELETE FROM futurecall.pod AS p WHERE p.id = $1::uuid").bind(pod.as_uuid());
        self.write(LEAVING, query).await.map(drop)
    }

    /// Where in the listing a call stands.
    async fn key_of(&self, id: CallId) -> Result<Option<Key>, StoreError> {
        let rows = self.read(LISTING, self.query(KEY).bind(id.as_uuid())).await?;
        let key = |row: &PgRow| -> Reading<Key> {
            Ok(Key { moment: row.try_get("moment")?, id: id.as_uuid(), is_over: row.try_get("over")? })
        };
        rows.first().map(key).transpose().map_err(nothing_done(LISTING))
    }

    async fn pending_page(
        &self,
        filter: &CallFilter,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Query, StoreError> {
        let running = filter.state.map(|state| state == CallState::Running);
        let page = if filter.identifier.is_some() {
            NARROW_PAGE.replace(":narrow", "c.identifier = $2::text")
        } else if filter.schedule.is_some() {
            NARROW_PAGE.replace(":narrow", "c.schedule_id = $3::uuid")
        } else if running == Some(true) {
            NARROW_PAGE.replace(":narrow", "c.claimed_by IS NOT NULL")
        } else {
            PENDING_PAGE.replace(":limit", &limit.next_power_of_two().to_string())
        };
        let query = self.shown(&page.replace(":columns", PENDING)).await?;
        Ok(query
            .bind(filter.name.clone())
            .bind(filter.identifier.clone())
            .bind(filter.schedule.map(|schedule| schedule.as_uuid()))
            .bind(running)
            .bind(after.map(|key| key.moment))
            .bind(after.map(|key| key.id))
            .bind(super::finish::as_limit(limit)))
    }

    async fn finished_page(
        &self,
        filter: &CallFilter,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Query, StoreError> {
        let wanted = |state: &CallState| filter.state.is_none_or(|only| only == *state);
        let states: Vec<i16> = CallState::ALL.into_iter().filter(wanted).filter_map(state_code).collect();
        let page = FINISHED_PAGE.replace(":limit", &limit.next_power_of_two().to_string());
        let query = self.shown(&page.replace(":columns", FINISHED)).await?;
        Ok(query
            .bind(filter.name.clone())
            .bind(filter.identifier.clone())
            .bind(filter.schedule.map(|schedule| schedule.as_uuid()))
            .bind(states)
            .bind(after.map(|key| key.moment))
            .bind(after.map(|key| key.id))
            .bind(super::finish::as_limit(limit)))
    }
}

/// A place in the listing: due moment or end, and id.
struct Key {
    moment: i64,
    id: Uuid,
    is_over: bool,
}

fn records(doing: &'static str, rows: &[PgRow]) -> Result<Vec<CallRecord>, StoreError> {
    rows.iter().map(record).collect::<Reading<_>>().map_err(nothing_done(doing))
}

fn record(row: &PgRow) -> Reading<CallRecord> {
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

/// A schedule, or none where a newer version wrote its rule.
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
    let state: ScheduleState = schedule_of(row.try_get("state")?);
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
    Ok(Some(PodRecord {
        id: PodId::from_uuid(row.try_get("id")?),
        label: row.try_get("label")?,
        role: row.try_get("role")?,
        version: row.try_get("version")?,
        names: row.try_get("names")?,
        redacted,
        slots: small_count(row, "slots")?,
        running: small_count(row, "running")?,
        started: moment(row, "started")?,
        beat: moment(row, "beat")?,
        live: row.try_get("live")?,
    }))
}

fn add_count(row: &PgRow, counts: &mut Counts) -> Reading<()> {
    let calls = count(row, "calls")?;
    match row.try_get::<i16, _>("state")? {
        0 => {
            counts.scheduled = calls;
            counts.due = count(row, "due")?;
            counts.running = count(row, "running")?;
        }
        code => match state_of(code) {
            CallState::Succeeded => counts.succeeded += calls,
            CallState::Interrupted => counts.interrupted += calls,
            CallState::Cancelled => counts.cancelled += calls,
            CallState::Expired => counts.expired += calls,
            CallState::Skipped => counts.skipped += calls,
            // The first two never stand in the history.
            CallState::Scheduled | CallState::Running | CallState::Failed => counts.failed += calls,
        },
    }
    Ok(())
}

impl PostgresStore {
    pub(super) async fn count_calls(
        &self,
        now: Now,
        filter: &CallFilter,
        cap: u64,
    ) -> Result<u64, StoreError> {
        let _ = (now, filter, cap);
        Err(StoreError::permanent("count calls", "not built yet"))
    }

    pub(super) async fn calls_ahead(&self, now: Now, id: CallId, cap: u64) -> Result<u64, StoreError> {
        let _ = (now, id, cap);
        Err(StoreError::permanent("count the calls before it", "not built yet"))
    }

    pub(super) async fn call_timeline(
        &self,
        edges: &[Moment],
        cap: u64,
    ) -> Result<Vec<TimelineCount>, StoreError> {
        let _ = (edges, cap);
        Err(StoreError::permanent("count what is due when", "not built yet"))
    }
}
