//! How soon a starting pod runs a call that is already due.

use std::time::SystemTime;

use futurecall_runtime::{Config, Role};

use crate::calls::{BenchCallsExt as _, Log, millis_between};
use crate::place::Store;
use crate::report::{Line, Report};
use crate::{Result, Sizes};

/// Measures from before `start()` to the handler's first line, with existing tables and known calls, one pod after the
/// other.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    let place = store.fresh().await?;
    let log = Log::new(sizes.starts);
    place.pod(Role::Monolith, Config::new(), &log).await?.shutdown().await;
    let scheduler = place.pod(Role::Serverless, Config::new(), &Log::new(0)).await?;
    let mut millis = Vec::with_capacity(sizes.starts);
    for number in 0..sizes.starts {
        scheduler.future_calls().call_now().bench().stamp(number).await?;
        let began = SystemTime::now();
        let pod = place.pod(Role::Monolith, Config::new(), &log).await?;
        millis.push(millis_between(began, log.stamp(number).await?.started));
        pod.shutdown().await;
    }
    scheduler.shutdown().await;
    let line =
        Line::ours(store.kind, "start", "first handler after the start of a pod", "ms").spread(&millis);
    let round_trips = line.p50.and_then(|p50| store.in_round_trips(p50));
    let line = round_trips.map_or(line.clone(), |number| line.with("round_trips", number));
    report.push(store.set(line))?;
    place.remove().await
}
