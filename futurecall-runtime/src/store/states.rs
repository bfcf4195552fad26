//! The states of calls and schedules.

/// The state of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CallState {
    /// Waiting for its due time, or due and waiting for a pod.
    Scheduled,
    /// Claimed by a pod.
    Running,
    /// Its handler succeeded.
    Succeeded,
    /// Its handler failed, or its arguments could not be decoded.
    Failed,
    /// Its pod vanished before it reported the outcome: the handler may have run, partly or not at all.
    Interrupted,
    /// Cancelled, or discarded as broken, before it started; or cancelled while it was running, and then stopped.
    Cancelled,
    /// Missed its start deadline (`expires_after`).
    Expired,
    /// A run of a schedule that was skipped by its rule (missed, or the previous run was still running).
    Skipped,
}

impl CallState {
    /// All states, in the order of a call's lifecycle.
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

    /// Returns its name, as it is stored and shown.
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

    /// Returns the state of that name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Returns whether a call in this state has ended and is in the history.
    pub const fn is_finished(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Running)
    }
}

/// The state of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleState {
    /// Producing calls.
    Active,
    /// Paused by an operator until it is resumed.
    Paused,
    /// Cancelled, or no longer declared. A declaration in code revives it.
    Ended,
}

impl ScheduleState {
    /// Returns its name, as it is shown and as in JSON.
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
    /// By code, with `call_recurring()`: active until it is cancelled.
    Code,
    /// By `#[future_call(every = …)]` or `cron = …`: ends when no live pod declares it any more.
    Attribute,
}
