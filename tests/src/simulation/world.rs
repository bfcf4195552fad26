//! The shared state of a simulation: time, random numbers, faults, and the trace.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futurecall_model::line::{Line, What};
use futurecall_runtime::{CallId, Moment, ScheduleId};
use tokio::time::Instant;

use super::Settings;
use crate::make::micros;
use futurecall_testbed::rng::Rng;

/// Shared by all pods, clients and the server of one simulation.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    began: Instant,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dice: Rng,
    pub(crate) lines: Vec<Line>,
    /// Names of calls, in the order in which they were stored.
    pub(crate) calls: BTreeMap<CallId, String>,
    pub(crate) schedules: BTreeMap<ScheduleId, String>,
    /// The holders of calls, by the trace.
    pub(crate) claims: BTreeMap<CallId, Holder>,
    /// What was promised to clients never to happen.
    pub(crate) refused: Vec<CallId>,
    /// The calls pruned from the history.
    pub(crate) pruned: Vec<CallId>,
    /// Skipped runs that are in the trace.
    pub(crate) skipped: Vec<CallId>,
    pub(crate) violations: Vec<String>,
    /// Until when no pod reaches the database.
    outage: Option<Instant>,
    /// Until when single pods do not reach it.
    partitions: BTreeMap<String, Instant>,
    /// Until when the server rejects all pods.
    denial: Option<Instant>,
    /// Every tenth operation is not done, and looks as if its reply were lost.
    is_unsent: bool,
    /// No more faults.
    is_quiet: bool,
    /// The paused processes, and until when.
    still: BTreeMap<String, Moment>,
    /// Which handlers run on which pods.
    handlers: Vec<(CallId, String)>,
    /// The faults of each pod, and until when.
    troubles: Vec<(String, Moment)>,
    pub(crate) counts: Counts,
}

/// The holder of a call.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) pod: String,
    pub(crate) id: futurecall_runtime::PodId,
    pub(crate) number: i64,
    pub(crate) since: Moment,
}

/// Counts of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations that reached the database.
    pub operations: u64,
    /// Faults of all kinds.
    pub faults: u64,
    /// Handlers started.
    pub starts: u64,
    /// Claims of vanished pods that were found.
    pub rescues: u64,
    /// Late writes that the fence rejected.
    pub refusals: u64,
    /// Claims that committed after their connection was lost.
    pub late: u64,
    /// Calls that were stored as claimed.
    pub at_once: u64,
    /// Calls that expired.
    pub expired: u64,
    /// Handlers that timed out.
    pub timeouts: u64,
    /// Calls that were run again by request.
    pub reruns: u64,
    /// Calls that were pruned from the history.
    pub pruned: u64,
    /// How often the server rejected a pod.
    pub denials: u64,
    /// Pods that were disconnected right after a slow renewal.
    pub partitions: u64,
}

impl Counts {
    /// Adds these counts as well.
    pub fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.faults += other.faults;
        self.starts += other.starts;
        self.rescues += other.rescues;
        self.refusals += other.refusals;
        self.late += other.late;
        self.at_once += other.at_once;
        self.expired += other.expired;
        self.timeouts += other.timeouts;
        self.reruns += other.reruns;
        self.pruned += other.pruned;
        self.denials += other.denials;
        self.partitions += other.partitions;
    }
}

/// The fate of one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lot {
    /// Until it is done.
    pub(crate) before: Duration,
    /// Until its reply arrives.
    pub(crate) after: Duration,
    pub(crate) trouble: Option<Trouble>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is not done.
    Broken,
    /// It is not done: another transaction is in the way.
    Busy,
    /// It is not done: the server rejects it, for lack of a right for example.
    Denied,
    /// It is done, and the reply is lost.
    Lost,
    /// It is not done, and looks as if its reply were lost.
    Unsent,
}

/// How long a process may need to notice that it was paused.
const SETTLE: Duration = Duration::from_millis(500);

/// A running handler.
pub(crate) struct Running {
    world: Arc<World>,
    pod: String,
    id: CallId,
}

impl Drop for Running {
    fn drop(&mut self) {
        let handlers = &mut self.world.shared().handlers;
        if let Some(place) = handlers.iter().position(|(call, pod)| *call == self.id && *pod == self.pod) {
            handlers.swap_remove(place);
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, settings: Settings) -> Self {
        let shared = Shared {
            dice: Rng::new(seed),
            lines: Vec::new(),
            calls: BTreeMap::new(),
            schedules: BTreeMap::new(),
            claims: BTreeMap::new(),
            refused: Vec::new(),
            pruned: Vec::new(),
            skipped: Vec::new(),
            violations: Vec::new(),
            outage: None,
            partitions: BTreeMap::new(),
            denial: None,
            is_unsent: settings.unsent,
            is_quiet: !settings.faults,
            still: BTreeMap::new(),
            handlers: Vec::new(),
            troubles: Vec::new(),
            counts: Counts::default(),
        };
        Self { settings, began: Instant::now(), shared: Mutex::new(shared) }
    }

    /// Returns the time at which every simulation begins.
    pub(crate) fn start() -> Moment {
        micros(0)
    }

    /// Returns the time of the database's clock.
    pub(crate) fn now(&self) -> Moment {
        Self::start().checked_add(self.began.elapsed()).expect("simulations are short")
    }

    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line of the trace.
    pub(crate) fn write(&self, what: What) {
        let line = Line { at: of(self.now()), what };
        self.shared().lines.push(line);
    }

    pub(crate) fn violated(&self, what: impl Into<String>) {
        self.shared().violations.push(what.into());
    }

    /// Draws the fate of an operation that this pod sends now.
    pub(crate) fn draw(&self, pod: &str) -> Lot {
        let mut shared = self.shared();
        shared.counts.operations += 1;
        let (is_quiet, is_unsent) = (shared.is_quiet, shared.is_unsent);
        let dice = &mut shared.dice;
        let (before, after) = (self.settings.latency(dice, is_quiet), self.settings.latency(dice, is_quiet));
        let trouble = match dice.below(100) {
            0..=9 if is_unsent => Some(Trouble::Unsent),
            _ if is_quiet => None,
            0 | 1 => Some(Trouble::Broken),
            2 => Some(Trouble::Busy),
            3..=5 => Some(Trouble::Lost),
            6 => Some(Trouble::Denied),
            7 => Some(Trouble::Unsent),
            _ => None,
        };
        let is_slow = before + after > Duration::from_millis(20);
        drop(shared);
        // Where every tenth is, that explains nothing: whoever hears of it is to repeat it.
        if trouble.is_some() && !self.settings.unsent || is_slow {
            self.trouble(pod, before + after);
        }
        Lot { before, after, trouble }
    }

    /// Draws whether the connection of a claim that this pod sends now is lost at once, and how much later it is
    /// executed.
    pub(crate) fn draw_late(&self, pod: &str) -> Option<Duration> {
        let percent = if self.settings.late_claims { 20 } else { 2 };
        let mut shared = self.shared();
        if shared.is_quiet && !self.settings.late_claims || shared.dice.below(100) >= percent {
            return None;
        }
        shared.counts.late += 1;
        let most = usize::try_from(self.settings.lease.as_millis() / 2).unwrap_or(1);
        let delay = Duration::from_millis(shared.dice.below(most) as u64);
        drop(shared);
        if !self.settings.late_claims {
            self.trouble(pod, delay);
        }
        Some(delay)
    }

    /// Records that a fault affects a pod for that long: it explains what happens to the claims that the pod has by
    /// then.
    pub(crate) fn trouble(&self, pod: &str, length: Duration) {
        let until = self.now().checked_add(length).unwrap_or(Moment::MAX);
        let mut shared = self.shared();
        shared.counts.faults += 1;
        shared.troubles.push((pod.to_owned(), until));
    }

    /// Records that a process is paused for that long.
    pub(crate) fn stands_still(&self, pod: &str, length: Duration) {
        let until = self.now().checked_add(length).unwrap_or(Moment::MAX);
        let mut shared = self.shared();
        let known = shared.still.entry(pod.to_owned()).or_insert(until);
        *known = until.max(*known);
    }

    /// Returns whether a handler of that pod still runs a call, although its process is not paused, nor was just
    /// before.
    pub(crate) fn runs_on(&self, pod: &str, id: CallId) -> bool {
        let (now, shared) = (self.now(), self.shared());
        let settled = |until: &Moment| until.checked_add(SETTLE).is_ok_and(|settled| settled < now);
        shared.handlers.iter().any(|(call, on)| *call == id && on == pod)
            && shared.still.get(pod).is_none_or(settled)
    }

    /// Records that a handler runs, until the returned value is dropped.
    pub(crate) fn handler(self: &Arc<Self>, pod: &str, id: CallId) -> Running {
        self.shared().handlers.push((id, pod.to_owned()));
        Running { world: Arc::clone(self), pod: pod.to_owned(), id }
    }

    /// Returns whether a fault affected that pod since then.
    pub(crate) fn was_troubled(&self, pod: &str, since: Moment) -> bool {
        self.shared().troubles.iter().any(|(who, until)| who == pod && *until >= since)
    }

    pub(crate) fn begin_outage(&self, length: Duration) {
        self.shared().outage = Some(Instant::now() + length);
    }

    /// Returns whether that pod is disconnected from the database.
    pub(crate) fn is_out(&self, pod: &str) -> bool {
        let (shared, now) = (self.shared(), Instant::now());
        let partition = shared.partitions.get(pod);
        shared.outage.iter().chain(partition).any(|until| now < *until)
    }

    /// Draws how long the reply to a renewal that this pod sends now takes in addition; then the pod is disconnected.
    pub(crate) fn draw_slow_renewal(&self, pod: &str) -> Option<Duration> {
        let mut shared = self.shared();
        if shared.is_quiet || shared.dice.below(100) >= 10 {
            return None;
        }
        shared.counts.partitions += 1;
        drop(shared);
        let delay = self.settings.lease / 3;
        self.trouble(pod, delay + self.settings.lease);
        Some(delay)
    }

    /// Disconnects that pod from the database from now on, for as long as a lease.
    pub(crate) fn cut_off(&self, pod: &str) {
        self.shared().partitions.insert(pod.to_owned(), Instant::now() + self.settings.lease);
    }

    /// Makes the server reject all pods from now on, for that long.
    pub(crate) fn begin_denial(&self, length: Duration) {
        self.shared().denial = Some(Instant::now() + length);
    }

    /// Returns whether the server rejects all pods.
    pub(crate) fn is_denied(&self) -> bool {
        let mut shared = self.shared();
        let is_denied = shared.denial.is_some_and(|until| Instant::now() < until);
        shared.counts.denials += u64::from(is_denied);
        is_denied
    }

    /// Ends all faults.
    pub(crate) fn quieten(&self) {
        let mut shared = self.shared();
        (shared.is_quiet, shared.is_unsent) = (true, false);
        shared.outage = None;
        shared.partitions.clear();
        shared.denial = None;
    }

    /// Returns the name of a call.
    pub(crate) fn name(&self, id: CallId) -> String {
        self.shared().calls.get(&id).cloned().unwrap_or_else(|| "unknown".to_owned())
    }
}

impl Shared {
    /// Names a call that was stored just now.
    pub(crate) fn name_new(&mut self, id: CallId) -> String {
        let name = format!("c{}", self.calls.len());
        self.calls.insert(id, name.clone());
        name
    }
}

/// Returns a time as in traces.
pub(crate) fn of(moment: Moment) -> u64 {
    u64::try_from(moment.as_micros()).unwrap_or(0)
}

impl Settings {
    /// Draws how long a message takes.
    fn latency(&self, dice: &mut Rng, is_quiet: bool) -> Duration {
        let lease = usize::try_from(self.lease.as_millis()).unwrap_or(0);
        let longest = match dice.below(1_000) {
            _ if is_quiet => 2,
            0..=29 => 500,
            30..=150 => 50,
            throw if throw >= 1_000 - self.slow => lease * 2,
            _ => 3,
        };
        Duration::from_millis(dice.below(longest) as u64)
    }
}
