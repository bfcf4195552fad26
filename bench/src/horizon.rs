//! Storing and running in turns while another client keeps a transaction open: the database cannot remove dead rows.

use std::time::{Instant, SystemTime};

use futurecall_runtime::{Config, Pod, Role};
use sqlx::Connection as _;

use crate::calls::{BenchCallsExt as _, Log};
use crate::place::Store;
use crate::report::{Line, Report};
use crate::watch::{Due, Watch};
use crate::{NOOP, Result, Sizes};

/// Measures the rate of the first part and of the last, without such a transaction and with one.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    for (set, held) in [("no transaction held open", false), ("a transaction held open", true)] {
        let rates = rates(store, sizes, held).await?;
        let (Some(first), Some(last)) = (rates.first(), rates.last()) else {
            return Err("nothing was measured".into());
        };
        let (part, all) = (sizes.part, u64::from(sizes.part) * sizes.parts as u64);
        let line = |figure: String, unit| Line::ours(store.kind, "horizon", figure, unit).set(set);
        let figure = |which: &str| format!("drain in turns, the {which} {part} of {all}");
        report.push(line(figure("first"), "calls/s").value(*first).with("parts", rates.clone()))?;
        report.push(line(figure("last"), "calls/s").value(*last))?;
        let figure = format!("drain in turns, the last {part} of {all}");
        let line = Line::ours(store.kind, "horizon_ratio", figure, "× of the first").set(set);
        report.push(line.value(last / first))?;
    }
    Ok(())
}

/// Returns calls per second while they run, part by part.
async fn rates(store: &Store, sizes: &Sizes, held: bool) -> Result<Vec<f64>> {
    let place = store.fresh().await?;
    let log = Log::new(0);
    let pod = place.pod(Role::Monolith, Config::new(), &log).await?;
    let mut watch = Watch::open(&place).await?;
    let mut open = if held { Some(Open::begin(&place).await?) } else { None };
    let mut rates = Vec::with_capacity(sizes.parts);
    for _ in 0..sizes.parts {
        let (mut ran, mut seconds) = (0, 0.0);
        while ran < sizes.part {
            seconds += turn(&pod, &log, &mut watch, sizes.turn).await?;
            ran += sizes.turn;
        }
        rates.push(f64::from(ran) / seconds);
    }
    if let Some(open) = &mut open {
        open.still().await?;
    }
    pod.shutdown().await;
    drop(open);
    place.remove().await?;
    Ok(rates)
}

/// Stores that many calls and waits until they have ended; returns how long that took once they were stored.
async fn turn(pod: &Pod, log: &Log, watch: &mut Watch, calls: u32) -> Result<f64> {
    let (from, before) = (SystemTime::now(), log.count());
    let future = pod.future_calls();
    future.schedule_all((0..calls).map(|number| future.call_now().bench().noop(i64::from(number)))).await?;
    let due = Due::since(from)?;
    let began = Instant::now();
    log.reaches(before + u64::from(calls)).await?;
    watch.ended(NOOP, due).await?;
    Ok(began.elapsed().as_secs_f64())
}

/// A transaction that has read once and remains open.
enum Open {
    Postgres(sqlx::PgConnection),
    Sqlite(sqlx::SqliteConnection),
}

impl Open {
    async fn begin(place: &crate::place::Place) -> Result<Self> {
        Ok(match Watch::open(place).await? {
            Watch::Postgres(mut connection) => {
                sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM futurecall.call")
                    .execute(&mut connection)
                    .await?;
                Self::Postgres(connection)
            }
            Watch::Sqlite(mut connection) => {
                sqlx::raw_sql("BEGIN; SELECT count(*) FROM futurecall_call").execute(&mut connection).await?;
                Self::Sqlite(connection)
            }
        })
    }

    /// Fails if the transaction has ended meanwhile: then it was not measured.
    async fn still(&mut self) -> Result {
        let calls: i64 = match self {
            Self::Postgres(connection) => {
                sqlx::query_scalar("SELECT count(*) FROM futurecall.call").fetch_one(connection).await?
            }
            Self::Sqlite(connection) => {
                connection.ping().await?;
                sqlx::query_scalar("SELECT count(*) FROM futurecall_call").fetch_one(connection).await?
            }
        };
        if calls == 0 { Ok(()) } else { Err("the transaction sees what came after it".into()) }
    }
}
