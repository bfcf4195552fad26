//! The records that `pod.inspect()` returns, for people, dashboards and command lines.

use std::collections::BTreeMap;
use std::time::Duration;

use super::states::{CallState, ScheduleOrigin, ScheduleState};
use crate::id::{CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::recurring::Rule;
use crate::shape::Shape;
use crate::store::cursor::Cursor;

/// A filter of calls to list. An empty one matches all calls; the default limit is 100.
///
/// ```
/// use futurecall_runtime::inspect::CallFilter;
/// use futurecall_runtime::CallState;
/// let filter = CallFilter::new().name("example.do_work").state(CallState::Scheduled).limit(10);
/// assert_eq!(filter.name.as_deref(), Some("example.do_work"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct CallFilter {
    /// Only calls of this stored name.
    pub name: Option<String>,
    /// Only calls with this identifier.
    pub identifier: Option<String>,
    /// Only calls in this state. If `None`, scheduled and running calls come first, then the history.
    pub state: Option<CallState>,
    /// Only calls of this schedule.
    pub schedule: Option<ScheduleId>,
    /// Only calls at this time or later: pending calls by when they are due (next), finished ones by when they ended.
    pub since: Option<Moment>,
    /// Only calls whose moment (as for `since`) is before this one.
    pub until: Option<Moment>,
    /// Only calls that this pod has claimed, or ran last.
    pub pod: Option<PodId>,
    /// Only calls whose error contains this text, ignoring the case of ASCII letters.
    pub error: Option<String>,
    /// Maximum number of calls; 100 by default, at most 10,000.
    pub limit: usize,
    /// Only calls after this one in the listing's order, by its current position:
    /// [`CallPage::next`](crate::inspect::CallPage::next) of the previous page. Nothing if the call no longer exists.
    pub after: Option<CallId>,
    /// Only calls after this position, even if the call at it has moved or is gone; takes precedence over `after`.
    pub(crate) beyond: Option<Cursor>,
}

impl Default for CallFilter {
    fn default() -> Self {
        Self {
            name: None,
            identifier: None,
            state: None,
            schedule: None,
            since: None,
            until: None,
            pod: None,
            error: None,
            limit: 100,
            after: None,
            beyond: None,
        }
    }
}

impl CallFilter {
    /// Creates a filter that matches all calls, with a limit of 100.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps only calls of this stored name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Keeps only calls with this identifier.
    pub fn identifier(mut self, identifier: impl std::fmt::Display) -> Self {
        self.identifier = Some(format!("{identifier}"));
        self
    }

    /// Keeps only calls in this state.
    pub fn state(mut self, state: CallState) -> Self {
        self.state = Some(state);
        self
    }

    /// Keeps only calls of this schedule.
    pub fn schedule(mut self, schedule: ScheduleId) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Keeps only calls at `since` or later: pending calls by when they are due, finished ones by when they ended.
    pub fn since(mut self, since: Moment) -> Self {
        self.since = Some(since);
        self
    }

    /// Keeps only calls before `until`, compared as for [`since`](Self::since).
    pub fn until(mut self, until: Moment) -> Self {
        self.until = Some(until);
        self
    }

    /// Keeps only calls that this pod has claimed, or ran last.
    pub fn pod(mut self, pod: PodId) -> Self {
        self.pod = Some(pod);
        self
    }

    /// Keeps only calls whose error contains this text, ignoring the case of ASCII letters.
    pub fn error(mut self, text: impl Into<String>) -> Self {
        self.error = Some(text.into());
        self
    }

    /// Limits the number of calls; clamped to 1 to 10,000.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, 10_000);
        self
    }

    /// Continues after the page whose [`CallPage::next`](crate::inspect::CallPage::next) is `id`.
    pub fn after(mut self, id: CallId) -> Self {
        self.after = Some(id);
        self
    }
}

/// A call as it is stored. `Debug` shows only the size of its arguments.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct CallRecord {
    /// The call's id.
    pub id: CallId,
    /// Its stored name.
    pub name: String,
    /// Its arguments: raw JSON, byte for byte as stored. Empty if the database role may not read all arguments (the
    /// viewer of `migrations/roles.sql`).
    pub args: String,
    /// The format of `args`: 1 keyed by parameter, 2 for calls scheduled by name (`{"data": …}`).
    pub format: i16,
    /// Its identifier.
    pub identifier: Option<String>,
    /// Its priority; lower goes first.
    pub priority: i16,
    /// When its first attempt is, or was, due. Retries do not change it.
    pub due: Moment,
    /// Its state.
    pub state: CallState,
    /// Number of attempts so far.
    pub attempt: u32,
    /// Why this pod cannot run it, if it cannot. Filled in by `inspect()`, from the pod's handlers.
    pub broken: Option<String>,
    /// Hashes of the [shapes](Shape) of pods that could not decode its arguments. Usually empty.
    pub declined: Vec<i64>,
    /// When it is tried again, while it waits after a failed or interrupted attempt.
    pub next_attempt: Option<Moment>,
    /// Its start deadline (`expires_after`), while it is pending; `None` if it has none.
    pub expires: Option<Moment>,
    /// The schedule that produced it.
    pub schedule: Option<ScheduleId>,
    /// The finished call that it repeats.
    pub rerun_of: Option<CallId>,
    /// When it was stored.
    pub created: Moment,
    /// When it ended.
    pub finished: Option<Moment>,
    /// The pod that has claimed it, or ran it last.
    pub pod: Option<PodId>,
    /// When its lease ends, while it is claimed.
    pub lease_until: Option<Moment>,
    /// Whether its handler is known to have started; `Some(false)` means *claimed, start not proven*.
    pub start_proven: Option<bool>,
    /// Whether it was cancelled while it was running.
    pub cancel_requested: bool,
    /// The last error, or why it was cancelled or skipped.
    pub error: Option<String>,
    /// Its attempts, oldest first; at most the last 100. Filled in only by `call(id)`.
    pub attempts: Vec<AttemptRecord>,
}

/// An attempt of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptRecord {
    /// Number of the attempt, from 1.
    pub number: u32,
    /// The pod that ran it.
    pub pod: Option<PodId>,
    /// When the handler started; `None` if no start is proven.
    pub started: Option<Moment>,
    /// How long it ran; `None` while it is running, or if unknown.
    pub duration: Option<Duration>,
    /// When it ended; `None` while it is running.
    pub ended: Option<Moment>,
    /// How it ended; `Running` while it is running.
    pub outcome: CallState,
    /// Its error.
    pub error: Option<String>,
}

/// A schedule. `Debug` shows only the size of its arguments.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ScheduleRecord {
    /// The schedule's id.
    pub id: ScheduleId,
    /// The stored name of its calls.
    pub name: String,
    /// The identifier of the schedule and its calls.
    pub identifier: Option<String>,
    /// The arguments of every run; may be empty for the same reason as [`CallRecord::args`].
    pub args: String,
    /// The rule declared in code.
    pub declared: Rule,
    /// The rule in effect, which an operator may have edited.
    pub effective: Rule,
    /// Where it was declared.
    pub origin: ScheduleOrigin,
    /// Its state.
    pub state: ScheduleState,
    /// Why it was paused or ended.
    pub reason: Option<String>,
    /// When its next run is due; `None` if it is not active.
    pub next: Option<Moment>,
    /// The time of the first run under the rule in effect, from which intervals are counted.
    pub anchor: Moment,
    /// When it was first declared.
    pub created: Moment,
}

impl ScheduleRecord {
    /// Returns its next `count` run times after `after`, by the rule in effect, as if it were active.
    pub fn upcoming(&self, after: Moment, count: usize) -> Vec<Moment> {
        self.effective.upcoming(self.anchor, after, count)
    }
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PodRecord {
    /// The pod's id.
    pub id: PodId,
    /// Host name and process id.
    pub label: String,
    /// Its role.
    pub role: String,
    /// The version of this library that it uses.
    pub version: String,
    /// The stored names that it runs.
    pub names: Vec<String>,
    /// The shape of each name: the parameters that this release stores and decodes.
    pub shapes: BTreeMap<String, Shape>,
    /// The keys of redacted arguments ([`#[future_call(redact)]`](crate::future_call)) by stored name, including
    /// older keys. [`Redaction`](crate::store::Redaction) hides them.
    pub redacted: BTreeMap<String, Vec<String>>,
    /// Maximum number of handlers running at once.
    pub slots: u32,
    /// Number of handlers running at its last heartbeat.
    pub running: u32,
    /// When it started.
    pub started: Moment,
    /// When its last heartbeat was written.
    pub beat: Moment,
    /// Whether that heartbeat is recent.
    pub live: bool,
}

impl PodRecord {
    /// Returns whether its role runs calls at all.
    pub fn runs(&self) -> bool {
        self.role != "serverless"
    }
}

/// Number of calls by state. Where counting stops at a cap, a count equal to the cap means *that many or more*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// When the oldest call was due that is due and not claimed.
    pub oldest_due: Option<Moment>,
    /// Calls that wait, due or not.
    pub scheduled: u64,
    /// Of `scheduled`: calls that are due.
    pub due: u64,
    /// Calls that are claimed.
    pub running: u64,
    /// Calls in the history that succeeded.
    pub succeeded: u64,
    /// Calls in the history that failed.
    pub failed: u64,
    /// Calls in the history that were interrupted.
    pub interrupted: u64,
    /// Calls in the history that were cancelled.
    pub cancelled: u64,
    /// Calls in the history that expired.
    pub expired: u64,
    /// Runs in the history that were skipped.
    pub skipped: u64,
}

/// The waiting calls and the live pods, as gauges report them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Calls that wait, due or not, counted up to a cap.
    pub scheduled: u64,
    /// Of `scheduled`: calls that are due.
    pub due: u64,
    /// How long the oldest of those has been due.
    pub oldest_due_age: Option<Duration>,
    /// Number of pods whose heartbeat is recent.
    pub pods: u64,
}

/// The name of calls that wait, and how many of them do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct PendingName {
    /// The stored name.
    pub name: String,
    /// How many calls of it wait, due or not. Where counting stops at a cap, that many or more.
    pub calls: u64,
}

impl PendingName {
    /// Creates the count of a name.
    pub const fn new(name: String, calls: u64) -> Self {
        Self { name, calls }
    }
}

/// A setting of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseSetting {
    /// What the database calls it, such as `fsync` or `journal_mode`; `version` is the database's own version.
    pub name: String,
    /// Its value, as the database writes it.
    pub value: String,
}

impl DatabaseSetting {
    /// Creates a setting.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// The log of one attempt of a call. `Debug` shows only its size.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunLog {
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Its lines.
    pub text: String,
    /// When it was stored, which is about when the attempt ended.
    pub at: Moment,
}

impl Counts {
    /// Adds calls of a finished state.
    pub(crate) fn add(&mut self, state: CallState, calls: u64) {
        let count = match state {
            CallState::Succeeded => &mut self.succeeded,
            CallState::Interrupted => &mut self.interrupted,
            CallState::Cancelled => &mut self.cancelled,
            CallState::Expired => &mut self.expired,
            CallState::Skipped => &mut self.skipped,
            // The first two are never in the history.
            CallState::Scheduled | CallState::Running | CallState::Failed => &mut self.failed,
        };
        *count = count.saturating_add(calls);
    }

    /// Returns all counts.
    pub(crate) fn all_mut(&mut self) -> [&mut u64; 9] {
        [
            &mut self.scheduled,
            &mut self.due,
            &mut self.running,
            &mut self.succeeded,
            &mut self.failed,
            &mut self.interrupted,
            &mut self.cancelled,
            &mut self.expired,
            &mut self.skipped,
        ]
    }
}

/// Number of pending calls of a name that are due within one interval of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimelineCount {
    /// The stored name.
    pub name: String,
    /// Index of the interval: 0 is between the first two edges.
    pub stretch: usize,
    /// Number of calls; a count equal to the cap means that many or more. Never 0.
    pub calls: u64,
}

impl TimelineCount {
    /// Creates a count.
    pub const fn new(name: String, stretch: usize, calls: u64) -> Self {
        Self { name, stretch, calls }
    }
}

/// A migration of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationRecord {
    /// Its number; migrations are applied in this order.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// When it was applied; `None` if it was not.
    pub applied: Option<Moment>,
    /// Its SQL as `futurecall migrate up` runs it, with this database's schema or prefix. Empty for a migration
    /// applied by a newer version of the library.
    pub sql: String,
}

impl MigrationRecord {
    /// Creates a record.
    pub const fn new(version: u32, name: String, applied: Option<Moment>, sql: String) -> Self {
        Self { version, name, applied, sql }
    }
}
