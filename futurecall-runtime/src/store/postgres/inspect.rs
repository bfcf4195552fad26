use async_trait::async_trait;

use super::PostgresStore;
use crate::id::CallId;
use crate::moment::Moment;
use crate::store::columns::Columns as _;
use crate::store::{CallRecord, InspectStore, Now, Result, ScheduleRecord, records};

const LOOKING: &str = "look a call up";

const SCHEDULE_LISTING: &str = "list schedules";

/// The columns of a record, of a call that is not over. A state of none: scheduled or running.
pub(super) const PENDING: &str = "c.id, c.name, c.args::text AS args, c.format, c.identifier, c.priority, {us coalesce(c.first_due_at, c.due_at)} AS due,
    NULL::smallint AS state, c.attempt, c.schedule_id, c.rerun_of, {us c.created_at} AS created, NULL::bigint AS finished,
    c.claimed_by AS pod, {us c.lease_until} AS lease_until,
    CASE WHEN c.started THEN {us c.claimed_at} END AS started, NULL::bigint AS duration_us, c.cancel_requested,
    c.error, CASE WHEN c.first_due_at IS NOT NULL AND c.claimed_by IS NULL THEN {us c.due_at} END AS next_attempt,
    {us c.expires_at} AS expires, array_to_json(c.declined)::text AS declined";

/// The same of one that is over.
pub(super) const FINISHED: &str =
    "f.id, f.name, f.args::text AS args, f.format, f.identifier, f.priority, {us f.due_at} AS due,
    f.state, f.attempt, f.schedule_id, f.rerun_of, {us f.created_at} AS created, {us f.finished_at} AS finished,
    f.pod, NULL::bigint AS lease_until, {us f.started_at} AS started, f.duration_us,
    false AS cancel_requested, f.error, NULL::bigint AS next_attempt, NULL::bigint AS expires,
    NULL::text AS declined";

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
        rows.first().map(records::call_with_attempts).transpose()
    }

    async fn schedules(&self) -> Result<Vec<ScheduleRecord>> {
        let rows = self.read(SCHEDULE_LISTING, self.shown(SCHEDULES).await?).await?;
        rows.iter().filter_map(|row| records::schedule_record(row).transpose()).collect()
    }
}

impl PostgresStore {
    pub(super) async fn clock(&self) -> Result<Moment> {
        let clock = self.query("SELECT {us clock_timestamp()} AS now");
        self.read_one("read the database's clock", clock).await?.get("now")
    }
}
