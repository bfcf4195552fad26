//! Compares what handlers recorded, what producers were promised and what the database contains, call by call.
//!
//! It is a pure function, so that hand-written histories can test that it finds each violation.

mod attempts;
mod call;
mod clock;
mod fault_effects;
mod run;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use uuid::Uuid;

pub(crate) use self::clock::Clock;
use crate::acks::{Promise, Stored};
use crate::fault::Fault;
use crate::ledger::Event;
use crate::recurring::Rule;

/// The promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// The call was acknowledged, or it ran, and is not in the database.
    Lost,
    /// The library's error meant that nothing was stored, and the call is there.
    StoredThoughRefused,
    /// The call has not ended long after the last fault.
    Stuck,
    /// The call counts as succeeded, and no handler recorded its completion in that attempt.
    NeverRan,
    /// The call is to be rerun when it is interrupted, and ended without a full run; or it ended as failed with
    /// attempts left.
    GivenUp,
    /// The call had more attempts than its policy and its vanished pods allow.
    TooManyAttempts,
    /// The attempts on record are not the real ones: one is missing or another pod's, or is recorded as failed and was
    /// not.
    WrongRecord,
    /// The call was cancelled before it started according to the library, and it started, ran on, or succeeded.
    CancelledRan,
    /// The call ended as cancelled without a cancellation; or as failed, which no handler does.
    UnaskedEnd,
    /// The call started before its due time.
    Early,
    /// The call was removed from the table of calls twice.
    FinishedTwice,
    /// One attempt started twice, or a call that runs at most once started again.
    StartedTwice,
    /// The call started when its end had already been recorded.
    StartedAfterEnd,
    /// The call ran again, or ended as interrupted, without a fault that can have caused it.
    DuplicateWithoutFault,
    /// A pod gave up leases by its own clocks, without a fault that kept it from renewing for long enough.
    FencedWithoutFault,
    /// A handler continued although another pod had the call, and its process was not paused.
    OverlapWithoutFault,
    /// A schedule does not continue: it ended, has no next run or several, or exists twice.
    ScheduleLost,
    /// One time of a schedule had two runs.
    BoundaryTwice,
    /// A time of a schedule had no run, against its policy.
    BoundaryMissing,
    /// A run of a schedule was skipped, against its policy.
    SkippedWithoutPolicy,
    /// The call was due, and started later than a scan explains; or a call of the library did not return.
    HeldUp,
    /// A statement of the neighbouring application failed, or found something that the pods had left behind.
    BrokenForStranger,
}

/// The state of a call in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Succeeded,
    Failed,
    Interrupted,
    Cancelled,
    Skipped,
    /// Expired: no call here can.
    Other,
}

/// An attempt on record that was followed by another.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) attempt: u32,
    pub(crate) pod: Option<Uuid>,
    /// It failed; otherwise its pod vanished.
    pub(crate) failed: bool,
    /// By the database's clock.
    pub(crate) at: i64,
}

/// A schedule in the database once nothing is broken any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScheduleState {
    pub(crate) active: bool,
    /// How many untried runs wait for their due time.
    pub(crate) next: usize,
    /// The last of their due times; `None` if there is none.
    pub(crate) due: Option<i64>,
}

/// A call in the database.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) state: State,
    pub(crate) pod: Option<Uuid>,
    pub(crate) attempt: u32,
    /// Microseconds since 1970 by the database's clock; `None` while it is pending.
    pub(crate) finished: Option<i64>,
    /// How often it was deleted from the table of calls while it was claimed.
    pub(crate) gone: u32,
    /// Its first due time, and when it was stored, by the database's clock.
    pub(crate) due: i64,
    pub(crate) created: i64,
    pub(crate) schedule: Option<Uuid>,
    /// The attempts before the last.
    pub(crate) ended: Vec<Ended>,
}

/// All that is known after a run.
#[derive(Debug)]
pub(crate) struct History {
    /// Ordered by the monotonic clock.
    pub(crate) events: Vec<Event>,
    pub(crate) promises: HashMap<Uuid, Promise>,
    pub(crate) rows: HashMap<Uuid, Row>,
    pub(crate) faults: Vec<Fault>,
    /// Microseconds.
    pub(crate) lease: i64,
    /// The database's clock.
    pub(crate) clock: Clock,
    /// On SQLite: the worker whose clock was set apart from the others', and that clock.
    pub(crate) apart: Option<(usize, Clock)>,
    pub(crate) schedules: HashMap<Uuid, Rule>,
    /// Once everything is quiet.
    pub(crate) standing: HashMap<Uuid, ScheduleState>,
}

impl History {
    /// The clock of a worker; `None` is any other process.
    pub(crate) fn clock_of(&self, worker: Option<usize>) -> &Clock {
        match &self.apart {
            Some((apart, clock)) if worker == Some(*apart) => clock,
            _ => &self.clock,
        }
    }

    /// Every clock by which a time may have been recorded.
    fn clocks(&self) -> impl Iterator<Item = &Clock> {
        std::iter::once(&self.clock).chain(self.apart.iter().map(|(_, clock)| clock))
    }

    /// When processes were paused.
    fn standstills(&self) -> Vec<(i64, i64)> {
        let all = self.faults.iter().filter(|fault| fault.kind.stands_still());
        all.map(|fault| (fault.begin, fault.end)).collect()
    }

    /// When the last of the clocks last showed this or less.
    pub(crate) fn last_moment(&self, said: i64) -> i64 {
        let standstills = self.standstills();
        self.clocks().map(|clock| clock.last_moment(said, &standstills)).max().unwrap_or(said)
    }

    /// When the first of the clocks first showed this or more.
    pub(crate) fn first_moment(&self, said: i64) -> i64 {
        let standstills = self.standstills();
        self.clocks().map(|clock| clock.first_moment(said, &standstills)).min().unwrap_or(said)
    }

    /// The monotonic times at which one of the clocks may have shown this.
    pub(crate) fn moments(&self, said: i64) -> Vec<i64> {
        let standstills = self.standstills();
        self.clocks().flat_map(|clock| clock.moments(said, &standstills)).collect()
    }
}

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) violations: BTreeMap<Violation, Vec<String>>,
    /// Acknowledged calls.
    pub(crate) acked: usize,
    /// Calls of which producers do not know whether they are stored.
    pub(crate) unknown: usize,
    pub(crate) starts: usize,
    /// Tolerated, because faults explain them.
    pub(crate) reruns: usize,
    pub(crate) interrupted: usize,
    pub(crate) overlaps: usize,
    pub(crate) cancelled: usize,
    /// Attempts that failed and were followed by another.
    pub(crate) retries: usize,
    /// Calls that used up all their attempts, or gave up.
    pub(crate) failed: usize,
    /// Runs of schedules, skipped ones, and times without a run.
    pub(crate) recurred: usize,
    pub(crate) skipped: usize,
    pub(crate) missed: usize,
}

impl Verdict {
    pub(crate) fn count(&self) -> usize {
        self.violations.values().map(Vec::len).sum()
    }

    pub(crate) fn add(&mut self, violation: Violation, what: String) {
        self.violations.entry(violation).or_default().push(what);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acked, unknown, starts, cancelled, retries, failed, recurred, .. } = self;
        let Self { reruns, interrupted, overlaps, skipped, missed, .. } = self;
        write!(
            f,
            "acked={acked} unknown={unknown} starts={starts} cancelled={cancelled} retries={retries} \
             failed={failed} recurred={recurred} | violations={} | allowed: reruns={reruns} \
             interrupted={interrupted} overlaps={overlaps} skipped={skipped} missed={missed}",
            self.count()
        )
    }
}

/// Checks every call and every schedule.
pub(crate) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let mut by_call: HashMap<Uuid, Vec<&Event>> = HashMap::new();
    for event in history.events.iter().filter(|event| event.what.is_of_a_run()) {
        by_call.entry(event.run.call).or_default().push(event);
    }
    let troubles = fault_effects::Troubles::new(history);
    troubles.check_fences(&mut verdict);
    let runs = schedule::promises(history);
    let is_known = |call: &Uuid| history.promises.contains_key(call) || runs.contains_key(call);
    for call in by_call.keys().filter(|call| !is_known(call)) {
        verdict.add(Violation::StartedTwice, format!("{call} ran, and nobody had scheduled it"));
    }
    for promise in history.promises.values() {
        match promise.stored {
            Stored::Yes => verdict.acked += 1,
            Stored::Unknown => verdict.unknown += 1,
            Stored::No => {}
        }
    }
    for (id, promise) in history.promises.iter().chain(&runs) {
        let events = by_call.get(id).map_or(&[][..], Vec::as_slice);
        call::Checked::new(history, &troubles, *id, promise, events).check(&mut verdict);
    }
    schedule::check(history, &mut verdict);
    verdict
}
