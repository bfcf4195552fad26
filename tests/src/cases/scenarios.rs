//! The cases in the test suite of the system that this one is modelled on, one by one.

use std::collections::BTreeSet;

use futurecall_runtime::Moment;
use futurecall_runtime::store::{CallFilter, CallState, Cancelled, NewCall, Now, Outcome, PendingName};

use crate::make::{at, call, call_at, every, failed, identifier, ids, labelled, new_ids, schedule, secs};
use crate::suite::{Fixture, cases};

cases![
    an_entry_is_stored,
    an_entry_is_cancelled_by_its_identifier,
    cancelling_another_identifier_keeps_the_entry,
    with_nothing_registered_nothing_is_touched,
    a_due_entry_runs_and_leaves,
    an_entry_not_yet_due_stays,
    several_entries_run_several_times,
    one_at_a_time_the_oldest_goes_first,
    more_at_a_time_run_together,
    a_name_registered_late_starts_being_run,
    an_unknown_name_is_left_and_reported,
    a_recurring_entry_comes_back_with_a_new_id,
    a_failing_recurring_entry_goes_on,
    a_stale_claim_is_found,
    a_live_claim_is_left,
];

async fn an_entry_is_stored(fixture: &Fixture) {
    let entry =
        NewCall { args: r#"{"data": {"name": "x", "num": 42}}"#.to_owned(), ..labelled("test.call", "id") };
    fixture.add(std::slice::from_ref(&entry)).await;
    let stored = fixture.the_pending().await;
    assert_eq!((stored.id, stored.name, stored.args), (entry.id, entry.name, entry.args));
    assert_eq!((stored.identifier, stored.due), (entry.identifier, at(0)));
}

async fn an_entry_is_cancelled_by_its_identifier(fixture: &Fixture) {
    fixture.add(&[labelled("test.call", "id")]).await;
    assert_eq!(fixture.cancel(at(0), &identifier("id")).await, Cancelled::new(1, 0, 0));
    assert_eq!(fixture.listed(CallState::Scheduled).await, []);
}

async fn cancelling_another_identifier_keeps_the_entry(fixture: &Fixture) {
    fixture.add(&[labelled("test.call", "id")]).await;
    assert_eq!(fixture.cancel(at(0), &identifier("another")).await, Cancelled::default());
    assert_eq!(fixture.the_pending().await.identifier.as_deref(), Some("id"));
}

async fn with_nothing_registered_nothing_is_touched(fixture: &Fixture) {
    fixture.add(&[call("test.call")]).await;
    let before = fixture.the_pending().await;
    assert_eq!(fixture.pod().claim(at(100), &[], 10).await, []);
    assert_eq!(fixture.the_pending().await, before);
}

async fn a_due_entry_runs_and_leaves(fixture: &Fixture) {
    fixture.add(&[call_at("test.call", -1)]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "test.call").await;
    assert!(pod.finish(at(1), &claimed, Outcome::Succeeded).await);
    assert_eq!(fixture.listed(CallState::Scheduled).await, []);
    assert_eq!(fixture.listed(CallState::Running).await, []);
    assert_eq!(pod.claim(at(100), &["test.call"], 10).await, []);
}

async fn an_entry_not_yet_due_stays(fixture: &Fixture) {
    fixture.add(&[call_at("test.call", 60)]).await;
    let claim = fixture.pod().ask(at(0), &["test.call"], 10).await;
    assert_eq!((claim.calls.len(), claim.next), (0, Some(secs(60))));
    assert_eq!(fixture.the_pending().await.due, at(60));
}

async fn several_entries_run_several_times(fixture: &Fixture) {
    fixture.add(&[call("test.call"), call("test.call"), call("test.call")]).await;
    let pod = fixture.pod();
    let mut ran = BTreeSet::new();
    for _ in 0..3 {
        let claimed = pod.claim(at(0), &["test.call"], 1).await;
        assert!(pod.finish(at(0), &claimed[0], Outcome::Succeeded).await);
        ran.extend(ids(&claimed));
    }
    assert_eq!(ran.len(), 3);
    assert_eq!(fixture.listed(CallState::Succeeded).await.len(), 3);
}

async fn one_at_a_time_the_oldest_goes_first(fixture: &Fixture) {
    let entries = [call_at("test.call", -5), call_at("test.call", -3), call_at("test.call", -1)];
    fixture.add(&[entries[2].clone(), entries[0].clone(), entries[1].clone()]).await;
    let pod = fixture.pod();
    for entry in &entries {
        let claimed = pod.claim(at(0), &["test.call"], 1).await;
        assert_eq!(ids(&claimed), [entry.id]);
        assert!(pod.finish(at(0), &claimed[0], Outcome::Succeeded).await);
    }
}

async fn more_at_a_time_run_together(fixture: &Fixture) {
    let entries = [call_at("test.call", -5), call_at("test.call", -3), call_at("test.call", -1)];
    fixture.add(&entries).await;
    let pod = fixture.pod();
    assert_eq!(ids(&pod.claim(at(0), &["test.call"], 2).await), new_ids(&entries[..2]));
    assert_eq!(ids(&pod.claim(at(0), &["test.call"], 2).await), new_ids(&entries[2..]));
    assert_eq!(fixture.listed(CallState::Running).await.len(), 3);
}

async fn a_name_registered_late_starts_being_run(fixture: &Fixture) {
    fixture.add(&[call("test.late"), call("test.early")]).await;
    let pod = fixture.pod();
    assert_eq!(pod.claim_one(at(0), "test.early").await.name, "test.early");
    let claimed = pod.claim(at(1), &["test.early", "test.late"], 10).await;
    assert_eq!(claimed.iter().map(|call| call.name.as_str()).collect::<Vec<_>>(), ["test.late"]);
}

async fn an_unknown_name_is_left_and_reported(fixture: &Fixture) {
    fixture.add(&[call("test.unknown"), call("test.call")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(100), "test.call").await;
    assert!(pod.finish(at(100), &claimed, Outcome::Succeeded).await);
    assert_eq!(
        fixture.store.pending_names(Now::At(Moment::MAX), 1_000).await.unwrap(),
        [PendingName::new("test.unknown".to_owned(), 1)]
    );
    assert_eq!(fixture.the_pending().await.attempt, 0);
}

async fn a_recurring_entry_comes_back_with_a_new_id(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("id", every(60))).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(60), "work").await;
    assert!(pod.finish(at(61), &claimed, Outcome::Succeeded).await);
    let next = fixture.the_pending().await;
    assert_ne!(next.id, claimed.id);
    assert_eq!((next.name, next.args, next.identifier), (claimed.name, claimed.args, claimed.identifier));
    assert!(next.due > at(61), "a future moment");
}

async fn a_failing_recurring_entry_goes_on(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("id", every(60))).await;
    let pod = fixture.pod();
    for run in 1..=3 {
        let claimed = pod.claim_one(at(run * 60), "work").await;
        assert!(pod.finish(at(run * 60), &claimed, failed("as always")).await);
    }
    assert_eq!(fixture.list(CallFilter::new().state(CallState::Failed)).await.len(), 3);
    assert_eq!(fixture.the_pending().await.due, at(240));
}

async fn a_stale_claim_is_found(fixture: &Fixture) {
    fixture.add(&[call("test.call")]).await;
    let claimed = fixture.pod().claim_one(at(0), "test.call").await;
    let rescued = fixture.rescue(at(60)).await;
    assert_eq!(rescued.iter().map(|rescued| rescued.id).collect::<Vec<_>>(), [claimed.id]);
    assert_eq!(fixture.state(claimed.id).await, CallState::Interrupted);
}

async fn a_live_claim_is_left(fixture: &Fixture) {
    fixture.add(&[call("test.call")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "test.call").await;
    pod.renew(at(25), &claimed).await;
    assert_eq!(fixture.rescue(at(50)).await, []);
    assert_eq!(fixture.state(claimed.id).await, CallState::Running);
}
