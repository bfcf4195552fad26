use std::sync::Arc;

use futurecall_runtime::CallId;
use futurecall_runtime::store::{
    CallFilter, CallState, CancelTarget, Cancelled, Due, Finished, Lease, NewCall, Now, Outcome,
    ScheduleState,
};
use futures_util::future::{join, join_all};

use crate::make::{
    FORGET, KEEP, at, call, call_at, every, failed, finish, identifier, ids, labelled, retry, schedule,
};
use crate::suite::{Fixture, cases};

cases![
    an_identifier_cancels_all_its_calls,
    another_identifier_changes_nothing,
    cancelling_twice_finds_nothing,
    calls_without_identifier_are_never_cancelled,
    identifiers_are_compared_as_they_are,
    a_running_call_is_flagged_and_goes_on,
    what_waits_and_what_runs_are_counted_apart,
    a_run_whose_lease_is_over_is_flagged_but_not_counted,
    a_flagged_run_that_fails_was_cancelled,
    an_outcome_is_told_from_a_cancellation,
    an_outcome_that_is_not_kept_is_told_from_a_cancellation,
    a_cancellation_during_a_repetition_changes_nothing,
    one_call_is_cancelled_by_its_id,
    a_cancelled_call_may_leave_no_row,
    a_committed_transaction_cancels,
    a_transaction_rolled_back_cancels_nothing,
    a_transaction_ends_schedules,
    cancel_against_claim_tells_the_truth,
    cancels_at_once_count_every_call_once,
    a_cancellation_of_thousands_counts_every_call_once,
    thousands_of_calls_are_cancelled_by_their_ids,
    a_transaction_cancels_thousands_or_none,
    discarded_calls_keep_their_reason,
    a_claimed_call_is_not_discarded,
];

async fn an_identifier_cancels_all_its_calls(fixture: &Fixture) {
    let calls = [
        labelled("work", "x"),
        NewCall { due: Due::At(at(1_000)), ..labelled("play", "x") },
        labelled("work", "y"),
    ];
    fixture.add(&calls).await;
    assert_eq!(fixture.cancel(at(5), &identifier("x")).await, Cancelled::new(2, 0, 0));
    for call in &calls[..2] {
        let record = fixture.record(call.id).await;
        assert_eq!((record.state, record.finished), (CallState::Cancelled, Some(at(5))));
        assert_eq!((record.error.as_deref(), record.attempt), (Some("cancelled"), 0));
        assert_eq!((record.pod, record.start_proven), (None, None));
        assert!(record.attempts.is_empty(), "it never ran");
        assert_eq!(
            (&record.name, &record.args, &record.identifier),
            (&call.name, &call.args, &call.identifier)
        );
    }
    let left = fixture.pod().claim(at(2_000), &["work", "play"], 10).await;
    assert_eq!(ids(&left), [calls[2].id]);
}

async fn another_identifier_changes_nothing(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x"), call("work")]).await;
    let before = fixture.list(CallFilter::new()).await;
    assert_eq!(fixture.cancel(at(1), &identifier("z")).await, Cancelled::default());
    assert_eq!(fixture.list(CallFilter::new()).await, before);
}

async fn cancelling_twice_finds_nothing(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x")]).await;
    assert_eq!(fixture.cancel(at(1), &identifier("x")).await, Cancelled::new(1, 0, 0));
    assert_eq!(fixture.cancel(at(2), &identifier("x")).await, Cancelled::default());
    assert_eq!(fixture.listed(CallState::Cancelled).await.len(), 1);
}

async fn calls_without_identifier_are_never_cancelled(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    for nobody in ["", "null", "NULL", "work"] {
        assert_eq!(fixture.cancel(at(1), &identifier(nobody)).await, Cancelled::default());
    }
    assert_eq!(fixture.the_pending().await.identifier, None);
}

async fn identifiers_are_compared_as_they_are(fixture: &Fixture) {
    // Case, spaces, patterns, and two spellings of one character.
    let labels = ["a", "A", "a ", " a", "%", "_", "\u{e9}", "e\u{301}", "a\\", "'a'", "\"a\""];
    fixture.add(&labels.map(|label| labelled("work", label))).await;
    for (gone, label) in labels.iter().enumerate() {
        assert_eq!(fixture.cancel(at(1), &identifier(label)).await, Cancelled::new(1, 0, 0), "{label:?}");
        assert_eq!(fixture.listed(CallState::Scheduled).await.len(), labels.len() - gone - 1);
        let page = fixture.list(CallFilter::new().identifier(label)).await;
        assert_eq!(page.len(), 1);
        assert_eq!(page[0].identifier.as_deref(), Some(*label));
    }
}

async fn a_running_call_is_flagged_and_goes_on(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let renewed = pod.renew(at(1), &claimed).await;
    assert_eq!((renewed.lease, renewed.cancelled), (Lease::Held, false));

    for _ in 0..2 {
        assert_eq!(fixture.cancel(at(2), &identifier("x")).await, Cancelled::new(0, 0, 1), "it still runs");
    }
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.cancel_requested), (CallState::Running, true));
    let renewed = pod.renew(at(3), &claimed).await;
    assert_eq!((renewed.lease, renewed.cancelled), (Lease::Held, true));
    assert!(pod.finish(at(4), &claimed, Outcome::Succeeded).await);
    assert_eq!(fixture.state(claimed.id).await, CallState::Succeeded, "it was done before it heard");
}

async fn what_waits_and_what_runs_are_counted_apart(fixture: &Fixture) {
    fixture.add(&[labelled("a", "x"), labelled("a", "x"), labelled("b", "x"), labelled("b", "y")]).await;
    let pod = fixture.pod();
    assert_eq!(pod.claim(at(0), &["a"], 10).await.len(), 2);
    assert_eq!(fixture.cancel(at(1), &identifier("x")).await, Cancelled::new(1, 0, 2));
    assert_eq!(fixture.the_pending().await.identifier.as_deref(), Some("y"));
}

async fn a_run_whose_lease_is_over_is_flagged_but_not_counted(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x")]).await;
    let claimed = fixture.pod().rerunning().claim_one(at(0), "work").await;
    assert_eq!(fixture.cancel(at(60), &identifier("x")).await, Cancelled::default());
    let rescued = fixture.rescue(at(61)).await;
    assert_eq!((rescued.len(), rescued[0].rerun), (1, false), "it gets no further attempt");
    assert_eq!(fixture.state(claimed.id).await, CallState::Cancelled);
}

async fn a_flagged_run_that_fails_was_cancelled(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x"), labelled("work", "x")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 10).await;
    assert_eq!(fixture.cancel(at(1), &identifier("x")).await, Cancelled::new(0, 0, 2));
    assert!(pod.finish(at(2), &claimed[0], failed("told to stop")).await);
    let interrupted = Outcome::Interrupted { error: "given up".to_owned() };
    assert!(pod.finish(at(2), &claimed[1], interrupted).await);
    for (call, error) in claimed.iter().zip(["told to stop", "given up"]) {
        let record = fixture.record(call.id).await;
        assert_eq!((record.state, record.error.as_deref()), (CallState::Cancelled, Some(error)));
        assert_eq!((record.attempt, record.start_proven), (1, Some(true)));
    }
}

/// Every outcome, of a call that was cancelled while it ran and of one that was not; each is handed in twice, as after a
/// lost reply.
async fn an_outcome_is_told_from_a_cancellation(fixture: &Fixture) {
    let pod = fixture.pod();
    let mut batch = Vec::new();
    for (outcome, yields) in all_outcomes() {
        for cancelled in [true, false] {
            fixture.add(&[call("work")]).await;
            let claimed = pod.claim_one(at(0), "work").await;
            if cancelled {
                fixture.cancel(at(1), &CancelTarget::Call(claimed.id)).await;
            }
            let became = if cancelled && yields { Finished::Cancelled } else { Finished::Recorded };
            batch.push((claimed, outcome.clone(), became));
        }
    }
    // One by one, then all at once.
    for (claimed, outcome, became) in &batch[..7] {
        for _ in 0..2 {
            assert_eq!(pod.ended(at(2), claimed, outcome.clone()).await, *became, "{outcome:?}");
        }
    }
    let (finished, expected): (Vec<_>, Vec<_>) =
        batch.iter().map(|(call, outcome, became)| (finish(call, outcome.clone()), *became)).unzip();
    for _ in 0..2 {
        let answer = pod.store.finish(Now::At(at(2)), pod.id, &finished, &KEEP).await.unwrap();
        assert_eq!(answer, expected);
    }
    for (claimed, outcome, became) in batch {
        let state = fixture.state(claimed.id).await;
        assert_eq!(state == CallState::Cancelled, became == Finished::Cancelled, "{outcome:?}: {state:?}");
        let other = fixture.other_pod().ended(at(3), &claimed, outcome).await;
        assert_eq!(other, Finished::Lost, "another pod's claim");
    }
}

/// Where the history keeps nothing, the first answer says what became of it all the same; a repetition cannot.
async fn an_outcome_that_is_not_kept_is_told_from_a_cancellation(fixture: &Fixture) {
    let pod = fixture.pod();
    for (outcome, yields) in all_outcomes() {
        for cancelled in [true, false] {
            fixture.add(&[call("work")]).await;
            let claimed = pod.claim_one(at(0), "work").await;
            if cancelled {
                fixture.cancel(at(1), &CancelTarget::Call(claimed.id)).await;
            }
            let is_cancelled = cancelled && yields;
            let became = if is_cancelled { Finished::Cancelled } else { Finished::Recorded };
            let case = format!("{outcome:?}, cancelled: {cancelled}");
            let answer = pod.ended_keeping(at(2), &claimed, outcome.clone(), &FORGET).await;
            assert_eq!(answer, became, "{case}");
            // A call that runs again has its attempt on record.
            let goes_on = !is_cancelled && matches!(outcome, Outcome::Retry { .. } | Outcome::Rerun { .. });
            let repeated = if goes_on { Finished::Recorded } else { Finished::Lost };
            let answer = pod.ended_keeping(at(2), &claimed, outcome.clone(), &FORGET).await;
            assert_eq!(answer, repeated, "{case}");
            if goes_on {
                fixture.cancel(at(3), &CancelTarget::Call(claimed.id)).await;
            }
        }
    }
}

/// A recorded outcome stays, and is reported again, although the call is cancelled before the repetition.
async fn a_cancellation_during_a_repetition_changes_nothing(fixture: &Fixture) {
    let pod = fixture.pod();
    for (outcome, _) in all_outcomes() {
        fixture.add(&[call("work")]).await;
        let claimed = pod.claim_one(at(0), "work").await;
        assert_eq!(pod.ended(at(1), &claimed, outcome.clone()).await, Finished::Recorded, "{outcome:?}");
        fixture.cancel(at(2), &CancelTarget::Call(claimed.id)).await;
        assert_eq!(pod.ended(at(3), &claimed, outcome.clone()).await, Finished::Recorded, "{outcome:?}");
    }
}

/// Every outcome, and whether a call that was cancelled meanwhile is recorded as cancelled instead.
fn all_outcomes() -> Vec<(Outcome, bool)> {
    let error = || "no".to_owned();
    vec![
        (Outcome::Succeeded, false),
        (Outcome::Failed { error: error() }, true),
        (Outcome::Interrupted { error: error() }, true),
        (retry("no", 3_600), true),
        (Outcome::Rerun { error: error() }, true),
        (Outcome::Expired { error: error() }, false),
    ]
}

async fn one_call_is_cancelled_by_its_id(fixture: &Fixture) {
    let calls = [labelled("work", "x"), labelled("work", "x"), call_at("work", 100)];
    fixture.add(&calls).await;
    let one = |id| CancelTarget::Call(id);
    assert_eq!(fixture.cancel(at(0), &one(calls[1].id)).await, Cancelled::new(1, 0, 0));
    assert_eq!(fixture.cancel(at(0), &one(calls[1].id)).await, Cancelled::default(), "it is over");
    assert_eq!(fixture.cancel(at(0), &one(calls[2].id)).await, Cancelled::new(1, 0, 0));
    assert_eq!(fixture.cancel(at(0), &one(CallId::new())).await, Cancelled::default(), "nobody knows it");
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    assert_eq!(claimed.id, calls[0].id);
    assert_eq!(fixture.cancel(at(1), &one(claimed.id)).await, Cancelled::new(0, 0, 1));
    assert!(pod.renew(at(1), &claimed).await.cancelled);
    assert!(pod.finish(at(2), &claimed, Outcome::Succeeded).await);
    assert_eq!(fixture.cancel(at(3), &one(claimed.id)).await, Cancelled::default());
    assert_eq!(fixture.state(claimed.id).await, CallState::Succeeded);
}

async fn a_cancelled_call_may_leave_no_row(fixture: &Fixture) {
    let calls = [labelled("work", "x"), labelled("work", "x"), call("work")];
    fixture.add(&calls).await;
    let now = Now::At(at(1));
    let by_id = CancelTarget::Call(calls[0].id);
    assert_eq!(fixture.store.cancel(now, &by_id, &FORGET).await.unwrap(), Cancelled::new(1, 0, 0));
    assert_eq!(fixture.store.cancel(now, &identifier("x"), &FORGET).await.unwrap(), Cancelled::new(1, 0, 0));
    let broken = [(calls[2].id, "nobody knows it".to_owned())];
    assert_eq!(fixture.store.discard(now, &broken, &FORGET).await.unwrap(), 1);
    assert_eq!(fixture.list(CallFilter::new()).await, []);
}

async fn a_committed_transaction_cancels(fixture: &Fixture) {
    fixture.add(&[labelled("a", "x"), labelled("b", "x")]).await;
    let running = fixture.pod().claim_one(at(0), "a").await;
    let Some(mut transaction) = fixture.database.begin().await else { return };
    let cancelled =
        fixture.store.cancel_in(transaction.lend().lend(), &identifier("x"), &KEEP).await.unwrap();
    assert_eq!(cancelled.calls, 1);
    transaction.commit().await;
    assert!(fixture.record(running.id).await.cancel_requested);
    assert_eq!(fixture.listed(CallState::Cancelled).await.len(), 1);
    assert_eq!(fixture.listed(CallState::Scheduled).await, []);
}

async fn a_transaction_rolled_back_cancels_nothing(fixture: &Fixture) {
    fixture.add(&[labelled("a", "x"), labelled("b", "x")]).await;
    let running = fixture.pod().claim_one(at(0), "a").await;
    let Some(mut transaction) = fixture.database.begin().await else { return };
    let cancelled =
        fixture.store.cancel_in(transaction.lend().lend(), &identifier("x"), &KEEP).await.unwrap();
    assert_eq!(cancelled.calls, 1);
    transaction.rollback().await;
    assert!(!fixture.record(running.id).await.cancel_requested);
    assert_eq!(fixture.the_pending().await.name, "b");
}

async fn a_transaction_ends_schedules(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("x", every(60))).await;
    fixture.add(&[labelled("work", "x")]).await;
    for commits in [false, true] {
        let Some(mut transaction) = fixture.database.begin().await else { return };
        let cancelled =
            fixture.store.cancel_in(transaction.lend().lend(), &identifier("x"), &KEEP).await.unwrap();
        assert_eq!(cancelled, Cancelled::new(1, 1, 0));
        let expected = if commits {
            transaction.commit().await;
            (ScheduleState::Ended, 0)
        } else {
            transaction.rollback().await;
            (ScheduleState::Active, 2)
        };
        let pending = fixture.listed(CallState::Scheduled).await.len();
        assert_eq!((fixture.the_schedule().await.state, pending), expected, "commits: {commits}");
    }
}

async fn cancel_against_claim_tells_the_truth(fixture: &Fixture) {
    const ALL: usize = 150;
    let calls: Vec<_> = (0..ALL).map(|n| labelled("work", &format!("label {n}"))).collect();
    fixture.add(&calls).await;
    let pods = [fixture.pod(), fixture.other_pod()];
    let claiming = join_all(pods.iter().map(|pod| async {
        let mut mine = Vec::new();
        for _ in 0..ALL / 4 {
            mine.extend(pod.claim(at(1), &["work"], 2).await);
        }
        mine
    }));
    let cancelling = async {
        let mut results = Vec::new();
        for (n, call) in calls.iter().enumerate().rev() {
            let store = if n % 2 == 0 { &fixture.store } else { &fixture.other };
            let target = CancelTarget::Identifier(format!("label {n}"));
            results
                .push((call.id, store.cancel(Now::At(at(2)), &target, &KEEP).await.expect("a cancellation")));
        }
        results
    };
    let (claimed, cancelled) = join(claiming, cancelling).await;
    let claimed: Vec<_> = claimed.into_iter().flatten().map(|call| call.id).collect();
    for (id, result) in cancelled {
        let record = fixture.record(id).await;
        if claimed.contains(&id) {
            assert_eq!(result, Cancelled::new(0, 0, 1), "it was claimed, and by then it ran");
            assert_eq!((record.state, record.cancel_requested), (CallState::Running, true));
        } else {
            assert_eq!(result, Cancelled::new(1, 0, 0), "it was not claimed, and never will be");
            assert_eq!((record.state, record.attempt), (CallState::Cancelled, 0));
        }
    }
}

async fn cancels_at_once_count_every_call_once(fixture: &Fixture) {
    let calls: Vec<_> = (0..100).map(|_| labelled("work", "x")).collect();
    fixture.add(&calls).await;
    let tasks = (0..6).map(|task| {
        let store = Arc::clone(if task % 2 == 0 { &fixture.store } else { &fixture.other });
        tokio::spawn(async move { store.cancel(Now::At(at(1)), &identifier("x"), &KEEP).await.unwrap() })
    });
    let cancelled: u64 = join_all(tasks).await.into_iter().map(|result| result.expect("a task").calls).sum();
    assert_eq!(cancelled, 100);
    assert_eq!(fixture.listed(CallState::Cancelled).await.len(), 100);
}

/// More than SQLite cancels in one transaction.
const THOUSANDS: u64 = 4_500;

fn thousands() -> Vec<NewCall> {
    (0..THOUSANDS).map(|_| labelled("work", "x")).collect()
}

impl Fixture {
    async fn how_many(&self, state: CallState) -> u64 {
        let filter = CallFilter::new().state(state);
        self.store.count(Now::At(at(0)), &filter, u64::from(u32::MAX)).await.expect("a count")
    }
}

async fn a_cancellation_of_thousands_counts_every_call_once(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("x", every(60))).await;
    fixture.add(&thousands()).await;
    fixture.add(&[labelled("run", "x"), labelled("run", "x"), labelled("work", "y")]).await;
    let running = fixture.pod().claim(at(1), &["run"], 10).await;
    assert_eq!(fixture.cancel(at(2), &identifier("x")).await, Cancelled::new(THOUSANDS, 1, 2));
    assert_eq!(fixture.the_schedule().await.state, ScheduleState::Ended);
    // The pending run of the schedule, too.
    assert_eq!(fixture.how_many(CallState::Cancelled).await, THOUSANDS + 1);
    for call in running {
        assert!(fixture.record(call.id).await.cancel_requested);
    }
    assert_eq!(fixture.the_pending().await.identifier.as_deref(), Some("y"));
    assert_eq!(fixture.cancel(at(3), &identifier("x")).await, Cancelled::new(0, 0, 2), "they still run");
}

async fn thousands_of_calls_are_cancelled_by_their_ids(fixture: &Fixture) {
    let calls = thousands();
    fixture.add(&calls).await;
    fixture.declare(at(0), &schedule("x", every(60))).await;
    let other = labelled("run", "x");
    fixture.add(std::slice::from_ref(&other)).await;
    assert_eq!(fixture.pod().claim(at(1), &["run"], 10).await.len(), 1);
    // One id twice, and one that nobody knows.
    let mut all = vec![calls[0].id, CallId::new(), other.id];
    all.extend(calls.iter().map(|call| call.id));
    let target = CancelTarget::Calls(all);
    assert_eq!(fixture.cancel(at(2), &target).await, Cancelled::new(THOUSANDS, 0, 1));
    assert_eq!(fixture.how_many(CallState::Cancelled).await, THOUSANDS);
    assert_eq!(fixture.the_schedule().await.state, ScheduleState::Active);
    assert_eq!(fixture.cancel(at(3), &target).await, Cancelled::new(0, 0, 1), "it still runs");
}

async fn a_transaction_cancels_thousands_or_none(fixture: &Fixture) {
    fixture.add(&thousands()).await;
    for commits in [false, true] {
        let Some(mut transaction) = fixture.database.begin().await else { return };
        let cancelled = fixture.store.cancel_in(transaction.lend().lend(), &identifier("x"), &KEEP).await;
        assert_eq!(cancelled.unwrap(), Cancelled::new(THOUSANDS, 0, 0));
        let left = if commits {
            transaction.commit().await;
            0
        } else {
            transaction.rollback().await;
            THOUSANDS
        };
        assert_eq!(fixture.how_many(CallState::Scheduled).await, left, "commits: {commits}");
    }
}

async fn discarded_calls_keep_their_reason(fixture: &Fixture) {
    let calls = [call("gone"), call_at("gone", 50), call("work")];
    fixture.add(&calls).await;
    let broken = [
        (calls[0].id, "no pod knows the name \"gone\"".to_owned()),
        (calls[1].id, "missing field `data`".to_owned()),
        (CallId::new(), "nobody knows it".to_owned()),
    ];
    assert_eq!(fixture.store.discard(Now::At(at(3)), &broken, &KEEP).await.unwrap(), 2);
    for (id, reason) in &broken[..2] {
        let record = fixture.record(*id).await;
        assert_eq!((record.state, record.error.as_ref()), (CallState::Cancelled, Some(reason)));
        assert_eq!((record.finished, record.attempt), (Some(at(3)), 0));
    }
    assert_eq!(fixture.the_pending().await.id, calls[2].id);
    assert_eq!(fixture.store.discard(Now::At(at(4)), &broken, &KEEP).await.unwrap(), 0, "they are over");
    assert_eq!(fixture.store.discard(Now::At(at(4)), &[], &KEEP).await.unwrap(), 0);
}

async fn a_claimed_call_is_not_discarded(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let claimed = fixture.pod().claim_one(at(0), "work").await;
    let broken = [(claimed.id, "too late".to_owned())];
    assert_eq!(fixture.other.discard(Now::At(at(1)), &broken, &KEEP).await.unwrap(), 0);
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.cancel_requested), (CallState::Running, false));
}
