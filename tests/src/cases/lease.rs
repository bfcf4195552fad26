use std::collections::BTreeSet;
use std::time::Duration;

use futurecall_runtime::CallId;
use futurecall_runtime::store::{
    CallState, CancelTarget, ClaimRequest, ClaimedCall, Due, Finished, Held, Lease, NewCall, Now, OnVanish,
    Outcome,
};
use futures_util::future::join_all;

use crate::make::{
    FORGET, KEEP, LEASE, Pod, SOON, at, call, call_at, failed, finish, held, identifier, ids, labelled, secs,
};
use crate::suite::{Fixture, cases};

cases![
    only_the_holder_finishes,
    an_older_claim_of_the_same_pod_changes_nothing,
    a_pod_paused_past_its_lease_changes_nothing,
    a_rescued_call_keeps_its_outcome,
    finishing_twice_is_safe,
    finishing_twice_what_was_cancelled_is_safe,
    a_renewal_extends_exactly_what_is_held,
    renewals_answer_in_order,
    a_renewal_writes_the_start_down,
    an_expired_claim_that_nobody_rescued_is_still_held,
    a_release_gives_the_attempt_back,
    only_the_holder_releases,
    a_release_of_a_cancelled_run_ends_it,
    a_live_claim_is_left_alone,
    a_vanished_pods_call_is_interrupted,
    an_interruption_says_whether_the_start_is_proven,
    a_call_to_be_rerun_is_due_at_once,
    the_policy_is_that_of_the_name,
    a_cancelled_call_of_a_vanished_pod_is_cancelled,
    a_rescue_takes_any_name_and_pod_up_to_its_limit,
    rescues_at_once_take_each_call_once,
    an_interruption_may_leave_no_row,
    nothing_held_is_no_error,
    a_clock_that_was_set_back_counts_from_there,
];

async fn one_claimed(fixture: &Fixture, pod: &Pod) -> ClaimedCall {
    fixture.add(&[call("work")]).await;
    pod.claim_one(at(0), "work").await
}

async fn only_the_holder_finishes(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = one_claimed(fixture, &pod).await;
    assert!(!fixture.other_pod().finish(at(1), &claimed, Outcome::Succeeded).await, "another pod");
    let other_number = ClaimedCall { claim_no: claimed.claim_no + 1, ..claimed.clone() };
    assert!(!pod.finish(at(1), &other_number, Outcome::Succeeded).await, "another claim");
    let other_call = ClaimedCall { id: CallId::new(), ..claimed.clone() };
    assert!(!pod.finish(at(1), &other_call, Outcome::Succeeded).await, "another call");
    assert_eq!(fixture.state(claimed.id).await, CallState::Running);
    assert!(pod.finish(at(1), &claimed, Outcome::Succeeded).await);
    assert!(!fixture.other_pod().finish(at(1), &claimed, failed("late")).await);
    assert_eq!(fixture.state(claimed.id).await, CallState::Succeeded);
}

async fn an_older_claim_of_the_same_pod_changes_nothing(fixture: &Fixture) {
    let pod = fixture.pod();
    let older = one_claimed(fixture, &pod).await;
    assert_eq!(pod.release(at(1), &older).await, 1);
    let newer = pod.claim_one(at(2), "work").await;
    assert!(newer.claim_no > older.claim_no);

    assert!(!pod.finish(at(3), &older, failed("stale")).await);
    assert_eq!(pod.renew(at(3), &older).await.lease, Lease::Lost);
    assert_eq!(pod.release(at(3), &older).await, 0);
    let record = fixture.record(newer.id).await;
    assert_eq!((record.state, record.lease_until), (CallState::Running, at(2).checked_add(LEASE).ok()));
    assert!(pod.finish(at(4), &newer, Outcome::Succeeded).await);
}

async fn a_pod_paused_past_its_lease_changes_nothing(fixture: &Fixture) {
    let paused = fixture.pod().rerunning();
    let stale = one_claimed(fixture, &paused).await;
    assert_eq!(fixture.rescue(at(40)).await.len(), 1);
    // Nobody holds it now, and then somebody else does.
    for taken in [false, true] {
        let other = fixture.other_pod();
        if taken {
            let again = other.claim_one(at(41), "work").await;
            assert_eq!((again.id, again.attempt), (stale.id, 2));
        }
        let before = fixture.record(stale.id).await;
        assert!(!paused.finish(at(42), &stale, Outcome::Succeeded).await);
        assert_eq!(paused.renew(at(42), &stale).await.lease, Lease::Lost);
        assert_eq!(paused.release(at(42), &stale).await, 0);
        assert_eq!(fixture.record(stale.id).await, before);
    }
}

async fn a_rescued_call_keeps_its_outcome(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = one_claimed(fixture, &pod).await;
    assert_eq!(fixture.rescue(at(31)).await.len(), 1);
    let before = fixture.record(claimed.id).await;
    assert_eq!(before.state, CallState::Interrupted);
    assert!(!pod.finish(at(32), &claimed, Outcome::Succeeded).await, "it came too late");
    assert!(!pod.finish(at(32), &claimed, failed("late")).await, "it came too late");
    assert_eq!(pod.renew(at(32), &claimed).await.lease, Lease::Lost);
    assert_eq!(pod.release(at(32), &claimed).await, 0);
    assert_eq!(fixture.record(claimed.id).await, before);
}

async fn finishing_twice_is_safe(fixture: &Fixture) {
    let pod = fixture.pod();
    fixture.add(&[call("work"), call("work")]).await;
    let claimed = pod.claim(at(0), &["work"], 10).await;
    assert!(pod.finish(at(1), &claimed[0], failed("the first answer")).await);
    let before = fixture.record(claimed[0].id).await;
    // The batch of the lost reply once more, with a second call that has not been told yet.
    let batch = [finish(&claimed[0], failed("the first answer")), finish(&claimed[1], Outcome::Succeeded)];
    assert_eq!(
        fixture.store.finish(Now::At(at(5)), pod.id, &batch, &KEEP).await.unwrap(),
        [Finished::Recorded; 2]
    );
    assert_eq!(
        fixture.store.finish(Now::At(at(6)), pod.id, &batch, &KEEP).await.unwrap(),
        [Finished::Recorded; 2]
    );
    assert_eq!(fixture.record(claimed[0].id).await, before, "the first answer stays");
    let counts = fixture.store.counts(Now::At(at(6)), u64::MAX).await.unwrap();
    assert_eq!((counts.failed, counts.succeeded, counts.running), (1, 1, 0));
}

async fn finishing_twice_what_was_cancelled_is_safe(fixture: &Fixture) {
    let error = || "stopped".to_owned();
    let outcomes = [
        Outcome::Failed { error: error() },
        Outcome::Interrupted { error: error() },
        Outcome::Retry { error: error(), after: secs(1) },
        Outcome::Rerun { error: error() },
    ];
    for outcome in outcomes {
        let call = call("work");
        fixture.add(std::slice::from_ref(&call)).await;
        let pod = fixture.pod();
        let claimed = pod.claim_one(at(0), "work").await;
        assert_eq!(fixture.cancel(at(1), &CancelTarget::Call(call.id)).await.running, 1);
        for now in [2, 3] {
            assert!(pod.finish(at(now), &claimed, outcome.clone()).await, "{outcome:?}");
        }
        assert!(!pod.finish(at(4), &claimed, Outcome::Succeeded).await, "that was not its answer");
        let record = fixture.record(call.id).await;
        assert_eq!((record.state, record.finished), (CallState::Cancelled, Some(at(2))), "{outcome:?}");
    }
}

async fn a_renewal_extends_exactly_what_is_held(fixture: &Fixture) {
    let pod = fixture.pod();
    fixture.add(&[call("work"), call("work")]).await;
    let claimed = pod.claim(at(0), &["work"], 10).await;
    let renewed = pod.store.renew(Now::At(at(20)), pod.id, &[held(&claimed[0])], secs(60)).await.unwrap();
    assert_eq!((renewed.len(), renewed[0].lease, renewed[0].cancelled), (1, Lease::Held, false));
    assert_eq!(fixture.record(claimed[0].id).await.lease_until, Some(at(80)));
    assert_eq!(fixture.record(claimed[1].id).await.lease_until, Some(at(30)));
    let rescued = fixture.rescue(at(31)).await;
    assert_eq!((rescued.len(), rescued[0].id), (1, claimed[1].id));
    assert!(pod.finish(at(70), &claimed[0], Outcome::Succeeded).await);
}

async fn renewals_answer_in_order(fixture: &Fixture) {
    let pod = fixture.pod();
    fixture.add(&[labelled("work", "x"), call("work"), call("work"), call("work")]).await;
    let claimed = pod.claim(at(0), &["work"], 10).await;
    assert!(pod.finish(at(1), &claimed[2], Outcome::Succeeded).await);
    fixture.cancel(at(1), &identifier("x")).await;
    let nobody = Held { id: CallId::new(), claim_no: claimed[0].claim_no, started: false };
    let wrong = Held { claim_no: claimed[1].claim_no + 7, ..held(&claimed[1]) };
    let batch = [held(&claimed[3]), nobody, held(&claimed[2]), held(&claimed[0]), wrong, held(&claimed[1])];
    let renewed = pod.store.renew(Now::At(at(2)), pod.id, &batch, LEASE).await.unwrap();
    let leases: Vec<_> = renewed.iter().map(|renewed| renewed.lease).collect();
    assert_eq!(leases, [Lease::Held, Lease::Lost, Lease::Lost, Lease::Held, Lease::Lost, Lease::Held]);
    let cancelled: Vec<_> = renewed.iter().map(|renewed| renewed.cancelled).collect();
    assert_eq!(cancelled, [false, false, false, true, false, false]);
}

async fn a_renewal_writes_the_start_down(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = one_claimed(fixture, &pod).await;
    pod.renew_held(at(1), Held { started: true, ..held(&claimed) }).await;
    assert_eq!(fixture.record(claimed.id).await.start_proven, Some(true));
    pod.renew(at(2), &claimed).await;
    assert_eq!(fixture.record(claimed.id).await.start_proven, Some(true), "what has started has started");
}

async fn an_expired_claim_that_nobody_rescued_is_still_held(fixture: &Fixture) {
    let pod = fixture.pod();
    fixture.add(&[call("work"), call("work")]).await;
    let claimed = pod.claim(at(0), &["work"], 10).await;
    assert_eq!(pod.renew(at(100), &claimed[0]).await.lease, Lease::Held);
    assert_eq!(fixture.record(claimed[0].id).await.lease_until, at(100).checked_add(LEASE).ok());
    assert!(pod.finish(at(101), &claimed[1], Outcome::Succeeded).await);
    assert_eq!(fixture.rescue(at(102)).await, []);
}

async fn a_release_gives_the_attempt_back(fixture: &Fixture) {
    let calls = [call("work"), call_at("work", 1)];
    fixture.add(&calls).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(5), &["work"], 10).await;
    let both: Vec<_> = claimed.iter().map(held).collect();
    assert_eq!(pod.store.release(Now::At(at(6)), pod.id, &both, None).await.unwrap(), 2);
    for call in &calls {
        let record = fixture.record(call.id).await;
        assert_eq!((record.state, record.attempt), (CallState::Scheduled, 0));
        assert_eq!((record.pod, record.lease_until, record.start_proven), (None, None, None));
    }
    assert_eq!(pod.store.release(Now::At(at(6)), pod.id, &both, None).await.unwrap(), 0, "held no more");
    let again = fixture.other_pod().claim(at(6), &["work"], 10).await;
    assert_eq!(ids(&again), ids(&claimed), "as old as before");
    assert!(again.iter().all(|call| call.attempt == 1));
}

async fn only_the_holder_releases(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = one_claimed(fixture, &pod).await;
    let wrong = Held { claim_no: claimed.claim_no + 1, ..held(&claimed) };
    assert_eq!(pod.store.release(Now::At(at(1)), pod.id, &[wrong], None).await.unwrap(), 0);
    assert_eq!(fixture.other_pod().release(at(1), &claimed).await, 0);
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.attempt, record.pod), (CallState::Running, 1, Some(pod.id)));
}

async fn a_release_of_a_cancelled_run_ends_it(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    assert_eq!(fixture.cancel(at(1), &identifier("x")).await.running, 1);
    assert_eq!(pod.release(at(2), &claimed).await, 1);
    assert_eq!(fixture.state(claimed.id).await, CallState::Cancelled);
    assert_eq!(pod.claim(at(3), &["work"], 10).await, []);
}

async fn a_live_claim_is_left_alone(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = one_claimed(fixture, &pod).await;
    for seconds in [0, 29, 30] {
        assert_eq!(fixture.rescue(at(seconds)).await, [], "the lease ends after second 30");
    }
    assert_eq!(fixture.state(claimed.id).await, CallState::Running);
}

async fn a_vanished_pods_call_is_interrupted(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = one_claimed(fixture, &pod).await;
    let now = at(30).checked_add(Duration::from_micros(1)).unwrap();
    let rescued = fixture.rescue(now).await;
    assert_eq!(rescued.len(), 1);
    let one = &rescued[0];
    assert_eq!((one.id, one.name.as_str(), one.pod, one.rerun), (claimed.id, "work", pod.id, false));

    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.finished), (CallState::Interrupted, Some(now)));
    assert_eq!((record.pod, record.attempt, record.lease_until), (Some(pod.id), 1, None));
    assert_eq!(record.attempts.len(), 1);
    assert_eq!((record.attempts[0].number, record.attempts[0].outcome), (1, CallState::Interrupted));
    assert_eq!(fixture.rescue(at(100)).await, [], "once");
    assert_eq!(fixture.pod().claim(at(100), &["work"], 10).await, [], "it is not run again by itself");
}

async fn an_interruption_says_whether_the_start_is_proven(fixture: &Fixture) {
    fixture.add(&[call("work"), call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 10).await;
    let batch = [Held { started: true, ..held(&claimed[0]) }, held(&claimed[1])];
    pod.store.renew(Now::At(at(10)), pod.id, &batch, LEASE).await.unwrap();
    assert_eq!(fixture.rescue(at(41)).await.len(), 2);
    for (call, proven) in claimed.iter().zip([true, false]) {
        let record = fixture.record(call.id).await;
        let word = if proven { "proven" } else { "not proven" };
        let lease = at(40);
        let expected =
            format!("pod {} vanished: its lease ended at {lease}; the handler's start is {word}", pod.id);
        assert_eq!(record.error, Some(expected));
        assert_eq!(record.start_proven, Some(proven));
        assert_eq!(record.attempts[0].started.is_some(), proven);
    }
}

async fn a_call_to_be_rerun_is_due_at_once(fixture: &Fixture) {
    let pod = fixture.pod().rerunning();
    let claimed = one_claimed(fixture, &pod).await;
    pod.renew_held(at(1), Held { started: true, ..held(&claimed) }).await;
    let rescued = fixture.rescue(at(60)).await;
    assert_eq!((rescued.len(), rescued[0].rerun), (1, true));
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.attempt, record.due), (CallState::Scheduled, 1, at(0)));
    assert_eq!((record.pod, record.lease_until), (None, None));

    let other = fixture.other_pod();
    let again = other.claim_one(at(60), "work").await;
    assert_eq!((again.id, again.attempt), (claimed.id, 2));
    assert_eq!(fixture.record(claimed.id).await.start_proven, Some(false), "this attempt has not started");
    assert!(other.finish(at(61), &again, Outcome::Succeeded).await);
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.attempt, record.pod), (CallState::Succeeded, 2, Some(other.id)));
    assert_eq!(record.attempts.last().map(|attempt| attempt.number), Some(2));
}

const RERUN: OnVanish = OnVanish::Rerun { budget: 5, after: Duration::ZERO };

async fn the_policy_is_that_of_the_name(fixture: &Fixture) {
    fixture.add(&[call("keep"), call("rerun")]).await;
    let pod = fixture.pod();
    let names = vec![("keep".to_owned(), OnVanish::Keep), ("rerun".to_owned(), RERUN)];
    let claim = pod.send(at(0), &ClaimRequest { names, ..pod.request(&[], 10) }).await;
    assert_eq!(claim.calls.len(), 2);
    for rescued in fixture.rescue(at(60)).await {
        assert_eq!(rescued.rerun, rescued.name == "rerun");
    }
    assert_eq!(fixture.the_pending().await.name, "rerun");
    assert_eq!(fixture.listed(CallState::Interrupted).await[0].name, "keep");
}

async fn a_cancelled_call_of_a_vanished_pod_is_cancelled(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x"), labelled("again", "x")]).await;
    fixture.pod().claim_one(at(0), "work").await;
    fixture.pod().rerunning().claim_one(at(0), "again").await;
    assert_eq!(fixture.cancel(at(1), &identifier("x")).await.running, 2);
    let rescued = fixture.rescue(at(60)).await;
    assert!(rescued.len() == 2 && rescued.iter().all(|rescued| !rescued.rerun), "{rescued:?}");
    assert_eq!(fixture.listed(CallState::Cancelled).await.len(), 2);
    assert_eq!(fixture.listed(CallState::Scheduled).await, []);
}

async fn a_rescue_takes_any_name_and_pod_up_to_its_limit(fixture: &Fixture) {
    let names = ["a", "b", "c", "d", "e"];
    fixture.add(&names.map(call)).await;
    for name in names {
        fixture.pod().claim_one(at(0), name).await;
    }
    let mut rescued = BTreeSet::new();
    for expected in [2, 2, 1, 0] {
        let some = fixture.store.rescue(Now::At(at(60)), 2, &KEEP).await.unwrap();
        assert_eq!(some.len(), expected);
        rescued.extend(some.into_iter().map(|rescued| rescued.name));
    }
    assert_eq!(rescued, names.map(str::to_owned).into());
}

async fn rescues_at_once_take_each_call_once(fixture: &Fixture) {
    let calls: Vec<_> = (0..200).map(|_| call("work")).collect();
    fixture.add(&calls).await;
    let pod = fixture.pod().rerunning();
    assert_eq!(pod.claim(at(0), &["work"], 1_000).await.len(), 200);
    let tasks = (0..6).map(|task| {
        let store = std::sync::Arc::clone(if task % 2 == 0 { &fixture.store } else { &fixture.other });
        tokio::spawn(async move {
            let mut mine = Vec::new();
            // Rows that another one holds locked are passed over: each asks until all are rescued.
            while store.counts(Now::At(at(60)), u64::MAX).await.unwrap().running > 0 {
                mine.extend(store.rescue(Now::At(at(60)), 30, &KEEP).await.unwrap());
                tokio::task::yield_now().await;
            }
            mine
        })
    });
    let rescued: Vec<_> =
        join_all(tasks).await.into_iter().flat_map(|mine| mine.expect("a rescuer")).collect();
    assert_eq!(rescued.len(), 200, "none twice");
    let distinct: BTreeSet<_> = rescued.iter().map(|rescued| rescued.id).collect();
    assert_eq!(distinct.len(), 200, "none missing");
    assert_eq!(fixture.listed(CallState::Scheduled).await.len(), 200);
}

async fn an_interruption_may_leave_no_row(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = one_claimed(fixture, &pod).await;
    let rescued = fixture.store.rescue(Now::At(at(60)), 10, &FORGET).await.unwrap();
    assert_eq!(rescued.len(), 1);
    assert_eq!(fixture.find(claimed.id).await, None);
    assert!(!pod.finish(at(61), &claimed, Outcome::Succeeded).await);
    assert_eq!(fixture.find(claimed.id).await, None);
}

async fn nothing_held_is_no_error(fixture: &Fixture) {
    let pod = fixture.pod();
    assert!(pod.store.finish(Now::At(at(0)), pod.id, &[], &KEEP).await.unwrap().is_empty());
    assert_eq!(pod.store.renew(Now::At(at(0)), pod.id, &[], LEASE).await.unwrap(), []);
    assert_eq!(pod.store.release(Now::At(at(0)), pod.id, &[], None).await.unwrap(), 0);
    assert_eq!(pod.store.rescue(Now::At(at(0)), 10, &KEEP).await.unwrap(), []);
    let call = NewCall { priority: 3, ..call("work") };
    fixture.add(&[call]).await;
    assert_eq!(pod.store.rescue(Now::At(at(99)), 10, &KEEP).await.unwrap(), [], "it was never claimed");
}

/// Whatever the clock said before: only what was stored for a moment of then waits for it.
async fn a_clock_that_was_set_back_counts_from_there(fixture: &Fixture) {
    let (pod, other) = (fixture.pod(), fixture.other_pod());
    fixture.add(&[call_at("work", 3_600)]).await;
    let claimed = pod.claim_one(at(3_600), "work").await;
    assert_eq!(claimed.claimed, at(3_600));
    let stored_before = call_at("work", 3_590);
    fixture.add(std::slice::from_ref(&stored_before)).await;

    // By an hour. Who lives has its leases by the new clock, and nobody takes them.
    assert!(fixture.rescue(at(0)).await.is_empty());
    assert_eq!(pod.renew(at(0), &claimed).await.lease, Lease::Held);
    assert_eq!(fixture.listed(CallState::Running).await[0].lease_until, Some(at(30)));
    assert!(fixture.rescue(at(29)).await.is_empty());

    let soon = NewCall { due: Due::After(secs(2)), ..call("work") };
    fixture.store.insert(Now::At(at(1)), std::slice::from_ref(&soon), false, SOON).await.unwrap();
    assert_eq!(fixture.record(soon.id).await.due, at(3));
    assert!(other.claim(at(2), &["work"], 5).await.is_empty());
    let started = other.claim_one(at(3), "work").await;
    assert_eq!((started.id, started.claimed), (soon.id, at(3)));
    assert!(other.finish(at(4), &started, Outcome::Succeeded).await);
    assert_eq!(fixture.record(soon.id).await.finished, Some(at(4)));

    assert!(fixture.rescue(at(30)).await.is_empty());
    assert!(other.claim(at(3_589), &["work"], 5).await.is_empty());
    assert_eq!(other.claim_one(at(3_590), "work").await.id, stored_before.id);
    // PostgreSQL finds what runs among what is due.
    assert_eq!(fixture.rescue(at(3_600)).await.len(), 1, "it was not renewed again");
}
