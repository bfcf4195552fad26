//! The schedules of a run: short intervals, and every policy for missed and overlapping runs.

use std::time::Duration;

use futurecall_runtime::recurring::{Missed, Overlap};
use futurecall_runtime::schedule::RecurringCallRef;
use futurecall_runtime::{Pod, ScheduleError, ScheduleId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Result;
use crate::acks::Kind;
use crate::worker::TortureCallsExt as _;
use futurecall_testbed::rng::Rng;

/// One schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Its identifier.
    pub(crate) name: &'static str,
    pub(crate) every: Duration,
    pub(crate) missed: Missed,
    pub(crate) overlap: Overlap,
    /// What happens to a run whose pod vanishes.
    pub(crate) kind: Kind,
    /// How long a run takes; longer than an interval if runs are to overlap.
    milliseconds: u64,
    /// The same rule as a cron expression.
    cron: Option<&'static str>,
}

/// All of them.
pub(crate) const ALL: [Rule; 6] = [
    Rule::new("once", 250, Missed::RunOnce, Overlap::Skip, Kind::Keep, 10),
    Rule::new("long", 400, Missed::RunOnce, Overlap::Skip, Kind::Rerun, 600),
    Rule::new("beside", 300, Missed::RunOnce, Overlap::Allow, Kind::Rerun, 700),
    Rule::new("skip", 500, Missed::Skip, Overlap::Skip, Kind::Keep, 10),
    // A clock that is set forward by an hour makes 360 runs due, one after the other.
    Rule::new("all", 10_000, Missed::RunAll, Overlap::Skip, Kind::Rerun, 5),
    Rule {
        cron: Some("* * * * * *"),
        ..Rule::new("cron", 1_000, Missed::RunOnce, Overlap::Skip, Kind::Keep, 10)
    },
];

impl Rule {
    const fn new(
        name: &'static str,
        every: u64,
        missed: Missed,
        overlap: Overlap,
        kind: Kind,
        milliseconds: u64,
    ) -> Self {
        let every = Duration::from_millis(every);
        Self { name, every, missed, overlap, kind, milliseconds, cron: None }
    }

    /// A schedule that an attribute declares, with the defaults.
    pub(crate) const fn by_attribute(name: &'static str, every: u64) -> Self {
        Self::new(name, every, Missed::RunOnce, Overlap::Skip, Kind::Keep, 0)
    }

    async fn declare(self, pod: &Pod) -> std::result::Result<ScheduleId, ScheduleError> {
        let rule = pod.future_calls().call_recurring().identifier(self.name);
        let rule: RecurringCallRef = match self.cron {
            Some(cron) => rule.cron(cron),
            None => rule.every(self.every),
        };
        let calls = rule.missed(self.missed).overlap(self.overlap).torture();
        match self.kind {
            Kind::Rerun => calls.recur_again(self.milliseconds).await,
            Kind::Keep | Kind::Tries => calls.recur(self.milliseconds).await,
        }
    }
}

/// Declares all of them; there are no faults yet.
pub(crate) async fn declare(pod: &Pod) -> Result<Vec<(Uuid, Rule)>> {
    let mut known = Vec::new();
    for rule in ALL {
        known.push((rule.declare(pod).await?.as_uuid(), rule));
    }
    Ok(known)
}

/// Declares them again and again, like starting services, until stopped: that must change nothing.
pub(crate) async fn declare_again(pod: Pod, mut rng: Rng, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(rng.between(100, 600))).await.is_some() {
        let Some(rule) = ALL.get(rng.below(ALL.len())) else { return };
        // Errors do not matter: the schedules are already declared.
        let _ = rule.declare(&pod).await;
    }
}
