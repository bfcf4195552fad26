//! Compares what handlers wrote down, what producers were told and what the database holds, call by call.
//!
//! It is a pure function, so that hand-made histories can show that it sees each violation.

mod call;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use uuid::Uuid;

use crate::acks::{Promise, Stored};
use crate::fault::Fault;
use crate::ledger::{Event, What};

/// What a run broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// It was acknowledged, or it ran, and the database knows nothing of it.
    Lost,
    /// The library said that nothing was stored, and it is there.
    StoredThoughRefused,
    /// Long after the last fault it has not come to an end.
    Stuck,
    /// It counts as succeeded, and no handler wrote down that it came to its end in that attempt.
    NeverRan,
    /// It is to run again when it is interrupted, and it ended without a full run.
    GivenUp,
    /// It was cancelled before it started, says the library, and it started, ran on, or succeeded.
    CancelledRan,
    /// It ended as cancelled, and nobody had cancelled it; or as failed, which no handler does.
    UnaskedEnd,
    /// It started before its moment.
    Early,
    /// It was taken out of the table of calls twice.
    FinishedTwice,
    /// One attempt started twice, or a call that runs at most once started again.
    StartedTwice,
    /// It started when its end had already been recorded.
    StartedAfterEnd,
    /// It ran again, or ended as interrupted, and no fault explains it.
    DuplicateWithoutFault,
    /// A handler went on although somebody else had the call, and no standstill of its process explains it.
    OverlapWithoutFault,
}

/// How the database says that a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Succeeded,
    Interrupted,
    Cancelled,
    /// Failed, expired, skipped: none of them can be here.
    Other,
}

/// What the database holds of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) state: State,
    pub(crate) pod: Option<Uuid>,
    pub(crate) attempt: u32,
    /// Microseconds since 1970 by the database's clock; none while it is pending.
    pub(crate) finished: Option<i64>,
    /// How often it was deleted from the table of calls while it was claimed.
    pub(crate) gone: u32,
}

/// All that is known after a run.
#[derive(Debug)]
pub(crate) struct History {
    /// In the order of the monotonic clock.
    pub(crate) events: Vec<Event>,
    pub(crate) promises: HashMap<Uuid, Promise>,
    pub(crate) rows: HashMap<Uuid, Row>,
    pub(crate) faults: Vec<Fault>,
    /// Microseconds.
    pub(crate) lease: i64,
    /// What the wall clock says less what the monotonic one does.
    pub(crate) real_offset: i64,
}

/// What became of a run.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) violations: BTreeMap<Violation, Vec<String>>,
    /// Acknowledged calls.
    pub(crate) acked: usize,
    /// Calls of which producers do not know whether they are stored.
    pub(crate) unknown: usize,
    pub(crate) starts: usize,
    /// Tolerated, because faults explain them.
    pub(crate) reruns: usize,
    pub(crate) interrupted: usize,
    pub(crate) overlaps: usize,
    pub(crate) cancelled: usize,
}

impl Verdict {
    pub(crate) fn count(&self) -> usize {
        self.violations.values().map(Vec::len).sum()
    }

    fn add(&mut self, violation: Violation, what: String) {
        self.violations.entry(violation).or_default().push(what);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { violations: _, acked, unknown, starts, reruns, interrupted, overlaps, cancelled } = self;
        write!(
            f,
            "acked={acked} unknown={unknown} starts={starts} cancelled={cancelled} | violations={} | allowed: \
             reruns={reruns} interrupted={interrupted} overlaps={overlaps}",
            self.count()
        )
    }
}

/// Checks every call.
pub(crate) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let mut by_call: HashMap<Uuid, Vec<&Event>> = HashMap::new();
    let mut workers = HashMap::new();
    for event in history.events.iter().filter(|event| event.what != What::Gap) {
        by_call.entry(event.call).or_default().push(event);
        workers.insert(event.pod, event.worker);
    }
    for call in by_call.keys().filter(|call| !history.promises.contains_key(call)) {
        verdict.add(Violation::StartedTwice, format!("{call} ran, and nobody had scheduled it"));
    }
    for (id, promise) in &history.promises {
        let events = by_call.get(id).map_or(&[][..], Vec::as_slice);
        match promise.stored {
            Stored::Yes => verdict.acked += 1,
            Stored::Unknown => verdict.unknown += 1,
            Stored::No => {}
        }
        call::Checked::new(history, &workers, *id, promise, events).check(&mut verdict);
    }
    verdict
}
