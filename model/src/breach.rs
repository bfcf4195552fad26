//! Violations that show in the step in which they happen.

/// A forbidden effect of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Breach {
    /// A handler started before its call was due.
    Early,
    /// A handler started although its call had ended.
    StartAfterEnd,
    /// A handler started although its call's cancellation had been acknowledged.
    StartAfterCancel,
    /// A run that had been flagged as cancelled got a further attempt.
    AttemptAfterCancel,
    /// A claim that was no longer held changed a row.
    StaleWrite,
    /// A handler started before the time to which its call had been rescheduled.
    BeforeNewMoment,
    /// A handler was informed that its transaction is rolled back, and it was committed.
    FalseRollback,
    /// A handler started although its call had expired when it was claimed.
    StartAfterExpiry,
}

/// A set of violations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Breaches(u8);

impl Breaches {
    /// Adds one, if it happened.
    pub const fn note(&mut self, breach: Breach, happened: bool) {
        if happened {
            self.0 |= 1 << breach as u8;
        }
    }

    /// Returns whether it is in the set.
    pub const fn has(self, breach: Breach) -> bool {
        self.0 & (1 << breach as u8) != 0
    }
}
