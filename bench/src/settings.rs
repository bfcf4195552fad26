//! The cost of changing a default.

use std::time::Duration;

use futurecall_runtime::Config;

use crate::place::Store;
use crate::report::{Line, Report};
use crate::{Result, Sizes, drain, idle};

/// Measures the drain by pods with other limits. The cost of history is measured with the drain itself.
pub(crate) async fn measure_limits(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    for limit in [1, 8, 64, 512] {
        let mut rates = Vec::with_capacity(sizes.rounds);
        for _ in 0..sizes.rounds {
            let place = store.fresh().await?;
            let due = drain::fill(&place, sizes.settings).await?;
            let config = Config::new().concurrency_limit(limit);
            rates.push(drain::run(&place, sizes.settings, due, config).await?);
            place.remove().await?;
        }
        let figure = format!("drain of {} due calls", sizes.settings);
        let set = format!("concurrency_limit {limit}");
        report.push(Line::ours(store.kind, "settings", figure, "calls/s").set(&set).rounds(&rates))?;
    }
    Ok(())
}

/// Measures the cost of other intervals for an idle pod.
pub(crate) async fn measure_idle(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    let second = Duration::from_secs(1);
    let settings = [
        ("scan_interval 1 s", Config::new().scan_interval(second)),
        ("scan_interval 30 s", Config::new().scan_interval(second * 30)),
        ("lease 3 s", Config::new().lease(second * 3)),
    ];
    for (set, config) in settings {
        let idle = idle::of(store, sizes, config).await?;
        if let Some(transactions) = idle.transactions {
            let line = Line::ours(store.kind, "settings", "idle: transactions", "/s").set(set);
            report.push(line.value(transactions))?;
        }
        let line = Line::ours(store.kind, "settings", "idle: processor time of the pod", "% of a core");
        report.push(line.set(set).value(idle.processor * 100.0))?;
    }
    Ok(())
}
