//! What was broken, when, and for whom: every tolerated anomaly must overlap a fault that explains it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::{Result, clock};

/// From some moment on (by the monotonic clock, all in microseconds) the database's clock was set by so much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Before and after it was set: in between nobody knows.
    pub(crate) before: i64,
    pub(crate) after: i64,
    pub(crate) by: i64,
}

/// Ways to break things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A worker is killed (SIGKILL) and started anew.
    Kill,
    /// A worker is asked to end, and started anew. A shutdown loses and repeats nothing.
    Restart,
    /// A worker stands still (SIGSTOP) for longer than its lease.
    Pause,
    /// The wall clock of a worker's process is set forward or back.
    Clock,
    /// All its connections are cut.
    Cut,
    /// Nothing passes its connections, in either direction.
    Stall,
    /// The server acts, and its replies are thrown away; then the connections are cut.
    Mute,
    /// The database server is killed (SIGKILL) with all its processes, and started anew.
    Crash,
    /// The server ends all sessions.
    Terminate,
    /// Somebody else takes all connections that the server has.
    Exhaust,
    /// Somebody else holds the lock of a table (PostgreSQL), or of the file (SQLite).
    Lock,
    /// The disk of the database's data is full; then it has room again.
    Full,
    /// The disk of the server's write-ahead log is full, which ends the server; then it has room again.
    FullLog,
    /// The role of the pods may not use the schema for a while.
    Denied,
    /// The role of the pods may not log in for a while, and its sessions are ended.
    LockedOut,
    /// The database's clock is set forward: leases end sooner.
    Forward,
    /// The database's clock is set back: leases only last longer.
    Back,
    /// On SQLite: the clock of one worker is ahead of all others'. It takes their leases for over, and its own.
    Ahead,
    /// On SQLite: the clock of one worker is behind all others'. They take its leases for over.
    Behind,
    /// Measured, not made: the machine let a process wait for the processor.
    Slow,
    /// Measured, not made: the database let everybody wait for its answer.
    Busy,
    /// Found, not made: a pod could not renew its leases in time, and gave them up by its own clocks.
    Fenced,
    /// Found, not made: a claim took longer than its leases last by a pod's own clocks, and was given back.
    GivenBack,
}

/// What a fault can do to leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// They cannot be renewed while it lasts.
    Holds,
    /// They are not renewed any more: their pod has ended.
    Ends,
    /// They are shorter by so much.
    Shortens,
    /// Their pod gives them up where it cannot renew them at once.
    Doubt,
    /// A pod whose clock differs takes them for over.
    Taken,
    /// Nothing.
    Nothing,
}

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Whom it befell; none is all.
    pub(crate) worker: Option<usize>,
    /// Microseconds of the monotonic clock.
    pub(crate) begin: i64,
    pub(crate) end: i64,
}

impl Fault {
    /// Whether it befell that worker; or, if nobody knows which, any.
    pub(crate) fn concerns(&self, worker: Option<usize>) -> bool {
        self.worker.is_none() || worker.is_none() || self.worker == worker
    }
}

impl Kind {
    /// What it can do to the leases of those whom it befalls. [`crate::checker`] says when.
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

    /// Whether a handler may run on, for the length of it, although its lease is over: nothing else may run in that
    /// process, so that nothing in it can notice.
    pub(crate) const fn stands_still(self) -> bool {
        matches!(self, Self::Pause | Self::Slow)
    }
}

/// How clocks were set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps {
    /// That of the database: on SQLite that of the machine.
    pub(crate) all: Vec<Step>,
    /// That of the worker whose clock can be set apart, in all.
    pub(crate) apart: Vec<Step>,
    /// By how much it is apart.
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

    /// Sets the database's clock by so many microseconds in all. `set` is told by how much a clock apart is to be set.
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

    /// Sets the clock of one worker apart from the others', by so many microseconds. `set` is told by how much in all.
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

    /// Does something to break things, and writes down when it began and ended.
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

/// How many of each kind, in one line.
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

    /// How many were made, not measured.
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
