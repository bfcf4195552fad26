//! An idle program, observed from outside.

use std::process::Stdio;
use std::time::{Duration, Instant};

use peer_work::Order;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::contestant::Contestant;
use super::line::Line;
use crate::Result;
use crate::place::{Kind, Place};

/// Measures transactions of the database per second (SQLite does not count them), and the process's processor time.
pub(crate) async fn idle(
    who: &Contestant,
    place: &Place,
    order: &Order,
    settle: Duration,
    time: Duration,
) -> Result<Line> {
    let mut child = who.command(order)?.stdin(Stdio::piped()).spawn()?;
    let pid = child.id().ok_or("it has ended already")?;
    let stdout = child.stdout.take().ok_or("it has no output")?;
    let ready = BufReader::new(stdout).lines().next_line().await?;
    let mut line: Line = serde_json::from_str(&ready.ok_or("it ended before it was ready")?)?;
    tokio::time::sleep(settle).await;

    let before = transactions(place).await?;
    let (began, cpu) = (Instant::now(), ticks(pid)?);
    tokio::time::sleep(time).await;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = f64::from(ticks(pid)? - cpu);
    let after = transactions(place).await?;

    drop(child.stdin.take());
    // It may have work to finish, or never end.
    if tokio::time::timeout(Duration::from_secs(10), child.wait()).await.is_err() {
        child.kill().await?;
    }
    // `stat` counts in hundredths of a second, and all threads.
    let percent = cpu / seconds;
    if let (Some(before), Some(after)) = (before, after) {
        line.value = Some(f64::from(after - before) / seconds);
        "transactions/s".clone_into(&mut line.unit);
        line.more.insert("cpu".into(), json!(percent));
    } else {
        line.value = Some(percent);
        "% of a core".clone_into(&mut line.unit);
    }
    Ok(line)
}

/// Returns the transactions of the database, of all clients. Queried from another database, so that the query does not
/// count.
async fn transactions(place: &Place) -> Result<Option<i32>> {
    if place.kind == Kind::Sqlite {
        return Ok(None);
    }
    let mut connection = place.beside().await?;
    let count = "SELECT (xact_commit + xact_rollback)::int4 FROM pg_stat_database WHERE datname = $1";
    Ok(Some(sqlx::query_scalar(count).bind(&place.name).fetch_one(&mut connection).await?))
}

/// Returns the processor time of a process.
fn ticks(pid: u32) -> Result<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name, in parentheses, may contain anything; the times are the 12th and 13th fields after it.
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/…/stat does not read")?;
    let mut ticks = 0;
    for field in fields.split_ascii_whitespace().skip(11).take(2) {
        ticks += field.parse::<u32>()?;
    }
    Ok(ticks)
}
