//! Running calls that are due already: from the first handler's start until every outcome is stored.

use std::time::{Duration, Instant, SystemTime};

use futurecall_runtime::{Config, Retention, Role};

use crate::calls::{BenchCallsExt as _, Log};
use crate::place::{Place, Store};
use crate::raw::Raw;
use crate::report::{Line, Report, Round};
use crate::watch::{Due, Watch};
use crate::{NOOP, Result, Sizes};

/// Measures no-op calls with the default settings, and without history: few in rounds, and many at once.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    measure_of(store, sizes.drain, sizes.rounds, report).await
}

/// Measures a long drain.
pub(crate) async fn measure_large(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    measure_of(store, sizes.large_drain, 1, report).await
}

async fn measure_of(store: &Store, count: u32, rounds: usize, report: &mut Report) -> Result {
    for (history, keep) in [("history off", false), ("history on", true)] {
        let mut done = Vec::new();
        for _ in 0..rounds {
            done.push(round(store, count, keep).await?);
        }
        let figure = format!("drain of {count} due calls");
        report.push_with_raw(Line::ours(store.kind, "drain", figure, "calls/s").set(history), &done)?;
    }
    Ok(())
}

async fn round(store: &Store, count: u32, keep: bool) -> Result<Round> {
    let place = store.fresh().await?;
    let due = fill(&place, count).await?;

    let raw = Raw::new(&place).await?;
    raw.copy_calls().await?;
    let began = Instant::now();
    let ended = raw.drain(keep).await?;
    let raw = f64::from(count) / began.elapsed().as_secs_f64();
    if ended != u64::from(count) {
        return Err(format!("plain SQL ended {ended} of {count} calls").into());
    }

    let ours = run(&place, count, due, history(keep)).await?;
    place.remove().await?;
    Ok(Round { ours, raw })
}

/// Stores that many no-op calls that are due now.
pub(crate) async fn fill(place: &Place, count: u32) -> Result<Due> {
    let from = SystemTime::now();
    let scheduler = place.pod(Role::Serverless, Config::new(), &Log::new(0)).await?;
    let calls = scheduler.future_calls();
    let many = (0..count).map(|number| calls.call_now().bench().noop(i64::from(number)));
    calls.schedule_all(many).await?;
    scheduler.shutdown().await;
    Due::since(from)
}

/// Runs the due calls on one pod; returns calls per second.
pub(crate) async fn run(place: &Place, count: u32, due: Due, config: Config) -> Result<f64> {
    let log = Log::new(0);
    let mut watch = Watch::open(place).await?;
    let pod = place.pod(Role::Monolith, config, &log).await?;
    log.reaches(u64::from(count)).await?;
    watch.ended(NOOP, due).await?;
    let rate = rate_since(log.first(), count)?;
    pod.shutdown().await;
    if log.count() != u64::from(count) {
        return Err(format!("{count} calls were stored and {} ran", log.count()).into());
    }
    Ok(rate)
}

/// Returns calls per second since the first of them started.
pub(crate) fn rate_since(first: Option<SystemTime>, count: u32) -> Result<f64> {
    let first = first.ok_or("no call ran")?;
    Ok(f64::from(count) / SystemTime::now().duration_since(first)?.as_secs_f64())
}

/// Returns the defaults, or those without history.
pub(crate) fn history(keep: bool) -> Config {
    if keep { Config::new() } else { Config::new().retention(no_history()) }
}

fn no_history() -> Retention {
    let none = Duration::ZERO;
    Retention { succeeded: none, failed: none, interrupted: none, cancelled: none, skipped: none }
}
