//! A connection that checks a pod's progress, without going through the pod.

use std::time::{Duration, Instant, SystemTime};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::Result;
use crate::place::{Kind, Place};

/// The time between two queries; the database has other work.
const PAUSE: Duration = Duration::from_millis(1);
/// When calls that do not end count as lost.
const PATIENCE: Duration = Duration::from_mins(2);

/// One connection to a place's database.
pub(crate) enum Watch {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// The due times of some calls, as seconds since 1970, both inclusive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    from: f64,
    to: f64,
}

impl Due {
    /// Returns the span from then until now, and a little more: databases store times with less precision. Only a
    /// little before: dead rows may have to be read there.
    pub(crate) fn since(from: SystemTime) -> Result<Self> {
        let (before, after) = (Duration::from_millis(2), Duration::from_secs(1));
        Ok(Self { from: seconds(from - before)?, to: seconds(SystemTime::now() + after)? })
    }
}

impl Watch {
    pub(crate) async fn open(place: &Place) -> Result<Self> {
        Ok(match place.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&place.url).await?;
                // The planner has no statistics of a table that has just been filled: this query must not scan all of
                // it.
                sqlx::raw_sql("SET enable_seqscan = off").execute(&mut connection).await?;
                Self::Postgres(connection)
            }
            Kind::Sqlite => {
                let options: SqliteConnectOptions = place.url.parse()?;
                Self::Sqlite(options.busy_timeout(Duration::from_secs(30)).connect().await?)
            }
        })
    }

    /// Waits until no call that was due then is scheduled or running.
    ///
    /// Not by `inspect().counts()`, which counts every stored call.
    pub(crate) async fn ended(&mut self, name: &str, due: Due) -> Result {
        let began = Instant::now();
        while self.unfinished(name, due).await? {
            if began.elapsed() > PATIENCE {
                return Err(format!("calls of {name} have no outcome after {PATIENCE:?}").into());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Returns how many calls a pod holds.
    pub(crate) async fn claimed_by(&mut self, pod: Uuid) -> Result<i64> {
        Ok(match self {
            Self::Postgres(connection) => {
                let count = "SELECT count(*) FROM futurecall.call WHERE claimed_by = $1";
                sqlx::query_scalar(count).bind(pod).fetch_one(connection).await?
            }
            Self::Sqlite(connection) => {
                let count = "SELECT count(*) FROM futurecall_call WHERE claimed_by = ?1";
                sqlx::query_scalar(count).bind(pod).fetch_one(connection).await?
            }
        })
    }

    /// Returns how many calls are in the history.
    pub(crate) async fn finished(&mut self) -> Result<i64> {
        Ok(match self {
            Self::Postgres(connection) => {
                sqlx::query_scalar("SELECT count(*) FROM futurecall.finished").fetch_one(connection).await?
            }
            Self::Sqlite(connection) => {
                sqlx::query_scalar("SELECT count(*) FROM futurecall_finished").fetch_one(connection).await?
            }
        })
    }

    async fn unfinished(&mut self, name: &str, due: Due) -> Result<bool> {
        const POSTGRES: &str = "
            SELECT EXISTS (
                SELECT 1 FROM futurecall.call
                WHERE name = $1 AND priority = 0 AND due_at BETWEEN to_timestamp($2) AND to_timestamp($3))";
        // Claimed calls are in another index there.
        const SQLITE: &str = "
            SELECT EXISTS (
                SELECT 1 FROM futurecall_call
                WHERE claimed_by IS NULL AND name = ?1 AND priority = 0
                    AND due_at BETWEEN CAST(?2 * 1e6 AS INTEGER) AND CAST(?3 * 1e6 AS INTEGER))
                OR EXISTS (SELECT 1 FROM futurecall_call WHERE claimed_by IS NOT NULL)";
        Ok(match self {
            Self::Postgres(connection) => {
                let query = sqlx::query_scalar(POSTGRES).bind(name).bind(due.from).bind(due.to);
                query.fetch_one(connection).await?
            }
            Self::Sqlite(connection) => {
                let query = sqlx::query_scalar(SQLITE).bind(name).bind(due.from).bind(due.to);
                query.fetch_one(connection).await?
            }
        })
    }
}

impl Place {
    /// Analyzes the tables and writes a checkpoint, as autovacuum and the checkpointer would some minutes later.
    pub(crate) async fn tidy(&self) -> Result {
        match Watch::open(self).await? {
            Watch::Postgres(mut connection) => {
                sqlx::raw_sql("VACUUM ANALYZE futurecall.call").execute(&mut connection).await?;
                sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
            }
            Watch::Sqlite(mut connection) => {
                sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
            }
        }
        Ok(())
    }
}

fn seconds(moment: SystemTime) -> Result<f64> {
    Ok(moment.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
}
