//! What goes into a store and what comes out of it: plain rows, no behaviour. (`Debug` of those with arguments: `shown`.)

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::states::ScheduleOrigin;
use crate::id::{CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::recurring::Rule;
use crate::shape::Shape;

/// Which clock decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// The database's own clock, read by the statement.
    Database,
    /// This moment: tests pass time in.
    At(Moment),
}

/// When a new call is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// That long after the database's clock as it stands when the call is stored. Never past [`Moment::MAX`]: the
    /// facade refuses a delay over 7,000 years, and a store that would still pass the limit refuses the row.
    After(Duration),
    /// At that moment; one in the past means at once.
    At(Moment),
}

/// A call to be stored. Texts are validated by the facade before it gets here.
#[derive(Clone, PartialEq)]
pub struct NewCall {
    /// Made by the client, so that an insert can be repeated.
    pub id: CallId,
    /// The stored name, such as `example.do_work`.
    pub name: String,
    /// The user's label, if any.
    pub identifier: Option<String>,
    /// A JSON object; kept to the byte.
    pub args: String,
    /// The form of `args`; 1 today.
    pub format: i16,
    /// Lower goes first; 0 is the default.
    pub priority: i16,
    /// When it is due.
    pub due: Due,
    /// How long after its moment (or after it was stored, if that came later) it may still start; `None`: for ever.
    pub expires_after: Option<Duration>,
    /// The W3C `traceparent` of whoever scheduled it, if any.
    pub traceparent: Option<String>,
}

/// What one run has logged.
#[derive(Clone, PartialEq, Eq)]
pub struct NewLog {
    /// The call.
    pub id: CallId,
    /// Which of its attempts.
    pub attempt: u32,
    /// Its lines.
    pub text: String,
}

/// What became of one call of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// Stored, durably; if it was a repetition, at the latest by it.
    Stored,
    /// A repetition that cannot tell whether the call had been stored, and had ended without a trace, before. It was not
    /// stored by this repetition.
    Unknown,
    /// First time (not a repetition), and a call of this id exists already.
    Duplicate,
}

/// What to cancel, or to move to another moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelTarget {
    /// All calls and schedules with this identifier.
    Identifier(String),
    /// One call.
    Call(CallId),
    /// These calls, each as if it were named alone; at most 1,000. Those that are not pending are passed over.
    Calls(Vec<CallId>),
}

/// What a cancellation found and did. All zero: nothing of that identifier was pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cancelled {
    /// Calls that had not started, and now never will.
    pub calls: u64,
    /// Schedules that ended. Their pending calls are counted here, not in `calls`.
    pub schedules: u64,
    /// Runs that were already under way: they are signalled and get no further attempt.
    pub running: u64,
}

impl Cancelled {
    /// Counts a cancellation.
    pub const fn new(calls: u64, schedules: u64, running: u64) -> Self {
        Self { calls, schedules, running }
    }
}

/// What moving calls to another moment found and did. All zero: nothing of that identifier was pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rescheduled {
    /// Calls that had not started, and are now due at the new moment.
    pub calls: u64,
    /// Runs that were already under way: they are left alone.
    pub running: u64,
}

impl Rescheduled {
    /// Counts a move.
    pub const fn new(calls: u64, running: u64) -> Self {
        Self { calls, running }
    }
}

/// What became of the wish to run a finished call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAgain {
    /// The new call is stored; if it was a repetition, at the latest by it.
    Stored,
    /// The old one is not over.
    Pending,
    /// The old one succeeded.
    Succeeded,
    /// There is no old one, neither pending nor in the history; or this was a repetition that cannot tell whether the new
    /// one was stored before, and has not stored it.
    Unknown,
}

/// A schedule as code declares it.
#[derive(Clone, PartialEq)]
pub struct NewSchedule {
    /// Used when the key is new.
    pub id: ScheduleId,
    /// The identity across declarations: by (name, identifier), or without one by (name, arguments). Made by
    /// the facade; opaque here, unique.
    pub key: String,
    /// The keys that it had under older names of the call. Where `key` is unknown and one of these is known (the newest,
    /// if several are), that schedule is this one: it takes the new key and name first, and so do its pending calls.
    pub former_keys: Vec<String>,
    /// The stored name of the call.
    pub name: String,
    /// The identifier of the schedule and of all its calls.
    pub identifier: Option<String>,
    /// The arguments of every run, as one JSON object.
    pub args: String,
    /// The form of `args`.
    pub format: i16,
    /// The priority of every run.
    pub priority: i16,
    /// The rule.
    pub rule: Rule,
    /// Who declares it.
    pub origin: ScheduleOrigin,
}

/// What became of one declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The schedule's lasting id.
    pub id: ScheduleId,
    /// Whether a new schedule was made, or an ended one revived.
    pub created: bool,
    /// Whether an existing one took a new rule, new arguments or a new priority.
    pub changed: bool,
}

/// What the pod that asks says of itself, and when others count as live.
#[derive(Clone, Debug, Default)]
pub struct LivePod {
    /// The names it runs, aliases too.
    pub names: Vec<String>,
    /// The keys of the schedules it declares by attribute.
    pub schedules: Vec<String>,
    /// How long ago the last heartbeat of another live pod may be.
    pub pod_live: Duration,
}

/// Which pod asks for calls, and for which.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Who claims.
    pub pod: PodId,
    /// Grows with every claim that the pod sends, so that a claim whose reply was lost can be found.
    pub claim_no: i64,
    /// The names this pod can run, with what is to happen to a call of each if the pod vanishes.
    pub names: Vec<(String, OnVanish)>,
    /// Under these names, the hash of the shape that this pod reads: calls that were declined under it are left alone.
    pub shapes: Arc<BTreeMap<String, i64>>,
    /// How many calls at most.
    pub limit: usize,
    /// How long the lease lasts from the database's now.
    pub lease: Duration,
    /// Only calls due at or before this moment (besides being due by the clock).
    pub until: Option<Moment>,
    /// What is due within this time of the database's now is claimed already: the pod holds it until it is due. Not calls
    /// of schedules: their successors are computed from the moment of the claim.
    pub ahead: Duration,
    /// Looks at everything. Otherwise a store may miss what was stored behind where its earlier claims have got to.
    pub sweep: bool,
    /// How outcomes are kept, for what a claim itself records (`Skipped`).
    pub retention: Retention,
}

impl ClaimRequest {
    /// What happens to a call of that name if the pod vanishes. (Pods name them in order.)
    pub(crate) fn on_vanish(&self, name: &str) -> OnVanish {
        let place = self.names.binary_search_by(|(asked, _)| asked.as_str().cmp(name)).unwrap_or(0);
        let asked = self.names.iter().skip(place).chain(&self.names).find(|(asked, _)| asked == name);
        asked.map_or(OnVanish::Keep, |(_, on_vanish)| *on_vanish)
    }

    /// The hash of the shape under which calls of that name are read; 0, which no shape has, where none is known.
    pub(crate) fn shape(&self, name: &str) -> i64 {
        self.shapes.get(name).copied().unwrap_or(0)
    }
}

/// How many ended attempts of one call are kept: the newest.
pub(crate) const ATTEMPTS_KEPT: usize = 100;

/// What happens to a claimed call whose pod vanishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnVanish {
    /// It is recorded as `Interrupted` and not run again by itself.
    #[default]
    Keep,
    /// It is due again, until so many of its pods have vanished.
    Rerun {
        /// How many pods may vanish with the call before it ends as `Failed`; 1 or more.
        budget: u32,
        /// How long after the rescue it is due.
        after: Duration,
    },
}

/// The answer to a claim.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// What this pod now holds, in the order in which it should start.
    pub calls: Vec<ClaimedCall>,
    /// How long until the next unclaimed call of the names asked for is due, by the database's clock; zero if more is
    /// due already (or may be claimed ahead: that is left to the store); `None` if none waits.
    pub next: Option<Duration>,
    /// How many calls were recorded as `Skipped`.
    pub skipped: u64,
    /// The database's clock as the claim read it; `None` where it was not asked.
    pub now: Option<Moment>,
    /// Others have locked calls that this claim would have taken.
    pub crowded: bool,
}

/// A call in the hands of this pod.
#[derive(Clone, PartialEq)]
pub struct ClaimedCall {
    /// Which call.
    pub id: CallId,
    /// The fence, together with the pod.
    pub claim_no: i64,
    /// The stored name.
    pub name: String,
    /// The user's label.
    pub identifier: Option<String>,
    /// The arguments, to the byte as they were stored.
    pub args: String,
    /// The form of `args`.
    pub format: i16,
    /// Its priority.
    pub priority: i16,
    /// When it was due: its first attempt, or the one that it waited for.
    pub due: Moment,
    /// When it was due first.
    pub first_due: Moment,
    /// No handler may start after this, unless one has before.
    pub expires: Option<Moment>,
    /// How many of its attempts have ended with [`Outcome::Retry`].
    pub failures: u32,
    /// The database's clock when it was claimed.
    pub claimed: Moment,
    /// Which run of the handler this is; 1 is the first. Counted at the claim, given back by `release`.
    pub attempt: u32,
    /// The schedule that produced it.
    pub schedule: Option<ScheduleId>,
    /// The trace that scheduled it.
    pub traceparent: Option<String>,
}

/// A claim that this pod believes to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which call.
    pub id: CallId,
    /// Under which claim.
    pub claim_no: i64,
    /// Whether the handler has started; a renewal writes it down, so that an interruption can say *start proven*.
    pub started: bool,
}

/// What a renewal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Whether the claim is still held, and its lease extended.
    pub lease: Lease,
    /// The call has been cancelled: signal the handler.
    pub cancelled: bool,
}

/// Whether a claim is still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Held, and extended.
    Held,
    /// Held, and not extended: somebody else's open transaction has the row locked. The old deadline stands.
    Kept,
    /// Another pod may have taken the call, or it is gone: the handler must be stopped, and its outcome dropped.
    Lost,
}

/// The end of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// Which call.
    pub id: CallId,
    /// Under which claim.
    pub claim_no: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// How long after the claim the handler started (by the pod's monotonic clock); `None`: it never started.
    pub started_after: Option<Duration>,
    /// How long the handler ran.
    pub ran_for: Duration,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler returned `()` or `Ok`.
    Succeeded,
    /// The handler returned an error or panicked, or its arguments did not decode.
    Failed {
        /// What it said.
        error: String,
    },
    /// The pod gave the run up (shutdown grace over).
    Interrupted {
        /// Why.
        error: String,
    },
    /// As `Failed`, but the call is to run again: it is due that long after the database's now, unclaimed, with its
    /// attempt counted and on record. If it was cancelled meanwhile, it ends as `Cancelled` instead.
    Retry {
        /// What the attempt said.
        error: String,
        /// How long until the next one is due.
        after: Duration,
    },
    /// As `Interrupted`, but the call may run again and is due at once. No pod has vanished, and nothing has failed:
    /// neither count grows.
    Rerun {
        /// Why.
        error: String,
    },
    /// No handler was started: the time within which it might was over.
    Expired {
        /// Since when.
        error: String,
    },
}

/// A claim whose pod vanished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescued {
    /// Which call.
    pub id: CallId,
    /// Its stored name.
    pub name: String,
    /// The pod that held it.
    pub pod: PodId,
    /// Whether it will run again.
    pub rerun: bool,
}

/// How long the history keeps each outcome. Zero: no row is written at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Calls that succeeded. Default 1 day.
    pub succeeded: Duration,
    /// Calls that failed. Default 30 days.
    pub failed: Duration,
    /// Calls whose pod vanished. Default 30 days.
    pub interrupted: Duration,
    /// Calls that were cancelled or discarded. Default 30 days.
    pub cancelled: Duration,
    /// Runs of schedules that were skipped, and calls that expired. Default 30 days.
    pub skipped: Duration,
}

const DAY: Duration = Duration::from_hours(24);

/// How long after it was first sent a request to store calls may be repeated, at the most: its last repetition is sent after
/// ten seconds, and may wait for a connection for as long again.
pub(crate) const REPEATED: Duration = Duration::from_secs(30);

impl Default for Retention {
    fn default() -> Self {
        let month = DAY.saturating_mul(30);
        Self { succeeded: DAY, failed: month, interrupted: month, cancelled: month, skipped: month }
    }
}

impl Retention {
    /// How long an outcome of that state is kept; zero for states that are not in the history.
    pub const fn of(&self, state: super::CallState) -> Duration {
        use super::CallState as S;
        match state {
            S::Succeeded => self.succeeded,
            S::Failed => self.failed,
            S::Interrupted => self.interrupted,
            S::Cancelled => self.cancelled,
            S::Skipped | S::Expired => self.skipped,
            S::Scheduled | S::Running => Duration::ZERO,
        }
    }

    /// Whether every call that ends is in the history for as long as what stored it may be repeated. (Runs that were
    /// skipped are stored by nobody's request; a call that expired may be stored once more, and expires again.)
    pub(crate) fn outlasts_repetitions(&self) -> bool {
        let Self { succeeded, failed, interrupted, cancelled, skipped: _ } = self;
        [succeeded, failed, interrupted, cancelled].into_iter().all(|kept| *kept >= REPEATED)
    }

    /// After how long nothing is left of a call.
    pub(crate) fn longest(&self) -> Duration {
        let Self { succeeded, failed, interrupted, cancelled, skipped } = *self;
        succeeded.max(failed).max(interrupted).max(cancelled).max(skipped)
    }
}

/// What a pod says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodBeat {
    /// Fresh at every start.
    pub id: PodId,
    /// Host and process, for people.
    pub label: String,
    /// `monolith`, `serverless` or `maintenance`.
    pub role: String,
    /// The version of this library.
    pub version: String,
    /// The names it runs.
    pub names: Vec<String>,
    /// What it stores and reads of calls, by each of its names.
    pub shapes: BTreeMap<String, Shape>,
    /// The keys of the schedules it declares by attribute.
    pub schedules: Vec<String>,
    /// The arguments that it says are not to be shown: by stored name, their keys (older ones too).
    pub redacted: BTreeMap<String, Vec<String>>,
    /// Handlers at once.
    pub slots: u32,
    /// Handlers running now.
    pub running: u32,
}

impl PodBeat {
    /// Every text in it.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let hidden = self.redacted.iter().flat_map(|(name, keys)| std::iter::once(name).chain(keys));
        let shapes = self.shapes.iter().flat_map(|(name, shape)| std::iter::once(name).chain(shape.texts()));
        let lists = self.names.iter().chain(&self.schedules).chain(hidden).chain(shapes);
        [&self.label, &self.role, &self.version].into_iter().chain(lists).map(String::as_str)
    }
}
