//! How soon a call starts on a pod that has nothing else to do.

use std::time::{Duration, Instant, SystemTime};

use futurecall_runtime::{Config, Pod, Role};

use crate::calls::{BenchCallsExt as _, Log};
use crate::place::Store;
use crate::report::{Line, Report};
use crate::{Result, Sizes};

/// From the call of the scheduling method to the handler's first line, in one pod and across two; and how long after
/// their due moments calls start.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    same_pod(store, sizes, report).await?;
    across_pods(store, sizes, report).await?;
    lateness(store, sizes, report).await
}

async fn same_pod(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    let place = store.fresh().await?;
    let log = Log::new(sizes.latency);
    let pod = place.pod(Role::Monolith, Config::new(), &log).await?;
    let millis = latencies(&pod, &log, sizes.latency).await?;
    pod.shutdown().await;
    place.remove().await?;
    let line = Line::ours(store.kind, "latency", "enqueue to start, idle, same pod", "ms");
    report.push(line.spread(&millis))
}

async fn across_pods(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    let place = store.fresh().await?;
    let log = Log::new(sizes.latency);
    let scheduler = place.pod(Role::Serverless, Config::new(), &log).await?;
    let runner = place.pod(Role::Monolith, Config::new(), &log).await?;
    let millis = latencies(&scheduler, &log, sizes.latency).await?;
    scheduler.shutdown().await;
    runner.shutdown().await;
    place.remove().await?;
    let line = Line::ours(store.kind, "latency_across", "enqueue to start, idle, across pods", "ms");
    report.push(line.spread(&millis))
}

async fn latencies(pod: &Pod, log: &Log, count: usize) -> Result<Vec<f64>> {
    tokio::time::sleep(SETTLE).await;
    let calls = pod.future_calls();
    let mut millis = Vec::with_capacity(count);
    for place in 0..count {
        let began = Instant::now();
        calls.call_now().bench().stamp(place).await?;
        let stamp = log.stamp(place).await?;
        millis.push(stamp.started.saturating_duration_since(began).as_secs_f64() * 1e3);
        // Not in step with anything that happens every so many milliseconds.
        tokio::time::sleep(PAUSE + UNEVEN * u32::try_from(place % 16)?).await;
    }
    Ok(millis)
}

async fn lateness(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    let place = store.fresh().await?;
    let log = Log::new(sizes.lateness);
    let pod = place.pod(Role::Monolith, Config::new(), &log).await?;
    tokio::time::sleep(SETTLE).await;
    let calls = pod.future_calls();
    let first = SystemTime::now() + SETTLE;
    let many = (0..sizes.lateness).map(|place| {
        let spacing = SPACING * u32::try_from(place).unwrap_or(u32::MAX);
        calls.call_at_time(first + spacing).bench().stamp(place)
    });
    calls.schedule_all(many).await?;
    let mut millis = Vec::with_capacity(sizes.lateness);
    for place in 0..sizes.lateness {
        millis.push(log.stamp(place).await?.lateness);
    }
    pod.shutdown().await;
    place.remove().await?;
    let early = millis.iter().filter(|late| **late < 0.0).count();
    let figure = format!("lateness of {} calls, idle", sizes.lateness);
    report.push(Line::ours(store.kind, "lateness", figure, "ms").spread(&millis).with("early", early))
}

/// For what a start does besides.
const SETTLE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);
const UNEVEN: Duration = Duration::from_micros(437);
/// Between two due moments; not a whole number of milliseconds.
const SPACING: Duration = Duration::from_micros(10_137);
