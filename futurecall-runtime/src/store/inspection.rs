//! What `pod.inspect()` answers with: records for people, dashboards and command lines.

use std::collections::BTreeMap;
use std::time::Duration;

use super::states::{CallState, ScheduleOrigin, ScheduleState};
use crate::id::{CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::recurring::Rule;
use crate::shape::Shape;
use crate::store::cursor::Cursor;

/// Which calls to list. Empty: all, up to 100.
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
    /// Only calls in this state. Without it: scheduled and running first, then history.
    pub state: Option<CallState>,
    /// Only calls of this schedule.
    pub schedule: Option<ScheduleId>,
    /// Only calls whose moment is this one or later: pending ones by when they are due (next), finished ones by when they
    /// ended.
    pub since: Option<Moment>,
    /// Only calls whose moment (as for `since`) is before this one.
    pub until: Option<Moment>,
    /// Only calls that this pod holds, or ran last.
    pub pod: Option<PodId>,
    /// Only calls whose error holds this text, whatever the case of its letters a to z.
    pub error: Option<String>,
    /// At most this many; 100 unless told, 10,000 at most.
    pub limit: usize,
    /// Only what comes after this call in the listing's order, where it stands by then: [`CallPage::next`](crate::inspect::CallPage::next) of the page before.
    /// Nothing if there is no such call any more.
    pub after: Option<CallId>,
    /// Only what comes after this place, whatever became of the call that stood there; `after` does not count then.
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
    /// All calls, up to 100.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only calls of this stored name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only calls with this identifier.
    pub fn identifier(mut self, identifier: impl std::fmt::Display) -> Self {
        self.identifier = Some(format!("{identifier}"));
        self
    }

    /// Only calls in this state.
    pub fn state(mut self, state: CallState) -> Self {
        self.state = Some(state);
        self
    }

    /// Only calls of this schedule.
    pub fn schedule(mut self, schedule: ScheduleId) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Only calls whose moment is `since` or later: pending ones by when they are due, finished ones by when they ended.
    pub fn since(mut self, since: Moment) -> Self {
        self.since = Some(since);
        self
    }

    /// Only calls whose moment (as for [`since`](Self::since)) is before `until`.
    pub fn until(mut self, until: Moment) -> Self {
        self.until = Some(until);
        self
    }

    /// Only calls that this pod holds, or ran last.
    pub fn pod(mut self, pod: PodId) -> Self {
        self.pod = Some(pod);
        self
    }

    /// Only calls whose error holds this text, whatever the case of its letters a to z.
    pub fn error(mut self, text: impl Into<String>) -> Self {
        self.error = Some(text.into());
        self
    }

    /// At most this many; clamped to 1 to 10,000.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, 10_000);
        self
    }

    /// The page after the one whose [`CallPage::next`](crate::inspect::CallPage::next) this is.
    pub fn after(mut self, id: CallId) -> Self {
        self.after = Some(id);
        self
    }
}

/// One call, as it stands in the database. `Debug` shows its arguments by their size alone.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct CallRecord {
    /// Which call.
    pub id: CallId,
    /// Its stored name.
    pub name: String,
    /// Its arguments: raw JSON, to the byte as stored. Empty where the database role may not read them all (the viewer of
    /// `migrations/roles.sql`).
    pub args: String,
    /// The form of `args`: 1 keyed by parameter, 2 by name (`{"data": …}`).
    pub format: i16,
    /// Its label.
    pub identifier: Option<String>,
    /// Its priority; lower goes first.
    pub priority: i16,
    /// When it is, or was, due: its first attempt, however often it has been tried since.
    pub due: Moment,
    /// Where it stands.
    pub state: CallState,
    /// How many attempts were counted.
    pub attempt: u32,
    /// Why this pod could not run it, if it could not (filled in by `inspect()`, which knows the handlers).
    pub broken: Option<String>,
    /// The hashes of the [shapes](Shape) under which pods could not read its arguments. Mostly none.
    pub declined: Vec<i64>,
    /// When it is tried again, while it waits for that after a failed or interrupted attempt.
    pub next_attempt: Option<Moment>,
    /// After which moment it is not started any more, while it is pending; `None`: it may start however late.
    pub expires: Option<Moment>,
    /// The schedule that produced it.
    pub schedule: Option<ScheduleId>,
    /// The finished call that it does again.
    pub rerun_of: Option<CallId>,
    /// When it was stored.
    pub created: Moment,
    /// When it ended.
    pub finished: Option<Moment>,
    /// The pod that holds it, or ran it last.
    pub pod: Option<PodId>,
    /// When its lease ends, while it is claimed.
    pub lease_until: Option<Moment>,
    /// Whether its handler is known to have started: `Some(false)` means *claimed, start not proven*.
    pub start_proven: Option<bool>,
    /// Whether it was cancelled while running.
    pub cancel_requested: bool,
    /// What went wrong last, or why it was cancelled or skipped.
    pub error: Option<String>,
    /// Its attempts, oldest first; of a call that was tried more than 100 times, the newest. Filled in by `call(id)`
    /// alone.
    pub attempts: Vec<AttemptRecord>,
}

/// One attempt of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptRecord {
    /// 1 is the first.
    pub number: u32,
    /// The pod that ran it.
    pub pod: Option<PodId>,
    /// When the handler started; `None`: start not proven.
    pub started: Option<Moment>,
    /// How long it ran; `None` while it runs, or where nobody knows.
    pub duration: Option<Duration>,
    /// When it ended; `None` while it runs.
    pub ended: Option<Moment>,
    /// How it ended; `Running` while it runs.
    pub outcome: CallState,
    /// What it said.
    pub error: Option<String>,
}

/// One schedule. `Debug` shows its arguments by their size alone.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ScheduleRecord {
    /// Which schedule.
    pub id: ScheduleId,
    /// The stored name of the call it produces.
    pub name: String,
    /// Its label, and that of its calls.
    pub identifier: Option<String>,
    /// The arguments of every run; empty as those of a [`CallRecord`] are.
    pub args: String,
    /// The rule that code declared.
    pub declared: Rule,
    /// The rule in effect (an operator may have edited it).
    pub effective: Rule,
    /// Where it was declared.
    pub origin: ScheduleOrigin,
    /// Where it stands.
    pub state: ScheduleState,
    /// Why it ended or was paused.
    pub reason: Option<String>,
    /// When its next run is due; `None` when it is not active.
    pub next: Option<Moment>,
    /// The first run's moment under the rule in effect: intervals count from it.
    pub anchor: Moment,
    /// When it was first declared.
    pub created: Moment,
}

impl ScheduleRecord {
    /// Its next `count` moments after `after`, by the rule in effect: what it would do if it were active.
    pub fn upcoming(&self, after: Moment, count: usize) -> Vec<Moment> {
        self.effective.upcoming(self.anchor, after, count)
    }
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PodRecord {
    /// Which pod.
    pub id: PodId,
    /// Host and process.
    pub label: String,
    /// Its role.
    pub role: String,
    /// The library's version.
    pub version: String,
    /// The names it runs.
    pub names: Vec<String>,
    /// What it stores and reads of calls, by each of its names.
    pub shapes: BTreeMap<String, Shape>,
    /// The arguments that are not to be shown ([`#[future_call(redact)]`](crate::future_call)): by stored name, their keys,
    /// older ones too. [`Redaction`](crate::store::Redaction) hides them.
    pub redacted: BTreeMap<String, Vec<String>>,
    /// Handlers at once.
    pub slots: u32,
    /// Handlers running at its last heartbeat.
    pub running: u32,
    /// When it started.
    pub started: Moment,
    /// Its last heartbeat.
    pub beat: Moment,
    /// Whether that is recent.
    pub live: bool,
}

impl PodRecord {
    /// Whether its role runs calls at all.
    pub fn runs(&self) -> bool {
        self.role != "serverless"
    }
}

/// How many calls are in each state. Where counting stops at a cap, a figure that equals it means *that many or more*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// The moment of the oldest call that is due and not claimed.
    pub oldest_due: Option<Moment>,
    /// Waiting, due or not.
    pub scheduled: u64,
    /// Of `scheduled`: those whose moment has come.
    pub due: u64,
    /// Claimed.
    pub running: u64,
    /// In the history, by outcome.
    pub succeeded: u64,
    /// In the history.
    pub failed: u64,
    /// In the history.
    pub interrupted: u64,
    /// In the history.
    pub cancelled: u64,
    /// In the history.
    pub expired: u64,
    /// In the history.
    pub skipped: u64,
}

/// What waits in the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Calls that wait, due or not; counting stops somewhere.
    pub scheduled: u64,
    /// Of them: those whose moment has come.
    pub due: u64,
    /// For how long the first of those has been due.
    pub oldest_due_age: Option<Duration>,
    /// Pods whose heartbeat is recent.
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

/// What one attempt of a call has logged. `Debug` shows its size alone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunLog {
    /// Which attempt; 1 is the first.
    pub attempt: u32,
    /// Its lines.
    pub text: String,
    /// When it was stored, which is about when the attempt ended.
    pub at: Moment,
}

impl Counts {
    /// Adds calls of a state that stands in the history.
    pub(crate) fn add(&mut self, state: CallState, calls: u64) {
        let count = match state {
            CallState::Succeeded => &mut self.succeeded,
            CallState::Interrupted => &mut self.interrupted,
            CallState::Cancelled => &mut self.cancelled,
            CallState::Expired => &mut self.expired,
            CallState::Skipped => &mut self.skipped,
            // The first two never stand in the history.
            CallState::Scheduled | CallState::Running | CallState::Failed => &mut self.failed,
        };
        *count = count.saturating_add(calls);
    }

    /// Every figure.
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

/// How many pending calls of a name are due within one stretch of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimelineCount {
    /// The stored name.
    pub name: String,
    /// Which stretch: 0 lies between the first two edges.
    pub stretch: usize,
    /// How many; at the cap: that many or more. Never 0.
    pub calls: u64,
}

impl TimelineCount {
    /// A count.
    pub const fn new(name: String, stretch: usize, calls: u64) -> Self {
        Self { name, stretch, calls }
    }
}

/// One step of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationRecord {
    /// Its number; they are applied in this order.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// When it was applied; `None`: not yet.
    pub applied: Option<Moment>,
    /// The SQL, as `futurecall migrate up` runs it, with this database's schema or prefix. Empty for one that a newer
    /// version of the library has applied.
    pub sql: String,
}

impl MigrationRecord {
    /// A step.
    pub const fn new(version: u32, name: String, applied: Option<Moment>, sql: String) -> Self {
        Self { version, name, applied, sql }
    }
}
