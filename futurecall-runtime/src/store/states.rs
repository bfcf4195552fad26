//! The states of calls and schedules.

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CallState {
    /// Waiting for its moment, or due and waiting for a pod.
    Scheduled,
    /// Claimed by a pod.
    Running,
    /// Its handler returned.
    Succeeded,
    /// Its handler failed, or its arguments did not decode.
    Failed,
    /// Its pod vanished before it reported the outcome: the handler may have run, partly or not at all.
    Interrupted,
    /// Cancelled, or discarded as broken, before it started; or cancelled while it ran and then given up.
    Cancelled,
    /// Its time was over before it could start.
    Expired,
    /// A run of a schedule that its rule passed over (missed, or the run before was still going).
    Skipped,
}

impl CallState {
    /// All states, in the order of a call's life.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Interrupted,
        Self::Cancelled,
        Self::Expired,
        Self::Skipped,
    ];

    /// The word for it, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Skipped => "skipped",
        }
    }

    /// The state of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether a call in this state is over and stands in the history.
    pub const fn is_finished(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Running)
    }
}

/// Where a schedule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleState {
    /// Producing calls.
    Active,
    /// Stopped by an operator; stays so until resumed.
    Paused,
    /// Cancelled, or no longer declared. A declaration in code revives it.
    Ended,
}

impl ScheduleState {
    /// Returns the word for it, as shown and as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

/// Where a schedule was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleOrigin {
    /// By code, with `call_recurring()`: lives until it is cancelled.
    Code,
    /// By `#[future_call(every = …)]` or `cron = …`: ends when no live pod declares it any more.
    Attribute,
}
