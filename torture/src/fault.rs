//! The faults of a run, with their time and target: every tolerated anomaly must overlap a fault that explains it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::{Result, clock};

/// From some time on (by the monotonic clock, all in microseconds) the database's clock was set by this much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Before and after it was set: in between its time is unknown.
    pub(crate) before: i64,
    pub(crate) after: i64,
    pub(crate) by: i64,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A worker is killed (SIGKILL) and started again.
    Kill,
    /// A worker is shut down, and started again. A shutdown loses and repeats nothing.
    Restart,
    /// A worker is paused (SIGSTOP) for longer than its lease.
    Pause,
    /// The wall clock of a worker's process is set forward or back.
    Clock,
    /// All its connections are cut.
    Cut,
    /// Its connections are stalled in both directions.
    Stall,
    /// The server executes statements, and its replies are dropped; then the connections are cut.
    Mute,
    /// The database server is killed (SIGKILL) with all its processes, and started again.
    Crash,
    /// The server ends all sessions.
    Terminate,
    /// Another client takes all connections of the server.
    Exhaust,
    /// Another client holds the lock of a table (PostgreSQL), or of the file (SQLite).
    Lock,
    /// The disk of the database's data is full; then it has room again.
    Full,
    /// The disk of the server's write-ahead log is full, which ends the server; then it has room again.
    FullLog,
    /// The pods' role may not use the schema for a while.
    Denied,
    /// The pods' role may not log in for a while, and its sessions are ended.
    LockedOut,
    /// The database's clock is set forward: leases end sooner.
    Forward,
    /// The database's clock is set back: leases only last longer.
    Back,
    /// On SQLite: the clock of one worker is ahead of all others'. It considers their leases over, and its own.
    Ahead,
    /// On SQLite: the clock of one worker is behind all others'. They consider its leases over.
    Behind,
    /// Measured, not injected: the machine gave a process no CPU time.
    Slow,
    /// Measured, not injected: the database was slow to answer every client.
    Busy,
    /// Detected, not injected: a pod could not renew its leases in time, and gave them up by its own clocks.
    Fenced,
    /// Detected, not injected: a claim took longer than its leases last by a pod's own clocks, and was released.
    GivenBack,
}

/// The effect of a fault on leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// They cannot be renewed while it lasts.
    Holds,
    /// They are not renewed any more: their pod has ended.
    Ends,
    /// They are shorter by this much.
    Shortens,
    /// Their pod gives them up if it cannot renew them at once.
    Doubt,
    /// A pod whose clock differs considers them over.
    Taken,
    /// Nothing.
    Nothing,
}

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// The worker that it affects; `None` is all.
    pub(crate) worker: Option<usize>,
    /// Microseconds of the monotonic clock.
    pub(crate) begin: i64,
    pub(crate) end: i64,
}

impl Fault {
    /// Returns whether it affected that worker; or any, if the worker is unknown.
    pub(crate) fn concerns(&self, worker: Option<usize>) -> bool {
        self.worker.is_none() || worker.is_none() || self.worker == worker
    }
}

impl Kind {
    /// Returns its effect on the leases of the affected workers. [`crate::checker`] defines when.
    pub(crate) const fn effect(self) -> Effect {
        match self {
            Self::Kill => Effect::Ends,
            Self::Pause
            | Self::Cut
            | Self::Stall
            | Self::Mute
            | Self::Crash
            | Self::Terminate
            | Self::Exhaust
            | Self::Lock
            | Self::Full
            | Self::FullLog
            | Self::Denied
            | Self::LockedOut
            | Self::Slow
            | Self::Busy => Effect::Holds,
            Self::Forward => Effect::Shortens,
            Self::Clock => Effect::Doubt,
            Self::Ahead | Self::Behind => Effect::Taken,
            Self::Restart | Self::Back | Self::Fenced | Self::GivenBack => Effect::Nothing,
        }
    }

    /// Returns whether a handler may run on for the length of the fault although its lease is over: nothing else may
    /// run in that process, so nothing in it can notice.
    pub(crate) const fn stands_still(self) -> bool {
        matches!(self, Self::Pause | Self::Slow)
    }
}

/// How clocks were set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps {
    /// That of the database: on SQLite that of the machine.
    pub(crate) all: Vec<Step>,
    /// That of the worker whose clock can be set apart, in total.
    pub(crate) apart: Vec<Step>,
    /// The difference between the two.
    by: i64,
}

/// All faults of a run.
#[derive(Debug)]
pub(crate) struct Faults {
    all: Mutex<Vec<Fault>>,
    /// How the database's clock was set.
    steps: Mutex<Steps>,
    file: File,
}

impl Faults {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self { all: Mutex::default(), steps: Mutex::default(), file: File::create(path)? })
    }

    /// Sets the database's clock to that many microseconds in total. `set` gets the setting for a clock that is apart.
    pub(crate) fn step(&self, by: i64, set: impl FnOnce(i64) -> Result) -> Result {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = if by > steps.all.last().map_or(0, |step| step.by) { Kind::Forward } else { Kind::Back };
        let apart = by + steps.by;
        let step = self.timed(by, || set(apart))?;
        steps.all.push(step);
        steps.apart.push(Step { by: apart, ..step });
        self.add(Fault { kind, worker: None, begin: step.before, end: step.after });
        Ok(())
    }

    /// Sets the clock of one worker apart from the others' by that many microseconds. `set` gets the total setting.
    pub(crate) fn step_apart(&self, by: i64, set: impl FnOnce(i64) -> Result) -> Result {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let all = by + steps.all.last().map_or(0, |step| step.by);
        let step = self.timed(all, || set(all))?;
        steps.by = by;
        steps.apart.push(step);
        Ok(())
    }

    fn timed(&self, by: i64, set: impl FnOnce() -> Result) -> Result<Step> {
        let before = clock::monotonic();
        set()?;
        let after = clock::monotonic();
        let _ = writeln!(&self.file, "step {by} {before} {after}");
        Ok(Step { before, after, by })
    }

    pub(crate) fn steps(&self) -> Steps {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Injects a fault, and records when it began and ended.
    pub(crate) async fn during<T>(
        &self,
        kind: Kind,
        worker: Option<usize>,
        breaking: impl Future<Output = T>,
    ) -> T {
        let begin = clock::monotonic();
        let _ = writeln!(&self.file, "begin {kind:?} {worker:?} {begin}");
        let result = breaking.await;
        self.add(Fault { kind, worker, begin, end: clock::monotonic() });
        result
    }

    pub(crate) fn add(&self, fault: Fault) {
        let Fault { kind, worker, begin, end } = fault;
        let _ = writeln!(&self.file, "end {kind:?} {worker:?} {begin} {end}");
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(crate) fn all(&self) -> Vec<Fault> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns how many there were of each kind, in one line.
#[derive(Debug)]
pub(crate) struct Counted(pub(crate) BTreeMap<Kind, usize>);

impl Counted {
    pub(crate) fn of(faults: &[Fault]) -> Self {
        let mut counts = BTreeMap::new();
        for fault in faults {
            *counts.entry(fault.kind).or_default() += 1;
        }
        Self(counts)
    }

    /// Returns how many were injected, not measured.
    pub(crate) fn made(&self) -> usize {
        self.0
            .iter()
            .filter(|(kind, _)| !matches!(kind, Kind::Slow | Kind::Busy | Kind::Fenced | Kind::GivenBack))
            .map(|(_, count)| count)
            .sum()
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults={}", self.made())?;
        for (kind, count) in &self.0 {
            write!(f, " {}={count}", format!("{kind:?}").to_lowercase())?;
        }
        Ok(())
    }
}
