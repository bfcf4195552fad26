//! The cost of an idle pod.

use std::time::Instant;

use futurecall_runtime::{Config, Role};

use crate::calls::Log;
use crate::place::{Kind, Place, Store};
use crate::process::processor_time;
use crate::report::{Line, Report};
use crate::{Result, Sizes};

/// Measures transactions of the database, and processor time of this process.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    let idle = of(store, sizes, Config::new()).await?;
    if let Some(transactions) = idle.transactions {
        report.push(Line::ours(store.kind, "idle", "idle: transactions", "/s").value(transactions))?;
    }
    let line = Line::ours(store.kind, "idle_cpu", "idle: processor time of the pod", "% of a core");
    report.push(line.value(idle.processor * 100.0))
}

pub(crate) struct Idle {
    /// Per second, by all clients; `None` on SQLite, which does not count them.
    pub(crate) transactions: Option<f64>,
    /// The fraction of a core.
    pub(crate) processor: f64,
}

/// Measures one pod with these settings and without calls.
pub(crate) async fn of(store: &Store, sizes: &Sizes, config: Config) -> Result<Idle> {
    let place = store.fresh().await?;
    let pod = place.pod(Role::Monolith, config, &Log::new(0)).await?;
    // The work of a start is over by then, and counted: an idle backend reports its transactions up to ten seconds
    // late.
    tokio::time::sleep(sizes.settle).await;

    let this = std::process::id();
    let before = transactions(&place).await?;
    let (began, processor) = (Instant::now(), processor_time(this)?);
    tokio::time::sleep(sizes.idle).await;
    let seconds = began.elapsed().as_secs_f64();
    let processor = processor_time(this)?.saturating_sub(processor).as_secs_f64() / seconds;
    let after = transactions(&place).await?;

    pod.shutdown().await;
    place.remove().await?;
    let transactions = before.zip(after).map(|(before, after)| f64::from(after - before) / seconds);
    Ok(Idle { transactions, processor })
}

/// Returns the transactions of the pod's database, of all clients. Queried from another database, so that the query
/// does not count.
async fn transactions(place: &Place) -> Result<Option<i32>> {
    if place.kind == Kind::Sqlite {
        return Ok(None);
    }
    let mut connection = place.beside().await?;
    let count = "SELECT (xact_commit + xact_rollback)::int4 FROM pg_stat_database WHERE datname = $1";
    Ok(Some(sqlx::query_scalar(count).bind(&place.name).fetch_one(&mut connection).await?))
}
