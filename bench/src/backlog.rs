//! The same work next to very many calls that are due later: a claim must not read them.

use std::time::{Duration, SystemTime};

use futurecall_runtime::{Config, Role};

use crate::calls::{BenchCallsExt as _, Log};
use crate::place::{Place, Store};
use crate::report::{Line, Report, median};
use crate::{HOUR, Result, Sizes, drain, latency, lateness};

/// Measures drain, latency and lateness with nothing else stored and with that many future calls, alternating, and the
/// ratios.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    let backlog = sizes.backlog;
    let stored = format!("{backlog} future calls stored");
    let empty = store.fresh().await?;
    let full = store.fresh().await?;
    for (place, calls) in [(&empty, 0), (&full, backlog)] {
        fill(place, calls).await?;
        place.tidy().await?;
    }

    let (mut rates, mut rates_full) = (Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        rates.push(one_drain(&empty, sizes.drain).await?);
        rates_full.push(one_drain(&full, sizes.drain).await?);
    }
    let figure = format!("drain of {} due calls", sizes.drain);
    let line = |work: &str, unit| Line::ours(store.kind, work, figure.clone(), unit);
    report.push(line("backlog_drain", "calls/s").set("nothing else stored").rounds(&rates))?;
    report.push(line("backlog_drain", "calls/s").set(&stored).rounds(&rates_full))?;
    let ratios: Vec<f64> = rates_full.iter().zip(&rates).map(|(full, empty)| full / empty).collect();
    report.push(line("backlog_drain_ratio", RATIO).set(&stored).rounds(&ratios))?;

    let alone = latency::same_pod(&empty, sizes).await?;
    let beside = latency::same_pod(&full, sizes).await?;
    compare(store, report, "latency", latency::SAME_POD, &stored, [&alone, &beside])?;
    let alone = latency::across_pods(&empty, sizes).await?;
    let beside = latency::across_pods(&full, sizes).await?;
    compare(store, report, "latency_across", latency::ACROSS_PODS, &stored, [&alone, &beside])?;

    for load in [0, sizes.load] {
        let lateness = lateness::of(&full, sizes, load).await?;
        report.push(lateness.line(store).set(&stored))?;
    }
    empty.remove().await?;
    full.remove().await
}

const RATIO: &str = "× of nothing else stored";

fn compare(
    store: &Store,
    report: &mut Report,
    work: &str,
    figure: &str,
    stored: &str,
    [alone, beside]: [&[f64]; 2],
) -> Result {
    let line = |work: &str, unit| Line::ours(store.kind, work, figure, unit);
    let work = format!("backlog_{work}");
    report.push(line(&work, "ms").set("nothing else stored").spread(alone))?;
    report.push(line(&work, "ms").set(stored).spread(beside))?;
    let ratio = median(beside).zip(median(alone)).map(|(beside, alone)| beside / alone);
    let ratio = ratio.ok_or("nothing was measured")?;
    report.push(line(&format!("{work}_ratio"), RATIO).set(&format!("p50, {stored}")).value(ratio))
}

async fn one_drain(place: &Place, count: u32) -> Result<f64> {
    let due = drain::fill(place, count).await?;
    drain::run(place, count, due, Config::new()).await
}

/// Stores calls of the same name as the measured ones, due at scattered times in the 30 days after the next hour.
async fn fill(place: &Place, calls: u32) -> Result {
    let scheduler = place.pod(Role::Serverless, Config::new(), &Log::new(0)).await?;
    let from = SystemTime::now() + HOUR;
    let future = scheduler.future_calls();
    // In parts: a million calls in memory would be measured too.
    for part in (0..calls).step_by(PART as usize) {
        let many = (part..calls.min(part.saturating_add(PART))).map(|number| {
            // Multiplying by an odd number scatters: no two numbers are mapped to the same one.
            let place = number.wrapping_mul(2_654_435_769);
            let due = from + MONTH.mul_f64(f64::from(place) / f64::from(u32::MAX));
            future.call_at_time(due).bench().noop(i64::from(number))
        });
        future.schedule_all(many).await?;
    }
    scheduler.shutdown().await;
    Ok(())
}

const PART: u32 = 100_000;
const MONTH: Duration = Duration::from_hours(30 * 24);
