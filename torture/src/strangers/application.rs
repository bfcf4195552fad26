//! An application next to the pods: its statements must work, and find nothing that others have left behind.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{Executor as _, Row as _};
use tokio_util::sync::CancellationToken;

use crate::Result;

/// Everything that may be left behind on a session, in one statement, so that a pooler keeps to one session.
const TRACES: &str = "
    SELECT 'LISTEN ' || channel FROM pg_listening_channels() AS channel
    UNION ALL SELECT 'PREPARE ' || name FROM pg_prepared_statements
    UNION ALL SELECT 'lock ' || coalesce(objid::text, '') FROM pg_locks
        WHERE pid = pg_backend_pid() AND locktype = 'advisory'
    UNION ALL SELECT 'temporary tables' WHERE pg_my_temp_schema() <> 0
    UNION ALL SELECT 'search_path = ' || current_setting('search_path')
        WHERE current_setting('search_path') <> '\"$user\", public'";

/// Its own connections.
pub(super) enum Application {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Application {
    pub(super) async fn postgres(url: &str) -> Result<Self> {
        let options =
            PgConnectOptions::from_str(url)?.extra_float_digits(None).application_name("application");
        let pool = PgPoolOptions::new().max_connections(3).connect_with(options).await?;
        pool.execute("CREATE TABLE public.strange (number bigint NOT NULL)").await?;
        Ok(Self::Postgres(pool))
    }

    pub(super) async fn sqlite(file: PathBuf) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(3).connect_with(options).await?;
        pool.execute("CREATE TABLE strange (number INTEGER NOT NULL) STRICT").await?;
        Ok(Self::Sqlite(pool))
    }

    /// Works until stopped; returns how often, and the errors.
    pub(super) async fn live(self, stop: CancellationToken) -> (i64, Vec<String>) {
        let (mut number, mut complaints) = (0, Vec::new());
        while !stop.is_cancelled() {
            number += 1;
            match self.round(number).await {
                Ok(found) => complaints.extend(found),
                Err(error) => complaints.push(error.to_string()),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        match self.stored().await {
            Ok(stored) if stored == number => {}
            other => complaints.push(format!("{other:?} rows of {number} are there")),
        }
        (number, complaints)
    }

    async fn round(&self, number: i64) -> Result<Vec<String>> {
        match self {
            Self::Postgres(pool) => {
                pool.execute("SELECT 1").await?;
                let mut transaction = pool.begin().await?;
                let insert = sqlx::query("INSERT INTO public.strange VALUES ($1)").bind(number);
                insert.persistent(false).execute(&mut *transaction).await?;
                let traces =
                    sqlx::query_scalar(TRACES).persistent(false).fetch_all(&mut *transaction).await?;
                transaction.commit().await?;
                Ok(traces)
            }
            Self::Sqlite(pool) => {
                pool.execute("SELECT 1").await?;
                sqlx::query("INSERT INTO strange VALUES (?)").bind(number).execute(pool).await?;
                Ok(Vec::new())
            }
        }
    }

    async fn stored(&self) -> Result<i64> {
        Ok(match self {
            Self::Postgres(pool) => {
                let row = pool.fetch_one("SELECT count(*) AS count FROM public.strange").await?;
                row.try_get("count")?
            }
            Self::Sqlite(pool) => {
                let row = pool.fetch_one("SELECT count(*) AS count FROM strange").await?;
                row.try_get("count")?
            }
        })
    }
}
