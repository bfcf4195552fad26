use std::time::Duration;

use futurecall_runtime::recurring::{Missed, Overlap};
use futurecall_runtime::store::{
    AttemptRecord, CallFilter, CallState, CancelTarget, Cancelled, ClaimRequest, ClaimedCall, Due, Finish,
    Finished, Held, NewCall, Now, Outcome,
};
use futurecall_runtime::{CallId, Moment};

use crate::make::{
    FORGET, KEEP, Pod, at, call, call_at, every, failed, finish, held, identifier, labelled, retry, schedule,
    secs,
};
use crate::suite::{Fixture, cases};

cases![
    a_failed_attempt_is_followed_by_another,
    a_retry_is_due_when_it_is_and_not_before,
    a_retry_says_when_to_look_again,
    a_retry_at_another_priority_is_found_without_a_sweep,
    every_attempt_is_on_record,
    the_newest_attempts_stay_on_record,
    only_the_holder_lets_a_call_be_tried_again,
    a_lost_reply_is_made_up_for,
    results_of_all_kinds_stand_in_order,
    a_cancelled_run_is_not_tried_again,
    a_call_that_waits_for_its_retry_can_be_cancelled,
    a_run_that_was_given_up_may_run_again_at_once,
    a_rerun_waits_as_long_as_its_claim_says,
    a_call_that_kills_its_pods_ends_failed,
    failures_and_vanished_pods_are_counted_apart,
    an_end_that_is_not_kept_leaves_no_attempts,
    attempts_are_pruned_with_their_call,
    a_run_that_waits_for_its_retry_is_not_going,
    a_retried_run_waits_for_the_one_that_is_going,
    a_retried_run_has_one_successor,
    a_new_rule_leaves_a_run_that_waits_for_its_retry,
    a_schedule_that_is_cancelled_takes_its_retries_along,
    an_expiry_is_counted_from_the_moment,
    an_expiry_is_given_with_the_claim,
    a_call_that_expired_never_ran,
];

async fn one_claimed(fixture: &Fixture, pod: &Pod) -> ClaimedCall {
    fixture.add(&[call("work")]).await;
    pod.claim_one(at(0), "work").await
}

fn told(attempt: &AttemptRecord) -> (u32, CallState, Option<&str>) {
    (attempt.number, attempt.outcome, attempt.error.as_deref())
}

async fn a_failed_attempt_is_followed_by_another(fixture: &Fixture) {
    let pod = fixture.pod();
    let first = one_claimed(fixture, &pod).await;
    assert_eq!((first.attempt, first.failures, first.first_due), (1, 0, at(0)));
    assert!(pod.finish(at(5), &first, retry("smtp: busy", 60)).await);

    let record = fixture.record(first.id).await;
    assert_eq!(
        (record.state, record.attempt, record.error.as_deref()),
        (CallState::Scheduled, 1, Some("smtp: busy"))
    );
    assert_eq!((record.due, record.next_attempt), (at(0), Some(at(65))), "it was due when it was");
    assert_eq!(
        (record.pod, record.lease_until, record.start_proven, record.finished),
        (None, None, None, None)
    );
    let counts = fixture.store.counts(Now::At(at(10)), u64::MAX).await.unwrap();
    assert_eq!((counts.scheduled, counts.due, counts.running, counts.failed), (1, 0, 0, 0));

    let other = fixture.other_pod();
    let second = other.claim_one(at(65), "work").await;
    assert_eq!((second.id, second.attempt, second.failures), (first.id, 2, 1));
    assert_eq!((second.due, second.first_due), (at(65), at(0)));
    let record = fixture.record(first.id).await;
    assert_eq!((record.state, record.due, record.next_attempt), (CallState::Running, at(0), None));
    assert!(other.finish(at(70), &second, Outcome::Succeeded).await);
    let record = fixture.record(first.id).await;
    assert_eq!((record.state, record.attempt, record.error), (CallState::Succeeded, 2, None));
    assert_eq!((record.due, record.next_attempt, record.finished), (at(0), None, Some(at(70))));
}

async fn a_retry_is_due_when_it_is_and_not_before(fixture: &Fixture) {
    let pod = fixture.pod();
    let first = one_claimed(fixture, &pod).await;
    fixture.add(&[call_at("work", 30), call_at("work", 90)]).await;
    assert!(pod.finish(at(1), &first, retry("no", 59)).await);
    assert_eq!(pod.claim(at(59), &["work"], 10).await.len(), 1, "the one due at 30");
    let claimed = pod.claim(at(100), &["work"], 10).await;
    let order: Vec<_> = claimed.iter().map(|call| call.due).collect();
    assert_eq!(order, [at(60), at(90)], "among others by its new moment");
    assert_eq!(claimed[0].id, first.id);
    let listed: Vec<_> = fixture.listed(CallState::Running).await.iter().map(|record| record.id).collect();
    assert_eq!(listed[1..], [first.id, claimed[1].id]);
}

async fn a_retry_says_when_to_look_again(fixture: &Fixture) {
    let pod = fixture.pod();
    let first = one_claimed(fixture, &pod).await;
    assert_eq!(pod.ask(at(0), &["work"], 10).await.next, None);
    assert!(pod.finish(at(5), &first, retry("no", 30)).await);
    for sweep in [false, true] {
        let request = ClaimRequest { sweep, ..pod.request(&["work"], 10) };
        assert_eq!(pod.send(at(5), &request).await.next, Some(secs(30)), "sweep: {sweep}");
    }
    // One that runs again at once is found by a claim that does not look at everything.
    let request = ClaimRequest { sweep: false, ..pod.request(&["work"], 10) };
    assert_eq!(pod.send(at(35), &request).await.calls.len(), 1);
}

async fn a_retry_at_another_priority_is_found_without_a_sweep(fixture: &Fixture) {
    let pod = fixture.pod();
    fixture.add(&[NewCall { priority: 7, ..call("work") }]).await;
    let first = pod.claim_one(at(0), "work").await;
    // Everything is looked at while the only call of its lane is claimed.
    assert_eq!(pod.claim(at(1), &["work"], 10).await, []);
    assert!(pod.finish(at(2), &first, retry("no", 0)).await);
    let request = ClaimRequest { sweep: false, ..pod.request(&["work"], 10) };
    let again = pod.send(at(2), &request).await.calls;
    assert_eq!((again.len(), again[0].priority), (1, 7));
}

async fn every_attempt_is_on_record(fixture: &Fixture) {
    let pod = fixture.pod();
    fixture.add(&[call("work")]).await;
    let mut id = None;
    for (from, error) in [(0, "ünïcode '\"%"), (10, "second"), (20, "third")] {
        let claimed = pod.claim_one(at(from), "work").await;
        id = Some(claimed.id);
        assert!(pod.finish(at(from + 4), &claimed, retry(error, 6)).await);
    }
    let id = id.expect("a call");
    let record = fixture.record(id).await;
    assert_eq!(
        record.attempts.iter().map(told).collect::<Vec<_>>(),
        [
            (1, CallState::Failed, Some("ünïcode '\"%")),
            (2, CallState::Failed, Some("second")),
            (3, CallState::Failed, Some("third")),
        ]
    );
    let second = &record.attempts[1];
    assert_eq!((second.pod, second.started, second.duration), (Some(pod.id), Some(at(11)), Some(secs(2))));
    assert_eq!(second.ended, Some(at(14)));
    assert!(fixture.list(CallFilter::new()).await[0].attempts.is_empty(), "a listing leaves them out");

    let last = pod.claim_one(at(30), "work").await;
    assert_eq!(fixture.record(id).await.attempts.last().map(told), Some((4, CallState::Running, None)));
    assert_eq!(fixture.record(id).await.attempts[3].ended, None);
    assert!(pod.finish(at(31), &last, failed("for good")).await);
    let record = fixture.record(id).await;
    assert_eq!((record.state, record.attempts.len()), (CallState::Failed, 4));
    assert_eq!(record.attempts[0].ended, Some(at(4)));
    assert_eq!(told(&record.attempts[3]), (4, CallState::Failed, Some("for good")));
    assert_eq!(record.attempts[3].ended, Some(at(31)));
}

async fn the_newest_attempts_stay_on_record(fixture: &Fixture) {
    let pod = fixture.pod();
    fixture.add(&[call("work")]).await;
    let mut id = None;
    for n in 0..105 {
        let claimed = pod.claim_one(at(n), "work").await;
        assert!(pod.finish(at(n), &claimed, retry(&format!("{n}"), 1)).await);
        id = Some(claimed.id);
    }
    let attempts = fixture.record(id.expect("a call")).await.attempts;
    assert_eq!((attempts.len(), attempts[0].number, attempts[99].number), (100, 6, 105));
    assert_eq!(attempts[99].error.as_deref(), Some("104"));
}

async fn only_the_holder_lets_a_call_be_tried_again(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = one_claimed(fixture, &pod).await;
    let before = fixture.record(claimed.id).await;
    for outcome in [retry("no", 1), Outcome::Rerun { error: "no".to_owned() }] {
        assert!(!fixture.other_pod().finish(at(1), &claimed, outcome.clone()).await, "another pod");
        let other_number = ClaimedCall { claim_no: claimed.claim_no + 1, ..claimed.clone() };
        assert!(!pod.finish(at(1), &other_number, outcome.clone()).await, "another claim");
    }
    assert_eq!(fixture.record(claimed.id).await, before);
    assert_eq!(fixture.rescue(at(31)).await.len(), 1);
    let before = fixture.record(claimed.id).await;
    assert!(!pod.finish(at(32), &claimed, retry("late", 1)).await, "it was rescued");
    assert!(
        !pod.finish(at(32), &claimed, Outcome::Rerun { error: "late".to_owned() }).await,
        "it was rescued"
    );
    assert_eq!(fixture.record(claimed.id).await, before);
}

async fn a_lost_reply_is_made_up_for(fixture: &Fixture) {
    let pod = fixture.pod();
    let first = one_claimed(fixture, &pod).await;
    assert!(pod.finish(at(5), &first, retry("no", 10)).await);
    let before = fixture.record(first.id).await;
    assert!(pod.finish(at(6), &first, retry("no", 10)).await, "the same once more");
    assert_eq!(fixture.record(first.id).await, before, "changes nothing");
    assert!(!pod.finish(at(6), &first, Outcome::Succeeded).await, "another outcome was never recorded");

    // Also when others have had the call since, and when it is over.
    let second = fixture.other_pod().claim_one(at(15), "work").await;
    assert!(pod.finish(at(16), &first, retry("no", 10)).await);
    assert_eq!(fixture.state(first.id).await, CallState::Running);
    let third_holder = ClaimedCall { claim_no: second.claim_no + 5, ..second };
    assert!(!pod.finish(at(16), &third_holder, retry("no", 10)).await);
    assert_eq!(fixture.rescue(at(60)).await.len(), 1);
    assert!(pod.finish(at(61), &first, retry("no", 10)).await);
    assert_eq!(fixture.state(first.id).await, CallState::Interrupted);
}

async fn results_of_all_kinds_stand_in_order(fixture: &Fixture) {
    let pod = fixture.pod();
    let calls: Vec<_> = (0..4).map(|n| labelled("work", &format!("{n}"))).collect();
    fixture.add(&calls).await;
    let claimed = pod.claim(at(0), &["work"], 10).await;
    let of = |n: usize| claimed.iter().find(|call| call.id == calls[n].id).expect("claimed");
    assert_eq!(fixture.cancel(at(1), &identifier("2")).await.running, 1);
    let stranger = ClaimedCall { claim_no: 99, ..of(3).clone() };
    let batch = [
        finish(of(0), Outcome::Succeeded),
        finish(of(1), retry("no", 1)),
        finish(of(2), retry("told to stop", 1)),
        finish(&stranger, retry("no", 1)),
        finish(of(3), failed("for good")),
    ];
    for _ in 0..2 {
        let results = pod.store.finish(Now::At(at(2)), pod.id, &batch, &KEEP).await.unwrap();
        let recorded = Finished::Recorded;
        assert_eq!(results, [recorded, recorded, Finished::Cancelled, Finished::Lost, recorded]);
    }
    let mut states = Vec::new();
    for call in &calls {
        states.push(fixture.state(call.id).await);
    }
    let expected = [CallState::Succeeded, CallState::Scheduled, CallState::Cancelled, CallState::Failed];
    assert_eq!(states, expected);
    assert_eq!(fixture.record(calls[1].id).await.attempts.len(), 1, "once");
}

async fn a_cancelled_run_is_not_tried_again(fixture: &Fixture) {
    for outcome in [retry("stopped", 1), Outcome::Rerun { error: "stopped".to_owned() }] {
        let pod = fixture.pod();
        let claimed = one_claimed(fixture, &pod).await;
        assert_eq!(fixture.cancel(at(1), &CancelTarget::Call(claimed.id)).await, Cancelled::new(0, 0, 1));
        assert_eq!(pod.ended(at(2), &claimed, outcome.clone()).await, Finished::Cancelled);
        let record = fixture.record(claimed.id).await;
        assert_eq!((record.state, record.error.as_deref()), (CallState::Cancelled, Some("stopped")));
        assert_eq!(
            record.attempts.iter().map(told).collect::<Vec<_>>(),
            [(1, CallState::Cancelled, Some("stopped"))]
        );
        assert_eq!(pod.ended(at(3), &claimed, outcome).await, Finished::Cancelled, "the lost reply");
    }
}

async fn a_call_that_waits_for_its_retry_can_be_cancelled(fixture: &Fixture) {
    let pod = fixture.pod();
    for by_id in [false, true] {
        fixture.add(&[labelled("work", "x")]).await;
        let claimed = pod.claim_one(at(0), "work").await;
        assert!(pod.finish(at(1), &claimed, retry("no", 60)).await);
        let target = if by_id { CancelTarget::Call(claimed.id) } else { identifier("x") };
        assert_eq!(fixture.cancel(at(2), &target).await, Cancelled::new(1, 0, 0));
        let record = fixture.record(claimed.id).await;
        assert_eq!((record.state, record.due, record.next_attempt), (CallState::Cancelled, at(0), None));
        assert_eq!(
            record.attempts.iter().map(told).collect::<Vec<_>>(),
            [(1, CallState::Failed, Some("no"))]
        );
        assert_eq!(pod.claim(at(100), &["work"], 10).await, []);
    }
}

async fn a_run_that_was_given_up_may_run_again_at_once(fixture: &Fixture) {
    let pod = fixture.pod();
    let first = one_claimed(fixture, &pod).await;
    assert!(pod.finish(at(5), &first, Outcome::Rerun { error: "shutting down".to_owned() }).await);
    let again = fixture.other_pod().claim_one(at(5), "work").await;
    assert_eq!((again.id, again.attempt, again.failures, again.first_due), (first.id, 2, 0, at(0)));
    let attempts = fixture.record(first.id).await.attempts;
    assert_eq!(told(&attempts[0]), (1, CallState::Interrupted, Some("shutting down")));
}

async fn a_rerun_waits_as_long_as_its_claim_says(fixture: &Fixture) {
    let pod = fixture.pod().rerunning_within(5, secs(20));
    let claimed = one_claimed(fixture, &pod).await;
    pod.renew_held(at(10), Held { started: true, ..held(&claimed) }).await;
    assert!(fixture.rescue(at(50)).await[0].rerun);
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.due, record.next_attempt), (CallState::Scheduled, at(0), Some(at(70))));
    let attempt = &record.attempts[0];
    assert_eq!((attempt.number, attempt.outcome, attempt.pod), (1, CallState::Interrupted, Some(pod.id)));
    assert_eq!((attempt.started, attempt.duration, attempt.ended), (Some(at(0)), None, Some(at(50))));
    assert!(attempt.error.as_deref().is_some_and(|error| error.contains("start is proven")), "{attempt:?}");
    assert_eq!(pod.claim(at(69), &["work"], 10).await, []);
    assert_eq!(pod.claim_one(at(70), "work").await.attempt, 2);
}

async fn a_call_that_kills_its_pods_ends_failed(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let mut id = None;
    for time in 1..=3 {
        let pod = fixture.pod().rerunning_within(3, Duration::ZERO);
        id = Some(pod.claim_one(at(time * 100), "work").await.id);
        let rescued = fixture.rescue(at(time * 100 + 60)).await;
        assert_eq!((rescued.len(), rescued[0].rerun, rescued[0].pod), (1, time < 3, pod.id), "time {time}");
    }
    let record = fixture.record(id.expect("a call")).await;
    assert_eq!((record.state, record.attempt, record.attempts.len()), (CallState::Failed, 3, 3));
    let error = record.error.expect("the evidence");
    let last = format!(
        "3 of its pods vanished, so it is not run again; the last time, pod {}",
        record.pod.expect("a pod")
    );
    assert!(error.starts_with(&last) && error.ends_with("start is not proven"), "{error}");
    assert_eq!(fixture.listed(CallState::Interrupted).await, []);
}

async fn failures_and_vanished_pods_are_counted_apart(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod().rerunning_within(2, Duration::ZERO);
    for time in 0..3 {
        let claimed = pod.claim_one(at(time), "work").await;
        assert_eq!(claimed.failures, u32::try_from(time).expect("small"));
        assert!(pod.finish(at(time), &claimed, retry("no", 1)).await);
    }
    pod.claim_one(at(10), "work").await;
    assert!(fixture.rescue(at(100)).await[0].rerun, "the first pod that vanished with it");
    let claimed = pod.claim_one(at(200), "work").await;
    assert_eq!((claimed.attempt, claimed.failures), (5, 3));
    assert!(pod.finish(at(201), &claimed, Outcome::Rerun { error: "shutting down".to_owned() }).await);
    let claimed = pod.claim_one(at(202), "work").await;
    assert_eq!((claimed.attempt, claimed.failures), (6, 3));
    assert!(!fixture.rescue(at(300)).await[0].rerun, "the second");
    assert_eq!(fixture.state(claimed.id).await, CallState::Failed);
}

async fn an_end_that_is_not_kept_leaves_no_attempts(fixture: &Fixture) {
    let pod = fixture.pod();
    let first = one_claimed(fixture, &pod).await;
    assert!(pod.finish_keeping(at(1), &first, retry("no", 1), &FORGET).await);
    assert_eq!(fixture.record(first.id).await.attempts.len(), 1, "it is not over");
    let second = pod.claim_one(at(2), "work").await;
    assert!(pod.finish_keeping(at(3), &second, Outcome::Succeeded, &FORGET).await);
    assert_eq!(fixture.find(first.id).await, None);
}

async fn attempts_are_pruned_with_their_call(fixture: &Fixture) {
    let pod = fixture.pod();
    let first = one_claimed(fixture, &pod).await;
    assert!(pod.finish(at(1), &first, retry("no", 1)).await);
    assert_eq!(fixture.store.prune(Now::At(at(10_000)), &KEEP, 10).await.unwrap(), 0, "it is not over");
    let second = pod.claim_one(at(10_000), "work").await;
    assert!(pod.finish(at(10_001), &second, Outcome::Succeeded).await);
    assert_eq!(fixture.record(first.id).await.attempts.len(), 2);
    assert_eq!(fixture.store.prune(Now::At(at(20_000)), &KEEP, 10).await.unwrap(), 1);
    assert_eq!(fixture.find(first.id).await, None);
}

async fn every_minute(fixture: &Fixture, missed: Missed) {
    let mut rule = every(60);
    rule.missed = missed;
    rule.overlap = Overlap::Skip;
    fixture.declare(at(0), &schedule("nightly", rule)).await;
}

async fn a_run_that_waits_for_its_retry_is_not_going(fixture: &Fixture) {
    every_minute(fixture, Missed::RunOnce).await;
    let pod = fixture.pod();
    let first = pod.claim_one(at(60), "work").await;
    assert!(pod.finish(at(61), &first, retry("no", 3_600)).await);
    assert_eq!(fixture.the_schedule().await.next, Some(at(120)));
    let claim = pod.ask(at(120), &["work"], 10).await;
    assert_eq!((claim.calls.len(), claim.skipped, claim.next), (1, 0, Some(secs(60))));
    assert_eq!(fixture.record(first.id).await.next_attempt, Some(at(3_661)));
}

async fn a_retried_run_waits_for_the_one_that_is_going(fixture: &Fixture) {
    for missed in [Missed::RunAll, Missed::RunOnce] {
        every_minute(fixture, missed).await;
        let pod = fixture.pod();
        let first = pod.claim_one(at(60), "work").await;
        assert!(pod.finish(at(61), &first, retry("no", 62)).await);
        let next = pod.claim_one(at(120), "work").await;
        let claim = pod.ask(at(125), &["work"], 10).await;
        assert_eq!((claim.calls.len(), claim.skipped), (0, 0), "neither run nor skipped");
        assert!(pod.finish(at(126), &next, Outcome::Succeeded).await);
        let again = pod.claim_one(at(126), "work").await;
        assert_eq!((again.id, again.attempt), (first.id, 2));
        assert!(pod.finish(at(127), &again, Outcome::Succeeded).await);
        fixture.cancel(at(130), &identifier("nightly")).await;
    }
}

async fn a_retried_run_has_one_successor(fixture: &Fixture) {
    every_minute(fixture, Missed::RunOnce).await;
    let pod = fixture.pod();
    let first = pod.claim_one(at(60), "work").await;
    // Due again after its successor: it is still the older run.
    assert!(pod.finish(at(61), &first, retry("no", 70)).await);
    let second = pod.claim_one(at(120), "work").await;
    assert!(pod.finish(at(121), &second, Outcome::Succeeded).await);
    let again = pod.claim_one(at(131), "work").await;
    assert_eq!((again.id, again.first_due), (first.id, at(60)));
    let pending = fixture.listed(CallState::Scheduled).await;
    assert_eq!(pending.iter().map(|record| record.due).collect::<Vec<_>>(), [at(180)]);
    assert!(pod.finish(at(132), &again, retry("no", 100)).await);
    // Cancelled alone, it leaves the schedule as it is.
    assert_eq!(fixture.cancel(at(133), &CancelTarget::Call(first.id)).await, Cancelled::new(1, 0, 0));
    assert_eq!(fixture.the_pending().await.due, at(180));
}

async fn a_new_rule_leaves_a_run_that_waits_for_its_retry(fixture: &Fixture) {
    every_minute(fixture, Missed::RunOnce).await;
    let pod = fixture.pod();
    let first = pod.claim_one(at(60), "work").await;
    assert!(pod.finish(at(61), &first, retry("no", 30)).await);
    fixture.declare(at(62), &schedule("nightly", every(300))).await;
    let pending = fixture.listed(CallState::Scheduled).await;
    let moments: Vec<_> = pending.iter().map(|record| (record.due, record.next_attempt)).collect();
    assert_eq!(moments, [(at(60), Some(at(91))), (at(362), None)]);
    assert_eq!(fixture.the_schedule().await.next, Some(at(362)));
    assert_eq!(pod.claim_one(at(91), "work").await.id, first.id);
}

async fn a_schedule_that_is_cancelled_takes_its_retries_along(fixture: &Fixture) {
    every_minute(fixture, Missed::RunOnce).await;
    let pod = fixture.pod();
    let first = pod.claim_one(at(60), "work").await;
    assert!(pod.finish(at(61), &first, retry("no", 30)).await);
    assert_eq!(fixture.cancel(at(62), &identifier("nightly")).await, Cancelled::new(0, 1, 0));
    assert_eq!(fixture.state(first.id).await, CallState::Cancelled);
    assert_eq!(pod.claim(at(1_000), &["work"], 10).await, []);
}

async fn an_expiry_is_counted_from_the_moment(fixture: &Fixture) {
    let given = |due, expires_after| NewCall { due, expires_after, ..call("work") };
    let hour = Some(secs(3_600));
    let calls = [
        given(Due::At(at(100)), hour),
        given(Due::After(secs(200)), hour),
        // A moment in the past means at once.
        given(Due::At(at(-9_000)), hour),
        given(Due::At(at(100)), Some(Duration::MAX)),
        given(Due::At(at(100)), None),
    ];
    for call in &calls {
        // Alone, and then all together.
        fixture.store.insert(Now::At(at(0)), std::slice::from_ref(call), false, secs(1)).await.unwrap();
    }
    let together: Vec<_> = calls.iter().map(|call| NewCall { id: CallId::new(), ..call.clone() }).collect();
    fixture.add(&together).await;
    // And inside an application's transaction, where there is one.
    if let Some(mut transaction) = fixture.database.begin().await {
        let within = [given(Due::At(Moment::MAX), Some(secs(60))), given(Due::At(at(0)), None)];
        fixture.store.insert_in(transaction.lend().lend(), &within, secs(1)).await.unwrap();
        transaction.commit().await;
        assert_eq!(fixture.record(within[0].id).await.expires, Some(Moment::MAX));
        assert_eq!(fixture.record(within[1].id).await.expires, None);
    }
    let last = Moment::MAX;
    let expected = [Some(at(3_700)), Some(at(3_800)), Some(at(3_600)), Some(last), None];
    for (call, expires) in calls.iter().chain(&together).zip(expected.iter().chain(&expected)) {
        assert_eq!(fixture.record(call.id).await.expires, *expires);
    }
}

async fn an_expiry_is_given_with_the_claim(fixture: &Fixture) {
    fixture.add(&[NewCall { expires_after: Some(secs(60)), ..call("work") }]).await;
    let pod = fixture.pod();
    // That it is over is for the pod to say: until one looks, the call is scheduled, and late.
    assert_eq!(fixture.the_pending().await.expires, Some(at(60)));
    let claimed = pod.claim_one(at(600), "work").await;
    assert_eq!((claimed.expires, claimed.claimed), (Some(at(60)), at(600)));
    let found = pod.store.find_claim(pod.id, claimed.claim_no).await.unwrap();
    assert_eq!(found, [claimed]);
}

async fn a_call_that_expired_never_ran(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = one_claimed(fixture, &pod).await;
    let expired = Finish {
        started_after: None,
        ran_for: Duration::ZERO,
        ..finish(&claimed, Outcome::Expired { error: "too late".to_owned() })
    };
    for _ in 0..2 {
        let results =
            pod.store.finish(Now::At(at(9)), pod.id, std::slice::from_ref(&expired), &KEEP).await.unwrap();
        assert_eq!(results, [Finished::Recorded]);
    }
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.error.as_deref()), (CallState::Expired, Some("too late")));
    assert_eq!((record.attempt, record.finished), (0, Some(at(9))));
    assert!(record.attempts.is_empty(), "no attempt was made");
    let counts = fixture.store.counts(Now::At(at(9)), u64::MAX).await.unwrap();
    assert_eq!((counts.expired, counts.running, counts.scheduled), (1, 0, 0));
}
