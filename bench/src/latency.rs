//! How soon a call starts on an idle pod.

use std::time::{Duration, SystemTime};

use futurecall_runtime::{Config, FutureCalls, Role};

use crate::calls::{BenchCallsExt as _, Log, millis_between};
use crate::child::{Child, Orders};
use crate::place::{Place, Store};
use crate::report::{Line, Report};
use crate::{Result, Sizes};

/// Measures from the scheduling call to the handler's first line, in one pod and across two.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    let place = store.fresh().await?;
    let millis = same_pod(&place, sizes).await?;
    let line = Line::ours(store.kind, "latency", SAME_POD, "ms");
    report.push(store.set(line.spread(&millis)))?;
    let millis = across_pods(&place, sizes).await?;
    let line = Line::ours(store.kind, "latency_across", ACROSS_PODS, "ms");
    report.push(store.set(line.spread(&millis)))?;
    place.remove().await
}

pub(crate) const SAME_POD: &str = "enqueue to start, idle, same pod";
pub(crate) const ACROSS_PODS: &str = "enqueue to start, idle, across pods";

/// Returns milliseconds if the pod that schedules also runs.
pub(crate) async fn same_pod(place: &Place, sizes: &Sizes) -> Result<Vec<f64>> {
    let count = sizes.latency;
    let log = Log::new(count);
    let pod = place.pod(Role::Monolith, Config::new(), &log).await?;
    tokio::time::sleep(sizes.start).await;
    let calls = pod.future_calls();
    let one_by_one = async move {
        let mut millis = Vec::with_capacity(count);
        for number in 0..count {
            let began = schedule(&calls, number).await?;
            millis.push(millis_between(began, log.stamp(number).await?.started));
            pause(number).await;
        }
        Ok(millis)
    };
    let millis = as_a_task(one_by_one).await;
    pod.shutdown().await;
    millis
}

/// Returns milliseconds if one pod only schedules, and the other, in another process, runs.
pub(crate) async fn across_pods(place: &Place, sizes: &Sizes) -> Result<Vec<f64>> {
    let count = sizes.latency;
    let scheduler = place.pod(Role::Serverless, Config::new(), &Log::new(0)).await?;
    let mut runner = Child::start(place, Orders { stamps: count, ..Orders::default() }).await?;
    runner.go().await?;
    tokio::time::sleep(sizes.start).await;
    let calls = scheduler.future_calls();
    let one_by_one = async move {
        let mut millis = Vec::with_capacity(count);
        for number in 0..count {
            let began = schedule(&calls, number).await?;
            millis.push(millis_between(began, runner.stamp().await?));
            pause(number).await;
        }
        runner.end().await?;
        Ok(millis)
    };
    let millis = as_a_task(one_by_one).await;
    scheduler.shutdown().await;
    millis
}

/// Like the handlers of a service's requests: on a thread of the runtime, not on the one that blocks on it.
async fn as_a_task(calls: impl Future<Output = Result<Vec<f64>>> + Send + 'static) -> Result<Vec<f64>> {
    tokio::spawn(calls).await?
}

/// From before the call is made.
async fn schedule(calls: &FutureCalls, number: usize) -> Result<SystemTime> {
    let began = SystemTime::now();
    calls.call_now().bench().stamp(number).await?;
    Ok(began)
}

/// Out of step with periodic work.
async fn pause(number: usize) {
    let uneven = u32::try_from(number % 16).unwrap_or_default();
    tokio::time::sleep(PAUSE + UNEVEN * uneven).await;
}

const PAUSE: Duration = Duration::from_millis(5);
const UNEVEN: Duration = Duration::from_micros(437);
