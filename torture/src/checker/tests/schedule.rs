use uuid::Uuid;

use super::{POD, SECOND, Told};
use crate::acks::Kind;
use crate::checker::{History, Row, ScheduleState, State, Violation, check};
use crate::fault::{self, Fault};
use crate::ledger::{Event, Run, What};
use crate::recurring::ALL;

/// The schedule of that name: runs at these seconds, each stored at the second beside it, and the last yet to come.
fn scheduled(name: &str, runs: &[(i64, i64)]) -> History {
    let rule = *ALL.iter().find(|rule| rule.name == name).unwrap();
    let id = Uuid::from_u128(99);
    let mut history = Told::new(Kind::Keep).history;
    history.promises.clear();
    history.schedules.insert(id, rule);
    let last = runs.last().unwrap().0 * SECOND;
    history.standing.insert(id, ScheduleState { active: true, next: 1, due: Some(last) });
    for (number, (due, created)) in runs.iter().enumerate() {
        let is_last = number + 1 == runs.len();
        let (due, call, pod) = (due * SECOND, Uuid::from_u128(number as u128), POD[0]);
        let row = Row {
            state: if is_last { State::Pending } else { State::Succeeded },
            pod: (!is_last).then_some(pod),
            attempt: u32::from(!is_last),
            finished: (!is_last).then_some(due),
            gone: u32::from(!is_last),
            due,
            created: created * SECOND,
            schedule: Some(id),
            ended: Vec::new(),
        };
        history.rows.insert(call, row);
        if !is_last {
            let run = Run { call, pod, attempt: 1, schedule: id, due };
            for what in [What::Start, What::End] {
                history.events.push(Event { what, run, at: due, real: due, worker: 0 });
            }
        }
    }
    history
}

fn violates(history: &History) -> Vec<Violation> {
    check(history).violations.into_keys().collect()
}

#[test]
fn a_schedule_goes_on_by_its_policy() {
    let whole = scheduled("cron", &[(10, 9), (11, 10), (12, 11), (13, 12)]);
    let verdict = check(&whole);
    assert_eq!((verdict.count(), verdict.recurred, verdict.missed), (0, 3, 0), "{verdict:?}");
    // The run of second 10 was claimed at second 12, so that its successor is due at 13: something must explain that.
    let gap = || scheduled("cron", &[(10, 9), (13, 12), (14, 13)]);
    assert_eq!(violates(&gap()), []);
    let late = || scheduled("cron", &[(9, 8), (10, 9), (15, 14), (16, 15)]);
    assert_eq!(violates(&late()), [Violation::BoundaryMissing]);
    let mut explained = late();
    explained.faults.push(Fault {
        kind: fault::Kind::Lock,
        worker: None,
        begin: 9 * SECOND,
        end: 13 * SECOND,
    });
    assert_eq!((check(&explained).count(), check(&explained).missed), (0, 4));
    // Claimed in time, and yet a moment was left out; claimed late, and no moment was.
    assert_eq!(violates(&scheduled("cron", &[(10, 9), (12, 10), (13, 12)])), [Violation::BoundaryMissing]);
    assert_eq!(violates(&scheduled("cron", &[(10, 9), (11, 12), (13, 12)])), [Violation::BoundaryMissing]);
    // All are to run, however late.
    assert_eq!(violates(&scheduled("all", &[(10, 5), (20, 21), (30, 22)])), []);
    assert_eq!(violates(&scheduled("all", &[(10, 5), (30, 31), (40, 32)])), [Violation::BoundaryMissing]);
}

#[test]
fn a_schedule_is_never_lost_and_no_moment_has_two_runs() {
    let whole = || scheduled("cron", &[(10, 9), (11, 10), (12, 11)]);
    let id = Uuid::from_u128(99);
    for (active, next) in [(false, 1), (true, 0), (true, 2)] {
        let mut lost = whole();
        lost.standing.insert(id, ScheduleState { active, next, due: None });
        assert_eq!(violates(&lost), [Violation::ScheduleLost], "{active} {next}");
    }
    let mut twice = whole();
    let row = twice.rows[&Uuid::from_u128(1)].clone();
    twice.rows.insert(Uuid::from_u128(7), Row { state: State::Cancelled, pod: None, attempt: 0, ..row });
    assert!(violates(&twice).contains(&Violation::BoundaryTwice));
    let mut second = whole();
    second.standing.insert(Uuid::from_u128(98), ScheduleState { active: true, next: 1, due: None });
    assert_eq!(violates(&second), [Violation::ScheduleLost]);
    // A run that the ledger knows and the database does not.
    let mut forgotten = whole();
    forgotten.rows.remove(&Uuid::from_u128(0));
    assert_eq!(violates(&forgotten), [Violation::Lost]);
}

#[test]
fn a_run_is_skipped_by_policy_alone() {
    let skipped = |name, before: Option<i64>| {
        let mut history = scheduled(name, &[(10, 5), (20, 10), (30, 20)]);
        let (id, next) = (Uuid::from_u128(0), Uuid::from_u128(1));
        history.events.retain(|event| event.run.call != next);
        let row = history.rows.get_mut(&next).unwrap();
        (row.state, row.attempt, row.pod, row.gone) = (State::Skipped, 0, None, 0);
        if let Some(finished) = before {
            history.rows.get_mut(&id).unwrap().finished = Some(finished * SECOND);
        }
        violates(&history).contains(&Violation::SkippedWithoutPolicy)
    };
    // The run before was over; it was going on; all are to run; runs may overlap.
    assert!(skipped("cron", None));
    assert!(!skipped("cron", Some(21)));
    assert!(skipped("all", Some(21)));
    assert!(skipped("beside", Some(21)));
}
