//! The memory of a pod while calls wait in the database.

use std::time::Duration;

use futurecall_runtime::{Config, Role};

use crate::calls::{BenchCallsExt as _, Log};
use crate::child::{Child, Orders};
use crate::place::Store;
use crate::process::Resident;
use crate::report::{Line, Report};
use crate::watch::Watch;
use crate::{Result, Sizes};

/// Measures the resident size of a pod whose slots are all taken, with few due calls waiting and with many.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    let [few, many] = sizes.waiting;
    let little = with(store, few, sizes).await?;
    let much = with(store, many, sizes).await?;
    for (waiting, resident) in [(few, &little), (many, &much)] {
        let figure = format!("resident size of a pod, {waiting} due calls waiting");
        let line = Line::ours(store.kind, "memory", figure, "MiB").value(resident.now);
        report.push(line.with("most", resident.most))?;
    }
    let figure = format!("resident size of a pod, {many} due calls waiting");
    let line = Line::ours(store.kind, "memory_ratio", figure, format!("× of {few}").as_str());
    report.push(line.value(much.now / little.now))
}

async fn with(store: &Store, waiting: u32, sizes: &Sizes) -> Result<Resident> {
    let place = store.fresh().await?;
    let scheduler = place.pod(Role::Serverless, Config::new(), &Log::new(0)).await?;
    let calls = scheduler.future_calls();
    calls.schedule_all((0..waiting).map(|number| calls.call_now().bench().hold(i64::from(number)))).await?;
    scheduler.shutdown().await;

    let mut watch = Watch::open(&place).await?;
    let mut child = Child::start(&place, Orders::default()).await?;
    let pod = child.go().await?;
    while watch.claimed_by(pod).await? == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // It claims again and again for calls that it has no slots for.
    tokio::time::sleep(sizes.memory).await;
    let resident = Resident::of(child.pid()?)?;
    // Its handlers do not end.
    child.kill().await?;
    place.remove().await?;
    Ok(resident)
}
