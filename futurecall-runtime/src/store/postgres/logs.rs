//! The logs of runs.

use async_trait::async_trait;

use super::PostgresStore;
use super::encoding::{Spelled as _, is_refused};
use super::sql::at;
use crate::id::CallId;
use crate::store::{LogStore, NewLog, Now, Result, RunLog, records};

const KEEPING: &str = "keep logs";

const READING: &str = "read logs";

/// $2 ids, $3 attempts, $4 texts.
const KEEP: &str = "
    INSERT INTO futurecall.log (call_id, attempt, text, at)
    SELECT u.id, u.attempt, u.text, {now} FROM unnest($2::uuid[], $3::integer[], $4::text[]) AS u(id, attempt, text)
    ON CONFLICT DO NOTHING";

const LOGS: &str = "
    SELECT l.attempt, l.text, {us l.at} AS at FROM futurecall.log AS l WHERE l.call_id = $1::uuid ORDER BY l.attempt";

#[async_trait]
impl LogStore for PostgresStore {
    async fn keep_logs(&self, now: Now, logs: &[NewLog]) -> Result<()> {
        let done = self.keep_run_logs(now, logs).await;
        if is_refused(&done) {
            return self.keep_run_logs(now, &logs.to_vec().in_ascii()).await;
        }
        done
    }

    async fn logs(&self, id: CallId) -> Result<Vec<RunLog>> {
        let rows = self.read(READING, self.query(LOGS).bind(id.as_uuid())).await?;
        rows.iter().map(records::log).collect()
    }
}

impl PostgresStore {
    async fn keep_run_logs(&self, now: Now, logs: &[NewLog]) -> Result<()> {
        let query = self
            .query(KEEP)
            .bind(at(now))
            .bind(logs.iter().map(|log| log.id.as_uuid()).collect::<Vec<_>>())
            .bind(logs.iter().map(|log| i32::try_from(log.attempt).unwrap_or(i32::MAX)).collect::<Vec<_>>())
            .bind(logs.iter().map(|log| log.text.clone()).collect::<Vec<_>>());
        self.write(KEEPING, query).await.map(drop)
    }
}
