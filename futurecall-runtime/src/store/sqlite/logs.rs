//! The logs of runs.

use async_trait::async_trait;

use super::SqliteStore;
use super::tx::{Tx, batch, before, hex, no_nul, run};
use crate::id::CallId;
use crate::store::{LogStore, NewLog, Now, Result, Retention, RunLog, records};

const KEEPING: &str = "keep logs";

/// ?1 ids, attempts and texts, ?2 now.
const KEEP: &str = "
INSERT INTO futurecall_log (call_id, attempt, text, at)
SELECT unhex(value ->> 0), value ->> 1, value ->> 2, ?2 FROM json_each(?1) WHERE true
ON CONFLICT DO NOTHING";

/// ?1 the call.
const LOGS: &str = "SELECT attempt, text, at FROM futurecall_log WHERE call_id = ?1 ORDER BY attempt";

/// ?1 before when, ?2 how many. What was logged of calls that left the history is deleted with them: see `finish`.
const OLD: &str = "
DELETE FROM futurecall_log WHERE rowid IN (SELECT l.rowid FROM futurecall_log l WHERE l.at < ?1 LIMIT ?2 + 0)";

#[async_trait]
impl LogStore for SqliteStore {
    async fn keep_logs(&self, now: Now, logs: &[NewLog]) -> Result<()> {
        for log in logs {
            no_nul(KEEPING, "the log", &log.text)?;
        }
        let rows: Vec<_> = logs.iter().map(|log| (hex(log.id.as_uuid()), log.attempt, &log.text)).collect();
        let rows = batch(KEEPING, &rows)?;
        run!(self.write, KEEPING, now, |tx| {
            let keep = tx.sql(KEEP).bind(rows).bind(tx.now.as_micros());
            tx.run(keep).await.map(drop)
        })
        .await
    }

    async fn logs(&self, id: CallId) -> Result<Vec<RunLog>> {
        run!(self.read, "read logs", Now::Database, |tx| {
            let rows = tx.rows(tx.sql(LOGS).bind(id.as_uuid())).await?;
            rows.iter().map(records::log).collect()
        })
        .await
    }
}

/// Those that are older than any call in the history may be.
pub(super) async fn prune_logs(tx: &mut Tx<'_>, retention: &Retention, limit: i64) -> Result<()> {
    let old = tx.sql(OLD).bind(before(tx.now, retention.longest())).bind(limit);
    tx.run(old).await.map(drop)
}
