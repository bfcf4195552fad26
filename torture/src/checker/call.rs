use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{History, Row, State, Verdict, Violation};
use crate::acks::{Answer, Kind, Promise, Stored};
use crate::fault::Fault;
use crate::ledger::{Event, What};

/// How long after a standstill a process may need until it has noticed that its leases are over.
const SETTLE: i64 = 500_000;

/// One call, and all that is known of it.
pub(super) struct Checked<'h> {
    history: &'h History,
    workers: &'h HashMap<Uuid, usize>,
    id: Uuid,
    promise: &'h Promise,
    row: Option<&'h Row>,
    /// What each start led to, in the order of the starts.
    runs: Vec<Run<'h>>,
}

/// One run of the handler.
#[derive(Clone, Copy)]
struct Run<'h> {
    start: &'h Event,
    /// The last sign of it.
    last: &'h Event,
}

impl<'h> Checked<'h> {
    pub(super) fn new(
        history: &'h History,
        workers: &'h HashMap<Uuid, usize>,
        id: Uuid,
        promise: &'h Promise,
        events: &[&'h Event],
    ) -> Self {
        let mut runs: Vec<Run<'h>> = Vec::new();
        for &event in events {
            let key = (event.pod, event.attempt);
            let open = runs.iter_mut().rev().find(|run| (run.start.pod, run.start.attempt) == key);
            match open {
                Some(run) if event.what != What::Start => run.last = event,
                _ => runs.push(Run { start: event, last: event }),
            }
        }
        Self { history, workers, id, promise, row: history.rows.get(&id), runs }
    }

    pub(super) fn check(&self, verdict: &mut Verdict) {
        verdict.starts += self.runs.len();
        self.check_stored(verdict);
        self.check_starts(verdict);
        self.check_end(verdict);
        self.check_cancelled(verdict);
        self.check_reruns(verdict);
    }

    fn check_stored(&self, verdict: &mut Verdict) {
        let is_there = self.row.is_some() || !self.runs.is_empty();
        match self.promise.stored {
            Stored::No if is_there => self.add(verdict, Violation::StoredThoughRefused, "was refused"),
            Stored::Yes if self.row.is_none() => self.add(verdict, Violation::Lost, "was acknowledged"),
            Stored::Unknown if self.row.is_none() && is_there => self.add(verdict, Violation::Lost, "ran"),
            _ => {}
        }
    }

    fn check_starts(&self, verdict: &mut Verdict) {
        let mut attempts: BTreeMap<u32, usize> = BTreeMap::new();
        for run in &self.runs {
            *attempts.entry(run.start.attempt).or_default() += 1;
            if run.start.real < self.promise.not_before {
                let early = self.promise.not_before - run.start.real;
                self.add(verdict, Violation::Early, &format!("started {early} µs early"));
            }
        }
        if attempts.values().any(|count| *count > 1) {
            self.add(verdict, Violation::StartedTwice, "started twice in one attempt");
        }
        if self.promise.kind == Kind::Keep && self.runs.len() > 1 {
            self.add(verdict, Violation::StartedTwice, "runs at most once, and started again");
        }
    }

    fn check_end(&self, verdict: &mut Verdict) {
        let Some(row) = self.row else { return };
        if row.gone > 1 || (row.gone > 0 && row.state == State::Pending) {
            self.add(verdict, Violation::FinishedTwice, &format!("was taken out {} times", row.gone));
        }
        match (row.state, self.promise.kind) {
            (State::Pending, _) => self.add(verdict, Violation::Stuck, "is still pending"),
            (State::Succeeded, _) if !self.came_to_its_end(row) => {
                self.add(verdict, Violation::NeverRan, "succeeded without a full run of that attempt");
            }
            (State::Interrupted, Kind::Rerun) => {
                self.add(verdict, Violation::GivenUp, "ended as interrupted");
            }
            (State::Interrupted, Kind::Keep) => self.check_interrupted(row, verdict),
            (State::Other, _) => self.add(verdict, Violation::UnaskedEnd, "ended as no call here can"),
            _ => {}
        }
        let Some(finished) = row.finished.map(|real| real - self.history.real_offset) else { return };
        for run in &self.runs {
            if run.start.at > finished + CLOCKS && !self.stood_still(run.start) {
                self.add(verdict, Violation::StartedAfterEnd, "started after its end was recorded");
            }
        }
    }

    /// A run of just the attempt that was recorded came to its end before that.
    fn came_to_its_end(&self, row: &Row) -> bool {
        let finished = row.finished.unwrap_or(0);
        self.runs.iter().any(|run| {
            run.last.what == What::End
                && Some(run.last.pod) == row.pod
                && run.last.attempt == row.attempt
                && run.last.real <= finished + CLOCKS
        })
    }

    fn check_interrupted(&self, row: &Row, verdict: &mut Verdict) {
        verdict.interrupted += 1;
        let finished = row.finished.unwrap_or(0) - self.history.real_offset;
        let worker = row.pod.and_then(|pod| self.workers.get(&pod)).copied();
        // Three leases: its own, and as long again twice until somebody looked.
        if !self.is_explained(worker, finished - 3 * self.history.lease, finished) {
            self.add(verdict, Violation::DuplicateWithoutFault, "ended as interrupted without a fault");
        }
        for run in &self.runs {
            self.check_goes_on(*run, finished, verdict);
        }
    }

    fn check_cancelled(&self, verdict: &mut Verdict) {
        let is_cancelled = self.row.is_some_and(|row| row.state == State::Cancelled);
        verdict.cancelled += usize::from(is_cancelled);
        let answer = self.promise.cancelled.map(|cancelled| cancelled.answer);
        // Claimed by somebody whose lease was over, it was neither waiting nor running: counted nowhere, and told to stop.
        let was_claimed = self.row.is_some_and(|row| row.attempt > 0);
        let asked = match answer {
            None | Some(Answer::Refused) => false,
            Some(Answer::Nothing) => was_claimed,
            Some(Answer::Withdrawn | Answer::Running | Answer::Unknown) => true,
        };
        if is_cancelled && !asked {
            self.add(
                verdict,
                Violation::UnaskedEnd,
                &format!("ended as cancelled, and the answer was {answer:?}"),
            );
        }
        let Some(cancelled) = self.promise.cancelled.filter(|it| it.answer == Answer::Withdrawn) else {
            return;
        };
        if !is_cancelled && self.row.is_some() {
            self.add(verdict, Violation::CancelledRan, "was cancelled, and ended otherwise");
        }
        for run in &self.runs {
            let had_started = run.start.at < cancelled.sent;
            let goes_on = run.last.at > cancelled.answered && !self.stood_still(run.last);
            if goes_on || (had_started && self.promise.kind == Kind::Keep) {
                self.add(verdict, Violation::CancelledRan, "was cancelled before it started, and ran");
            }
        }
    }

    fn check_reruns(&self, verdict: &mut Verdict) {
        for pair in self.runs.windows(2) {
            let [before, after] = pair else { continue };
            verdict.reruns += 1;
            let since = before.start.at - self.history.lease;
            if !self.is_explained(Some(before.start.worker), since, after.start.at) {
                self.add(verdict, Violation::DuplicateWithoutFault, "ran again without a fault");
            }
            self.check_goes_on(*before, after.start.at, verdict);
        }
    }

    /// A run must not show a sign of life once the call was somebody else's.
    fn check_goes_on(&self, run: Run<'_>, lost: i64, verdict: &mut Verdict) {
        if run.last.at <= lost {
            return;
        }
        verdict.overlaps += 1;
        if !self.stood_still(run.last) {
            let late = (run.last.at - lost) / 1_000;
            self.add(
                verdict,
                Violation::OverlapWithoutFault,
                &format!("went on for {late} ms after it was lost"),
            );
        }
    }

    /// Whether the process of an event stood still just before it.
    fn stood_still(&self, event: &Event) -> bool {
        let explains = |fault: &&Fault| {
            fault.kind.stands_still()
                && concerns(fault, Some(event.worker))
                && fault.begin <= event.at
                && fault.end + SETTLE >= event.at
        };
        self.history.faults.iter().any(|fault| explains(&fault))
    }

    /// Whether something befell the worker (or, if nobody knows which, any) in that time.
    fn is_explained(&self, worker: Option<usize>, since: i64, until: i64) -> bool {
        let explains = |fault: &&Fault| {
            fault.kind.interrupts() && concerns(fault, worker) && fault.begin <= until && fault.end >= since
        };
        self.history.faults.iter().any(|fault| explains(&fault))
    }

    fn add(&self, verdict: &mut Verdict, violation: Violation, what: &str) {
        let told = |event: &Event| {
            let Event { what, attempt, worker, at, .. } = event;
            format!("; {what:?} attempt {attempt} worker {worker} at {at}")
        };
        let runs: String = self.runs.iter().flat_map(|run| [told(run.start), told(run.last)]).collect();
        let text = format!("{} {what}; {:?}; {:?}{runs}", self.id, self.promise, self.row);
        verdict.add(violation, text);
    }
}

/// How far two readings of the machine's clocks may lie apart. The ledger reads both one after the other.
const CLOCKS: i64 = 2_000;

fn concerns(fault: &Fault, worker: Option<usize>) -> bool {
    fault.worker.is_none() || worker.is_none() || fault.worker == worker
}
