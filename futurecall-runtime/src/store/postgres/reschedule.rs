use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::PostgresStore;
use super::connect::{commit, step, step_one};
use super::sql::{Query, Row, at, due_or_after, micros};
use crate::id::CallId;
use crate::store::codec::state_of;
use crate::store::columns::Columns as _;
use crate::store::{CallState, CancelTarget, Due, Now, RescheduleStore, Rescheduled, Result, RunAgain};

const DOING: &str = "reschedule calls";

const AGAIN: &str = "run the call again";

/// $1 identifier or $2 calls. Schedules come first: a claim of their runs locks them, too.
const SCHEDULES: &str = "
    SELECT s.id FROM futurecall.schedule AS s
    WHERE s.identifier = $1::text
        OR s.id = ANY (ARRAY(SELECT c.schedule_id FROM futurecall.call AS c WHERE c.id = ANY ($2::uuid[])))
    ORDER BY s.id FOR UPDATE";

/// $1 identifier. Waits for claims under way, so that the next statement sees what became of them.
const CALLS: &str = "
    SELECT c.id FROM futurecall.call AS c WHERE c.identifier = $1::text ORDER BY c.id FOR UPDATE";

/// $1 calls.
const THESE: &str = "
    SELECT c.id FROM futurecall.call AS c WHERE c.id = ANY ($1::uuid[]) ORDER BY c.id FOR UPDATE";

/// $2 calls.
const RUNNING: &str = "
    SELECT count(*) AS running FROM futurecall.call AS c
    WHERE c.id = ANY ($2::uuid[]) AND c.claimed_by IS NOT NULL AND c.lease_until >= {now}";

/// $2 calls, $3 moment or $4 delay; a row for each lane. A call keeps the time within which it may start; one that is run
/// again after an attempt is bound by its policy.
const MOVE: &str = "
    WITH moment AS MATERIALIZED (
        SELECT greatest(coalesce({at $3::bigint}, {clock} + {span $4::bigint}), {now}) AS due
    ), moved AS (
        UPDATE futurecall.call AS c SET due_at = m.due, expires_at = CASE
            WHEN c.first_due_at IS NULL AND c.expires_at IS NOT NULL THEN least(m.due + make_interval(secs =>
                    extract(epoch FROM c.expires_at - greatest(c.due_at, c.created_at))::double precision),
                timestamptz '9999-12-31 23:59:59.999999+00')
            ELSE c.expires_at END
        FROM moment AS m
        WHERE c.id = ANY ($2::uuid[]) AND c.claimed_by IS NULL RETURNING c.name, c.priority, c.due_at
    )
    SELECT m.name, m.priority, count(*) AS calls, {us min(m.due_at)} AS due, {now_us} AS now
    FROM moved AS m GROUP BY m.name, m.priority";

/// $2 the old call, $3 the new one. Where the new one is not stored although the old one may be run again, it stood there
/// already, or had finished.
const STORE: &str = "
    WITH old AS (
        SELECT * FROM futurecall.finished AS f WHERE f.id = $2::uuid
    ), stored AS (
        INSERT INTO futurecall.call
            (id, name, priority, due_at, identifier, args, format, rerun_of, traceparent, created_at)
        SELECT $3::uuid, o.name, o.priority, {clock}, o.identifier, o.args, o.format, o.id, o.traceparent, {now}
        FROM old AS o
        WHERE o.state <> 1 AND NOT EXISTS (SELECT FROM futurecall.finished AS f WHERE f.id = $3::uuid)
        ON CONFLICT (id) DO NOTHING RETURNING name, priority, due_at
    )
    SELECT (SELECT o.state FROM old AS o) AS state,
        EXISTS (SELECT FROM futurecall.call AS c WHERE c.id = $2::uuid) AS pending,
        EXISTS (SELECT FROM futurecall.call AS c WHERE c.id = $3::uuid)
            OR EXISTS (SELECT FROM futurecall.finished AS f WHERE f.id = $3::uuid) AS before,
        s.name, s.priority, {us s.due_at} AS due
    FROM (SELECT 1) AS one LEFT JOIN stored AS s ON true";

#[async_trait]
impl RescheduleStore for PostgresStore {
    async fn reschedule(
        &self,
        now: Now,
        target: &CancelTarget,
        due: Due,
        soon: Duration,
    ) -> Result<Rescheduled> {
        let mut transaction = self.begin(DOING).await?;
        let these = |ids: &[CallId]| {
            let ids: Vec<Uuid> = ids.iter().map(CallId::as_uuid).collect();
            (self.query(SCHEDULES).bind(None::<String>).bind(ids.clone()), self.query(THESE).bind(ids))
        };
        let (schedules, calls) = match target {
            CancelTarget::Identifier(identifier) => (
                self.query(SCHEDULES).bind(identifier.clone()).bind(None::<Vec<Uuid>>),
                self.query(CALLS).bind(identifier.clone()),
            ),
            CancelTarget::Call(id) => these(&[*id]),
            CancelTarget::Calls(ids) => these(ids),
        };
        step(DOING, &mut transaction, schedules).await?;
        let rows = step(DOING, &mut transaction, calls).await?;
        let calls = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<Uuid>>>()?;
        if calls.is_empty() {
            return Ok(Rescheduled::default());
        }
        let running = self.query(RUNNING).bind(at(now)).bind(calls.clone());
        let running = step_one(DOING, &mut transaction, running).await?.get("running")?;
        let (moment, delay) = due_or_after(due);
        let moving = self.query(MOVE).bind(at(now)).bind(calls).bind(moment).bind(delay);
        let lanes = step(DOING, &mut transaction, moving).await?;
        let lanes = lanes.iter().map(Lane::read).collect::<Result<Vec<_>>>()?;
        self.commit_known(DOING, transaction).await?;
        for lane in &lanes {
            self.lanes.due_again(&lane.name, lane.priority, lane.due);
        }
        let earliest = lanes.iter().filter(|lane| lane.due <= lane.now.saturating_add(micros(soon)));
        if let Some(earliest) = earliest.map(|lane| lane.due).min() {
            self.notify(Some(earliest));
        }
        Ok(Rescheduled::new(lanes.iter().map(|lane| lane.calls).sum(), running))
    }

    async fn run_again(&self, now: Now, of: CallId, id: CallId, again: bool) -> Result<RunAgain> {
        let query = self.query(STORE).bind(at(now)).bind(of.as_uuid()).bind(id.as_uuid());
        let (outcome, stored) = if again {
            self.again(now, id, query).await?
        } else {
            outcome(&self.write_one(AGAIN, query).await?)?
        };
        if let Some(stored) = stored {
            self.lanes.due_again(&stored.name, stored.priority, stored.due);
            self.notify(Some(stored.due));
        }
        Ok(outcome)
    }
}

impl PostgresStore {
    /// Stores what may have been stored, and may even have finished, before: see `store_again` of the insert.
    async fn again(&self, now: Now, id: CallId, query: Query) -> Result<(RunAgain, Option<Stored>)> {
        let mut transaction = self.begin(AGAIN).await?;
        let (mut outcome, mut stored) = outcome(&step_one(AGAIN, &mut transaction, query).await?)?;
        if stored.is_some() {
            let ids = vec![id.as_uuid()];
            if !self.take_back(AGAIN, &mut transaction, now, ids).await?.is_empty() {
                (outcome, stored) = (RunAgain::Unknown, None);
            }
        }
        commit(AGAIN, transaction).await?;
        Ok((outcome, stored))
    }
}

/// Calls of one lane that were moved.
struct Lane {
    name: String,
    priority: i16,
    calls: u64,
    due: i64,
    now: i64,
}

impl Lane {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            name: row.get("name")?,
            priority: row.get("priority")?,
            calls: row.get("calls")?,
            due: row.get("due")?,
            now: row.get("now")?,
        })
    }
}

/// A call that was stored just now.
struct Stored {
    name: String,
    priority: i16,
    due: i64,
}

/// What became of it, and the lane and the moment of the new call, if it was stored just now.
fn outcome(row: &Row) -> Result<(RunAgain, Option<Stored>)> {
    let state = row.find("state")?.map(state_of);
    let outcome = match state {
        _ if row.get("before")? => RunAgain::Stored,
        Some(CallState::Succeeded) => RunAgain::Succeeded,
        Some(_) => RunAgain::Stored,
        None if row.get("pending")? => RunAgain::Pending,
        None => RunAgain::Unknown,
    };
    let stored = match (row.find("name")?, row.find("priority")?, row.find("due")?) {
        (Some(name), Some(priority), Some(due)) => Some(Stored { name, priority, due }),
        _ => None,
    };
    Ok((outcome, stored))
}
