use std::time::Duration;

use futurecall_runtime::recurring::{Missed, Overlap, Rule};
use futurecall_runtime::store::{CallFilter, CallState, ClaimRequest, Lease, Now, Outcome, ScheduleState};

use crate::make::{FORGET, at, call_at, every, held, labelled, schedule, secs};
use crate::suite::{Fixture, cases};

cases![
    run_once_makes_up_for_all_that_was_missed,
    skip_makes_up_for_nothing,
    skip_still_runs_what_is_only_a_little_late,
    a_skipped_run_may_leave_no_row,
    run_all_runs_every_missed_one,
    run_all_runs_them_one_after_another,
    a_waiting_run_does_not_spin_the_claimer,
    a_waiting_run_does_not_hold_up_others,
    a_run_still_going_makes_the_next_one_skipped,
    a_run_whose_lease_is_over_is_not_going,
    overlap_can_be_allowed,
    a_run_of_another_schedule_is_no_overlap,
    a_released_run_and_the_next_do_not_overlap,
    a_run_to_be_rerun_waits_for_the_one_after_it,
];

fn rule(missed: Missed, overlap: Overlap) -> Rule {
    let mut rule = every(60);
    rule.missed = missed;
    rule.overlap = overlap;
    rule
}

async fn declare(fixture: &Fixture, missed: Missed, overlap: Overlap) {
    fixture.declare(at(0), &schedule("nightly", rule(missed, overlap))).await;
}

async fn run_once_makes_up_for_all_that_was_missed(fixture: &Fixture) {
    declare(fixture, Missed::RunOnce, Overlap::Skip).await;
    // The first run is due at 60; nobody looked before 345.
    let pod = fixture.pod();
    let claim = pod.ask(at(345), &["work"], 10).await;
    assert_eq!((claim.calls.len(), claim.skipped, claim.next), (1, 0, Some(secs(15))));
    assert_eq!(claim.calls[0].due, at(60));
    assert_eq!(fixture.the_pending().await.due, at(360), "on from the next boundary in the future");
    assert!(pod.finish(at(350), &claim.calls[0], Outcome::Succeeded).await);
    assert_eq!(pod.claim(at(359), &["work"], 10).await, []);
    assert_eq!(pod.claim_one(at(360), "work").await.due, at(360));
}

async fn skip_makes_up_for_nothing(fixture: &Fixture) {
    declare(fixture, Missed::Skip, Overlap::Skip).await;
    let missed = fixture.the_pending().await;
    let pod = fixture.pod();
    let claim = pod.ask(at(345), &["work"], 10).await;
    assert_eq!((claim.calls.len(), claim.skipped, claim.next), (0, 1, Some(secs(15))));
    let record = fixture.record(missed.id).await;
    assert_eq!((record.state, record.error.as_deref()), (CallState::Skipped, Some("missed")));
    assert_eq!((record.attempt, record.finished, record.pod), (0, Some(at(345)), None));
    assert!(record.attempts.is_empty());
    assert_eq!(fixture.the_pending().await.due, at(360));
    assert_eq!(fixture.the_schedule().await.state, ScheduleState::Active);
    assert_eq!(pod.claim_one(at(360), "work").await.due, at(360));
}

async fn skip_still_runs_what_is_only_a_little_late(fixture: &Fixture) {
    declare(fixture, Missed::Skip, Overlap::Skip).await;
    let claim = fixture.pod().ask(at(75), &["work"], 10).await;
    assert_eq!((claim.calls.len(), claim.skipped), (1, 0));
    assert_eq!(fixture.the_pending().await.due, at(120));
}

async fn a_skipped_run_may_leave_no_row(fixture: &Fixture) {
    declare(fixture, Missed::Skip, Overlap::Skip).await;
    let missed = fixture.the_pending().await;
    let pod = fixture.pod();
    let request = ClaimRequest { retention: FORGET, ..pod.request(&["work"], 10) };
    let claim = pod.send(at(345), &request).await;
    assert_eq!((claim.calls.len(), claim.skipped), (0, 1));
    assert_eq!(fixture.find(missed.id).await, None);
    assert_eq!(fixture.the_pending().await.due, at(360));
}

async fn run_all_runs_every_missed_one(fixture: &Fixture) {
    declare(fixture, Missed::RunAll, Overlap::Allow).await;
    let pod = fixture.pod();
    let mut runs = Vec::new();
    // A successor that is due already is claimed by the same claim or by the next.
    for _ in 0..10 {
        let claim = pod.ask(at(345), &["work"], 10).await;
        assert_eq!(claim.skipped, 0);
        runs.extend(claim.calls.iter().map(|call| call.due));
        if claim.next != Some(Duration::ZERO) {
            assert_eq!(claim.next, Some(secs(15)));
            break;
        }
    }
    assert_eq!(runs, [60, 120, 180, 240, 300].map(at));
    assert_eq!(fixture.the_pending().await.due, at(360));
    assert_eq!(fixture.listed(CallState::Running).await.len(), 5);
}

async fn run_all_runs_them_one_after_another(fixture: &Fixture) {
    declare(fixture, Missed::RunAll, Overlap::Skip).await;
    let pods = [fixture.pod(), fixture.other_pod()];
    for (turn, due) in [60, 120, 180, 240, 300].into_iter().enumerate() {
        let (pod, other) = (&pods[turn % 2], &pods[(turn + 1) % 2]);
        let claimed = pod.claim_one(at(345), "work").await;
        assert_eq!(claimed.due, at(due));
        for waiting in [pod, other] {
            let claim = waiting.ask(at(346), &["work"], 10).await;
            assert_eq!((claim.calls.len(), claim.skipped), (0, 0), "the next one waits");
        }
        assert!(pod.finish(at(347), &claimed, Outcome::Succeeded).await);
    }
    assert_eq!(fixture.the_pending().await.due, at(360));
    assert_eq!(fixture.listed(CallState::Succeeded).await.len(), 5);
}

async fn a_waiting_run_does_not_spin_the_claimer(fixture: &Fixture) {
    declare(fixture, Missed::RunAll, Overlap::Skip).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(345), "work").await;
    // Something else is due later, and the one that waits is due now: to sleep until then is right.
    fixture.add(&[call_at("play", 400)]).await;
    let claim = pod.ask(at(345), &["work", "play"], 10).await;
    assert_eq!((claim.calls.len(), claim.next), (0, Some(secs(55))));
    assert_eq!(pod.ask(at(345), &["work"], 10).await.next, None);
    let ahead = pod.ask(at(100), &["work"], 10).await;
    assert_eq!(ahead.next, Some(secs(20)), "while it lies ahead it counts: by then its turn may have come");
    assert_eq!(pod.ask(at(120), &["work"], 10).await.next, None, "due this very moment, it waits");
    assert!(pod.finish(at(346), &claimed, Outcome::Succeeded).await);
    let claim = pod.ask(at(346), &["work"], 0).await;
    assert_eq!(claim.next, Some(Duration::ZERO), "its turn has come");
}

async fn a_waiting_run_does_not_hold_up_others(fixture: &Fixture) {
    declare(fixture, Missed::RunAll, Overlap::Skip).await;
    let pod = fixture.pod();
    pod.claim_one(at(345), "work").await;
    // The one that waits is the oldest of its lane.
    let behind = call_at("work", 130);
    fixture.add(std::slice::from_ref(&behind)).await;
    assert_eq!(pod.claim(at(345), &["work"], 1).await[0].id, behind.id);
}

async fn a_run_still_going_makes_the_next_one_skipped(fixture: &Fixture) {
    for missed in [Missed::RunOnce, Missed::Skip] {
        let key = format!("{missed:?}");
        let mut given = schedule(&key, rule(missed, Overlap::Skip));
        given.name.clone_from(&key);
        fixture.declare(at(0), &given).await;
        let pod = fixture.pod();
        let going = pod.claim_one(at(60), &key).await;
        assert_eq!(pod.renew(at(85), &going).await.lease, Lease::Held);
        let all = |state| fixture.list(CallFilter::new().name(&key).state(state));
        let next = all(CallState::Scheduled).await.remove(0);
        // The lease was extended to 115; the next run is due at 120.
        pod.renew(at(110), &going).await;
        let claim = fixture.other_pod().ask(at(121), &[&key], 10).await;
        assert_eq!((claim.calls.len(), claim.skipped, claim.next), (0, 1, Some(secs(59))));
        let record = fixture.record(next.id).await;
        assert_eq!(record.state, CallState::Skipped);
        assert_eq!(record.error.as_deref(), Some("the run before was still going"));
        let pending = all(CallState::Scheduled).await;
        assert_eq!((pending.len(), pending[0].due), (1, at(180)));
        assert_eq!(fixture.state(going.id).await, CallState::Running);
        assert!(pod.finish(at(130), &going, Outcome::Succeeded).await);
        assert_eq!(pod.claim_one(at(180), &key).await.due, at(180));
    }
}

async fn a_run_whose_lease_is_over_is_not_going(fixture: &Fixture) {
    declare(fixture, Missed::RunOnce, Overlap::Skip).await;
    let vanished = fixture.pod().claim_one(at(60), "work").await;
    let claim = fixture.other_pod().ask(at(120), &["work"], 10).await;
    assert_eq!((claim.calls.len(), claim.skipped), (1, 0));
    assert_ne!(claim.calls[0].id, vanished.id);
    assert_eq!(fixture.the_pending().await.due, at(180));
}

async fn overlap_can_be_allowed(fixture: &Fixture) {
    declare(fixture, Missed::RunOnce, Overlap::Allow).await;
    let pod = fixture.pod();
    let first = pod.claim_one(at(60), "work").await;
    pod.store.renew(Now::At(at(80)), pod.id, &[held(&first)], secs(600)).await.unwrap();
    let second = pod.claim_one(at(120), "work").await;
    assert_ne!(first.id, second.id);
    assert_eq!(fixture.listed(CallState::Running).await.len(), 2);
    assert_eq!(fixture.the_pending().await.due, at(180));
}

async fn a_run_of_another_schedule_is_no_overlap(fixture: &Fixture) {
    let given = [
        schedule("a", rule(Missed::RunAll, Overlap::Skip)),
        schedule("b", rule(Missed::RunOnce, Overlap::Skip)),
    ];
    for one in &given {
        fixture.declare(at(0), one).await;
    }
    fixture.add(&[labelled("work", "a")]).await;
    let claim = fixture.pod().ask(at(60), &["work"], 10).await;
    assert_eq!((claim.calls.len(), claim.skipped), (3, 0));
    assert_eq!(fixture.listed(CallState::Scheduled).await.len(), 2);
}

async fn a_released_run_and_the_next_do_not_overlap(fixture: &Fixture) {
    declare(fixture, Missed::RunOnce, Overlap::Skip).await;
    let (pod, other) = (fixture.pod(), fixture.other_pod());
    let first = pod.claim_one(at(60), "work").await;
    let second = fixture.the_pending().await;
    assert_eq!(pod.release(at(61), &first).await, 1);
    // Both are due now: the older one runs, and makes the other one skipped, in one claim or in two.
    let (mut calls, mut skipped) = (Vec::new(), 0);
    for _ in 0..3 {
        let claim = other.ask(at(125), &["work"], 10).await;
        calls.extend(claim.calls.iter().map(|call| call.id));
        skipped += claim.skipped;
    }
    assert_eq!((calls, skipped), (vec![first.id], 1));
    assert_eq!(fixture.state(second.id).await, CallState::Skipped);
    assert_eq!(fixture.the_pending().await.due, at(180));
}

async fn a_run_to_be_rerun_waits_for_the_one_after_it(fixture: &Fixture) {
    declare(fixture, Missed::RunOnce, Overlap::Skip).await;
    let (pod, other) = (fixture.pod().rerunning(), fixture.other_pod());
    let vanished = pod.claim_one(at(60), "work").await;
    let going = other.claim_one(at(120), "work").await;
    assert!(fixture.rescue(at(121)).await[0].rerun);
    // To run it now would overlap, to skip it would break the promise to run it again.
    let claim = other.ask(at(122), &["work"], 10).await;
    assert_eq!((claim.calls.len(), claim.skipped, claim.next), (0, 0, Some(secs(58))));
    assert!(other.finish(at(123), &going, Outcome::Succeeded).await);
    let again = other.claim_one(at(124), "work").await;
    assert_eq!((again.id, again.attempt), (vanished.id, 2));
    assert_eq!(fixture.the_pending().await.due, at(180));
}
