//! What handlers write down themselves, independent of any database.
//!
//! One line an event, with one `write(2)` to a file opened for appending: lines of several processes never mix, and what
//! was written survives the end of the process, whatever ends it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use uuid::Uuid;

use crate::{Result, clock};

/// What happened to a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It started.
    Start,
    /// It came to its end.
    End,
    /// It was dropped before its end: its pod gave it up.
    Stopped,
    /// The process itself did not get the processor for a while, which ended now; `attempt` says for how many
    /// milliseconds.
    Gap,
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) call: Uuid,
    pub(crate) pod: Uuid,
    pub(crate) attempt: u32,
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

    /// Writes a line. Without it nothing can be proven: a ledger that cannot be written ends the process.
    pub(crate) fn write(&self, what: What, call: Uuid, pod: Uuid, attempt: u32) {
        let (at, real) = (clock::monotonic(), clock::real());
        let line = format!("{} {call} {pod} {attempt} {at} {real} {}\n", what.letter(), self.worker);
        let written = (&self.file).write(line.as_bytes());
        if written.ok() != Some(line.len()) {
            eprintln!("the ledger could not be written");
            std::process::exit(9);
        }
    }
}

/// Reads a ledger, in the order of the monotonic clock.
pub(crate) fn read(path: &Path) -> Result<Vec<Event>> {
    let text = std::fs::read_to_string(path)?;
    let events = text.lines().map(|line| parse(line).ok_or_else(|| format!("no line of a ledger: {line}")));
    let mut events: Vec<Event> = events.collect::<std::result::Result<_, _>>()?;
    events.sort_by_key(|event| event.at);
    Ok(events)
}

fn parse(line: &str) -> Option<Event> {
    let mut words = line.split(' ');
    Some(Event {
        what: What::of_letter(words.next()?)?,
        call: words.next()?.parse().ok()?,
        pod: words.next()?.parse().ok()?,
        attempt: words.next()?.parse().ok()?,
        at: words.next()?.parse().ok()?,
        real: words.next()?.parse().ok()?,
        worker: words.next()?.parse().ok()?,
    })
}

impl What {
    const fn letter(self) -> char {
        match self {
            Self::Start => 'S',
            Self::End => 'E',
            Self::Stopped => 'X',
            Self::Gap => 'G',
        }
    }

    fn of_letter(letter: &str) -> Option<Self> {
        [Self::Start, Self::End, Self::Stopped, Self::Gap]
            .into_iter()
            .find(|what| letter.starts_with(what.letter()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, What, read};
    use uuid::Uuid;

    #[test]
    fn a_ledger_reads_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (call, pod) = (Uuid::now_v7(), Uuid::new_v4());
        let ledger = Ledger::open(&path, 3).unwrap();
        let all = [What::Start, What::End, What::Stopped, What::Gap];
        for what in all {
            ledger.write(what, call, pod, 2);
        }
        let events = read(&path).unwrap();
        assert_eq!(events.iter().map(|event| event.what).collect::<Vec<_>>(), all);
        assert!(
            events
                .iter()
                .all(|event| (event.call, event.pod, event.attempt, event.worker) == (call, pod, 2, 3))
        );
        std::fs::write(&path, "S nonsense\n").unwrap();
        assert!(read(&path).is_err());
    }
}
