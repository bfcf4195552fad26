//! An application that shares a pooler with pods.

use std::str::FromStr as _;

use futurecall_runtime::BoxError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What somebody may have left behind on a session: a line each, in one statement, so that a pooler keeps to one session.
/// (What the pooler itself sets to each client's own value is no trace.)
const TRACES: &str = "
    SELECT 'LISTEN ' || channel FROM pg_listening_channels() AS channel
    UNION ALL SELECT 'PREPARE ' || name || ': ' || statement FROM pg_prepared_statements
    UNION ALL SELECT 'DECLARE ' || name FROM pg_cursors WHERE is_holdable
    UNION ALL SELECT 'lock ' || coalesce(objid::text, '') FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'
    UNION ALL SELECT 'temporary tables' WHERE pg_my_temp_schema() <> 0
    UNION ALL SELECT 'SET ' || name || ' = ' || setting FROM pg_settings
        WHERE source = 'session' AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone',
            'standard_conforming_strings', 'transaction_isolation', 'transaction_read_only', 'transaction_deferrable')";

/// Runs statements until it is stopped, and records each that misbehaves, and each trace of other clients.
pub(crate) struct Stranger {
    stop: CancellationToken,
    task: JoinHandle<Vec<String>>,
}

impl Stranger {
    pub(crate) async fn start(url: &str) -> Self {
        let options = options(url);
        let pool = PgPoolOptions::new().max_connections(3).connect_with(options).await.unwrap();
        sqlx::raw_sql("CREATE TABLE IF NOT EXISTS public.strange (number bigint NOT NULL)")
            .execute(&pool)
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(live(pool, stop.clone()));
        Self { stop, task }
    }

    /// Ends it; gives what it noted.
    pub(crate) async fn end(self) -> Vec<String> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

fn options(url: &str) -> PgConnectOptions {
    PgConnectOptions::from_str(url).unwrap().extra_float_digits(None).application_name("stranger")
}

async fn live(pool: PgPool, stop: CancellationToken) -> Vec<String> {
    let (mut complaints, mut number) = (Vec::new(), 0);
    while !stop.is_cancelled() {
        number += 1;
        let done = tokio::try_join!(plain(&pool), transaction(&pool, number), traces(&pool));
        match done {
            Ok(((), (), traces)) => complaints.extend(traces),
            Err(error) => complaints.push(error.to_string()),
        }
    }
    let stored = sqlx::Executor::fetch_one(&pool, "SELECT count(*)::text FROM public.strange").await;
    match stored.and_then(|row| sqlx::Row::try_get::<String, _>(&row, 0)) {
        Ok(stored) if stored == number.to_string() => {}
        other => complaints.push(format!("{other:?} rows of {number}")),
    }
    pool.close().await;
    complaints.sort_unstable();
    complaints.dedup();
    complaints
}

async fn plain(pool: &PgPool) -> Result<(), BoxError> {
    let one: String = sqlx::Row::try_get(&sqlx::Executor::fetch_one(pool, "SELECT '1'").await?, 0)?;
    if one == "1" { Ok(()) } else { Err(format!("SELECT '1' is {one}").into()) }
}

async fn transaction(pool: &PgPool, number: i64) -> Result<(), BoxError> {
    let mut transaction = pool.begin().await?;
    let insert = sqlx::query("INSERT INTO public.strange VALUES ($1)").bind(number).persistent(false);
    insert.execute(&mut *transaction).await?;
    let found = sqlx::query_scalar("SELECT number FROM public.strange WHERE number = $1").bind(number);
    let found: i64 = found.persistent(false).fetch_one(&mut *transaction).await?;
    let path: String = sqlx::query_scalar("SELECT current_setting('search_path')")
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    if found == number && path == "\"$user\", public" {
        return Ok(());
    }
    Err(format!("stored {number}, found {found} by {path}").into())
}

async fn traces(pool: &PgPool) -> Result<Vec<String>, BoxError> {
    let mut transaction = pool.begin().await?;
    let traces = sqlx::query_scalar(TRACES).persistent(false).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(traces)
}

/// Looks at the sessions of a pooler that is idle, by keeping several at a time.
pub(crate) async fn look_around(url: &str) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..5 {
        let mut connection = PgConnection::connect_with(&options(url)).await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let traces: Vec<String> =
            sqlx::query_scalar(TRACES).persistent(false).fetch_all(&mut *transaction).await.unwrap();
        found.extend(traces);
        transaction.commit().await.unwrap();
    }
    found
}
