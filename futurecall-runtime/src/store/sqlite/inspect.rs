//! What people look at: one call, schedules, pods.

use async_trait::async_trait;

use super::SqliteStore;
use super::tx::run;
use crate::id::CallId;
use crate::store::{CallRecord, InspectStore, Now, Result, ScheduleRecord, records};

const LOOK: &str = "look at a call";

/// The columns of a record, of a call that is not over. A state of NULL: scheduled or running.
pub(super) const CALL: &str = "c.id, c.name, c.args, c.format, c.identifier, c.priority,
    coalesce(c.first_due_at, c.due_at) AS due, NULL AS state, c.attempt, c.schedule_id, c.rerun_of,
    c.created_at AS created, NULL AS finished, c.claimed_by AS pod, c.lease_until,
    iif(c.started, c.claimed_at, NULL) AS started, NULL AS duration_us, c.cancel_requested, c.error,
    iif(c.first_due_at IS NOT NULL AND c.claimed_by IS NULL, c.due_at, NULL) AS next_attempt, c.expires_at AS expires,
    '[' || replace(trim(c.declined, ','), ',,', ',') || ']' AS declined";

/// The same of one that is over.
pub(super) const FINISHED: &str = "c.id, c.name, c.args, c.format, c.identifier, c.priority, c.due_at AS due, c.state,
    c.attempt, c.schedule_id, c.rerun_of, c.created_at AS created, c.finished_at AS finished, c.pod, NULL AS lease_until,
    c.started_at AS started, c.duration_us, 0 AS cancel_requested, c.error, NULL AS next_attempt, NULL AS expires,
    NULL AS declined";

const SCHEDULES: &str = "
SELECT s.id, s.name, s.identifier, s.args, s.declared, s.effective, s.origin, s.state, s.reason, s.anchor, s.created_at AS created,
    (SELECT min(c.due_at) FROM futurecall_call c
        WHERE c.schedule_id = s.id AND c.claimed_by IS NULL AND c.first_due_at IS NULL) AS next
FROM futurecall_schedule s ORDER BY s.created_at, s.id";

#[async_trait]
impl InspectStore for SqliteStore {
    async fn call(&self, now: Now, id: CallId) -> Result<Option<CallRecord>> {
        run!(self.read, LOOK, now, |tx| {
            // One after the other: of a union, SQLite tells the tables of the first part alone.
            let pending = format!("SELECT {CALL}, c.attempts FROM futurecall_call AS c WHERE c.id = ?1");
            let past = format!("SELECT {FINISHED}, c.attempts FROM futurecall_finished AS c WHERE c.id = ?1");
            let mut row = tx.row(tx.composed(&pending).bind(id.as_uuid())).await?;
            if row.is_none() {
                row = tx.row(tx.composed(&past).bind(id.as_uuid())).await?;
            }
            row.as_ref().map(records::call_with_attempts).transpose()
        })
        .await
    }

    async fn schedules(&self) -> Result<Vec<ScheduleRecord>> {
        run!(self.read, "list schedules", Now::Database, |tx| {
            let rows = tx.rows(tx.sql(SCHEDULES)).await?;
            rows.iter().filter_map(|row| records::schedule_record(row).transpose()).collect()
        })
        .await
    }
}
