use std::collections::HashMap;

use uuid::Uuid;

use super::{History, Row, State, Verdict, Violation, check};
use crate::acks::{Answer, Cancelled, Kind, Promise, Stored};
use crate::fault::{self, Fault};
use crate::ledger::{Event, What};

const SECOND: i64 = 1_000_000;
const POD: [Uuid; 2] = [Uuid::from_u128(1), Uuid::from_u128(2)];

/// The history of one call, told in seconds; both clocks begin at zero.
struct Told {
    history: History,
    id: Uuid,
}

impl Told {
    fn new(kind: Kind) -> Self {
        let id = Uuid::now_v7();
        let promise = Promise { kind, stored: Stored::Yes, not_before: 10 * SECOND, cancelled: None };
        let history = History {
            events: Vec::new(),
            promises: HashMap::from([(id, promise)]),
            rows: HashMap::new(),
            faults: Vec::new(),
            lease: 2 * SECOND,
            real_offset: 0,
        };
        Self { history, id }
    }

    /// A run from second to second by a worker.
    fn ran(mut self, worker: usize, attempt: u32, from: i64, to: i64) -> Self {
        for (what, at) in [(What::Start, from), (What::End, to)] {
            let (at, pod) = (at * SECOND, POD[worker]);
            self.history.events.push(Event { what, call: self.id, pod, attempt, at, real: at, worker });
        }
        self.history.events.sort_by_key(|event| event.at);
        self
    }

    /// What the database says, and who that is about.
    fn ended(mut self, state: State, worker: usize, attempt: u32, finished: i64) -> Self {
        let row = Row { state, pod: Some(POD[worker]), attempt, finished: Some(finished * SECOND), gone: 1 };
        self.history.rows.insert(self.id, row);
        self
    }

    fn fault(mut self, kind: fault::Kind, worker: usize, from: i64, to: i64) -> Self {
        let fault = Fault { kind, worker: Some(worker), begin: from * SECOND, end: to * SECOND };
        self.history.faults.push(fault);
        self
    }

    fn cancelled(mut self, answer: Answer, at: i64) -> Self {
        let cancelled = Cancelled { answer, sent: at * SECOND, answered: at * SECOND };
        self.history.promises.get_mut(&self.id).unwrap().cancelled = Some(cancelled);
        self
    }

    fn but(mut self, change: impl FnOnce(&mut Promise, Option<&mut Row>)) -> Self {
        change(self.history.promises.get_mut(&self.id).unwrap(), self.history.rows.get_mut(&self.id));
        self
    }

    fn verdict(&self) -> Verdict {
        check(&self.history)
    }

    fn violates(&self) -> Vec<Violation> {
        self.verdict().violations.into_keys().collect()
    }
}

fn healthy(kind: Kind) -> Told {
    Told::new(kind).ran(0, 1, 10, 11).ended(State::Succeeded, 0, 1, 11)
}

/// Attempt 1 by worker 0 until second 13, attempt 2 by worker 1 from second 14.
fn rerun() -> Told {
    Told::new(Kind::Rerun).ran(0, 1, 10, 13).ran(1, 2, 14, 15).ended(State::Succeeded, 1, 2, 15)
}

#[test]
fn a_healthy_call_breaks_nothing() {
    for kind in [Kind::Keep, Kind::Rerun] {
        let verdict = healthy(kind).verdict();
        assert_eq!((verdict.count(), verdict.acked, verdict.starts, verdict.reruns), (0, 1, 1, 0));
    }
}

#[test]
fn what_is_nowhere_is_lost() {
    assert_eq!(Told::new(Kind::Keep).violates(), [Violation::Lost]);
    // Its pod had lost it, and nobody had looked yet: it was neither waiting nor running.
    let between = Told::new(Kind::Keep).ended(State::Cancelled, 0, 1, 12).cancelled(Answer::Nothing, 11);
    assert_eq!(between.violates(), []);
    let unknown = Told::new(Kind::Keep).but(|promise, _| promise.stored = Stored::Unknown);
    assert_eq!(unknown.violates(), []);
    assert_eq!(unknown.ran(0, 1, 10, 11).violates(), [Violation::Lost]);
}

#[test]
fn what_was_refused_must_not_be_there() {
    let refused = healthy(Kind::Keep).but(|promise, _| promise.stored = Stored::No);
    assert_eq!(refused.violates(), [Violation::StoredThoughRefused]);
}

#[test]
fn what_does_not_end_is_stuck() {
    let stuck = healthy(Kind::Keep).but(|_, row| {
        let row = row.unwrap();
        (row.state, row.gone, row.finished) = (State::Pending, 0, None);
    });
    assert_eq!(stuck.violates(), [Violation::Stuck]);
}

#[test]
fn success_needs_a_full_run_of_that_attempt() {
    assert_eq!(Told::new(Kind::Keep).ended(State::Succeeded, 0, 1, 11).violates(), [Violation::NeverRan]);
    // The first attempt came too late, and its end was taken for the second's: a finish without a fence.
    let stolen = Told::new(Kind::Rerun)
        .ran(0, 1, 10, 15)
        .ran(1, 2, 14, 17)
        .ended(State::Succeeded, 1, 2, 15)
        .fault(fault::Kind::Pause, 0, 11, 15);
    assert_eq!(stolen.violates(), [Violation::NeverRan]);
}

#[test]
fn nothing_starts_early() {
    let early = Told::new(Kind::Keep).ran(0, 1, 9, 11).ended(State::Succeeded, 0, 1, 11);
    assert_eq!(early.violates(), [Violation::Early]);
}

#[test]
fn an_end_comes_once() {
    assert_eq!(
        healthy(Kind::Keep).but(|_, row| row.unwrap().gone = 2).violates(),
        [Violation::FinishedTwice]
    );
}

#[test]
fn a_second_run_needs_a_fault_and_a_kind_that_allows_it() {
    assert_eq!(rerun().violates(), [Violation::DuplicateWithoutFault]);
    let explained = rerun().fault(fault::Kind::Cut, 0, 11, 13).verdict();
    assert_eq!((explained.count(), explained.reruns, explained.overlaps), (0, 1, 0));
    // The fault befell somebody else.
    assert_eq!(rerun().fault(fault::Kind::Cut, 1, 11, 13).violates(), [Violation::DuplicateWithoutFault]);
    // A shutdown explains nothing.
    assert_eq!(rerun().fault(fault::Kind::Restart, 0, 11, 13).violates(), [Violation::DuplicateWithoutFault]);
    let keep = rerun().but(|promise, _| promise.kind = Kind::Keep).fault(fault::Kind::Kill, 0, 11, 13);
    assert_eq!(keep.violates(), [Violation::StartedTwice]);
    let twice = Told::new(Kind::Rerun).ran(0, 1, 10, 11).ran(1, 1, 14, 15).ended(State::Succeeded, 1, 1, 15);
    assert_eq!(twice.fault(fault::Kind::Kill, 0, 11, 13).violates(), [Violation::StartedTwice]);
}

#[test]
fn a_handler_that_goes_on_needs_a_standstill() {
    let overlap =
        || Told::new(Kind::Rerun).ran(0, 1, 10, 15).ran(1, 2, 14, 16).ended(State::Succeeded, 1, 2, 16);
    let cut = overlap().fault(fault::Kind::Cut, 0, 11, 15);
    assert_eq!(cut.violates(), [Violation::OverlapWithoutFault]);
    let paused = overlap().fault(fault::Kind::Pause, 0, 11, 15).verdict();
    assert_eq!((paused.count(), paused.overlaps), (0, 1));
    // It had been awake for a second.
    let awake = overlap().fault(fault::Kind::Pause, 0, 11, 14);
    assert_eq!(awake.violates(), [Violation::OverlapWithoutFault]);
    let kept = Told::new(Kind::Keep).ran(0, 1, 10, 15).ended(State::Interrupted, 0, 1, 14);
    assert_eq!(kept.fault(fault::Kind::Cut, 0, 11, 13).violates(), [Violation::OverlapWithoutFault]);
}

#[test]
fn an_interruption_needs_a_fault_and_a_kind_that_allows_it() {
    let kept = || Told::new(Kind::Keep).ended(State::Interrupted, 0, 1, 14);
    assert_eq!(kept().violates(), [Violation::DuplicateWithoutFault]);
    let explained = kept().fault(fault::Kind::Kill, 0, 11, 12).verdict();
    assert_eq!((explained.count(), explained.interrupted), (0, 1));
    let rerun =
        Told::new(Kind::Rerun).ended(State::Interrupted, 0, 1, 14).fault(fault::Kind::Kill, 0, 11, 12);
    assert_eq!(rerun.violates(), [Violation::GivenUp]);
}

#[test]
fn nothing_starts_after_its_end() {
    let late = Told::new(Kind::Keep).ran(0, 1, 13, 13).ended(State::Interrupted, 0, 1, 12);
    let broken = [Violation::StartedAfterEnd, Violation::OverlapWithoutFault];
    assert_eq!(late.fault(fault::Kind::Kill, 0, 11, 12).violates(), broken);
}

#[test]
fn what_is_withdrawn_does_not_run() {
    let withdrawn = |kind| Told::new(kind).cancelled(Answer::Withdrawn, 12);
    assert_eq!(withdrawn(Kind::Keep).ended(State::Cancelled, 0, 0, 12).violates(), []);
    assert_eq!(
        withdrawn(Kind::Keep).ran(0, 1, 13, 14).ended(State::Succeeded, 0, 1, 14).violates(),
        [Violation::CancelledRan]
    );
    for kind in [Kind::Keep, Kind::Rerun] {
        let under_way = withdrawn(kind).ran(0, 1, 11, 14).ended(State::Cancelled, 0, 1, 12);
        assert_eq!(under_way.violates(), [Violation::CancelledRan], "{kind:?}");
    }
    // An earlier attempt had been interrupted: the next never starts.
    let between = withdrawn(Kind::Rerun).ran(0, 1, 10, 11).ended(State::Cancelled, 0, 1, 12);
    assert_eq!(between.violates(), []);
}

#[test]
fn an_end_that_nobody_asked_for_is_one_too_many() {
    for answer in [Answer::Nothing, Answer::Refused] {
        let ended = Told::new(Kind::Keep).ended(State::Cancelled, 0, 0, 12);
        assert_eq!(ended.violates(), [Violation::UnaskedEnd]);
        assert_eq!(ended.cancelled(answer, 11).violates(), [Violation::UnaskedEnd]);
    }
    // Its pod had lost it, and nobody had looked yet: it was neither waiting nor running.
    let between = Told::new(Kind::Keep).ended(State::Cancelled, 0, 1, 12).cancelled(Answer::Nothing, 11);
    assert_eq!(between.violates(), []);
    let unknown = Told::new(Kind::Keep).ended(State::Cancelled, 0, 0, 12).cancelled(Answer::Unknown, 11);
    assert_eq!(unknown.violates(), []);
    assert_eq!(healthy(Kind::Keep).ended(State::Other, 0, 1, 11).violates(), [Violation::UnaskedEnd]);
}
