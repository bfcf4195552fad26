//! The cost of a call for the database: bytes of its write-ahead log, and dead tuples.

use std::time::{Duration, Instant};

use futurecall_runtime::{Config, Role};
use sqlx::{Connection as _, PgConnection};

use crate::calls::{BenchCallsExt as _, Log};
use crate::place::{Kind, Store};
use crate::report::{Line, Report};
use crate::{HOUR, Result, Sizes, drain};

/// Measures storing in bulk, storing by 64 callers, and claiming and finishing. PostgreSQL only: SQLite counts neither.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    if store.kind == Kind::Sqlite {
        return Ok(());
    }
    let callers = enqueue_by_callers(store, sizes).await?;
    report.push(line("WAL of an enqueue by 64 callers", "bytes/call").value(callers))?;
    for (set, keep) in [("history off", false), ("history on", true)] {
        let cost = bulk_and_drain(store, sizes.cost, keep).await?;
        if keep {
            report.push(line("WAL of a bulk enqueue", "bytes/call").value(cost.stored))?;
        }
        report.push(line("WAL of a claim and its end", "bytes/call").set(set).value(cost.ran))?;
        report.push(line("dead tuples", "/call").set(set).value(cost.dead))?;
        report.push(line("updates that were HOT", "%").set(set).value(cost.hot * 100.0))?;
    }
    Ok(())
}

fn line(figure: &str, unit: &str) -> Line {
    Line::ours(Kind::Postgres, "cost", figure, unit)
}

/// Per call.
struct Cost {
    stored: f64,
    ran: f64,
    dead: f64,
    /// The part of the updates that wrote no index.
    hot: f64,
}

async fn enqueue_by_callers(store: &Store, sizes: &Sizes) -> Result<f64> {
    let place = store.fresh().await?;
    let pod = place.pod(Role::Serverless, Config::new(), &Log::new(0)).await?;
    let mut connection = PgConnection::connect(&place.url).await?;
    let before = written(&mut connection).await?;
    let each = sizes.cost / 64;
    let callers = (0..64).map(|_| {
        let calls = pod.future_calls();
        async move {
            for number in 0..each {
                calls.call_with_delay(HOUR).bench().noop(i64::from(number)).await?;
            }
            Ok(each)
        }
    });
    crate::rate::rate(callers).await?;
    let bytes = written(&mut connection).await? - before;
    connection.close().await?;
    pod.shutdown().await;
    place.remove().await?;
    Ok(bytes / f64::from(each * 64))
}

async fn bulk_and_drain(store: &Store, count: u32, keep: bool) -> Result<Cost> {
    let place = store.fresh().await?;
    // The tables, and the database's own writes for a new database, do not count.
    place.pod(Role::Serverless, Config::new(), &Log::new(0)).await?.shutdown().await;
    let mut connection = PgConnection::connect(&place.url).await?;
    let empty = written(&mut connection).await?;
    let due = drain::fill(&place, count).await?;
    let stored = written(&mut connection).await?;
    drain::run(&place, count, due, drain::history(keep)).await?;
    let ran = written(&mut connection).await?;
    let tuples = Tuples::after(&mut connection, i64::from(count)).await?;
    connection.close().await?;
    place.remove().await?;
    let calls = f64::from(count);
    let [dead, updated, hot] = [tuples.updated + tuples.deleted, tuples.updated, tuples.hot].map(as_float);
    Ok(Cost {
        stored: (stored - empty) / calls,
        ran: (ran - stored) / calls,
        dead: dead / calls,
        hot: hot / updated,
    })
}

/// The database's statistics of the table of calls. An updated and a deleted row leave a dead tuple each; how many are
/// dead at a time also depends on vacuum.
struct Tuples {
    updated: i64,
    hot: i64,
    deleted: i64,
}

impl Tuples {
    /// Waits until the pod's connections have reported that all calls are gone.
    async fn after(connection: &mut PgConnection, deleted: i64) -> Result<Self> {
        const COUNTS: &str = "
            SELECT n_tup_upd, n_tup_hot_upd, n_tup_del FROM pg_stat_user_tables
            WHERE schemaname = 'futurecall' AND relname = 'call'";
        let began = Instant::now();
        loop {
            let (updated, hot, gone): (i64, i64, i64) =
                sqlx::query_as(COUNTS).fetch_one(&mut *connection).await?;
            if gone >= deleted {
                return Ok(Self { updated, hot, deleted: gone });
            }
            if began.elapsed() > Duration::from_mins(1) {
                return Err(format!("the database counted {gone} deleted rows of {deleted}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Returns the bytes of the write-ahead log so far, of all clients.
async fn written(connection: &mut PgConnection) -> Result<f64> {
    let bytes = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8";
    Ok(sqlx::query_scalar(bytes).fetch_one(connection).await?)
}

#[expect(clippy::cast_precision_loss, reason = "some hundred thousand tuples")]
fn as_float(count: i64) -> f64 {
    count as f64
}
