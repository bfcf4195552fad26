use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PostgresStore;
use super::driver_error::{empty, nothing_done};
use super::sql::{Reading, moment, moment_or_none, pod as pod_column, small_count};
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::store::codec::{attempts_of, origin_of, rule_of, schedule_of, state_of};
use crate::store::{AttemptRecord, CallRecord, CallState, InspectStore, Now, Result, ScheduleRecord};

const LOOKING: &str = "look a call up";

const SCHEDULE_LISTING: &str = "list schedules";

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

#[async_trait]
impl InspectStore for PostgresStore {
    async fn call(&self, _now: Now, id: CallId) -> Result<Option<CallRecord>> {
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

    async fn schedules(&self) -> Result<Vec<ScheduleRecord>> {
        let rows = self.read(SCHEDULE_LISTING, self.shown(SCHEDULES).await?).await?;
        let records = rows.iter().map(schedule_record).collect::<Reading<Vec<_>>>();
        Ok(records.map_err(nothing_done(SCHEDULE_LISTING))?.into_iter().flatten().collect())
    }
}

impl PostgresStore {
    pub(super) async fn clock(&self) -> Result<Moment> {
        const DOING: &str = "read the database's clock";
        let rows = self.read(DOING, self.query("SELECT {us clock_timestamp()} AS now")).await?;
        let row = rows.first().ok_or_else(|| empty(DOING))?;
        moment(row, "now").map_err(nothing_done(DOING))
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
