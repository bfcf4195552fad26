//! The database under torture: how pods connect to it, and what it contains in the end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futurecall_runtime::serde_json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgPool};
use uuid::Uuid;

use crate::Result;
use crate::checker::{Ended, Row, ScheduleState, State};
use crate::disk::Disk;
use crate::mutant::Mutant;
use crate::postgres::Server;

/// Either of the two databases.
#[derive(Debug)]
pub(crate) enum Database {
    Postgres { server: Server, pool: PgPool },
    Sqlite { file: PathBuf, pool: SqlitePool, disk: Option<Disk> },
}

/// Additional tables: each deletion of a claimed call, and each recorded end. What pods keep in the history, and for
/// how long, varies.
///
/// The table of finished calls has at most one row for a call, so it alone could not show that a call ended twice. (A
/// repeated insert of a call that is already finished is undone in its own transaction: that deletes a row as well, but
/// an unclaimed one.)
const POSTGRES: &str = "
    CREATE TABLE public.gone AS SELECT id, claimed_by AS pod, attempt, clock_timestamp() AS at,
        coalesce(first_due_at, due_at) AS due_at, created_at, schedule_id, attempts FROM futurecall.call WITH NO DATA;
    CREATE TABLE public.ended AS SELECT id, state, pod, attempt, finished_at AS at, due_at, created_at, schedule_id, attempts
        FROM futurecall.finished WITH NO DATA;
    CREATE FUNCTION public.note_gone() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN INSERT INTO public.gone SELECT id, claimed_by, attempt, clock_timestamp(), coalesce(first_due_at, due_at),
            created_at, schedule_id, attempts FROM old_rows WHERE claimed_by IS NOT NULL; RETURN NULL; END $$;
    CREATE FUNCTION public.note_ended() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN INSERT INTO public.ended SELECT id, state, pod, attempt, finished_at, due_at, created_at, schedule_id,
            attempts FROM new_rows; RETURN NULL; END $$;
    CREATE TRIGGER note_gone AFTER DELETE ON futurecall.call REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION public.note_gone();
    CREATE TRIGGER note_ended AFTER INSERT ON futurecall.finished REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION public.note_ended();
    CREATE TABLE public.turned_away (until timestamptz NOT NULL);
    INSERT INTO public.turned_away VALUES ('-infinity');
    GRANT SELECT ON public.turned_away TO PUBLIC;";

const SQLITE: &str = "
    CREATE TABLE gone (id BLOB NOT NULL, pod BLOB NOT NULL, attempt INTEGER NOT NULL, at INTEGER NOT NULL,
        due_at INTEGER NOT NULL, created_at INTEGER NOT NULL, schedule_id BLOB, attempts TEXT) STRICT;
    CREATE TABLE ended (id BLOB NOT NULL, state INTEGER NOT NULL, pod BLOB, attempt INTEGER NOT NULL, at INTEGER NOT NULL,
        due_at INTEGER NOT NULL, created_at INTEGER NOT NULL, schedule_id BLOB, attempts TEXT) STRICT;
    CREATE TRIGGER note_gone AFTER DELETE ON futurecall_call WHEN OLD.claimed_by IS NOT NULL
        BEGIN INSERT INTO gone VALUES (OLD.id, OLD.claimed_by, OLD.attempt,
            CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000, coalesce(OLD.first_due_at, OLD.due_at),
            OLD.created_at, OLD.schedule_id, OLD.attempts); END;
    CREATE TRIGGER note_ended AFTER INSERT ON futurecall_finished
        BEGIN INSERT INTO ended VALUES (NEW.id, NEW.state, NEW.pod, NEW.attempt, NEW.finished_at, NEW.due_at,
            NEW.created_at, NEW.schedule_id, NEW.attempts); END;";

/// A call that no pod has put into the history succeeded: each pod keeps all other outcomes.
const ROWS: &str = "
    SELECT c.id, 0 AS state, c.claimed_by AS pod, c.attempt, NULL AS finished, {us coalesce(c.first_due_at, c.due_at)} AS due,
        {us c.created_at} AS created, c.schedule_id AS schedule, {text c.attempts} AS attempts FROM {call} AS c
    UNION ALL SELECT f.id, f.state, f.pod, f.attempt, {us f.at} AS finished, {us f.due_at} AS due,
        {us f.created_at} AS created, f.schedule_id AS schedule, {text f.attempts} AS attempts FROM {ended} AS f
    UNION ALL SELECT g.id, 1 AS state, g.pod, g.attempt, {us g.at} AS finished, {us g.due_at} AS due,
        {us g.created_at} AS created, g.schedule_id AS schedule, {text g.attempts} AS attempts FROM {gone} AS g
        WHERE NOT EXISTS (SELECT 1 FROM {ended} AS e WHERE e.id = g.id)
            AND NOT EXISTS (SELECT 1 FROM {call} AS e WHERE e.id = g.id)";

/// Of each schedule: whether it is active, how many of its untried runs wait, when the last of them is due; and how
/// many of its runs wait to be retried, or are claimed by a vanished pod.
const SCHEDULES: &str = "
    SELECT s.id, s.state AS state, count(c.id) FILTER (WHERE c.claimed_by IS NULL AND c.first_due_at IS NULL) AS next,
        max({us c.due_at}) FILTER (WHERE c.claimed_by IS NULL AND c.first_due_at IS NULL) AS due,
        count(c.id) FILTER (WHERE c.first_due_at IS NOT NULL OR c.lease_until < {now}) AS open
    FROM {schedule} AS s LEFT JOIN {call} AS c ON c.schedule_id = s.id GROUP BY s.id, s.state";

impl Database {
    pub(crate) fn postgres(server: Server) -> Self {
        let pool = server.pool();
        Self::Postgres { server, pool }
    }

    pub(crate) fn sqlite(folder: &Path, disk: Option<Disk>) -> Self {
        let file = folder.join("calls.db");
        let options = SqliteConnectOptions::new().filename(&file).busy_timeout(Duration::from_secs(30));
        let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
        Self::Sqlite { file, pool, disk }
    }

    /// Adds the checker's tables, and the mistake of a mutant, once the library's tables are there.
    pub(crate) async fn prepare(&self, mutant: Option<Mutant>) -> Result {
        match self {
            Self::Postgres { pool, .. } => pool.execute(POSTGRES).await.map(drop)?,
            Self::Sqlite { pool, .. } => {
                pool.execute(SQLITE).await?;
                pool.execute(mutant.map_or("", Mutant::triggers)).await?;
            }
        }
        Ok(())
    }

    /// Lets pods log in to PostgreSQL as a role of their own, with the rights of a worker only, once the tables are
    /// there.
    pub(crate) async fn admit_pods(&self) -> Result {
        if let Self::Postgres { pool, .. } = self {
            pool.execute(include_str!("../../migrations/roles.sql")).await?;
            pool.execute("CREATE ROLE pod LOGIN IN ROLE futurecall_worker").await?;
        }
        Ok(())
    }

    /// Copies it to a folder, if it would end with this program. The server ends.
    pub(crate) fn keep(&self, place: &Path, kept: &Path) -> Result {
        let is_fleeting = match self {
            Self::Postgres { server, .. } => server.stop().map(|()| server.disks.is_some())?,
            Self::Sqlite { disk, .. } => disk.is_some(),
        };
        if is_fleeting {
            std::process::Command::new("cp").arg("-a").arg(place).arg(kept).status()?;
        }
        Ok(())
    }

    /// Fails if there is any other file beside the database once all processes have ended cleanly, or if the file alone
    /// has fewer calls than were seen.
    pub(crate) async fn is_whole(&self, calls: usize) -> Result {
        let Self::Sqlite { file, pool, .. } = self else { return Ok(()) };
        // The last connection of all.
        pool.close().await;
        for ending in ["-wal", "-shm"] {
            let mut beside = file.clone().into_os_string();
            beside.push(ending);
            if Path::new(&beside).exists() {
                return Err(format!("everybody has ended, and {} is still there", beside.display()).into());
            }
        }
        let options = SqliteConnectOptions::new().filename(file).read_only(true).immutable(true);
        let mut alone = SqliteConnection::connect_with(&options).await?;
        let found: i64 = sqlx::query_scalar(
            self.sql("SELECT count(*) FROM (SELECT id FROM {call} UNION SELECT id FROM {ended} UNION SELECT id FROM {gone})"),
        )
        .fetch_one(&mut alone)
        .await?;
        alone.close().await?;
        if usize::try_from(found)? < calls {
            return Err(format!("the file alone holds {found} calls, and there were {calls}").into());
        }
        Ok(())
    }

    /// Waits for the reply to a small query; on PostgreSQL on a new connection, like a pod that was disconnected.
    pub(crate) async fn ping(&self) -> Result {
        match self {
            Self::Postgres { server, .. } => server.connect().await?.execute("SELECT 1").await.map(drop)?,
            Self::Sqlite { pool, .. } => pool.execute("SELECT 1 FROM gone LIMIT 1").await.map(drop)?,
        }
        Ok(())
    }

    /// Returns how many calls are scheduled or running, without those of schedules.
    pub(crate) async fn pending(&self) -> Result<i64> {
        let count = self.sql("SELECT count(*) FROM {call} AS c WHERE c.schedule_id IS NULL");
        Ok(match self {
            Self::Postgres { pool, .. } => sqlx::query_scalar(count).fetch_one(pool).await?,
            Self::Sqlite { pool, .. } => sqlx::query_scalar(count).fetch_one(pool).await?,
        })
    }

    /// Returns its schedules, by the names of their calls.
    pub(crate) async fn schedules_by_name(&self) -> Result<Vec<(String, Uuid)>> {
        let sql = self.sql("SELECT s.name, s.id FROM {schedule} AS s");
        Ok(match self {
            Self::Postgres { pool, .. } => sqlx::query_as(sql).fetch_all(pool).await?,
            Self::Sqlite { pool, .. } => sqlx::query_as(sql).fetch_all(pool).await?,
        })
    }

    /// Returns the time of its clock, in microseconds since 1970.
    pub(crate) async fn now(&self) -> Result<i64> {
        Ok(match self {
            Self::Postgres { pool, .. } => {
                sqlx::query_scalar(self.sql("SELECT {us clock_timestamp()}")).fetch_one(pool).await?
            }
            Self::Sqlite { .. } => crate::clock::wall(),
        })
    }

    /// Returns the state of each schedule, and whether some run of it is in transition: to be retried, or its pod
    /// vanished.
    pub(crate) async fn schedules(&self) -> Result<HashMap<Uuid, (ScheduleState, bool)>> {
        let standing = |id, state: i64, next: i64, due, open: i64| {
            let next = usize::try_from(next).unwrap_or(0);
            (id, (ScheduleState { active: state == 0, next, due }, open > 0))
        };
        let sql = self.sql(SCHEDULES);
        Ok(match self {
            Self::Postgres { pool, .. } => {
                let rows: Vec<(Uuid, i16, i64, Option<i64>, i64)> =
                    sqlx::query_as(sql).fetch_all(pool).await?;
                rows.into_iter()
                    .map(|(id, state, next, due, open)| standing(id, state.into(), next, due, open))
                    .collect()
            }
            Self::Sqlite { pool, .. } => {
                let rows: Vec<(Uuid, i64, i64, Option<i64>, i64)> =
                    sqlx::query_as(sql).fetch_all(pool).await?;
                rows.into_iter()
                    .map(|(id, state, next, due, open)| standing(id, state, next, due, open))
                    .collect()
            }
        })
    }

    /// Returns a statement with the names and the time expressions of this database.
    fn sql(&self, template: &str) -> sqlx::AssertSqlSafe<String> {
        let (prefix, now) = match self {
            Self::Postgres { .. } => ("futurecall.", "clock_timestamp()".to_owned()),
            Self::Sqlite { .. } => ("futurecall_", crate::clock::wall().to_string()),
        };
        let mut sql = template.replace("{now}", &now);
        for table in ["call", "schedule"] {
            sql = sql.replace(&format!("{{{table}}}"), &format!("{prefix}{table}"));
        }
        sql = sql.replace("{ended}", "ended").replace("{gone}", "gone");
        // What is still in braces: a time as microseconds, or JSON as text.
        while let Some((before, (piece, after))) =
            sql.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            let (kind, column) = piece.split_once(' ').unwrap_or(("", piece));
            let written = match (self, kind) {
                (Self::Postgres { .. }, "us") => format!("(extract(epoch FROM {column}) * 1000000)::bigint"),
                (Self::Postgres { .. }, _) => format!("{column}::text"),
                (Self::Sqlite { .. }, _) => column.to_owned(),
            };
            sql = format!("{before}{written}{after}");
        }
        sqlx::AssertSqlSafe(sql)
    }

    /// Returns everything it contains.
    pub(crate) async fn rows(&self) -> Result<HashMap<Uuid, Row>> {
        let (rows, gone) = match self {
            Self::Postgres { pool, .. } => {
                let rows = sqlx::query(self.sql(ROWS)).fetch_all(pool).await?;
                let rows: Result<Vec<_>> = rows.iter().map(read).collect();
                let gone = "SELECT id, count(*) FROM public.gone GROUP BY id";
                (rows?, sqlx::query_as::<_, (Uuid, i64)>(gone).fetch_all(pool).await?)
            }
            Self::Sqlite { pool, .. } => {
                let rows = sqlx::query(self.sql(ROWS)).fetch_all(pool).await?;
                let rows: Result<Vec<_>> = rows.iter().map(read).collect();
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

/// Opens another process's connection to the same file.
pub(crate) async fn stranger(file: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(10));
    Ok(options.connect().await?)
}

fn read<'r, R: sqlx::Row>(row: &'r R) -> Result<(Uuid, Row)>
where
    &'static str: sqlx::ColumnIndex<R>,
    Uuid: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i32: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    let attempt: i32 = row.try_get("attempt")?;
    let attempts: Option<String> = row.try_get("attempts")?;
    let known = Row {
        state: match row.try_get::<i32, _>("state")? {
            0 => State::Pending,
            1 => State::Succeeded,
            2 => State::Failed,
            3 => State::Interrupted,
            4 => State::Cancelled,
            6 => State::Skipped,
            _ => State::Other,
        },
        pod: row.try_get("pod")?,
        attempt: u32::try_from(attempt).unwrap_or(0),
        finished: row.try_get("finished")?,
        gone: 0,
        due: row.try_get("due")?,
        created: row.try_get("created")?,
        schedule: row.try_get("schedule")?,
        ended: ended(attempts.as_deref().unwrap_or("[]"))?,
    };
    Ok((row.try_get("id")?, known))
}

/// Parses the attempts of a row, which both databases write alike.
fn ended(json: &str) -> Result<Vec<Ended>> {
    let all: Vec<serde_json::Value> = serde_json::from_str(json)?;
    let read = |one: &serde_json::Value| {
        Some(Ended {
            attempt: u32::try_from(one.get("attempt")?.as_u64()?).ok()?,
            pod: one.get("pod")?.as_str()?.parse().ok(),
            failed: one.get("state")?.as_i64()? == 2,
            at: one.get("ended_at")?.as_i64()?,
        })
    };
    let ended: Option<Vec<Ended>> = all.iter().map(read).collect();
    ended.ok_or_else(|| format!("no attempts: {json}").into())
}
