//! Settings: defaults that need no tuning, checked at start, overridable from the environment.

mod env;
mod get;

use std::time::Duration;

use crate::error::StartError;
use crate::store::Retention;

/// How a pod runs calls. The defaults are meant to be right; nothing here must be set.
///
/// | setting | environment | default | values |
/// | --- | --- | --- | --- |
/// | [`execution_enabled`](Self::execution_enabled) | `FUTURECALL_EXECUTION_ENABLED` | `true` | `true`, `false` |
/// | [`concurrency_limit`](Self::concurrency_limit) | `FUTURECALL_CONCURRENCY_LIMIT` | 64 | 1 to 100,000 |
/// | [`scan_interval`](Self::scan_interval) | `FUTURECALL_SCAN_INTERVAL` | 5 s | 100 ms to 1 h |
/// | [`check_broken_calls`](Self::check_broken_calls) | `FUTURECALL_CHECK_BROKEN_CALLS` | `auto` | `auto`, `always`, `refuse`, `never` |
/// | [`delete_broken_calls`](Self::delete_broken_calls) | `FUTURECALL_DELETE_BROKEN_CALLS` | `false` | `true`, `false` |
/// | [`broken_grace`](Self::broken_grace) | `FUTURECALL_BROKEN_GRACE` | 0 s | up to 10 years |
/// | [`schedule_grace`](Self::schedule_grace) | `FUTURECALL_SCHEDULE_GRACE` | 1 day | up to 10 years |
/// | [`lease`](Self::lease) | `FUTURECALL_LEASE` | 30 s | 300 ms to 1 day |
/// | [`shutdown_grace`](Self::shutdown_grace) | `FUTURECALL_SHUTDOWN_GRACE` | 25 s | 0 s to 1 day |
/// | [`on_interrupt`](Self::on_interrupt) | `FUTURECALL_ON_INTERRUPT` | `keep` | `keep`, `rerun` |
/// | [`crash_budget`](Self::crash_budget) | `FUTURECALL_CRASH_BUDGET` | 5 | 1 to 1,000 |
/// | [`keep_logs`](Self::keep_logs) | `FUTURECALL_KEEP_LOGS` | 0 | bytes: 0 (none), or 1024 to 1,048,576 |
/// | [`retention`](Self::retention) | `FUTURECALL_RETENTION_SUCCEEDED`, `…_FAILED`, `…_INTERRUPTED`, `…_CANCELLED`, `…_SKIPPED` | 1 day; the others 30 days | 0 s (no history) to 10 years |
///
/// Durations are written as `5s`, `250ms`, `1h 30m`, `30days`. Each setting has a getter, such as
/// [`get_lease`](Self::get_lease).
///
/// ```
/// use std::time::Duration;
/// use futurecall_runtime::Config;
/// let config = Config::new().concurrency_limit(8).scan_interval(Duration::from_secs(1));
/// let same = Config::from_vars([("FUTURECALL_CONCURRENCY_LIMIT", "8"), ("FUTURECALL_SCAN_INTERVAL", "1s")]).unwrap();
/// assert_eq!(config, same);
///
/// let wrong = Config::from_vars([("FUTURECALL_CONCURENCY_LIMIT", "8")]).unwrap_err();
/// assert!(wrong.to_string().contains("FUTURECALL_CONCURRENCY_LIMIT"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Config {
    pub(crate) execution_enabled: bool,
    pub(crate) concurrency_limit: usize,
    pub(crate) scan_interval: Duration,
    pub(crate) check_broken_calls: CheckBrokenCalls,
    pub(crate) delete_broken_calls: bool,
    pub(crate) broken_grace: Duration,
    pub(crate) schedule_grace: Duration,
    pub(crate) lease: Duration,
    pub(crate) shutdown_grace: Duration,
    pub(crate) on_interrupt: OnInterrupt,
    pub(crate) crash_budget: u32,
    pub(crate) keep_logs: usize,
    pub(crate) retention: Retention,
}

/// What becomes of a call whose run was interrupted: its pod vanished, or ended before the handler did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnInterrupt {
    /// It is recorded as interrupted, and not run again by itself: at most once.
    #[default]
    Keep,
    /// It is run again: at least once.
    Rerun,
}

/// Whether a start looks for calls that this binary cannot run: those of a name that it does not have, and those whose
/// arguments it cannot decode. What it finds is logged as warnings, one for each name and reason, and one more line says
/// how much was looked at. A pod that runs no calls does not look.
///
/// A check that only reports runs beside the pod's first calls, so that they need not wait for it; `start()` returns once it
/// has ended. A pod that may refuse the start, or delete what it finds, claims nothing before.
///
/// Fewer than 1,000 pending calls are all looked at. Of more, `Auto` and `Refuse` look at a sample, which takes about as
/// long however many there are:
///
/// - every name, and how many of its calls are pending (counted up to 10,000, with many names to less, and then logged as
///   "at least" so many);
/// - the keys of the arguments, in the database: of the earliest 10,000 calls, shared among the names (20 of each at least;
///   fewer where arguments are larger than 1 KiB on average). Of names with more calls than that, also of a few that are due
///   in an hour, a day, a week, 30 days and 180 days or later;
/// - the arguments of the earliest calls with each set of keys: 1,000, with many names fewer, and 5 at least. Of a name at most
///   50 sets of keys are told apart.
///
/// So a call whose arguments have other keys than those of all calls before it (a parameter was added or renamed since it was
/// stored) is found wherever keys are read. One that has the same keys, and a value that this binary cannot read, is found if
/// it is among the earliest.
///
/// Where another live pod may be able to read a call (it knows the name, under another shape of the arguments, and no pod of
/// that shape has declined the call), the warning says so (`runs_elsewhere`), and the call is neither deleted nor does it
/// refuse a start: it is left to that pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckBrokenCalls {
    /// Looks at all calls if fewer than 1,000 are pending, else at a sample, and reports. Nothing found in a sample is
    /// deleted.
    #[default]
    Auto,
    /// Looks at all calls at every start, however many are pending, and reports.
    Always,
    /// Looks as `Auto` does, and fails the start with [`StartError::BrokenCalls`] if it finds a broken call, before this
    /// pod claims anything.
    ///
    /// A call that another live pod may be able to run is not broken, so services may share the tables. Pods of the release
    /// that is being replaced count as well: to be told of calls that only they can run, start this one when they have ended.
    ///
    /// Schedules that are declared by attributes have been brought up to date by then, with their pending runs.
    Refuse,
    /// Does not look.
    Never,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            execution_enabled: true,
            concurrency_limit: 64,
            scan_interval: Duration::from_secs(5),
            check_broken_calls: CheckBrokenCalls::Auto,
            delete_broken_calls: false,
            broken_grace: Duration::ZERO,
            schedule_grace: Duration::from_hours(24),
            lease: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(25),
            on_interrupt: OnInterrupt::Keep,
            crash_budget: 5,
            keep_logs: 0,
            retention: Retention::default(),
        }
    }
}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The defaults, with what the environment's `FUTURECALL_…` variables say instead.
    ///
    /// # Errors
    ///
    /// A variable of an unknown name (the text suggests the nearest), or with a value that does not read.
    pub fn from_env() -> Result<Self, StartError> {
        Self::default().overridden_by_env()
    }

    /// [`from_env`](Self::from_env) on variables given as pairs; those without the prefix are passed over.
    pub fn from_vars<K, V>(vars: impl IntoIterator<Item = (K, V)>) -> Result<Self, StartError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        env::apply(Self::default(), vars)
    }

    pub(crate) fn overridden_by_env(self) -> Result<Self, StartError> {
        let vars = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        });
        env::apply(self, vars)
    }

    /// Whether this pod runs calls at all; `false` schedules only.
    pub fn execution_enabled(mut self, enabled: bool) -> Self {
        self.execution_enabled = enabled;
        self
    }

    /// How many handlers run at once.
    pub fn concurrency_limit(mut self, limit: usize) -> Self {
        self.concurrency_limit = limit;
        self
    }

    /// The fallback poll: how late a call may start at worst when every other wake-up is lost.
    pub fn scan_interval(mut self, interval: Duration) -> Self {
        self.scan_interval = interval;
        self
    }

    /// Whether a start looks for calls that this binary cannot run, and whether it reports them or refuses to start.
    pub fn check_broken_calls(mut self, check: CheckBrokenCalls) -> Self {
        self.check_broken_calls = check;
        self
    }

    /// Whether the calls that the check finds are moved to the history with the reason: only those that are older than
    /// [`broken_grace`](Self::broken_grace), and not those that another live pod may be able to run.
    /// From 1,000 pending calls on, only [`CheckBrokenCalls::Always`] does so. It cannot be combined with
    /// [`CheckBrokenCalls::Refuse`].
    pub fn delete_broken_calls(mut self, delete: bool) -> Self {
        self.delete_broken_calls = delete;
        self
    }

    /// How long ago a broken call must have been stored before `delete_broken_calls` removes it.
    pub fn broken_grace(mut self, grace: Duration) -> Self {
        self.broken_grace = grace;
        self
    }

    /// How long a schedule that was declared by attribute outlives the last pod that knew its call. It is ended by the
    /// next pod that starts after that, of whatever service. (Where a live pod knows the call and none declares the
    /// schedule, the schedule ends with the next start without any grace.) A declaration revives it.
    ///
    /// Counted from the last heartbeat of a pod that runs the call; pods that run nothing ([`Role::Serverless`],
    /// `execution_enabled` off) know no calls. The setting that counts is that of the pod that starts: give all services
    /// of one schema the same.
    ///
    /// [`Role::Serverless`]: crate::Role::Serverless
    pub fn schedule_grace(mut self, grace: Duration) -> Self {
        self.schedule_grace = grace;
        self
    }

    /// How long a claim lasts unless renewed (a third of it is the time between renewals). A call whose pod vanished is
    /// found within about one lease and a third.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a shutdown waits for running handlers before it signals them. One that then stops with an error, or has to
    /// be abandoned, counts as interrupted: see [`on_interrupt`](Self::on_interrupt).
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.shutdown_grace = grace;
        self
    }

    /// What becomes of calls whose run was interrupted, where their method does not say: by `on_interrupt = "…"`, or by
    /// `retry(…)`, with which they run again.
    pub fn on_interrupt(mut self, on_interrupt: OnInterrupt) -> Self {
        self.on_interrupt = on_interrupt;
        self
    }

    /// How many pods may vanish with a call that is run again after it, before it ends as failed: a call that kills its
    /// process does not go on doing so. A pod that vanishes counts for every call that it had claimed, as nobody can tell
    /// which of them it was. Attempts that end so count as no `max_attempts`; a shutdown counts as neither.
    pub fn crash_budget(mut self, pods: u32) -> Self {
        self.crash_budget = pods;
        self
    }

    /// How many bytes of what an attempt logs are kept with its call; 0, the default, keeps none and costs nothing. Of too
    /// many lines the first and the last ones stay. Needs the feature `logs`, and its layer in the application's
    /// subscriber: see [`signals`](crate::signals). What a handler logs may quote its arguments.
    pub fn keep_logs(mut self, bytes: usize) -> Self {
        self.keep_logs = bytes;
        self
    }

    /// How long the history keeps each outcome; zero writes no row.
    ///
    /// By the history a pod tells, after a reply was lost, whether a call that it sends again had been stored, had run and
    /// had ended. A pod that keeps one of the first four outcomes for less than 30 seconds says so in the database with its
    /// heartbeat. As long as there is one, and for its lease and 30 seconds after it (a minute at least), a call whose reply was lost is not sent again by any
    /// pod, unless it is found: the caller gets [`ScheduleError::OutcomeUnknown`](crate::ScheduleError::OutcomeUnknown).
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Refuses nonsense, naming the setting.
    pub(crate) fn validate(&self) -> Result<(), StartError> {
        const DAY: Duration = Duration::from_hours(24);
        const TEN_YEARS: Duration = Duration::from_hours(10 * 366 * 24);
        if self.concurrency_limit == 0 || self.concurrency_limit > 100_000 {
            return Err(StartError::setting(
                "concurrency_limit",
                format!(
                    "{} is outside 1 to 100000; to run nothing, set execution_enabled to false",
                    self.concurrency_limit
                ),
            ));
        }
        if !(1..=1_000).contains(&self.crash_budget) {
            let reason = format!(
                "{} is outside 1 to 1000; to run nothing again, leave on_interrupt at keep",
                self.crash_budget
            );
            return Err(StartError::setting("crash_budget", reason));
        }
        if self.keep_logs > 0 && !cfg!(feature = "logs") {
            let reason =
                "write features = [\"logs\"] in Cargo.toml, beside futurecall-runtime: it collects them";
            return Err(StartError::setting("keep_logs", reason.to_owned()));
        }
        if self.keep_logs > 0 && !(1_024..=1_048_576).contains(&self.keep_logs) {
            let reason = format!("{} is neither 0 nor within 1024 to 1048576 bytes", self.keep_logs);
            return Err(StartError::setting("keep_logs", reason));
        }
        if self.delete_broken_calls && self.check_broken_calls == CheckBrokenCalls::Refuse {
            let reason = "it cannot be combined with check_broken_calls = refuse, which leaves broken calls alone; to have \
                          them deleted, set check_broken_calls to always";
            return Err(StartError::setting("delete_broken_calls", reason));
        }
        within("scan_interval", self.scan_interval, Duration::from_millis(100), Duration::from_hours(1))?;
        within("lease", self.lease, Duration::from_millis(300), DAY)?;
        within("shutdown_grace", self.shutdown_grace, Duration::ZERO, DAY)?;
        within("broken_grace", self.broken_grace, Duration::ZERO, TEN_YEARS)?;
        within("schedule_grace", self.schedule_grace, Duration::ZERO, TEN_YEARS)?;
        within("retention.succeeded", self.retention.succeeded, Duration::ZERO, TEN_YEARS)?;
        within("retention.failed", self.retention.failed, Duration::ZERO, TEN_YEARS)?;
        within("retention.interrupted", self.retention.interrupted, Duration::ZERO, TEN_YEARS)?;
        within("retention.cancelled", self.retention.cancelled, Duration::ZERO, TEN_YEARS)?;
        within("retention.skipped", self.retention.skipped, Duration::ZERO, TEN_YEARS)
    }
}

fn within(name: &str, value: Duration, least: Duration, most: Duration) -> Result<(), StartError> {
    if value >= least && value <= most {
        return Ok(());
    }
    let show = humantime::format_duration;
    Err(StartError::setting(name, format!("{} is outside {} to {}", show(value), show(least), show(most))))
}

#[cfg(test)]
mod tests;
