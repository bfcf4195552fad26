//! The database under torture: how pods reach it, and what it holds in the end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Executor as _, PgPool, Row as _};
use uuid::Uuid;

use crate::Result;
use crate::checker::{Row, State};
use crate::postgres::Server;

/// Either of the two.
#[derive(Debug)]
pub(crate) enum Database {
    Postgres { server: Server, pool: PgPool },
    Sqlite { file: PathBuf, pool: SqlitePool },
}

/// Beside the library's tables: how often each call was deleted while it was claimed.
///
/// The table of what is over has one row a call at most, so it alone could not show that a call ended twice. (A repeated
/// insert whose call is over already is undone in its own transaction: that deletes a row as well, which nobody claimed.)
const POSTGRES: &str = "
    CREATE TABLE public.gone (id uuid NOT NULL);
    CREATE FUNCTION public.note_gone() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.gone SELECT id FROM old_rows WHERE claimed_by IS NOT NULL; RETURN NULL; END $$;
    CREATE TRIGGER note_gone AFTER DELETE ON futurecall.call REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION public.note_gone();";

const SQLITE: &str = "
    CREATE TABLE gone (id BLOB NOT NULL) STRICT;
    CREATE TRIGGER note_gone AFTER DELETE ON futurecall_call WHEN OLD.claimed_by IS NOT NULL
        BEGIN INSERT INTO gone VALUES (OLD.id); END;";

const ROWS: &str = "
    SELECT c.id, 0 AS state, c.claimed_by AS pod, c.attempt, NULL AS finished FROM {call} AS c
    UNION ALL SELECT f.id, f.state, f.pod, f.attempt, {finished} AS finished FROM {finished_table} AS f";

impl Database {
    pub(crate) fn postgres(server: Server) -> Self {
        let pool = server.pool();
        Self::Postgres { server, pool }
    }

    pub(crate) fn sqlite(folder: &Path) -> Self {
        let file = folder.join("calls.db");
        let options = SqliteConnectOptions::new().filename(&file).busy_timeout(Duration::from_secs(30));
        let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
        Self::Sqlite { file, pool }
    }

    /// Adds what the checker wants to know, once the library's tables are there.
    pub(crate) async fn prepare(&self) -> Result {
        match self {
            Self::Postgres { pool, .. } => pool.execute(POSTGRES).await.map(drop)?,
            Self::Sqlite { pool, .. } => pool.execute(SQLITE).await.map(drop)?,
        }
        Ok(())
    }

    /// Waits for the answer to a small question.
    pub(crate) async fn ping(&self) -> Result {
        match self {
            Self::Postgres { pool, .. } => pool.execute("SELECT 1").await.map(drop)?,
            Self::Sqlite { pool, .. } => pool.execute("SELECT 1 FROM gone LIMIT 1").await.map(drop)?,
        }
        Ok(())
    }

    /// How many calls are scheduled or running.
    pub(crate) async fn pending(&self) -> Result<i64> {
        Ok(match self {
            Self::Postgres { pool, .. } => {
                sqlx::query_scalar("SELECT count(*) FROM futurecall.call").fetch_one(pool).await?
            }
            Self::Sqlite { pool, .. } => {
                sqlx::query_scalar("SELECT count(*) FROM futurecall_call").fetch_one(pool).await?
            }
        })
    }

    /// Everything it holds.
    pub(crate) async fn rows(&self) -> Result<HashMap<Uuid, Row>> {
        let (rows, gone) = match self {
            Self::Postgres { pool, .. } => {
                let micros = "(extract(epoch FROM f.finished_at) * 1000000)::bigint";
                let sql = query("futurecall.call", micros, "futurecall.finished");
                let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(pool).await?;
                let rows: sqlx::Result<Vec<_>> =
                    rows.iter().map(|row| read(row, |row| row.try_get("state"))).collect();
                let gone = "SELECT id, count(*) FROM public.gone GROUP BY id";
                (rows?, sqlx::query_as::<_, (Uuid, i64)>(gone).fetch_all(pool).await?)
            }
            Self::Sqlite { pool, .. } => {
                let sql = query("futurecall_call", "f.finished_at", "futurecall_finished");
                let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(pool).await?;
                let rows: sqlx::Result<Vec<_>> =
                    rows.iter().map(|row| read(row, |row| row.try_get("state"))).collect();
                let gone = "SELECT id, count(*) FROM gone GROUP BY id";
                (rows?, sqlx::query_as::<_, (Uuid, i64)>(gone).fetch_all(pool).await?)
            }
        };
        let mut rows: HashMap<Uuid, Row> = rows.into_iter().collect();
        for (id, count) in gone {
            if let Some(row) = rows.get_mut(&id) {
                row.gone = u32::try_from(count).unwrap_or(u32::MAX);
            }
        }
        Ok(rows)
    }
}

/// A connection of somebody else to the same file.
pub(crate) async fn stranger(file: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(10));
    Ok(options.connect().await?)
}

fn query(call: &str, finished: &str, finished_table: &str) -> String {
    ROWS.replace("{call}", call).replace("{finished}", finished).replace("{finished_table}", finished_table)
}

fn read<'r, R: sqlx::Row>(row: &'r R, state: impl Fn(&'r R) -> sqlx::Result<i32>) -> sqlx::Result<(Uuid, Row)>
where
    &'static str: sqlx::ColumnIndex<R>,
    Uuid: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i32: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    let attempt: i32 = row.try_get("attempt")?;
    let known = Row {
        state: match state(row)? {
            0 => State::Pending,
            1 => State::Succeeded,
            3 => State::Interrupted,
            4 => State::Cancelled,
            _ => State::Other,
        },
        pod: row.try_get("pod")?,
        attempt: u32::try_from(attempt).unwrap_or(0),
        finished: row.try_get("finished")?,
        gone: 0,
    };
    Ok((row.try_get("id")?, known))
}
