mod fault_effects;
mod schedule;

use std::collections::HashMap;

use uuid::Uuid;

use super::{Clock, Ended, History, Row, State, Verdict, Violation, check};
use crate::acks::{Answer, Asked, Cancelled, Kind, Promise, Stored};
use crate::fault::{self, Fault, Step};
use crate::ledger::{Event, Run, What};
use crate::retry::AttemptEnd;

const SECOND: i64 = 1_000_000;
const POD: [Uuid; 2] = [Uuid::from_u128(1), Uuid::from_u128(2)];

/// The history of one call, in seconds; both clocks begin at zero.
struct Told {
    history: History,
    id: Uuid,
}

impl Told {
    fn new(kind: Kind) -> Self {
        Self::of(Uuid::now_v7(), kind)
    }

    fn of(id: Uuid, kind: Kind) -> Self {
        let asked = Asked { sent: 10 * SECOND, answered: 10 * SECOND, delay: 0, worker: None };
        let promise = Promise { kind, stored: Stored::Yes, asked: Some(asked), cancelled: None };
        let history = History {
            events: Vec::new(),
            promises: HashMap::from([(id, promise)]),
            rows: HashMap::new(),
            faults: Vec::new(),
            lease: 2 * SECOND,
            clock: Clock::default(),
            apart: None,
            schedules: HashMap::new(),
            standing: HashMap::new(),
        };
        Self { history, id }
    }

    /// Adds a run from second to second by a worker.
    fn ran(self, worker: usize, attempt: u32, from: i64, to: i64) -> Self {
        self.ran_and(What::End, worker, attempt, from, to)
    }

    /// Adds the same, with its end.
    fn ran_and(mut self, end: What, worker: usize, attempt: u32, from: i64, to: i64) -> Self {
        for (what, at) in [(What::Start, from), (end, to)] {
            let at = at * SECOND;
            let run = Run { call: self.id, pod: POD[worker], attempt, due: 10 * SECOND, ..Run::default() };
            self.history.events.push(Event { what, run, at, real: at, worker });
        }
        self.history.events.sort_by_key(|event| event.at);
        self
    }

    /// Sets the call's state in the database, and its owner.
    fn ended(mut self, state: State, worker: usize, attempt: u32, finished: i64) -> Self {
        let pod = |attempt| Some(self.history.events.iter().find(|it| it.run.attempt == attempt)?.run.pod);
        let ended =
            (1..attempt).map(|attempt| Ended { attempt, pod: pod(attempt), failed: false, at: 13 * SECOND });
        let row = Row {
            state,
            pod: Some(POD[worker]),
            attempt,
            finished: Some(finished * SECOND),
            gone: 1,
            due: 10 * SECOND,
            created: 10 * SECOND,
            schedule: None,
            ended: ended.collect(),
        };
        self.history.rows.insert(self.id, row);
        self
    }

    /// Adds an attempt on record that was followed by another.
    fn ended_before(mut self, worker: usize, attempt: u32, failed: bool, at: i64) -> Self {
        let ended = Ended { attempt, pod: Some(POD[worker]), failed, at: at * SECOND };
        self.history.rows.get_mut(&self.id).unwrap().ended[attempt as usize - 1] = ended;
        self
    }

    /// Sets the database's clock by that much.
    fn step(mut self, at: i64, by: i64) -> Self {
        let (before, by) = (at * SECOND, by * SECOND);
        let kind = if by > 0 { fault::Kind::Forward } else { fault::Kind::Back };
        self.history.clock.steps.push(Step { before, after: before, by });
        self.history.faults.push(Fault { kind, worker: None, begin: before, end: before });
        self
    }

    fn fault(self, kind: fault::Kind, worker: usize, from: i64, to: i64) -> Self {
        self.fault_within(kind, worker, from * 1_000, to * 1_000)
    }

    /// Does the same in milliseconds.
    fn fault_within(mut self, kind: fault::Kind, worker: usize, from: i64, to: i64) -> Self {
        let fault = Fault { kind, worker: Some(worker), begin: from * 1_000, end: to * 1_000 };
        self.history.faults.push(fault);
        self
    }

    fn but_history(mut self, change: impl FnOnce(&mut History)) -> Self {
        change(&mut self.history);
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

/// Returns attempt 1 by worker 0 until second 13, attempt 2 by worker 1 from second 14.
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
    // Its pod had lost it, and it was not rescued yet: neither waiting nor running.
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
    // The fault affected another worker.
    assert_eq!(rerun().fault(fault::Kind::Cut, 1, 11, 13).violates(), [Violation::DuplicateWithoutFault]);
    // A shutdown explains nothing.
    assert_eq!(rerun().fault(fault::Kind::Restart, 0, 11, 13).violates(), [Violation::DuplicateWithoutFault]);
    let keep = rerun().but(|promise, _| promise.kind = Kind::Keep).fault(fault::Kind::Kill, 0, 11, 13);
    assert_eq!(keep.violates(), [Violation::StartedTwice]);
    let twice = Told::new(Kind::Rerun).ran(0, 1, 10, 11).ran(1, 1, 14, 15).ended(State::Succeeded, 1, 1, 15);
    let broken = [Violation::WrongRecord, Violation::StartedTwice];
    assert_eq!(twice.fault(fault::Kind::Kill, 0, 11, 13).violates(), broken);
}

#[test]
fn a_handler_that_goes_on_needs_a_standstill() {
    let overlap =
        || Told::new(Kind::Rerun).ran(0, 1, 10, 15).ran(1, 2, 14, 16).ended(State::Succeeded, 1, 2, 16);
    let cut = overlap().fault(fault::Kind::Cut, 0, 11, 15);
    assert_eq!(cut.violates(), [Violation::OverlapWithoutFault]);
    let paused = overlap().fault(fault::Kind::Pause, 0, 11, 15).verdict();
    assert_eq!((paused.count(), paused.overlaps), (0, 1));
    // It had been running again for a second.
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
    let broken =
        [Violation::StartedAfterEnd, Violation::DuplicateWithoutFault, Violation::OverlapWithoutFault];
    assert_eq!(late.fault(fault::Kind::Cut, 0, 10, 12).violates(), broken);
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
    // It was never claimed: a claim of it would have been deleted with it.
    let waited = |_: &mut Promise, row: Option<&mut Row>| row.unwrap().gone = 0;
    for answer in [Answer::Nothing, Answer::Refused] {
        let ended = Told::new(Kind::Keep).ended(State::Cancelled, 0, 0, 12).but(waited);
        assert_eq!(ended.violates(), [Violation::UnaskedEnd]);
        assert_eq!(ended.cancelled(answer, 11).violates(), [Violation::UnaskedEnd]);
    }
    // Its pod had lost it, and it was not rescued yet: neither waiting nor running.
    let between = Told::new(Kind::Keep).ended(State::Cancelled, 0, 1, 12).cancelled(Answer::Nothing, 11);
    assert_eq!(between.violates(), []);
    // The same, and it had not started: released, that claim is no attempt.
    let given_back = Told::new(Kind::Keep).ended(State::Cancelled, 0, 0, 12).cancelled(Answer::Nothing, 11);
    assert_eq!(given_back.violates(), []);
    let unknown = Told::new(Kind::Keep).ended(State::Cancelled, 0, 0, 12).cancelled(Answer::Unknown, 11);
    assert_eq!(unknown.violates(), []);
    assert_eq!(healthy(Kind::Keep).ended(State::Other, 0, 1, 11).violates(), [Violation::UnaskedEnd]);
}

/// Returns a call whose attempts end like this (the first ten), and its id.
fn throwing(throws: &[AttemptEnd]) -> Told {
    let throws_so =
        |id: &Uuid| throws.iter().zip(1..).all(|(throw, attempt)| AttemptEnd::of(*id, attempt) == *throw);
    Told::of((1..1_000_000).map(Uuid::from_u128).find(throws_so).unwrap(), Kind::Tries)
}

#[test]
fn failures_are_followed_by_attempts_as_the_policy_says() {
    let tried = || {
        throwing(&[AttemptEnd::Error, AttemptEnd::Hang, AttemptEnd::Success])
            .ran_and(What::Failed, 0, 1, 10, 11)
            .ran_and(What::Stopped, 1, 2, 12, 13)
            .ran(0, 3, 14, 15)
            .ended(State::Succeeded, 0, 3, 15)
            .ended_before(0, 1, true, 11)
            .ended_before(1, 2, true, 13)
    };
    let verdict = tried().verdict();
    assert_eq!((verdict.count(), verdict.retries, verdict.reruns), (0, 2, 0), "{verdict:?}");
    // The first was interrupted according to the record, and nothing explains that.
    assert_eq!(tried().ended_before(0, 1, false, 11).violates(), [Violation::DuplicateWithoutFault]);
    // Its backoff begins when the failure is recorded.
    assert_eq!(tried().ended_before(1, 2, true, 14).violates(), [Violation::Early]);
    // Of another pod, according to the record.
    assert_eq!(
        tried().ended_before(1, 1, true, 11).violates(),
        [Violation::WrongRecord, Violation::DuplicateWithoutFault]
    );
    let one_short = tried().but(|_, row| row.unwrap().ended.truncate(1));
    assert_eq!(one_short.violates(), [Violation::WrongRecord, Violation::DuplicateWithoutFault]);
}

#[test]
fn a_failure_on_record_is_one_that_a_handler_had() {
    let forged = throwing(&[AttemptEnd::Success, AttemptEnd::Success])
        .ran(0, 1, 10, 11)
        .ran(0, 2, 12, 13)
        .ended(State::Succeeded, 0, 2, 13)
        .ended_before(0, 1, true, 11);
    assert_eq!(forged.violates(), [Violation::WrongRecord]);
    let unseen = throwing(&[AttemptEnd::Error, AttemptEnd::Success])
        .ran(0, 2, 12, 13)
        .ended(State::Succeeded, 0, 2, 13)
        .ended_before(0, 1, true, 11);
    assert_eq!(unseen.violates(), [Violation::WrongRecord]);
}

#[test]
fn attempts_end_where_the_policy_says() {
    let errors = |ran: u32, recorded: u32| {
        let mut told = throwing(&[AttemptEnd::Error; 5]);
        for attempt in 1..=ran {
            let at = 10 + i64::from(attempt);
            told = told.ran_and(What::Failed, 0, attempt, at, at);
        }
        told = told.ended(State::Failed, 0, recorded, 20);
        for attempt in 1..recorded {
            told = told.ended_before(0, attempt, true, 10 + i64::from(attempt));
        }
        told
    };
    assert_eq!(errors(4, 4).verdict().failed, 1);
    assert_eq!(errors(4, 4).violates(), []);
    assert_eq!(errors(5, 5).violates(), [Violation::TooManyAttempts]);
    assert_eq!(errors(3, 3).violates(), [Violation::GivenUp]);
    let gave_up =
        throwing(&[AttemptEnd::GiveUp]).ran_and(What::GaveUp, 0, 1, 10, 11).ended(State::Failed, 0, 1, 11);
    assert_eq!(gave_up.violates(), []);
    let kept = Told::new(Kind::Keep).ran_and(What::Stopped, 0, 1, 10, 11).ended(State::Failed, 0, 1, 11);
    assert_eq!(kept.violates(), [Violation::UnaskedEnd]);
}

#[test]
fn a_cancelled_run_is_followed_by_none() {
    let told = |answer| {
        rerun().fault(fault::Kind::Kill, 0, 11, 13).ran(0, 3, 16, 17).cancelled(answer, 12).but(|_, row| {
            let row = row.unwrap();
            (row.attempt, row.pod) = (3, Some(POD[0]));
            row.ended.push(Ended { attempt: 2, pod: Some(POD[1]), failed: false, at: 15 * SECOND });
        })
    };
    assert!(told(Answer::Running).violates().contains(&Violation::CancelledRan));
    assert!(!told(Answer::Refused).violates().contains(&Violation::CancelledRan));
}

#[test]
fn the_database_s_clock_decides_what_is_early() {
    // It is due at 10 by a clock that was set back by a minute before, and forward while the handler waited.
    let early = healthy(Kind::Keep).step(5, -60);
    assert_eq!(early.violates(), [Violation::Early]);
    let set_back = |at| {
        healthy(Kind::Keep).step(at, -60).but(|_, row| row.unwrap().finished = Some(-49 * SECOND)).violates()
    };
    // Its pod had read the clock just before that was set back; and one had a lease's time to notice.
    assert_eq!(set_back(9), []);
    assert_eq!(set_back(7), [Violation::Early]);
    // A retry has its own due time, by the clock as it is set then.
    let again = rerun().fault(fault::Kind::Kill, 0, 11, 13).step(12, -5).but(|_, row| {
        let row = row.unwrap();
        row.finished = Some(10 * SECOND);
        row.ended[0].at = 8 * SECOND;
    });
    assert_eq!(again.violates(), []);
    // Requested before the clock was set forward, it may be due as soon as that clock reaches it.
    let forward = healthy(Kind::Keep).step(9, 60).but(|promise, row| {
        let row = row.unwrap();
        (row.due, row.finished) = (69 * SECOND, Some(71 * SECOND));
        promise.asked.as_mut().unwrap().sent = 8 * SECOND;
    });
    assert_eq!(forward.violates(), [Violation::WrongRecord]);
}

#[test]
fn a_clock_that_is_set_forward_ends_leases_and_pods_hear_of_it_with_the_next_renewal() {
    let overlap = |end| {
        Told::new(Kind::Rerun)
            .ran(0, 1, 10, end)
            .ran(1, 2, 14, 16)
            .ended(State::Succeeded, 1, 2, 16 + 60)
            .ended_before(0, 1, false, 14 + 60)
    };
    assert_eq!(overlap(15).step(14, 60).violates(), []);
    assert_eq!(overlap(17).step(14, 60).violates(), [Violation::OverlapWithoutFault]);
    // Set back, leases last longer: that explains nothing.
    let back = Told::new(Kind::Rerun)
        .ran(0, 1, 10, 13)
        .ran(1, 2, 14, 15)
        .ended(State::Succeeded, 1, 2, 15 - 1)
        .ended_before(0, 1, false, 14 - 1)
        .step(12, -1);
    assert_eq!(back.violates(), [Violation::DuplicateWithoutFault]);
}

#[test]
fn a_clock_that_is_apart_explains_an_overlap_of_one_lease_and_who_suffers_from_it() {
    // The call of one worker is taken by the other.
    let taken = |end| {
        Told::new(Kind::Rerun)
            .ran(0, 1, 10, end)
            .ran(1, 2, 14, 16)
            .ended(State::Succeeded, 1, 2, 16)
            .ended_before(0, 1, false, 14)
    };
    let ahead = |told: Told, from, to| {
        told.but_history(|history| {
            let (begin, end) = (from * SECOND, to * SECOND);
            history.faults.push(Fault { kind: fault::Kind::Ahead, worker: None, begin, end });
        })
    };
    assert_eq!(ahead(taken(15), 13, 15).violates(), []);
    assert_eq!(ahead(taken(16), 13, 15).violates(), []);
    assert_eq!(ahead(taken(17), 13, 18).violates(), [Violation::OverlapWithoutFault], "longer than a lease");
    assert!(!ahead(taken(15), 1, 2).violates().is_empty(), "it was long over");
    // A worker that is behind loses its calls, and takes none.
    assert_eq!(taken(15).fault(fault::Kind::Behind, 0, 13, 15).violates(), []);
    assert!(!taken(15).fault(fault::Kind::Behind, 1, 13, 15).violates().is_empty());
}

#[test]
fn who_starts_early_by_the_clocks_of_others_does_not_by_its_own() {
    let apart = |worker| {
        Told::new(Kind::Keep).ran(0, 1, 7, 8).ended(State::Succeeded, 0, 1, 11).but_history(|history| {
            let step = Step { before: 0, after: 0, by: 3 * SECOND };
            history.apart = Some((worker, Clock { real_offset: 0, steps: vec![step] }));
        })
    };
    assert_eq!(apart(0).violates(), []);
    assert_eq!(apart(1).violates(), [Violation::Early]);
}

#[test]
fn who_is_stopped_while_it_reads_a_bent_clock_writes_down_what_no_clock_said() {
    // It ended at 11, when its process was paused, by a clock that had been set back by 5 when it resumed. On SQLite
    // that is recorded in whole milliseconds.
    let stopped_at = |from| {
        let told = Told::new(Kind::Keep).ran(0, 1, 10, 11).ended(State::Succeeded, 0, 1, 6);
        told.step(15, -5).fault_within(fault::Kind::Pause, 0, from, 16_000)
    };
    assert_eq!(stopped_at(11_001).violates(), []);
    assert_eq!(stopped_at(13_000).violates(), [Violation::NeverRan, Violation::StartedAfterEnd]);
}
