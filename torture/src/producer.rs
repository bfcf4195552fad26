//! Producers, which schedule and cancel calls, and write down the results.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futurecall_runtime::schedule::Cancelled as Counts;
use futurecall_runtime::{CallId, Pod, ScheduleError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acks::{Acks, Answer, Asked, Cancelled, Kind, Promise, Stored};
use crate::clock;
use crate::database::Database;
use crate::worker::TortureCallsExt as _;
use futurecall_testbed::rng::Rng;

/// Options of producers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Whether some handlers block their thread. They cannot be stopped: of use only without faults.
    pub(crate) blocks: bool,
    /// How many of a thousand handlers take longer than several leases.
    pub(crate) long: usize,
}

/// How many calls may wait. More of them would show nothing new: with faults, workers would never be done with them,
/// and a call that is late because of the others proves nothing.
const BACKLOG: i64 = 2_000;

/// Schedules until stopped, as long as no more calls wait than workers can finish soon; cancellations in progress are
/// waited for with the tracker.
pub(crate) async fn produce(
    pod: Pod,
    acks: Arc<Acks>,
    mut rng: Rng,
    load: Load,
    mut waiting: watch::Receiver<i64>,
    stop: CancellationToken,
    cancellations: TaskTracker,
) {
    while stop.run_until_cancelled(until_few_wait(&mut waiting)).await == Some(true) {
        if rng.percent(10) {
            many(&pod, &acks, &mut rng, load).await;
        } else {
            one(&pod, &acks, &mut rng, load, &cancellations).await;
        }
        tokio::time::sleep(rng.between(5, 20)).await;
    }
}

/// Waits until few calls wait; returns `false` if they are no longer counted.
async fn until_few_wait(waiting: &mut watch::Receiver<i64>) -> bool {
    waiting.wait_for(|waiting| *waiting < BACKLOG).await.is_ok()
}

/// Counts waiting calls again and again. If the database does not answer, the last count is kept.
pub(crate) fn count_waiting(database: Weak<Database>, stop: CancellationToken) -> watch::Receiver<i64> {
    let (sender, receiver) = watch::channel(0);
    let counting = async move {
        while let Some(database) = database.upgrade() {
            if let Ok(count) = database.pending().await {
                sender.send_replace(count);
            }
            drop(database);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::spawn(async move { stop.run_until_cancelled(counting).await });
    receiver
}

/// One call.
#[derive(Clone, Copy, Debug)]
struct Plan {
    kind: Kind,
    delay: Duration,
    milliseconds: u64,
    blocks: bool,
}

impl Plan {
    fn new(rng: &mut Rng, load: Load) -> Self {
        let kind = match rng.below(10) {
            0..4 => Kind::Keep,
            4..8 => Kind::Rerun,
            _ => Kind::Tries,
        };
        let delay = if rng.percent(30) { Duration::ZERO } else { rng.between(1, 3_000) };
        let blocks = load.blocks && rng.percent(1);
        let time = match rng.below(1_000) {
            throw if throw < load.long => rng.between(4_000, 8_000),
            throw if throw < 100 => rng.between(50, 400),
            _ => rng.between(0, 20),
        };
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(0);
        Self {
            kind,
            delay,
            milliseconds: if blocks { milliseconds.min(1_000) } else { kind.cut(milliseconds) },
            blocks,
        }
    }

    fn call(self, pod: &Pod) -> futurecall_runtime::PendingCall {
        let calls = pod.future_calls().call_with_delay(self.delay).torture();
        match self.kind {
            Kind::Keep => calls.keep(self.milliseconds, self.blocks),
            Kind::Rerun => calls.rerun(self.milliseconds, self.blocks),
            Kind::Tries => calls.tries(self.milliseconds),
        }
    }

    /// Returns the promise about it, requested at that time and answered now.
    fn promise(self, sent: i64, stored: Stored) -> Promise {
        let delay = i64::try_from(self.delay.as_micros()).unwrap_or(i64::MAX);
        let asked = Asked { sent, answered: clock::monotonic(), delay, worker: None };
        Promise { kind: self.kind, stored, asked: Some(asked), cancelled: None }
    }
}

impl Kind {
    /// Handlers with a time limit end well before it, so that the random draw alone decides how an attempt ends.
    fn cut(self, milliseconds: u64) -> u64 {
        if self == Self::Tries { milliseconds.min(400) } else { milliseconds }
    }
}

async fn one(pod: &Pod, acks: &Arc<Acks>, rng: &mut Rng, load: Load, cancellations: &TaskTracker) {
    let plan = Plan::new(rng, load);
    let call = plan.call(pod);
    let id = call.id();
    let by_identifier = rng.percent(50);
    let call = if by_identifier { call.identifier(id) } else { call };
    let sent = clock::monotonic();
    let promise = plan.promise(sent, stored(&call.await.map(drop)));
    acks.scheduled(id.as_uuid(), promise);
    if promise.stored != Stored::No && rng.percent(12) {
        // Around its due time, so that some are waiting, some are being claimed and some run.
        let wait = plan.delay.saturating_sub(Duration::from_millis(30)) + rng.between(0, 60);
        let (pod, acks) = (pod.clone(), Arc::clone(acks));
        cancellations.spawn(async move {
            tokio::time::sleep(wait).await;
            cancel(&pod, &acks, id, by_identifier).await;
        });
    }
}

/// Schedules one short call that is due at once.
pub(crate) async fn schedule_now(pod: Pod, acks: Arc<Acks>) {
    let plan = Plan { kind: Kind::Rerun, delay: Duration::ZERO, milliseconds: 5, blocks: false };
    let call = plan.call(&pod);
    let id = call.id();
    let sent = clock::monotonic();
    acks.scheduled(id.as_uuid(), plan.promise(sent, stored(&call.await.map(drop))));
}

async fn many(pod: &Pod, acks: &Acks, rng: &mut Rng, load: Load) {
    let plans: Vec<Plan> = (0..10).map(|_| Plan::new(rng, load)).collect();
    let all = pod.future_calls().schedule_all(plans.iter().map(|plan| plan.call(pod)));
    let ids = all.ids();
    let sent = clock::monotonic();
    let told = stored(&all.await.map(drop));
    for (id, plan) in ids.into_iter().zip(plans) {
        acks.scheduled(id.as_uuid(), plan.promise(sent, told));
    }
}

pub(crate) fn stored(told: &Result<(), ScheduleError>) -> Stored {
    match told {
        Ok(()) => Stored::Yes,
        Err(error) if error.outcome_unknown() => Stored::Unknown,
        Err(_) => Stored::No,
    }
}

async fn cancel(pod: &Pod, acks: &Acks, id: CallId, by_identifier: bool) {
    let calls = pod.future_calls();
    let sent = clock::monotonic();
    let told = if by_identifier { calls.cancel(id).await } else { calls.cancel_call(id).await };
    let answer = answer(&told);
    acks.cancelled(id.as_uuid(), Cancelled { answer, sent, answered: clock::monotonic() });
}

fn answer(told: &Result<Counts, ScheduleError>) -> Answer {
    match told {
        Ok(counts) if counts.calls > 0 => Answer::Withdrawn,
        Ok(counts) if counts.running > 0 => Answer::Running,
        // A claim whose lease is over and which is not rescued yet is flagged, and counted nowhere.
        Ok(_) => Answer::Nothing,
        Err(error) if error.outcome_unknown() => Answer::Unknown,
        Err(_) => Answer::Refused,
    }
}
