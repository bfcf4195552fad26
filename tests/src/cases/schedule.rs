use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::Moment;
use futurecall_runtime::store::{CallFilter, CallState, Due, Inserted, NewCall, Now, Outcome};
use futures_util::future::join_all;

use crate::make::{FORGET, SOON, at, call, call_at, identifier, ids, labelled, micros, new_ids, secs};
use crate::suite::{Fixture, cases};

cases![
    a_call_is_stored_as_given,
    a_delay_counts_from_the_clock,
    a_delay_counts_from_the_databases_own_clock,
    a_moment_in_the_past_is_kept_and_due_at_once,
    nothing_to_store_is_no_error,
    an_identifier_is_not_unique,
    results_stand_in_order_and_a_second_id_changes_nothing,
    an_id_twice_in_one_batch_is_stored_once,
    a_repetition_stores_what_is_missing_once,
    a_repetition_leaves_a_running_call_alone,
    a_repetition_does_not_bring_back_a_finished_call,
    a_repetition_without_history_never_fails,
    repetitions_at_once_store_each_call_once,
    a_refused_row_stops_the_whole_batch,
    a_delay_past_the_range_is_refused,
    a_delay_to_the_very_end_of_the_range_is_stored,
    a_committed_transaction_stores_its_calls,
    a_transaction_rolled_back_stores_nothing,
    a_refused_row_in_a_transaction_says_so,
    a_foreign_transaction_is_refused,
    another_handle_hears_of_what_is_due_soon,
];

async fn a_call_is_stored_as_given(fixture: &Fixture) {
    let given = NewCall {
        identifier: Some("order 7".to_owned()),
        args: r#"{"b": 1,  "a": [true, null, "ü"]}"#.to_owned(),
        format: 3,
        priority: -2,
        due: Due::At(micros(1)),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..call("work")
    };
    fixture.add(std::slice::from_ref(&given)).await;

    let record = fixture.record(given.id).await;
    assert_eq!((record.id, &record.name, &record.args), (given.id, &given.name, &given.args));
    assert_eq!((&record.identifier, record.priority), (&given.identifier, -2));
    assert_eq!((record.due, record.created), (micros(1), at(0)));
    assert_eq!((record.state, record.attempt), (CallState::Scheduled, 0));
    assert_eq!((record.finished, record.pod, record.lease_until), (None, None, None));
    assert_eq!((record.start_proven, record.cancel_requested, &record.error), (None, false, &None));
    assert_eq!((record.schedule, &record.broken, record.next_attempt), (None, &None, None));
    assert!(record.attempts.is_empty());

    let claimed = fixture.pod().claim_one(at(1), "work").await;
    assert_eq!((claimed.id, claimed.name, claimed.identifier), (given.id, given.name, given.identifier));
    assert_eq!((claimed.args, claimed.format, claimed.priority), (given.args, 3, -2));
    assert_eq!((claimed.due, claimed.traceparent), (micros(1), given.traceparent));
}

async fn a_delay_counts_from_the_clock(fixture: &Fixture) {
    let delayed = NewCall { due: Due::After(Duration::from_micros(90_000_001)), ..call("work") };
    let now = Now::At(micros(7));
    fixture.store.insert(now, std::slice::from_ref(&delayed), false, SOON).await.unwrap();
    let record = fixture.record(delayed.id).await;
    assert_eq!((record.due, record.created), (micros(90_000_008), micros(7)));
}

async fn a_delay_counts_from_the_databases_own_clock(fixture: &Fixture) {
    let delayed = NewCall { due: Due::After(secs(60)), ..call("work") };
    let before = fixture.store.now().await.unwrap();
    fixture.store.insert(Now::Database, std::slice::from_ref(&delayed), false, SOON).await.unwrap();
    let after = fixture.other.now().await.unwrap();
    let due = fixture.record(delayed.id).await.due;
    let (earliest, latest) = (before.checked_add(secs(60)).unwrap(), after.checked_add(secs(60)).unwrap());
    assert!((earliest..=latest).contains(&due), "{due} is not between {earliest} and {latest}");

    let now_due = NewCall { due: Due::After(Duration::ZERO), ..call("work") };
    fixture.store.insert(Now::Database, std::slice::from_ref(&now_due), false, SOON).await.unwrap();
    let pod = fixture.other_pod();
    let claim = pod.store.claim(Now::Database, &pod.request(&["work"], 10)).await.unwrap();
    assert_eq!(ids(&claim.calls), [now_due.id]);
    let next = claim.next.expect("one is delayed");
    assert!(next <= secs(60) && next > Duration::ZERO, "{next:?}");
}

async fn a_moment_in_the_past_is_kept_and_due_at_once(fixture: &Fixture) {
    let late = call_at("work", -3_600);
    fixture.add(std::slice::from_ref(&late)).await;
    assert_eq!(fixture.record(late.id).await.due, at(-3_600));
    assert_eq!(fixture.pod().claim_one(at(0), "work").await.due, at(-3_600));
}

async fn nothing_to_store_is_no_error(fixture: &Fixture) {
    for again in [false, true] {
        assert_eq!(fixture.store.insert(Now::At(at(0)), &[], again, SOON).await.unwrap(), []);
    }
    assert_eq!(fixture.list(CallFilter::new()).await, []);
}

async fn an_identifier_is_not_unique(fixture: &Fixture) {
    let calls = [labelled("work", "same"), labelled("work", "same"), labelled("play", "same")];
    fixture.add(&calls).await;
    assert_eq!(fixture.list(CallFilter::new().identifier("same")).await.len(), 3);
}

async fn results_stand_in_order_and_a_second_id_changes_nothing(fixture: &Fixture) {
    let first = labelled("work", "first");
    fixture.add(std::slice::from_ref(&first)).await;
    let same_id = NewCall { id: first.id, args: r#"{"n": 2}"#.to_owned(), ..call_at("play", 9) };
    let batch = [call("work"), same_id, call("work")];
    let inserted = fixture.other.insert(Now::At(at(0)), &batch, false, SOON).await.unwrap();
    assert_eq!(inserted, [Inserted::Stored, Inserted::Duplicate, Inserted::Stored]);
    let record = fixture.record(first.id).await;
    assert_eq!((record.name, record.args, record.due), (first.name, first.args, at(0)));
    assert_eq!(fixture.list(CallFilter::new()).await.len(), 3);
}

async fn an_id_twice_in_one_batch_is_stored_once(fixture: &Fixture) {
    let one = call("work");
    let batch = [one.clone(), NewCall { name: "play".to_owned(), ..one.clone() }];
    let inserted = fixture.store.insert(Now::At(at(0)), &batch, false, SOON).await.unwrap();
    assert_eq!(inserted, [Inserted::Stored, Inserted::Duplicate]);
    assert_eq!(fixture.the_pending().await.name, "work");
}

async fn a_repetition_stores_what_is_missing_once(fixture: &Fixture) {
    let calls = [call("work"), call("work"), call("work")];
    fixture.add(&calls[..1]).await;
    for _ in 0..2 {
        let inserted = fixture.store.insert(Now::At(at(0)), &calls, true, SOON).await.unwrap();
        assert_eq!(inserted, [Inserted::Stored; 3]);
        assert_eq!(fixture.list(CallFilter::new()).await.len(), 3);
    }
    assert_eq!(ids(&fixture.pod().claim(at(0), &["work"], 10).await), new_ids(&calls));
}

async fn a_repetition_leaves_a_running_call_alone(fixture: &Fixture) {
    let calls = [call("work")];
    fixture.add(&calls).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    assert_eq!(fixture.other.insert(Now::At(at(1)), &calls, true, SOON).await.unwrap(), [Inserted::Stored]);
    assert_eq!(fixture.state(claimed.id).await, CallState::Running);
    assert_eq!(fixture.other_pod().claim(at(1), &["work"], 10).await, []);
}

async fn a_repetition_does_not_bring_back_a_finished_call(fixture: &Fixture) {
    let calls = [call("work"), call("work"), call("work")];
    fixture.add(&calls[..2]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 1).await;
    assert!(pod.finish(at(1), &claimed[0], Outcome::Succeeded).await);
    // One has finished, one waits, one never arrived.
    let inserted = fixture.store.insert(Now::At(at(2)), &calls, true, SOON).await.unwrap();
    assert_eq!(inserted, [Inserted::Stored; 3]);
    assert_eq!(fixture.state(claimed[0].id).await, CallState::Succeeded);
    assert_eq!(ids(&pod.claim(at(2), &["work"], 10).await), new_ids(&calls[1..]));
}

async fn a_repetition_without_history_never_fails(fixture: &Fixture) {
    let calls = [call("work")];
    fixture.add(&calls).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    assert!(pod.finish_keeping(at(1), &claimed, Outcome::Succeeded, &FORGET).await);
    let inserted = fixture.store.insert(Now::At(at(2)), &calls, true, SOON).await.unwrap();
    let pending = fixture.listed(CallState::Scheduled).await.len();
    // No gap was noted: it is stored once more.
    assert_eq!((inserted, pending), (vec![Inserted::Stored], 1));
}

async fn repetitions_at_once_store_each_call_once(fixture: &Fixture) {
    let calls: Arc<Vec<_>> = Arc::new((0..200).map(|_| call("work")).collect());
    let tasks = (0..8).map(|task| {
        let store = Arc::clone(if task % 2 == 0 { &fixture.store } else { &fixture.other });
        let calls = Arc::clone(&calls);
        tokio::spawn(async move { store.insert(Now::At(at(0)), &calls, true, SOON).await.unwrap() })
    });
    for inserted in join_all(tasks).await {
        assert_eq!(inserted.unwrap(), vec![Inserted::Stored; 200]);
    }
    assert_eq!(fixture.list(CallFilter::new()).await.len(), 200);
}

async fn a_refused_row_stops_the_whole_batch(fixture: &Fixture) {
    let mut batch = vec![call("work"), call("work"), call("work"), call("work")];
    batch[2].due = Due::After(Duration::MAX);
    for again in [false, true] {
        let error = fixture.store.insert(Now::At(at(0)), &batch, again, SOON).await.unwrap_err();
        assert!(error.is_refused() && !error.is_transient() && !error.outcome_unknown(), "{error}");
    }
    assert_eq!(fixture.list(CallFilter::new()).await, []);
    // Halving finds the offender.
    fixture.add(&batch[..2]).await;
    fixture.add(&batch[3..]).await;
    let error = fixture.store.insert(Now::At(at(0)), &batch[2..3], false, SOON).await.unwrap_err();
    assert!(error.is_refused(), "{error}");
    assert_eq!(fixture.list(CallFilter::new()).await.len(), 3);
}

async fn a_delay_past_the_range_is_refused(fixture: &Fixture) {
    let to_the_end = Moment::MAX.saturating_since(at(0));
    let delays =
        [to_the_end + Duration::from_nanos(1), secs(8_000 * 31_557_600), secs(u64::MAX), Duration::MAX];
    for delay in delays {
        let late = NewCall { due: Due::After(delay), ..call("work") };
        let error = fixture.store.insert(Now::At(at(0)), &[late], false, SOON).await.unwrap_err();
        assert!(error.is_refused(), "{delay:?}: {error}");
    }
    assert_eq!(fixture.list(CallFilter::new()).await, []);
}

async fn a_delay_to_the_very_end_of_the_range_is_stored(fixture: &Fixture) {
    let last = NewCall { due: Due::After(Moment::MAX.saturating_since(at(0))), ..call("work") };
    fixture.add(std::slice::from_ref(&last)).await;
    assert_eq!(fixture.record(last.id).await.due, Moment::MAX);
}

async fn a_committed_transaction_stores_its_calls(fixture: &Fixture) {
    let Some(mut transaction) = fixture.database.begin().await else { return };
    let calls = [labelled("work", "in"), labelled("work", "in")];
    fixture.store.insert_in(transaction.lend().lend(), &calls, SOON).await.unwrap();
    transaction.commit().await;
    let stored = fixture.list(CallFilter::new().identifier("in")).await;
    assert_eq!(stored.iter().map(|call| call.id).collect::<Vec<_>>(), new_ids(&calls));
}

async fn a_transaction_rolled_back_stores_nothing(fixture: &Fixture) {
    let Some(mut transaction) = fixture.database.begin().await else { return };
    fixture.store.insert_in(transaction.lend().lend(), &[call("work")], SOON).await.unwrap();
    transaction.rollback().await;
    assert_eq!(fixture.list(CallFilter::new()).await, []);
    assert_eq!(fixture.pod().claim(at(10), &["work"], 10).await, []);
}

async fn a_refused_row_in_a_transaction_says_so(fixture: &Fixture) {
    let bad = [
        NewCall { due: Due::After(Duration::MAX), ..call("work") },
        NewCall { args: "{\"a\": \"\0\"}".to_owned(), ..call("work") },
    ];
    for bad in bad {
        let Some(mut transaction) = fixture.database.begin().await else { return };
        let calls = [call("work"), bad];
        let error = fixture.store.insert_in(transaction.lend().lend(), &calls, SOON).await.unwrap_err();
        assert!(error.is_refused() && !error.is_transient(), "{error}");
        transaction.rollback().await;
        assert_eq!(fixture.list(CallFilter::new()).await, []);
    }
}

async fn a_foreign_transaction_is_refused(fixture: &Fixture) {
    let Some(mut transaction) = fixture.database.begin_foreign().await else { return };
    let error = fixture.store.insert_in(transaction.lend().lend(), &[call("work")], SOON).await.unwrap_err();
    assert!(error.is_wrong_database() && !error.is_transient(), "{error}");
    let target = identifier("x");
    let error = fixture.store.cancel_in(transaction.lend().lend(), &target, &FORGET).await.unwrap_err();
    assert!(error.is_wrong_database(), "{error}");
    transaction.rollback().await;
    assert_eq!(fixture.list(CallFilter::new()).await, []);
}

async fn another_handle_hears_of_what_is_due_soon(fixture: &Fixture) {
    let insert_until_heard = async {
        // The first may come before the other handle listens.
        loop {
            let soon = NewCall { due: Due::After(secs(1)), ..call("work") };
            fixture.store.insert(Now::Database, &[soon], false, SOON).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let hear = async {
        loop {
            fixture.other.changed().await;
            // It may wake for nothing.
            if !fixture.other.pending_names(Now::At(Moment::MAX), 1).await.unwrap().is_empty() {
                break;
            }
        }
    };
    tokio::select! {
        () = hear => {}
        () = insert_until_heard => {}
    }
    assert!(!fixture.list(CallFilter::new()).await.is_empty());
}
