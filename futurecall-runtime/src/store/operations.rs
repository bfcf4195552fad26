//! What an operator changes by hand, and what is remembered of it.

use std::time::Duration;

use crate::id::{ActionId, CallId, ScheduleId};
use crate::moment::Moment;
use crate::recurring::Rule;

/// A change of a schedule at run time. The rule that code *declared* stays as it is, so that the change lasts until the
/// code itself changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleChange {
    /// Produces no further call until it is resumed; its pending call is removed, runs under way go on. Survives
    /// restarts and declarations.
    Pause {
        /// Why, for whoever looks at it.
        reason: String,
    },
    /// Goes on, from the rule's first moment that is still to come: what was missed while it was paused is not made up for.
    Resume,
    /// Puts another rule in effect, counted from now: the pending call is replaced. Of a paused one only the rule changes.
    Edit(Rule),
    /// Ends it. Its pending call is removed; a declaration in code revives it.
    End {
        /// Why.
        reason: String,
    },
}

/// What became of a change of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleChanged {
    /// It is so from now on.
    Changed,
    /// It was so already.
    Unchanged,
    /// It has ended: declare it again to revive it.
    Ended,
    /// There is no such schedule.
    Unknown,
    /// It is in a state that a newer release has written, which alone can change it.
    Unreadable,
}

/// A call type that no pod claims calls of until it is resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PausedName {
    /// The stored name.
    pub name: String,
    /// Since when.
    pub since: Moment,
    /// Who paused it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl PausedName {
    /// A pause.
    pub const fn new(name: String, since: Moment, actor: String, reason: String) -> Self {
        Self { name, since, actor, reason }
    }
}

/// Something that an operator did, as it is written down before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAction {
    /// Made by the client, so that it can be settled, and written twice after a lost reply.
    pub id: ActionId,
    /// Who.
    pub actor: String,
    /// What, in one word: `cancel`, `run_now`, `reschedule`, `run_again`, `delete`, `pause_schedule`, …
    pub verb: String,
    /// To what, for people: an id, a name, a filter.
    pub target: String,
    /// The call, if it is about one.
    pub call: Option<CallId>,
    /// The schedule, if it is about one.
    pub schedule: Option<ScheduleId>,
}

/// Something that an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActionRecord {
    /// Which action.
    pub id: ActionId,
    /// When, by the database's clock.
    pub at: Moment,
    /// Who.
    pub actor: String,
    /// What, in one word.
    pub verb: String,
    /// To what.
    pub target: String,
    /// The call, if it is about one.
    pub call: Option<CallId>,
    /// The schedule, if it is about one.
    pub schedule: Option<ScheduleId>,
    /// What came of it, for people (`3 calls cancelled, 1 running`); `None`: whoever did it vanished before they could say.
    pub outcome: Option<String>,
}

/// Which actions to list. Newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct ActionFilter {
    /// Only those about this call.
    pub call: Option<CallId>,
    /// Only those about this schedule.
    pub schedule: Option<ScheduleId>,
    /// Only what came before this one.
    pub before: Option<ActionId>,
    /// At most this many; 100 unless told, 1,000 at most.
    pub limit: usize,
}

impl Default for ActionFilter {
    fn default() -> Self {
        Self { call: None, schedule: None, before: None, limit: 100 }
    }
}

impl ActionFilter {
    /// The newest 100.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those about this call.
    pub fn call(mut self, call: CallId) -> Self {
        self.call = Some(call);
        self
    }

    /// Only those about this schedule.
    pub fn schedule(mut self, schedule: ScheduleId) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Only what came before this one.
    pub fn before(mut self, action: ActionId) -> Self {
        self.before = Some(action);
        self
    }

    /// At most this many; clamped to 1 to 1,000.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, 1_000);
        self
    }
}

/// How long actions stay on record.
pub(crate) const ACTIONS_KEPT: Duration = Duration::from_hours(24 * 90);
