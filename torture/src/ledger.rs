//! The events that handlers record themselves, independent of any database.
//!
//! One line per event, with one `write(2)` to a file opened for appending: lines of several processes never mix, and
//! what was written survives the end of the process, however it ends.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use uuid::Uuid;

use crate::{Result, clock};

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The handler started.
    Start,
    /// The handler completed.
    End,
    /// The handler was dropped before its end: its pod gave it up, or it timed out.
    Stopped,
    /// The handler failed: with an error, or by a panic.
    Failed,
    /// The handler failed, and wants no further attempt.
    GaveUp,
    /// The process itself got no CPU time for a while, which ended now; `attempt` is the number of milliseconds.
    Gap,
    /// Its pod gave up leases by its own clocks, because it could not renew them in time; not about a single call.
    Fenced,
    /// Its pod released a claim that took longer than its leases last, by its own clocks; none of its calls had
    /// started.
    GivenBack,
    /// A handler schedules this call, due at once (`attempt` is its kind: see `follow_ups`).
    Asked,
    /// The handler got the result that it is stored.
    Stored,
    /// The handler got the result that it is not stored.
    Refused,
}

/// A run, and what its handler was given of its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) call: Uuid,
    pub(crate) pod: Uuid,
    pub(crate) attempt: u32,
    /// The schedule that produced the call; nil is none.
    pub(crate) schedule: Uuid,
    /// When the call was due, in microseconds since 1970 by the database's clock; 0 if unknown.
    pub(crate) due: i64,
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) run: Run,
    /// Microseconds of the monotonic clock.
    pub(crate) at: i64,
    /// Microseconds since 1970.
    pub(crate) real: i64,
    pub(crate) worker: usize,
}

/// The file, opened for appending.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
    worker: usize,
}

impl Ledger {
    pub(crate) fn open(path: &Path, worker: usize) -> Result<Self> {
        Ok(Self { file: File::options().append(true).create(true).open(path)?, worker })
    }

    /// Writes a line. Nothing can be proven without it: a ledger that cannot be written ends the process.
    pub(crate) fn write(&self, what: What, run: Run) {
        let (at, real) = (clock::monotonic(), clock::real());
        let Run { call, pod, attempt, schedule, due } = run;
        let (letter, worker) = (what.letter(), self.worker);
        let line = format!("{letter} {call} {pod} {attempt} {at} {real} {worker} {schedule} {due}\n");
        let written = (&self.file).write(line.as_bytes());
        if written.ok() != Some(line.len()) {
            eprintln!("the ledger could not be written");
            std::process::exit(9);
        }
    }
}

/// Reads a ledger, ordered by the monotonic clock.
pub(crate) fn read(path: &Path) -> Result<Vec<Event>> {
    let text = std::fs::read_to_string(path)?;
    let events = text.lines().map(|line| parse(line).ok_or_else(|| format!("no line of a ledger: {line}")));
    let mut events: Vec<Event> = events.collect::<std::result::Result<_, _>>()?;
    events.sort_by_key(|event| event.at);
    Ok(events)
}

fn parse(line: &str) -> Option<Event> {
    let mut words = line.split(' ');
    let what = What::of_letter(words.next()?)?;
    let (call, pod) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let attempt = words.next()?.parse().ok()?;
    let (at, real) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let worker = words.next()?.parse().ok()?;
    let (schedule, due) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Event { what, run: Run { call, pod, attempt, schedule, due }, at, real, worker })
}

impl What {
    const ALL: [Self; 11] = [
        Self::Start,
        Self::End,
        Self::Stopped,
        Self::Failed,
        Self::GaveUp,
        Self::Gap,
        Self::Fenced,
        Self::GivenBack,
        Self::Asked,
        Self::Stored,
        Self::Refused,
    ];

    /// Returns whether it concerns a handler of that call, and not its whole process, or the handler that schedules the
    /// call.
    pub(crate) const fn is_of_a_run(self) -> bool {
        matches!(self, Self::Start | Self::End | Self::Stopped | Self::Failed | Self::GaveUp)
    }

    /// Returns whether its pod has an outcome to record from then on, regardless of its lease.
    pub(crate) const fn is_an_outcome(self) -> bool {
        matches!(self, Self::End | Self::Failed | Self::GaveUp)
    }

    const fn letter(self) -> char {
        match self {
            Self::Start => 'S',
            Self::End => 'E',
            Self::Stopped => 'X',
            Self::Failed => 'F',
            Self::GaveUp => 'Q',
            Self::Gap => 'G',
            Self::Fenced => 'L',
            Self::GivenBack => 'C',
            Self::Asked => 'A',
            Self::Stored => 'T',
            Self::Refused => 'R',
        }
    }

    fn of_letter(letter: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| letter.starts_with(what.letter()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, Run, What, read};
    use uuid::Uuid;

    #[test]
    fn a_ledger_reads_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (call, pod, schedule) = (Uuid::now_v7(), Uuid::new_v4(), Uuid::new_v4());
        let run = Run { call, pod, attempt: 2, schedule, due: 7 };
        let ledger = Ledger::open(&path, 3).unwrap();
        for what in What::ALL {
            ledger.write(what, run);
        }
        let events = read(&path).unwrap();
        assert_eq!(events.iter().map(|event| event.what).collect::<Vec<_>>(), What::ALL);
        assert!(events.iter().all(|event| (event.run, event.worker) == (run, 3)));
        std::fs::write(&path, "S nonsense\n").unwrap();
        assert!(read(&path).is_err());
    }
}
