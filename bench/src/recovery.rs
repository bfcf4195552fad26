//! A pod that is killed while it runs calls: when another pod has recovered its calls.

use std::time::{Duration, Instant};

use futurecall_runtime::{Config, Role};

use crate::calls::{BenchCallsExt as _, Log};
use crate::child::{Child, Orders};
use crate::place::Store;
use crate::report::{Line, Report};
use crate::watch::Watch;
use crate::{Result, Sizes};

/// Measures the default lease and a short one: the lease is most of it.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    for lease in sizes.leases {
        let found = one(store, sizes, *lease).await?;
        let set = match lease {
            None => "the default lease of 30 s".to_owned(),
            Some(lease) => format!("a lease of {} s", lease.as_secs_f64()),
        };
        let line = Line::ours(store.kind, "recovery", "recovery of a killed pod's calls", "s").set(&set);
        report.push(line.value(found.time.as_secs_f64()).with("calls", found.calls))?;
    }
    Ok(())
}

struct Found {
    time: Duration,
    calls: i64,
}

/// Measures from the kill until none of the dead pod's calls is left as it held them; then checks that none was lost.
async fn one(store: &Store, sizes: &Sizes, lease: Option<Duration>) -> Result<Found> {
    const NAP: u64 = 20;
    let place = store.fresh().await?;
    let log = Log::new(0);
    let config = lease.map_or_else(Config::new, |lease| Config::new().lease(lease));
    let scheduler = place.pod(Role::Serverless, Config::new(), &log).await?;
    let calls = scheduler.future_calls();
    calls.schedule_all((0..sizes.recovery).map(|_| calls.call_now().bench().nap(NAP))).await?;
    scheduler.shutdown().await;

    let mut watch = Watch::open(&place).await?;
    let mut child = Child::start(&place, Orders { lease, ..Orders::default() }).await?;
    let killed = child.go().await?;
    // In the middle: it has finished some and holds others.
    while watch.finished().await? < i64::from(sizes.recovery / 4) {
        tokio::time::sleep(LOOK).await;
    }
    child.kill().await?;
    let began = Instant::now();
    let held = watch.claimed_by(killed).await?;
    if held == 0 {
        return Err("the pod held no calls when it was killed".into());
    }
    let pod = place.pod(Role::Monolith, config, &log).await?;
    while watch.claimed_by(killed).await? > 0 {
        tokio::time::sleep(LOOK).await;
    }
    let time = began.elapsed();
    while watch.finished().await? < i64::from(sizes.recovery) {
        if began.elapsed() > time + PATIENCE {
            let finished = watch.finished().await?;
            return Err(format!("{} calls were stored and {finished} have ended", sizes.recovery).into());
        }
        tokio::time::sleep(LOOK).await;
    }
    pod.shutdown().await;
    place.remove().await?;
    Ok(Found { time, calls: held })
}

const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_mins(1);
