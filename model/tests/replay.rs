//! Traces that the protocol allows, and traces that it does not.

use futurecall_model::line::{Fate, Found, Line, Promise, Successor, What};
use futurecall_model::replay::replay;
use futurecall_model::state::{End, Outcome};

const LEASE: u64 = 10;
const AHEAD: u64 = 1;

#[test]
fn a_run_that_fails_and_is_tried_again() {
    let lines = [
        stored(0, 5),
        line(0, What::Told { call: "c".to_owned(), what: Promise::Stored }),
        claimed(4, "one", 1, 1),
        started(5, "one"),
        finished(6, "one", 1, Outcome::Failed, Fate::Again(8)),
        finished(7, "one", 1, Outcome::Failed, Fate::Known),
        claimed(8, "two", 1, 2),
        started(8, "two"),
        finished(9, "two", 1, Outcome::Succeeded, Fate::Over(End::Succeeded)),
    ];
    let world = replay(&lines, LEASE, AHEAD).expect("the protocol allows it");
    assert_eq!(world.calls[0].end(), Some(End::Succeeded));
    assert_eq!((world.calls[0].starts, world.calls[0].attempt), (2, 2));
}

#[test]
fn a_zombie_comes_too_late() {
    let mut lines = vec![
        stored(0, 0),
        claimed(0, "one", 1, 1),
        started(1, "one"),
        line(11, What::Rescued { call: "c".to_owned(), fate: Fate::Again(11) }),
        claimed(12, "two", 7, 2),
        started(12, "two"),
        finished(13, "one", 1, Outcome::Succeeded, Fate::Refused),
    ];
    assert!(replay(&lines, LEASE, AHEAD).is_ok());
    lines.pop();
    lines.push(finished(13, "one", 1, Outcome::Succeeded, Fate::Over(End::Succeeded)));
    refused(&lines, 6, "it should be Refused");
}

#[test]
fn a_pod_may_start_what_is_cancelled_until_it_hears_of_it() {
    let (pod, call) = ("one".to_owned(), "c".to_owned());
    let flagged = What::Cancelled { call: call.clone(), found: Found::Claimed, successor: None };
    let renewed = What::Renewed { pod: pod.clone(), call: call.clone(), number: 1, held: true };
    let heard = line(3, What::Heard { pod, call, number: 1 });
    let mut lines =
        vec![stored(0, 0), claimed(0, "one", 1, 1), line(1, flagged), line(2, renewed), started(3, "one")];
    assert!(replay(&lines, LEASE, AHEAD).is_ok());
    lines.insert(4, heard);
    refused(&lines, 5, "cannot happen");
}

#[test]
fn a_claim_that_came_late_is_another_than_the_one_that_is_renewed() {
    let renewed = |held| {
        let (pod, call) = ("one".to_owned(), "c".to_owned());
        line(4, What::Renewed { pod, call, number: 8, held })
    };
    let mut lines = vec![
        stored(0, 0),
        claimed(0, "one", 8, 1),
        started(0, "one"),
        finished(1, "one", 8, Outcome::Failed, Fate::Again(1)),
        claimed(2, "one", 6, 2),
        renewed(false),
    ];
    assert!(replay(&lines, LEASE, AHEAD).is_ok());
    lines.pop();
    lines.push(renewed(true));
    refused(&lines, 5, "holds no such claim");
}

#[test]
fn what_the_protocol_does_not_allow() {
    refused(&[stored(0, 5), claimed(3, "one", 1, 1)], 1, "cannot happen");
    refused(&[stored(0, 5), claimed(4, "one", 1, 1), started(4, "one")], 2, "cannot happen");
    refused(&[stored(0, 0), claimed(0, "one", 1, 1), started(10, "one")], 2, "cannot happen");
    refused(&[stored(0, 0), claimed(0, "one", 1, 2)], 1, "this is attempt 1");
    refused(&[stored(0, 0), stored(1, 0)], 1, "stored already");
    refused(&[claimed(0, "one", 1, 1)], 0, "never stored");
    let early = line(10, What::Rescued { call: "c".to_owned(), fate: Fate::Again(10) });
    refused(&[stored(0, 0), claimed(0, "one", 1, 1), early], 2, "cannot happen");
    let flagged = What::Cancelled { call: "c".to_owned(), found: Found::Waiting, successor: None };
    refused(&[stored(0, 0), claimed(0, "one", 1, 1), line(1, flagged)], 2, "it should be UnderWay");
    let promised = line(1, What::Told { call: "c".to_owned(), what: Promise::Cancelled });
    refused(&[stored(0, 0), claimed(0, "one", 1, 1), promised, started(2, "one")], 3, "I5");
    refused(&[stored(5, 5), stored(4, 5)], 1, "the clock went back");
}

#[test]
fn a_schedule_has_the_next_run_that_its_rule_says() {
    let declared =
        What::Declared { schedule: "s".to_owned(), call: "c".to_owned(), due: 5, interval: 10, reruns: 0 };
    let claimed = |due| What::Claimed {
        pod: "one".to_owned(),
        call: "c".to_owned(),
        number: 1,
        attempt: 1,
        sent: 30,
        successor: Some(Successor { call: "next".to_owned(), due }),
    };
    let right = [line(0, declared.clone()), line(30, claimed(35))];
    assert!(replay(&right, LEASE, AHEAD).is_ok());
    refused(&[line(0, declared), line(30, claimed(40))], 1, "the next run should be due at Some(35)");
}

fn refused(lines: &[Line], number: usize, why: &str) {
    let refusal = replay(lines, LEASE, AHEAD).expect_err("the protocol does not allow it");
    assert_eq!(refusal.number, number, "{refusal}");
    assert!(refusal.to_string().contains(why), "{refusal}");
}

fn line(at: u64, what: What) -> Line {
    Line { at, what }
}

fn stored(at: u64, due: u64) -> Line {
    line(at, What::Stored { call: "c".to_owned(), due, attempts: 2, reruns: 1 })
}

fn claimed(at: u64, pod: &str, number: u64, attempt: u8) -> Line {
    let (pod, call) = (pod.to_owned(), "c".to_owned());
    line(at, What::Claimed { pod, call, number, attempt, sent: at, successor: None })
}

fn started(at: u64, pod: &str) -> Line {
    line(at, What::Started { pod: pod.to_owned(), call: "c".to_owned() })
}

fn finished(at: u64, pod: &str, number: u64, outcome: Outcome, fate: Fate) -> Line {
    line(at, What::Finished { pod: pod.to_owned(), call: "c".to_owned(), number, outcome, fate })
}
