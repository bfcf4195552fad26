//! Several pods on one database, each in a separate process.

use crate::child::{Child, Orders};
use crate::place::Store;
use crate::report::{Line, Report};
use crate::watch::Watch;
use crate::{NOOP, Result, Sizes, drain};

/// Measures draining by 1, 2, 4 and 8 pods with the default settings.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    const PODS: [usize; 4] = [1, 2, 4, 8];
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..sizes.rounds {
        for (pods, rates) in PODS.into_iter().zip(&mut rates) {
            rates.push(one_drain(store, pods, sizes.pods_drain).await?);
        }
    }
    let alone = rates[0].clone();
    for (pods, rates) in PODS.into_iter().zip(&rates) {
        let noun = if pods == 1 { "pod" } else { "pods" };
        let figure = format!("drain of {} due calls by {pods} {noun}", sizes.pods_drain);
        report.push(Line::ours(store.kind, "pods", figure.clone(), "calls/s").rounds(rates))?;
        if pods > 1 {
            let ratios: Vec<f64> = rates.iter().zip(&alone).map(|(rate, alone)| rate / alone).collect();
            report.push(Line::ours(store.kind, "pods_ratio", figure, "× of 1 pod").rounds(&ratios))?;
        }
    }
    Ok(())
}

/// Measures from the first handler's start in any of them until the last outcome is stored.
async fn one_drain(store: &Store, pods: usize, count: u32) -> Result<f64> {
    let place = store.fresh().await?;
    let due = drain::fill(&place, count).await?;
    let mut watch = Watch::open(&place).await?;
    let mut children = Vec::with_capacity(pods);
    for _ in 0..pods {
        children.push(Child::start(&place, Orders::default()).await?);
    }
    // All at once: otherwise the first would be done before the last has started.
    for child in &mut children {
        child.tell_go().await?;
    }
    watch.ended(NOOP, due).await?;
    let ended = std::time::SystemTime::now();
    let (mut ran, mut first) = (0, None);
    for mut child in children {
        child.started().await?;
        let one = child.end().await?;
        ran += one.calls;
        first = match (first, one.first) {
            (Some(first), Some(one)) => Some(std::cmp::min(first, one)),
            (first, one) => first.or(one),
        };
    }
    place.remove().await?;
    if ran != u64::from(count) {
        return Err(format!("{count} calls were stored and {ran} ran").into());
    }
    let first = first.ok_or("no call ran")?;
    Ok(f64::from(count) / ended.duration_since(first)?.as_secs_f64())
}
