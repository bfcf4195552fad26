//! What is measured, in the engine's words.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::catalogue as metric;
use super::handles::{Counter, Gauge, Histogram, describe};
use crate::store::Backlog;

/// Names that this pod schedules and does not run: so many get a label of their own.
const ELSEWHERE: usize = 200;

/// What stands for all other names.
const OTHER: &str = "other";

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Ok,
    Error,
    Panic,
    TimedOut,
    Cancelled,
    Interrupted,
    LeaseLost,
    Expired,
    Declined,
}

impl Ending {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Ok, "ok"),
        (Self::Error, "error"),
        (Self::Panic, "panic"),
        (Self::TimedOut, "timeout"),
        (Self::Cancelled, "cancelled"),
        (Self::Interrupted, "interrupted"),
        (Self::LeaseLost, "lease_lost"),
        (Self::Expired, "expired"),
        (Self::Declined, "declined"),
    ];

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// What was tried in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Schedule,
    Claim,
    Finish,
    Release,
    Renew,
    Rescue,
    Prune,
    Look,
    Log,
}

impl Op {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Schedule, "schedule"),
        (Self::Claim, "claim"),
        (Self::Finish, "finish"),
        (Self::Release, "release"),
        (Self::Renew, "renew"),
        (Self::Rescue, "rescue"),
        (Self::Prune, "prune"),
        (Self::Look, "look"),
        (Self::Log, "log"),
    ];
}

/// What is measured of the calls of one name.
#[derive(Debug, Default)]
pub(crate) struct CallMeter {
    scheduled: Counter,
    started: Counter,
    finished: [Counter; Ending::ALL.len()],
    retries: Counter,
    dead: Counter,
    lateness: Histogram,
    execution: Histogram,
    lease_lost: Counter,
    reclaimed: Counter,
    refused: Counter,
}

impl CallMeter {
    /// Of the calls of that name.
    pub(crate) fn of(name: &str) -> Self {
        let call = [("call", name)];
        Self {
            scheduled: Counter::of(&metric::SCHEDULED_TOTAL, &call),
            started: Counter::of(&metric::STARTED_TOTAL, &call),
            finished: Ending::ALL.map(|(_, outcome)| {
                Counter::of(&metric::FINISHED_TOTAL, &[("call", name), ("outcome", outcome)])
            }),
            retries: Counter::of(&metric::RETRIES_TOTAL, &call),
            dead: Counter::of(&metric::DEAD_TOTAL, &call),
            lateness: Histogram::of(&metric::SCHEDULE_TO_START, &call),
            execution: Histogram::of(&metric::EXECUTION, &call),
            lease_lost: Counter::of(&metric::LEASE_LOST_TOTAL, &call),
            reclaimed: Counter::of(&metric::RECLAIMED_TOTAL, &call),
            refused: Counter::of(&metric::STALE_FINISH_REFUSED_TOTAL, &call),
        }
    }

    /// So many were stored.
    pub(crate) fn scheduled(&self, calls: u64) {
        self.scheduled.add(calls);
    }

    /// A handler starts, so late.
    pub(crate) fn started(&self, lateness: Duration) {
        self.started.add(1);
        self.lateness.record(lateness.as_secs_f64());
    }

    /// An attempt ended. `ran_for`: `None` where no handler ran.
    pub(crate) fn finished(&self, ending: Ending, ran_for: Option<Duration>) {
        self.finished[ending as usize].add(1);
        if ending == Ending::LeaseLost {
            self.lease_lost.add(1);
        }
        if let Some(ran_for) = ran_for {
            self.execution.record(ran_for.as_secs_f64());
        }
    }

    /// The call is due again.
    pub(crate) fn again(&self) {
        self.retries.add(1);
    }

    /// The call has failed for good.
    pub(crate) fn dead(&self) {
        self.dead.add(1);
    }

    /// One was found whose pod vanished.
    pub(crate) fn reclaimed(&self) {
        self.reclaimed.add(1);
    }

    /// An outcome was refused.
    pub(crate) fn refused(&self) {
        self.refused.add(1);
    }
}

/// What is measured of a pod.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Of names that this pod does not run.
    pub(crate) other: Arc<CallMeter>,
    #[cfg_attr(
        not(feature = "metrics"),
        expect(clippy::zero_sized_map_values, reason = "a counter is nothing without the feature")
    )]
    elsewhere: Mutex<HashMap<String, Counter>>,
    poll: Histogram,
    heartbeat_delay: Histogram,
    slots_available: Gauge,
    slots_used: Gauge,
    running: Gauge,
    due: Gauge,
    oldest_due_age: Gauge,
    scheduled: Gauge,
    instances: Gauge,
    clock_skew: Gauge,
    missed: Counter,
    pruned: Counter,
    errors: [Counter; Op::ALL.len()],
}

impl Meter {
    pub(crate) fn new() -> Self {
        describe();
        Self {
            other: Arc::new(CallMeter::of(OTHER)),
            elsewhere: Mutex::default(),
            poll: Histogram::of(&metric::POLL, &[]),
            heartbeat_delay: Histogram::of(&metric::HEARTBEAT_DELAY, &[]),
            slots_available: Gauge::of(&metric::SLOTS_AVAILABLE, &[]),
            slots_used: Gauge::of(&metric::SLOTS_USED, &[]),
            running: Gauge::of(&metric::RUNNING, &[]),
            due: Gauge::of(&metric::DUE, &[]),
            oldest_due_age: Gauge::of(&metric::OLDEST_DUE_AGE, &[]),
            scheduled: Gauge::of(&metric::SCHEDULED, &[]),
            instances: Gauge::of(&metric::INSTANCES, &[]),
            clock_skew: Gauge::of(&metric::CLOCK_SKEW, &[]),
            missed: Counter::of(&metric::RECURRING_MISSED_TOTAL, &[]),
            pruned: Counter::of(&metric::PRUNED_TOTAL, &[]),
            errors: Op::ALL.map(|(_, op)| Counter::of(&metric::STORE_ERRORS_TOTAL, &[("op", op)])),
        }
    }

    /// So many calls were stored of a name that this pod does not run.
    pub(crate) fn scheduled_elsewhere(&self, name: &str, calls: u64) {
        let mut elsewhere = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = elsewhere.get(name) {
            counter.add(calls);
        } else if elsewhere.len() < ELSEWHERE {
            let counter = Counter::of(&metric::SCHEDULED_TOTAL, &[("call", name)]);
            counter.add(calls);
            elsewhere.insert(name.to_owned(), counter);
        } else {
            self.other.scheduled(calls);
        }
    }

    /// A claim took so long.
    pub(crate) fn polled(&self, took: Duration) {
        self.poll.record(took.as_secs_f64());
    }

    /// A heartbeat was written, so late.
    pub(crate) fn beat(&self, delay: Duration) {
        self.heartbeat_delay.record(delay.as_secs_f64());
    }

    /// How many slots there are, how many are taken, and how many handlers are at it.
    pub(crate) fn slots(&self, all: usize, available: usize, running: usize) {
        self.slots_available.set(number(available));
        self.slots_used.set(number(all.saturating_sub(available)));
        self.running.set(number(running));
    }

    /// What waits in the database.
    pub(crate) fn backlog(&self, backlog: &Backlog) {
        let Backlog { scheduled, due, oldest_due_age, pods } = *backlog;
        let number = |count: u64| number(usize::try_from(count).unwrap_or(usize::MAX));
        self.scheduled.set(number(scheduled));
        self.due.set(number(due));
        self.oldest_due_age.set(oldest_due_age.unwrap_or_default().as_secs_f64());
        self.instances.set(number(pods));
    }

    /// How far the machine's clock is ahead of the database's, in seconds.
    pub(crate) fn clock_skew(&self, seconds: f64) {
        self.clock_skew.set(seconds);
    }

    /// Runs of schedules were passed over.
    pub(crate) fn missed(&self, runs: u64) {
        self.missed.add(runs);
    }

    /// Calls were deleted from the history.
    pub(crate) fn pruned(&self, calls: u64) {
        self.pruned.add(calls);
    }

    /// A try failed in the database.
    pub(crate) fn failed(&self, op: Op) {
        self.errors[op as usize].add(1);
    }
}

/// Exact up to 2^53, which no count reaches.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::{Ending, Op};

    #[test]
    fn each_word_stands_at_its_place() {
        assert!(Ending::ALL.iter().enumerate().all(|(at, (ending, _))| *ending as usize == at));
        assert!(Op::ALL.iter().enumerate().all(|(at, (op, _))| *op as usize == at));
    }
}
