use std::time::Duration;

use futurecall_runtime::store::{
    CallFilter, CallState, CancelTarget, Due, NewCall, Now, Outcome, Rescheduled, RunAgain, ScheduleState,
};
use futurecall_runtime::{CallId, Moment};
use futures_util::future::{join, join_all};

use crate::make::{
    FORGET, KEEP, SOON, at, call, call_at, every, failed, identifier, ids, labelled, schedule, secs,
};
use crate::suite::{Fixture, cases};

cases![
    what_waits_moves_by_identifier,
    one_call_moves_by_its_id,
    thousands_of_calls_move_to_one_moment,
    a_delay_counts_from_the_database_clock,
    a_moment_that_has_passed_means_now,
    moving_again_to_the_same_moment_changes_nothing,
    a_claimed_call_stays_where_it_is,
    a_call_that_was_given_back_moves,
    what_is_over_or_unknown_does_not_move,
    a_moved_call_takes_its_place_in_the_order,
    a_call_brought_forward_is_found_without_a_sweep,
    a_moment_that_cannot_be_held_is_refused,
    a_moved_call_keeps_the_time_within_which_it_may_start,
    a_call_that_waits_for_its_next_attempt_moves,
    the_pending_run_of_a_schedule_moves_and_its_rule_stays,
    a_run_brought_forward_comes_in_addition,
    moving_a_run_while_the_one_before_is_going_keeps_the_schedule,
    reschedule_against_claim_tells_the_truth,
    a_failed_call_is_run_again,
    a_call_that_was_tried_often_is_run_again_from_the_start,
    a_call_whose_pods_vanished_is_run_again_with_its_whole_budget,
    every_end_but_success_is_run_again,
    the_same_new_id_is_stored_once,
    what_cannot_be_run_again_says_why,
    a_run_of_a_schedule_is_run_again_as_a_call_of_its_own,
];

impl Fixture {
    async fn reschedule(&self, now: Moment, target: &CancelTarget, due: Due) -> Rescheduled {
        self.store.reschedule(Now::At(now), target, due, SOON).await.expect("a move")
    }

    async fn run_again(&self, now: Moment, of: CallId, id: CallId) -> RunAgain {
        self.store.run_again(Now::At(now), of, id, false).await.expect("a call that is run again")
    }

    /// A call that has ended so.
    async fn ended(&self, call: NewCall, outcome: Outcome) -> CallId {
        self.add(std::slice::from_ref(&call)).await;
        let pod = self.pod();
        let claimed = pod.claim_one(at(0), &call.name).await;
        assert!(pod.finish(at(1), &claimed, outcome).await);
        claimed.id
    }
}

async fn what_waits_moves_by_identifier(fixture: &Fixture) {
    let calls =
        [labelled("work", "x"), NewCall { priority: 7, ..labelled("play", "x") }, labelled("work", "y")];
    fixture.add(&calls).await;
    let moved = fixture.reschedule(at(1), &identifier("x"), Due::At(at(500))).await;
    assert_eq!(moved, Rescheduled::new(2, 0));
    for (call, due) in calls.iter().zip([at(500), at(500), at(0)]) {
        let record = fixture.record(call.id).await;
        assert_eq!((record.state, record.due, record.created), (CallState::Scheduled, due, at(0)));
        assert_eq!((&record.identifier, record.priority), (&call.identifier, call.priority));
    }
    let pod = fixture.pod();
    assert_eq!(ids(&pod.claim(at(499), &["work", "play"], 10).await), [calls[2].id]);
    assert_eq!(ids(&pod.claim(at(500), &["work", "play"], 10).await), [calls[0].id, calls[1].id]);
}

async fn thousands_of_calls_move_to_one_moment(fixture: &Fixture) {
    // More than SQLite moves in one transaction.
    const ALL: u64 = 4_500;
    let calls: Vec<_> = (0..ALL).map(|_| labelled("work", "x")).collect();
    fixture.add(&calls).await;
    fixture.add(&[labelled("run", "x"), labelled("work", "y")]).await;
    let pod = fixture.pod();
    pod.claim_one(at(1), "run").await;
    let all = CancelTarget::Calls(calls.iter().map(|call| call.id).collect());
    let soon = Due::After(secs(40));
    for (target, due, running, moment) in [
        (identifier("x"), soon, 1, at(50)),
        (all, Due::At(at(60)), 0, at(60)),
        (identifier("x"), soon, 1, at(50)),
    ] {
        assert_eq!(fixture.reschedule(at(10), &target, due).await, Rescheduled::new(ALL, running));
        for call in [&calls[0], &calls[2_500], &calls[4_499]] {
            assert_eq!(fixture.record(call.id).await.due, moment);
        }
    }
    assert_eq!(pod.claim(at(49), &["work"], 10).await.len(), 1, "only the other identifier's");
    assert_eq!(pod.claim(at(50), &["work"], 5_000).await.len() as u64, ALL);
}

async fn one_call_moves_by_its_id(fixture: &Fixture) {
    let calls = [labelled("work", "x"), labelled("work", "x")];
    fixture.add(&calls).await;
    let target = CancelTarget::Call(calls[1].id);
    assert_eq!(fixture.reschedule(at(1), &target, Due::At(at(9))).await, Rescheduled::new(1, 0));
    assert_eq!(fixture.record(calls[0].id).await.due, at(0));
    assert_eq!(fixture.record(calls[1].id).await.due, at(9));
}

async fn a_delay_counts_from_the_database_clock(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x"), labelled("work", "x")]).await;
    fixture.reschedule(at(100), &identifier("x"), Due::After(secs(20))).await;
    let due: Vec<_> = fixture.list(CallFilter::new()).await.iter().map(|call| call.due).collect();
    assert_eq!(due, [at(120), at(120)]);
    let before = fixture.store.now().await.unwrap();
    let moved = fixture.store.reschedule(Now::Database, &identifier("x"), Due::After(secs(20)), SOON).await;
    assert_eq!(moved.unwrap(), Rescheduled::new(2, 0));
    let after = fixture.store.now().await.unwrap();
    for call in fixture.list(CallFilter::new()).await {
        let (earliest, latest) = (before.checked_add(secs(20)), after.checked_add(secs(20)));
        assert!(call.due >= earliest.unwrap() && call.due <= latest.unwrap(), "{call:?}");
    }
}

async fn a_moment_that_has_passed_means_now(fixture: &Fixture) {
    let later = call_at("work", 1_000);
    fixture.add(std::slice::from_ref(&later)).await;
    let target = CancelTarget::Call(later.id);
    for due in [Due::At(Moment::MIN), Due::At(at(3)), Due::After(Duration::ZERO)] {
        assert_eq!(fixture.reschedule(at(7), &target, due).await, Rescheduled::new(1, 0));
        assert_eq!(fixture.record(later.id).await.due, at(7));
    }
}

async fn moving_again_to_the_same_moment_changes_nothing(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x")]).await;
    let due = Due::At(at(50));
    assert_eq!(fixture.reschedule(at(1), &identifier("x"), due).await, Rescheduled::new(1, 0));
    let before = fixture.list(CallFilter::new()).await;
    assert_eq!(fixture.reschedule(at(2), &identifier("x"), due).await, Rescheduled::new(1, 0));
    assert_eq!(fixture.list(CallFilter::new()).await, before);
}

async fn a_claimed_call_stays_where_it_is(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x"), NewCall { due: Due::At(at(10)), ..labelled("work", "x") }]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let moved = fixture.reschedule(at(1), &identifier("x"), Due::At(at(500))).await;
    assert_eq!(moved, Rescheduled::new(1, 1));
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.due, record.pod), (CallState::Running, at(0), Some(pod.id)));
    assert!(pod.finish(at(2), &claimed, Outcome::Succeeded).await, "its fence holds");

    // One whose lease is over is as good as gone, and is still not touched.
    let second = pod.claim_one(at(500), "work").await;
    let target = CancelTarget::Call(second.id);
    assert_eq!(fixture.reschedule(at(600), &target, Due::At(at(700))).await, Rescheduled::new(0, 0));
    assert_eq!(fixture.record(second.id).await.due, at(500));
}

async fn a_call_that_was_given_back_moves(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    assert_eq!(pod.release(at(1), &claimed).await, 1);
    let target = CancelTarget::Call(claimed.id);
    assert_eq!(fixture.reschedule(at(2), &target, Due::At(at(60))).await, Rescheduled::new(1, 0));
    assert!(pod.claim(at(59), &["work"], 1).await.is_empty());
    assert_eq!(pod.claim_one(at(60), "work").await.attempt, 1);
}

async fn what_is_over_or_unknown_does_not_move(fixture: &Fixture) {
    let over = fixture.ended(labelled("work", "x"), failed("no")).await;
    let before = fixture.record(over).await;
    for target in
        [identifier("x"), identifier("z"), CancelTarget::Call(over), CancelTarget::Call(CallId::new())]
    {
        assert_eq!(fixture.reschedule(at(9), &target, Due::At(at(90))).await, Rescheduled::default());
    }
    assert_eq!(fixture.record(over).await, before);
}

async fn a_moved_call_takes_its_place_in_the_order(fixture: &Fixture) {
    let calls = [call_at("work", 0), call_at("work", 10), call_at("work", 20)];
    fixture.add(&calls).await;
    fixture.reschedule(at(0), &CancelTarget::Call(calls[0].id), Due::At(at(15))).await;
    let pod = fixture.pod();
    let order = pod.claim(at(30), &["work"], 10).await;
    assert_eq!(ids(&order), [calls[1].id, calls[0].id, calls[2].id]);
    assert_eq!(order[1].due, at(15));
}

async fn a_call_brought_forward_is_found_without_a_sweep(fixture: &Fixture) {
    let calls =
        [call_at("work", 0), call_at("work", 1_000), NewCall { priority: 3, ..call_at("work", 2_000) }];
    fixture.add(&calls).await;
    let pod = fixture.pod();
    // The store has looked at the lane, and knows when its next call is due.
    assert_eq!(ids(&pod.claim(at(5), &["work"], 10).await), [calls[0].id]);
    for call in &calls[1..] {
        fixture.reschedule(at(6), &CancelTarget::Call(call.id), Due::After(Duration::ZERO)).await;
        let mut request = pod.request(&["work"], 10);
        request.sweep = false;
        assert_eq!(ids(&pod.send(at(6), &request).await.calls), [call.id]);
    }
}

async fn a_moment_that_cannot_be_held_is_refused(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x")]).await;
    let too_long = Due::After(Duration::from_hours(24 * 366 * 8_000));
    let refused =
        fixture.store.reschedule(Now::At(at(1)), &identifier("x"), too_long, SOON).await.unwrap_err();
    assert!(refused.is_refused(), "{refused:?}");
    assert_eq!(fixture.the_pending().await.due, at(0));
}

async fn a_moved_call_keeps_the_time_within_which_it_may_start(fixture: &Fixture) {
    let window = Some(secs(50));
    let (later, late) = (call_at("work", 100), call_at("work", -100));
    let forever = Duration::from_hours(24 * 366 * 9_000);
    let calls = [
        NewCall { expires_after: window, ..later },
        NewCall { expires_after: window, ..late },
        NewCall { expires_after: Some(forever), ..call("work") },
        call("work"),
    ];
    fixture.add(&calls).await;
    let expected = [[at(150), at(550), at(570)], [at(50), at(550), at(570)], [Moment::MAX; 3]];
    for (call, expected) in calls.iter().zip(expected) {
        let target = CancelTarget::Call(call.id);
        assert_eq!(fixture.record(call.id).await.expires, Some(expected[0]));
        fixture.reschedule(at(10), &target, Due::At(at(500))).await;
        assert_eq!(fixture.record(call.id).await.expires, Some(expected[1]));
        fixture.reschedule(at(11), &target, Due::At(at(520))).await;
        assert_eq!(fixture.record(call.id).await.expires, Some(expected[2]));
    }
    let target = CancelTarget::Call(calls[3].id);
    assert_eq!(fixture.reschedule(at(12), &target, Due::At(at(500))).await, Rescheduled::new(1, 0));
    assert_eq!(fixture.record(calls[3].id).await.expires, None, "it may start however late");
}

async fn a_call_that_waits_for_its_next_attempt_moves(fixture: &Fixture) {
    fixture.add(&[NewCall { expires_after: Some(secs(30)), ..labelled("work", "x") }]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let again = Outcome::Retry { error: "no".to_owned(), after: secs(1_000) };
    assert!(pod.finish(at(1), &claimed, again).await);
    assert_eq!(fixture.the_pending().await.next_attempt, Some(at(1_001)));
    assert_eq!(fixture.reschedule(at(2), &identifier("x"), Due::At(at(50))).await, Rescheduled::new(1, 0));
    let record = fixture.the_pending().await;
    assert_eq!((record.due, record.next_attempt, record.attempt), (at(0), Some(at(50)), 1));
    assert_eq!(record.expires, Some(at(30)), "that was a limit for its first attempt");
    assert!(pod.claim(at(49), &["work"], 10).await.is_empty());
    let second = pod.claim_one(at(50), "work").await;
    assert_eq!((second.attempt, second.first_due), (2, at(0)));
}

async fn a_call_that_was_tried_often_is_run_again_from_the_start(fixture: &Fixture) {
    fixture.add(&[NewCall { expires_after: Some(secs(30)), ..call("work") }]).await;
    let pod = fixture.pod();
    for attempt in 1..=3 {
        let claimed = pod.claim_one(at(attempt), "work").await;
        let error = "no".to_owned();
        let outcome =
            if attempt < 3 { Outcome::Retry { error, after: Duration::ZERO } } else { failed("no more") };
        assert!(pod.finish(at(attempt), &claimed, outcome).await);
    }
    let old = fixture.listed(CallState::Failed).await.remove(0);
    let id = CallId::new();
    assert_eq!(fixture.run_again(at(90), old.id, id).await, RunAgain::Stored);
    let record = fixture.record(id).await;
    assert_eq!((record.due, record.next_attempt, record.expires), (at(90), None, None));
    assert!(record.attempts.is_empty());
    let claimed = pod.claim_one(at(90), "work").await;
    assert_eq!((claimed.attempt, claimed.failures, claimed.first_due), (1, 0, at(90)));
}

async fn a_call_whose_pods_vanished_is_run_again_with_its_whole_budget(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod().rerunning_within(2, Duration::ZERO);
    for now in [0, 31] {
        pod.claim_one(at(now), "work").await;
        assert_eq!(fixture.rescue(at(now + 31)).await.len(), 1);
    }
    let old = fixture.listed(CallState::Failed).await.remove(0);
    let id = CallId::new();
    assert_eq!(fixture.run_again(at(90), old.id, id).await, RunAgain::Stored);
    pod.claim_one(at(90), "work").await;
    assert!(fixture.rescue(at(121)).await[0].rerun, "one more of its pods may vanish");
    assert_eq!(fixture.state(id).await, CallState::Scheduled);
}

async fn the_pending_run_of_a_schedule_moves_and_its_rule_stays(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("key", every(60))).await;
    assert_eq!(fixture.the_pending().await.due, at(60));
    let moved = fixture.reschedule(at(1), &identifier("key"), Due::At(at(200))).await;
    assert_eq!(moved, Rescheduled::new(1, 0));
    let pod = fixture.pod();
    assert!(pod.claim(at(199), &["work"], 10).await.is_empty());
    let run = pod.claim_one(at(200), "work").await;
    assert_eq!(run.due, at(200));
    assert_eq!(fixture.the_pending().await.due, at(240), "the rule's next boundary");
    let record = fixture.the_schedule().await;
    assert_eq!((record.state, record.effective.clone()), (ScheduleState::Active, record.declared.clone()));
}

async fn a_run_brought_forward_comes_in_addition(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("key", every(60))).await;
    let pending = fixture.the_pending().await;
    fixture.reschedule(at(10), &CancelTarget::Call(pending.id), Due::After(Duration::ZERO)).await;
    let pod = fixture.pod();
    assert_eq!(pod.claim_one(at(10), "work").await.due, at(10));
    assert_eq!(fixture.the_pending().await.due, at(60));
}

async fn moving_a_run_while_the_one_before_is_going_keeps_the_schedule(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("key", every(60))).await;
    let pod = fixture.pod();
    let first = pod.claim_one(at(60), "work").await;
    let moved = fixture.reschedule(at(61), &identifier("key"), Due::At(Moment::MIN)).await;
    assert_eq!(moved, Rescheduled::new(1, 1));
    // It is overtaken by its own predecessor, which is still going: skipped, and followed.
    pod.ask(at(61), &["work"], 10).await;
    assert!(pod.finish(at(62), &first, Outcome::Succeeded).await);
    let pending = fixture.the_pending().await;
    assert!(pending.due <= at(120), "{pending:?}");
    let next = pod.claim_one(at(120), "work").await;
    assert_eq!(next.due, pending.due);
    assert_eq!(fixture.the_schedule().await.state, ScheduleState::Active);
    assert_eq!(fixture.listed(CallState::Scheduled).await.len(), 1, "it is followed by one run");
}

async fn reschedule_against_claim_tells_the_truth(fixture: &Fixture) {
    for round in 0..10 {
        let calls: Vec<_> = (0..20).map(|_| labelled("work", "x")).collect();
        fixture.add(&calls).await;
        let pods: Vec<_> = (0..4).map(|_| fixture.other_pod()).collect();
        let claims = join_all(pods.iter().map(|pod| pod.claim(at(1), &["work"], 4)));
        let (moved, claimed) =
            join(fixture.reschedule(at(1), &identifier("x"), Due::At(at(1_000))), claims).await;
        let claimed: Vec<_> = claimed.into_iter().flatten().collect();
        let mut at_new_moment = 0;
        for call in &calls {
            let record = fixture.record(call.id).await;
            let is_claimed = claimed.iter().any(|claimed| claimed.id == call.id);
            assert_eq!(is_claimed, record.state == CallState::Running, "round {round}: {record:?}");
            at_new_moment += u64::from(record.due == at(1_000));
            assert!(!is_claimed || record.due == at(0), "round {round}: {record:?} is run before its moment");
        }
        assert_eq!(moved.calls, at_new_moment, "round {round}");
        assert_eq!(
            (moved.calls, moved.running),
            (20 - claimed.len() as u64, claimed.len() as u64),
            "round {round}"
        );
        let cancelled = fixture.cancel(at(2), &identifier("x")).await;
        assert_eq!(cancelled.calls, moved.calls);
        let late = fixture.store.rescue(Now::At(at(10_000)), 100, &FORGET).await.unwrap();
        assert_eq!(late.len(), claimed.len());
    }
}

async fn a_failed_call_is_run_again(fixture: &Fixture) {
    let old = NewCall {
        args: r#"{"n": 1, "n": 2}"#.to_owned(),
        priority: -3,
        format: 2,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..labelled("work", "x")
    };
    let of = fixture.ended(old.clone(), failed("no")).await;
    let before = fixture.record(of).await;
    let id = CallId::new();
    assert_eq!(fixture.run_again(at(100), of, id).await, RunAgain::Stored);
    assert_eq!(fixture.record(of).await, before, "the old one stays as it is");
    let record = fixture.record(id).await;
    assert_eq!((record.state, record.due, record.created), (CallState::Scheduled, at(100), at(100)));
    assert_eq!((record.rerun_of, record.attempt, record.error), (Some(of), 0, None));
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(100), "work").await;
    assert_eq!((claimed.id, &claimed.args, claimed.attempt), (id, &old.args, 1));
    assert_eq!((claimed.priority, claimed.format, &claimed.identifier), (-3, 2, &old.identifier));
    assert_eq!(claimed.traceparent, old.traceparent);
    assert_eq!(fixture.record(id).await.rerun_of, Some(of), "also while it runs");
    assert!(pod.finish(at(101), &claimed, Outcome::Succeeded).await);
    assert_eq!(fixture.record(id).await.rerun_of, Some(of), "and when it is over");
    assert_eq!(fixture.listed(CallState::Succeeded).await[0].rerun_of, Some(of));
}

async fn every_end_but_success_is_run_again(fixture: &Fixture) {
    let mut old = vec![
        fixture.ended(call("work"), failed("no")).await,
        fixture.ended(call("work"), Outcome::Interrupted { error: "given up".to_owned() }).await,
    ];
    fixture.add(&[labelled("work", "cancelled")]).await;
    old.push(fixture.the_pending().await.id);
    fixture.cancel(at(1), &identifier("cancelled")).await;
    fixture.add(&[call("work")]).await;
    old.push(fixture.pod().claim_one(at(0), "work").await.id);
    assert_eq!(fixture.rescue(at(1_000)).await.len(), 1);
    let mut again = Vec::new();
    for of in old {
        again.push(CallId::new());
        assert_eq!(fixture.run_again(at(2_000), of, *again.last().unwrap()).await, RunAgain::Stored);
        // As often as one likes: each time it is another call.
        again.push(CallId::new());
        assert_eq!(fixture.run_again(at(2_000), of, *again.last().unwrap()).await, RunAgain::Stored);
    }
    assert_eq!(fixture.pod().claim(at(2_000), &["work"], 100).await.len(), again.len());
}

async fn the_same_new_id_is_stored_once(fixture: &Fixture) {
    let of = fixture.ended(call("work"), failed("no")).await;
    let id = CallId::new();
    let repeat = async |again| fixture.store.run_again(Now::At(at(10)), of, id, again).await.unwrap();
    assert_eq!(repeat(false).await, RunAgain::Stored);
    assert_eq!(repeat(true).await, RunAgain::Stored, "it waits");
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(10), "work").await;
    assert_eq!(repeat(true).await, RunAgain::Stored, "it runs");
    assert!(pod.finish(at(11), &claimed, Outcome::Succeeded).await);
    assert_eq!(repeat(true).await, RunAgain::Stored, "it is over");
    assert!(pod.claim(at(20), &["work"], 10).await.is_empty());
    // Many at once, as after a reply that was lost on its way.
    let id = CallId::new();
    let stores = [&fixture.store, &fixture.other].into_iter().cycle().take(8);
    let all = join_all(stores.map(|store| store.run_again(Now::At(at(30)), of, id, true))).await;
    assert!(all.into_iter().all(|one| one.unwrap() == RunAgain::Stored));
    assert_eq!(fixture.the_pending().await.id, id);
    // The old one may be forgotten meanwhile.
    fixture.store.prune(Now::At(at(1_000_000)), &KEEP, 100).await.unwrap();
    assert_eq!(fixture.find(of).await, None);
    assert_eq!(repeat_of(fixture, of, id).await, RunAgain::Stored);
}

async fn repeat_of(fixture: &Fixture, of: CallId, id: CallId) -> RunAgain {
    fixture.store.run_again(Now::At(at(30)), of, id, true).await.unwrap()
}

async fn what_cannot_be_run_again_says_why(fixture: &Fixture) {
    let succeeded = fixture.ended(call("work"), Outcome::Succeeded).await;
    fixture.add(&[call("work"), call_at("play", 500)]).await;
    let running = fixture.pod().claim_one(at(0), "work").await.id;
    let waiting = fixture.the_pending().await.id;
    for (of, says) in [
        (succeeded, RunAgain::Succeeded),
        (running, RunAgain::Pending),
        (waiting, RunAgain::Pending),
        (CallId::new(), RunAgain::Unknown),
    ] {
        let id = CallId::new();
        assert_eq!(fixture.run_again(at(9), of, id).await, says);
        assert_eq!(fixture.store.run_again(Now::At(at(9)), of, id, true).await.unwrap(), says);
        assert_eq!(fixture.find(id).await, None);
    }
    assert_eq!(fixture.listed(CallState::Scheduled).await.len(), 1);
}

async fn a_run_of_a_schedule_is_run_again_as_a_call_of_its_own(fixture: &Fixture) {
    let of_schedule = fixture.declare(at(0), &schedule("key", every(60))).await;
    let pod = fixture.pod();
    let run = pod.claim_one(at(60), "work").await;
    assert!(pod.finish(at(61), &run, failed("no")).await);
    let before = fixture.the_pending().await;
    assert_eq!(before.schedule, Some(of_schedule));
    let id = CallId::new();
    assert_eq!(fixture.run_again(at(62), run.id, id).await, RunAgain::Stored);
    let again = fixture.record(id).await;
    assert_eq!((again.schedule, again.identifier.as_deref()), (None, Some("key")));
    assert_eq!(pod.claim_one(at(62), "work").await.id, id);
    assert_eq!(fixture.the_pending().await, before, "the schedule takes no notice");
}
