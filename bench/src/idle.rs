//! What a pod costs that has nothing to do.

use std::time::Instant;

use futurecall_runtime::{Config, Role};

use crate::calls::Log;
use crate::place::{Kind, Place, Store};
use crate::report::{Line, Report};
use crate::{Result, Sizes};

/// Transactions of the database, and processor time of this process.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    let place = store.fresh().await?;
    let pod = place.pod(Role::Monolith, Config::new(), &Log::new(0)).await?;
    // What a start does is over by then, and counted: an idle backend reports its transactions up to ten seconds late.
    tokio::time::sleep(sizes.settle).await;

    let before = transactions(&place).await?;
    let (began, cpu) = (Instant::now(), cpu()?);
    tokio::time::sleep(sizes.idle).await;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = self::cpu()? - cpu;
    let after = transactions(&place).await?;

    pod.shutdown().await;
    let kind = place.kind;
    place.remove().await?;
    if let (Some(before), Some(after)) = (before, after) {
        let line = Line::ours(kind, "idle", "idle: transactions", "/s");
        report.push(line.value(f64::from(after - before) / seconds))?;
    }
    let line = Line::ours(kind, "idle_cpu", "idle: processor time of the pod", "% of a core");
    report.push(line.value(cpu / seconds * 100.0))
}

/// How many the pod's database has seen, of anybody. Asked from beside, so that the question does not count.
async fn transactions(place: &Place) -> Result<Option<i32>> {
    if place.kind == Kind::Sqlite {
        return Ok(None);
    }
    let mut connection = place.beside().await?;
    let count = "SELECT (xact_commit + xact_rollback)::int4 FROM pg_stat_database WHERE datname = $1";
    Ok(Some(sqlx::query_scalar(count).bind(&place.name).fetch_one(&mut connection).await?))
}

/// Seconds that this process has run on a processor. `stat` counts in hundredths of a second, and all threads.
fn cpu() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The program's name, in parentheses, may hold anything; the times are the 12th and 13th fields after it.
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/self/stat does not read")?;
    let mut ticks = 0;
    for field in fields.split_ascii_whitespace().skip(11).take(2) {
        ticks += field.parse::<u32>()?;
    }
    Ok(f64::from(ticks) / 100.0)
}
