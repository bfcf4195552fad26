//! Storing calls: by callers that await each one, and many at once.

use std::sync::Arc;
use std::time::Instant;

use futurecall_runtime::{Config, Pod, Role};

use crate::calls::{BenchCallsExt as _, Log};
use crate::place::Store;
use crate::rate::rate;
use crate::raw::Raw;
use crate::report::{Line, Report, Round};
use crate::{HOUR, Result, Sizes};

/// Measures 1, 16 and 64 callers; the calls are due in an hour.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    for callers in [1, 16, 64] {
        let place = store.fresh().await?;
        let pod = place.pod(Role::Monolith, Config::new(), &Log::new(0)).await?;
        let raw = Arc::new(Raw::new(&place).await?);
        let mut rounds = Vec::new();
        for _ in 0..sizes.rounds {
            let ours = single(&pod, callers, sizes).await?;
            rounds.push(Round { ours, raw: raw.enqueue(callers, sizes.enqueue).await? });
        }
        let noun = if callers == 1 { "caller" } else { "callers" };
        let (work, figure) = (format!("enqueue{callers}"), format!("enqueue by {callers} {noun}"));
        report.push_with_raw(Line::ours(store.kind, &work, figure, "calls/s"), &rounds)?;
        pod.shutdown().await;
        place.remove().await?;
    }
    Ok(())
}

/// Measures many calls at once, due in an hour.
pub(crate) async fn measure_bulk(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    let mut rounds = Vec::new();
    for _ in 0..sizes.rounds {
        rounds.push(bulk(store, sizes.bulk).await?);
    }
    let figure = format!("bulk enqueue of {}", sizes.bulk);
    report.push_with_raw(Line::ours(store.kind, "bulk", figure, "calls/s"), &rounds)
}

async fn single(pod: &Pod, callers: usize, sizes: &Sizes) -> Result<f64> {
    let until = Instant::now() + sizes.enqueue;
    let callers = (0..callers).map(|_| {
        let calls = pod.future_calls();
        async move {
            let mut stored = 0;
            while Instant::now() < until {
                calls.call_with_delay(HOUR).bench().noop(1).await?;
                stored += 1;
            }
            Ok(stored)
        }
    });
    rate(callers).await
}

async fn bulk(store: &Store, count: u32) -> Result<Round> {
    let place = store.fresh().await?;
    let pod = place.pod(Role::Monolith, Config::new(), &Log::new(0)).await?;
    let raw = Raw::new(&place).await?;
    let calls = pod.future_calls();

    let began = Instant::now();
    let many = (0..count).map(|number| calls.call_with_delay(HOUR).bench().noop(i64::from(number)));
    calls.schedule_all(many).await?;
    let ours = f64::from(count) / began.elapsed().as_secs_f64();

    let began = Instant::now();
    raw.bulk(usize::try_from(count)?).await?;
    let raw = f64::from(count) / began.elapsed().as_secs_f64();
    pod.shutdown().await;
    place.remove().await?;
    Ok(Round { ours, raw })
}
