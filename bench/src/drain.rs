//! Running calls that are due already: from the first handler's start until every outcome is stored.

use std::time::{Duration, Instant};

use futurecall_runtime::{Config, Retention, Role};

use crate::calls::{BenchCallsExt as _, Log};
use crate::place::Store;
use crate::raw::Raw;
use crate::report::{Line, Report, Round};
use crate::{Result, Sizes};

/// No-op calls with the default settings, and with no history.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    for (history, keep) in [("off", false), ("on", true)] {
        let mut rounds = Vec::new();
        for _ in 0..sizes.rounds {
            rounds.push(round(store, sizes.drain, keep).await?);
        }
        let figure = format!("drain of {} due calls", sizes.drain);
        let line = Line::ours(store.kind, "drain", figure, "calls/s").set(&format!("history {history}"));
        report.push_with_raw(line, &rounds)?;
    }
    Ok(())
}

async fn round(store: &Store, count: u32, keep: bool) -> Result<Round> {
    let place = store.fresh().await?;
    let log = Log::new(0);
    let scheduler = place.pod(Role::Serverless, Config::new(), &log).await?;
    let calls = scheduler.future_calls();
    let many = (0..count).map(|number| calls.call_now().bench().noop(i64::from(number)));
    calls.schedule_all(many).await?;
    scheduler.shutdown().await;

    let raw = Raw::new(&place).await?;
    raw.copy_calls().await?;
    let began = Instant::now();
    let ended = raw.drain(keep).await?;
    let raw = f64::from(count) / began.elapsed().as_secs_f64();
    if ended != u64::from(count) {
        return Err(format!("plain SQL ended {ended} of {count} calls").into());
    }

    let config = if keep { Config::new() } else { Config::new().retention(no_history()) };
    let pod = place.pod(Role::Monolith, config, &log).await?;
    let began = log.all_ran(u64::from(count)).await?;
    loop {
        let counts = pod.inspect().counts().await?;
        if counts.scheduled + counts.running == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let ours = f64::from(count) / began.elapsed().as_secs_f64();
    pod.shutdown().await;
    place.remove().await?;
    Ok(Round { ours, raw })
}

fn no_history() -> Retention {
    let none = Duration::ZERO;
    Retention { succeeded: none, failed: none, interrupted: none, cancelled: none, skipped: none }
}
