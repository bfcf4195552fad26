//! What the settings are.

use std::time::Duration;

use super::{CheckBrokenCalls, Config, OnInterrupt};
use crate::store::Retention;

/// The settings as they stand, to be logged or compared. [`Pod::config`](crate::Pod::config) returns those that a pod was
/// started with.
///
/// ```
/// use futurecall_runtime::Config;
/// assert_eq!(Config::new().concurrency_limit(8).get_concurrency_limit(), 8);
/// ```
impl Config {
    /// Returns whether the pod runs calls at all.
    #[must_use]
    pub const fn get_execution_enabled(&self) -> bool {
        self.execution_enabled
    }

    /// Returns how many handlers run at once.
    #[must_use]
    pub const fn get_concurrency_limit(&self) -> usize {
        self.concurrency_limit
    }

    /// Returns the interval of the fallback poll.
    #[must_use]
    pub const fn get_scan_interval(&self) -> Duration {
        self.scan_interval
    }

    /// Returns whether a start looks for calls that this binary cannot run.
    #[must_use]
    pub const fn get_check_broken_calls(&self) -> CheckBrokenCalls {
        self.check_broken_calls
    }

    /// Returns whether broken calls are moved to the history.
    #[must_use]
    pub const fn get_delete_broken_calls(&self) -> bool {
        self.delete_broken_calls
    }

    /// Returns how old a broken call must be before it is moved to the history.
    #[must_use]
    pub const fn get_broken_grace(&self) -> Duration {
        self.broken_grace
    }

    /// Returns how long a schedule outlives the last pod that knew its call.
    #[must_use]
    pub const fn get_schedule_grace(&self) -> Duration {
        self.schedule_grace
    }

    /// Returns how long a claim lasts unless it is renewed.
    #[must_use]
    pub const fn get_lease(&self) -> Duration {
        self.lease
    }

    /// Returns how long a shutdown waits for running handlers.
    #[must_use]
    pub const fn get_shutdown_grace(&self) -> Duration {
        self.shutdown_grace
    }

    /// Returns what becomes of calls whose run was interrupted, where their method does not say.
    #[must_use]
    pub const fn get_on_interrupt(&self) -> OnInterrupt {
        self.on_interrupt
    }

    /// Returns how many pods may vanish with a call before it ends as failed.
    #[must_use]
    pub const fn get_crash_budget(&self) -> u32 {
        self.crash_budget
    }

    /// Returns how many bytes of the log of an attempt are kept.
    #[must_use]
    pub const fn get_keep_logs(&self) -> usize {
        self.keep_logs
    }

    /// Returns how long the history keeps each outcome.
    #[must_use]
    pub const fn get_retention(&self) -> &Retention {
        &self.retention
    }
}
