//! How long after their due times calls start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futurecall_runtime::{Config, FutureCalls, Role};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::calls::{BenchCallsExt as _, Log};
use crate::place::{Place, Store};
use crate::report::{Line, Report};
use crate::{Result, Sizes};

/// Measures calls that are due at distinct times, on an idle pod, and on a busy one.
pub(crate) async fn measure(store: &Store, sizes: &Sizes, report: &mut Report) -> Result {
    for load in [0, sizes.load] {
        let place = store.fresh().await?;
        let lateness = of(&place, sizes, load).await?;
        report.push(store.set(lateness.line(store)))?;
        place.remove().await?;
    }
    Ok(())
}

/// The result of one measurement.
pub(crate) struct Lateness {
    millis: Vec<f64>,
    /// Other calls per second, requested.
    load: u32,
    /// Other calls per second, started during the measurement.
    other: f64,
}

impl Lateness {
    pub(crate) fn line(&self, store: &Store) -> Line {
        let early = self.millis.iter().filter(|late| **late < 0.0).count();
        let figure = format!("lateness of {} calls", self.millis.len());
        let line = if self.load == 0 {
            Line::ours(store.kind, "lateness", format!("{figure}, idle"), "ms")
        } else {
            let figure = format!("{figure}, at {} other calls/s", self.load);
            Line::ours(store.kind, "lateness_loaded", figure, "ms").with("other_calls", self.other.round())
        };
        line.spread(&self.millis).with("early", early)
    }
}

/// Measures how late calls start on one pod, which also schedules and runs that many other calls per second.
pub(crate) async fn of(place: &Place, sizes: &Sizes, load: u32) -> Result<Lateness> {
    let count = sizes.lateness;
    let log = Log::new(count);
    let pod = place.pod(Role::Monolith, Config::new(), &log).await?;
    tokio::time::sleep(sizes.start).await;
    let calls = pod.future_calls();
    let first = SystemTime::now() + sizes.start * 2;
    let many = (0..count).map(|number| {
        let spacing = SPACING * u32::try_from(number).unwrap_or(u32::MAX);
        calls.call_at_time(first + spacing).bench().stamp(number)
    });
    calls.schedule_all(many).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let stream = (load > 0).then(|| tokio::spawn(stream(calls.clone(), load, Arc::clone(&stop))));
    let (began, before) = (Instant::now(), log.count());
    let mut millis = Vec::with_capacity(count);
    for number in 0..count {
        millis.push(log.stamp(number).await?.lateness);
    }
    let ran = u32::try_from(log.count() - before)?;
    let other = f64::from(ran) / began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    if let Some(stream) = stream {
        // Every one of them runs, too.
        log.reaches(stream.await??).await?;
    }
    pod.shutdown().await;
    Ok(Lateness { millis, load, other })
}

/// Schedules that many no-op calls per second, each by a separate caller that awaits it, until stopped; returns how
/// many.
async fn stream(calls: FutureCalls, load: u32, stop: Arc<AtomicBool>) -> Result<u64> {
    // A late tick is made up for, so that the rate is the requested one.
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let each = load * u32::try_from(TICK.as_millis())? / 1_000;
    let callers = Arc::new(Semaphore::new(CALLERS));
    let mut scheduled = 0;
    let mut tasks: JoinSet<Result> = JoinSet::new();
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        while let Some(stored) = tasks.try_join_next() {
            stored??;
        }
        for _ in 0..each {
            let caller = Arc::clone(&callers).acquire_owned().await?;
            let call = calls.call_now().bench().noop(1);
            tasks.spawn(async move {
                call.await?;
                drop(caller);
                Ok(())
            });
            scheduled += 1;
        }
    }
    while let Some(stored) = tasks.join_next().await {
        stored??;
    }
    Ok(scheduled)
}

/// The time between two due times; not a whole number of milliseconds.
const SPACING: Duration = Duration::from_micros(10_137);
const TICK: Duration = Duration::from_millis(2);
/// How many callers may wait for their calls to be stored: a pod that cannot keep up is not flooded.
const CALLERS: usize = 10_000;
