//! Plain SQL on SQLite, with the product's own settings: write-ahead log, every commit on the disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{BATCH, BULK};
use crate::rate::rate;
use crate::{HOUR, NOOP, Result};

const MADE_AFTER: &str = "
    SELECT sql FROM sqlite_master
    WHERE tbl_name IN ('futurecall_call', 'futurecall_finished') AND sql IS NOT NULL ORDER BY type DESC";

const INSERT: &str = "
    INSERT INTO raw_call (id, name, due_at, args, created_at)
    VALUES (?1, ?2, unixepoch('subsec') * 1000000 + ?3, '{\"number\":1}', 0)";

const BULK_INSERT: &str = "
    INSERT INTO raw_call (id, name, due_at, args, created_at)
    SELECT unhex(value), ?2, unixepoch('subsec') * 1000000 + ?3, '{\"number\":1}', 0 FROM json_each(?1)";

const CLAIM: &str = "
    UPDATE raw_call SET claimed_by = ?1, claim_no = 1, claimed_at = 1, lease_until = 1, attempt = attempt + 1
    WHERE rowid IN (
        SELECT rowid FROM raw_call WHERE name = ?2 AND claimed_by IS NULL AND due_at <= unixepoch('subsec') * 1000000
        ORDER BY priority, due_at, id LIMIT ?3)
    RETURNING rowid, name, args";

const KEEP: &str = "
    INSERT INTO raw_finished (id, name, priority, due_at, identifier, args, format, schedule_id, rerun_of, traceparent,
        created_at, state, attempt, pod, claim_no, started_at, duration_us, finished_at)
    SELECT id, name, priority, due_at, identifier, args, format, schedule_id, rerun_of, traceparent,
        created_at, 1, attempt, claimed_by, claim_no, claimed_at, 1, 1
    FROM raw_call WHERE rowid IN (SELECT value FROM json_each(?1)) AND claimed_by = ?2";

const ACK: &str = "DELETE FROM raw_call WHERE rowid IN (SELECT value FROM json_each(?1)) AND claimed_by = ?2";

/// One connection, shared by the callers: SQLite has one writer, and several connections would wait by sleeping.
pub(crate) struct Raw {
    connection: Arc<Mutex<SqliteConnection>>,
}

impl Raw {
    pub(super) async fn new(url: &str) -> Result<Self> {
        let options: SqliteConnectOptions = url.parse()?;
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let mut connection = options.busy_timeout(Duration::from_secs(30)).connect().await?;
        let tables: Vec<String> = sqlx::query_scalar(MADE_AFTER).fetch_all(&mut connection).await?;
        for sql in tables {
            sqlx::raw_sql(AssertSqlSafe(sql.replace("futurecall_", "raw_"))).execute(&mut connection).await?;
        }
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    pub(super) async fn enqueue(&self, callers: usize, time: Duration) -> Result<f64> {
        let until = Instant::now() + time;
        let callers = (0..callers).map(|_| {
            let connection = Arc::clone(&self.connection);
            async move {
                let mut stored = 0;
                while Instant::now() < until {
                    let query = sqlx::query(INSERT).bind(Uuid::now_v7()).bind(NOOP).bind(hour());
                    query.execute(&mut *connection.lock().await).await?;
                    stored += 1;
                }
                Ok(stored)
            }
        });
        rate(callers).await
    }

    pub(super) async fn bulk(&self, rows: usize) -> Result {
        let ids: Vec<String> = (0..rows).map(|_| Uuid::now_v7().simple().to_string()).collect();
        let mut connection = self.connection.lock().await;
        for part in ids.chunks(BULK) {
            let query = sqlx::query(BULK_INSERT).bind(serde_json::to_string(part)?).bind(NOOP).bind(hour());
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    pub(super) async fn copy_calls(&self) -> Result {
        let copy = sqlx::query("INSERT INTO raw_call SELECT * FROM futurecall_call");
        copy.execute(&mut *self.connection.lock().await).await?;
        Ok(())
    }

    pub(super) async fn drain(&self, keep: bool) -> Result<u64> {
        let worker = Uuid::now_v7();
        let mut connection = self.connection.lock().await;
        let mut ended = 0;
        loop {
            let claim = sqlx::query_as::<_, (i64, String, String)>(CLAIM).bind(worker).bind(NOOP);
            let calls = claim.bind(BATCH).fetch_all(&mut *connection).await?;
            if calls.is_empty() {
                return Ok(ended);
            }
            let rows: Vec<i64> = calls.into_iter().map(|(row, ..)| row).collect();
            let rows = serde_json::to_string(&rows)?;
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await?;
            if keep {
                sqlx::query(KEEP).bind(&rows).bind(worker).execute(&mut *connection).await?;
            }
            ended +=
                sqlx::query(ACK).bind(&rows).bind(worker).execute(&mut *connection).await?.rows_affected();
            sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
        }
    }
}

/// In SQLite's microseconds.
fn hour() -> i64 {
    i64::try_from(HOUR.as_micros()).unwrap_or(i64::MAX)
}
