//! Calls that are stored as claimed by the pod that stores them.

use std::time::Duration;

use futurecall_runtime::CallId;
use futurecall_runtime::store::{
    CallState, Cancelled, ClaimRequest, ClaimedCall, Due, Inserted, Lease, NewCall, Now, OnVanish, Outcome,
};

use crate::make::{LEASE, Pod, SOON, at, call, call_at, failed, identifier, ids, labelled, micros, secs};
use crate::suite::{Fixture, cases};

cases![
    it_is_held_by_the_pod_that_stored_it,
    it_is_what_an_insert_and_a_claim_would_have_made,
    it_is_due_by_the_clock_of_the_database,
    it_ends_like_any_other,
    it_is_given_back_like_any_other,
    it_fails_and_is_retried_like_any_other,
    it_is_cancelled_while_it_is_held,
    its_lease_ends_and_it_is_interrupted,
    its_lease_ends_and_it_runs_again_where_its_name_does,
    what_is_stored_already_is_left_alone,
    a_repetition_stores_nothing_twice,
    it_is_found_when_its_reply_was_lost,
    what_a_database_refuses_is_refused,
    many_pods_at_once_store_each_their_own,
];

impl Pod {
    /// Stores a call as its own.
    async fn store_claimed(&self, now: Now, call: &NewCall) -> Option<ClaimedCall> {
        let request = self.request(&[&call.name], 1);
        self.store.insert_claimed(now, call, &request).await.expect("an insert")
    }
}

/// A call with everything that a call can have.
fn full() -> NewCall {
    NewCall {
        args: r#"{"data": {"name": "x",  "num": 42}}"#.to_owned(),
        priority: -3,
        due: Due::At(micros(-7)),
        expires_after: Some(secs(90)),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        ..labelled("work", "label")
    }
}

async fn it_is_held_by_the_pod_that_stored_it(fixture: &Fixture) {
    let (pod, new) = (fixture.pod(), call("work"));
    let request = ClaimRequest { claim_no: 41, ..pod.request(&["work"], 1) };
    let claimed = pod.store.insert_claimed(Now::At(micros(5)), &new, &request).await.unwrap().unwrap();
    assert_eq!((claimed.id, claimed.claim_no, claimed.attempt), (new.id, 41, 1));
    assert_eq!((claimed.due, claimed.first_due, claimed.claimed), (at(0), at(0), micros(5)));
    assert_eq!((claimed.schedule, claimed.expires, claimed.failures), (None, None, 0));
    for other in [fixture.pod(), fixture.other_pod(), pod.through(&fixture.store)] {
        let claim = other.ask(at(1), &["work"], 10).await;
        assert_eq!((claim.calls.len(), claim.next), (0, None));
    }
    let record = fixture.record(new.id).await;
    assert_eq!((record.state, record.pod, record.attempt), (CallState::Running, Some(pod.id), 1));
    assert_eq!(record.lease_until, Some(micros(5).checked_add(LEASE).unwrap()));
    assert_eq!((record.start_proven, record.cancel_requested, record.finished), (Some(false), false, None));
}

async fn it_is_what_an_insert_and_a_claim_would_have_made(fixture: &Fixture) {
    let (pod, now) = (fixture.pod().rerunning_within(3, secs(20)), Now::At(at(2)));
    for new in [full(), NewCall { due: Due::After(Duration::ZERO), ..full() }, call("work")] {
        let ordinary = NewCall { id: CallId::new(), ..new.clone() };
        pod.store.insert(now, std::slice::from_ref(&ordinary), false, SOON).await.unwrap();
        let expected = pod.claim_one(at(2), "work").await;
        let claimed = pod.store_claimed(now, &new).await.unwrap();
        let same = |id, claim_no| ClaimedCall { id, claim_no, ..claimed.clone() };
        assert_eq!(same(expected.id, expected.claim_no), expected);
        let (mut record, expected) = (fixture.record(new.id).await, fixture.record(ordinary.id).await);
        assert_eq!(record.id, new.id);
        record.id = expected.id;
        assert_eq!(record, expected);
    }
}

async fn it_is_due_by_the_clock_of_the_database(fixture: &Fixture) {
    let new = NewCall { due: Due::After(Duration::ZERO), ..call("work") };
    let before = fixture.store.now().await.unwrap();
    let claimed = fixture.pod().store_claimed(Now::Database, &new).await.unwrap();
    let after = fixture.store.now().await.unwrap();
    assert!(
        before <= claimed.due && claimed.due <= claimed.claimed && claimed.claimed <= after,
        "{claimed:?}"
    );
}

async fn it_ends_like_any_other(fixture: &Fixture) {
    let pod = fixture.pod();
    let one = pod.store_claimed(Now::At(at(0)), &call("work")).await.unwrap();
    let two = pod.store_claimed(Now::At(at(0)), &call("work")).await.unwrap();
    assert_eq!(pod.renew(at(1), &one).await.lease, Lease::Held);
    assert!(pod.finish(at(2), &one, Outcome::Succeeded).await);
    assert!(pod.finish(at(2), &two, failed("no")).await);
    assert_eq!(fixture.state(one.id).await, CallState::Succeeded);
    let record = fixture.record(two.id).await;
    assert_eq!((record.state, record.error.as_deref(), record.attempt), (CallState::Failed, Some("no"), 1));
    let other = fixture.other_pod();
    assert_eq!(other.renew(at(3), &one).await.lease, Lease::Lost);
}

async fn it_is_given_back_like_any_other(fixture: &Fixture) {
    // Of a lane that nobody has seen before, and by a pod that looks no further than it must.
    let pod = fixture.pod();
    pod.ask(at(0), &["work"], 1).await;
    let new = NewCall { priority: 11, ..call("work") };
    let claimed = pod.store_claimed(Now::At(at(0)), &new).await.unwrap();
    assert_eq!(pod.release(at(1), &claimed).await, 1);
    let record = fixture.record(new.id).await;
    assert_eq!((record.state, record.attempt, record.pod), (CallState::Scheduled, 0, None));
    let request = ClaimRequest { sweep: false, ..pod.request(&["work"], 10) };
    let again = pod.send(at(2), &request).await.calls;
    assert_eq!((ids(&again), again[0].attempt), (vec![new.id], 1));
}

async fn it_fails_and_is_retried_like_any_other(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = pod.store_claimed(Now::At(at(3)), &call("work")).await.unwrap();
    let retry = Outcome::Retry { error: "not yet".to_owned(), after: secs(10) };
    assert!(pod.finish(at(4), &claimed, retry).await);
    let again = fixture.other_pod().claim_one(at(14), "work").await;
    assert_eq!((again.id, again.attempt, again.failures), (claimed.id, 2, 1));
    assert_eq!((again.due, again.first_due), (at(14), at(0)));
}

async fn it_is_cancelled_while_it_is_held(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = pod.store_claimed(Now::At(at(0)), &labelled("work", "label")).await.unwrap();
    assert_eq!(fixture.cancel(at(1), &identifier("label")).await, Cancelled::new(0, 0, 1));
    assert!(pod.renew(at(2), &claimed).await.cancelled);
    assert_eq!(pod.release(at(3), &claimed).await, 1);
    assert_eq!(fixture.state(claimed.id).await, CallState::Cancelled);
}

async fn its_lease_ends_and_it_is_interrupted(fixture: &Fixture) {
    let claimed = fixture.pod().store_claimed(Now::At(at(0)), &call("work")).await.unwrap();
    assert!(fixture.rescue(at(30)).await.is_empty(), "it lasts that long");
    let rescued = fixture.rescue(at(31)).await;
    assert_eq!(rescued.iter().map(|rescued| rescued.id).collect::<Vec<_>>(), [claimed.id]);
    assert_eq!(fixture.state(claimed.id).await, CallState::Interrupted);
}

async fn its_lease_ends_and_it_runs_again_where_its_name_does(fixture: &Fixture) {
    let pod = fixture.pod();
    let rerun = OnVanish::Rerun { budget: 2, after: secs(5) };
    let names = vec![("play".to_owned(), OnVanish::Keep), ("work".to_owned(), rerun)];
    let request = ClaimRequest { names, ..pod.request(&[], 1) };
    let (work, play) = (call("work"), call("play"));
    for new in [&work, &play] {
        assert!(pod.store.insert_claimed(Now::At(at(0)), new, &request).await.unwrap().is_some());
    }
    assert_eq!(fixture.rescue(at(31)).await.len(), 2);
    assert_eq!(fixture.state(play.id).await, CallState::Interrupted);
    let other = fixture.other_pod();
    assert_eq!(other.claim(at(35), &["work", "play"], 10).await, []);
    let again = other.claim_one(at(36), "work").await;
    assert_eq!((again.id, again.attempt), (work.id, 2));
}

async fn what_is_stored_already_is_left_alone(fixture: &Fixture) {
    let (pod, waits) = (fixture.pod(), call_at("work", 100));
    fixture.add(std::slice::from_ref(&waits)).await;
    let before = fixture.record(waits.id).await;
    let other = NewCall { args: r#"{"other": 1}"#.to_owned(), due: Due::At(at(0)), ..waits.clone() };
    assert_eq!(pod.store_claimed(Now::At(at(1)), &other).await, None);
    assert_eq!(fixture.record(waits.id).await, before);
    let held = fixture.other_pod().claim_one(at(100), "work").await;
    assert_eq!(pod.store_claimed(Now::At(at(101)), &waits).await, None);
    assert!(fixture.other.find_claim(pod.id, held.claim_no).await.unwrap().is_empty(), "it is the other's");
}

async fn a_repetition_stores_nothing_twice(fixture: &Fixture) {
    let (pod, new) = (fixture.pod(), call("work"));
    let calls = std::slice::from_ref(&new);
    let claimed = pod.store_claimed(Now::At(at(0)), &new).await.unwrap();
    let again = |repeated| fixture.other.insert(Now::At(at(1)), calls, repeated, SOON);
    assert_eq!(again(true).await.unwrap(), [Inserted::Stored]);
    assert_eq!(again(false).await.unwrap(), [Inserted::Duplicate]);
    assert_eq!(pod.store_claimed(Now::At(at(1)), &new).await, None);
    assert_eq!(pod.renew(at(2), &claimed).await.lease, Lease::Held);
    assert!(pod.finish(at(2), &claimed, Outcome::Succeeded).await);
    assert_eq!(again(true).await.unwrap(), [Inserted::Stored], "it is over");
    assert_eq!(fixture.state(new.id).await, CallState::Succeeded);
    assert_eq!(fixture.other_pod().claim(at(3), &["work"], 10).await, []);
}

async fn it_is_found_when_its_reply_was_lost(fixture: &Fixture) {
    let pod = fixture.pod();
    let claimed = pod.store_claimed(Now::At(at(0)), &full()).await.unwrap();
    let other = pod.store_claimed(Now::At(at(0)), &call("work")).await.unwrap();
    assert_ne!(claimed.claim_no, other.claim_no);
    let found = pod.store.find_claim(pod.id, claimed.claim_no).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&claimed), "exactly as it was said to be");
    assert_eq!(pod.store.find_claim(fixture.pod().id, claimed.claim_no).await.unwrap(), []);
    assert!(pod.finish(at(1), &claimed, Outcome::Succeeded).await);
    assert_eq!(pod.store.find_claim(pod.id, claimed.claim_no).await.unwrap(), []);
}

async fn what_a_database_refuses_is_refused(fixture: &Fixture) {
    let pod = fixture.pod();
    let request = pod.request(&["work"], 1);
    for bad in [call("wo\0rk"), labelled("work", "lab\0el")] {
        let refused = pod.store.insert_claimed(Now::At(at(0)), &bad, &request).await.unwrap_err();
        assert!(refused.is_refused(), "{refused}");
        assert_eq!(fixture.find(bad.id).await, None);
    }
    let good = call("work");
    assert!(pod.store_claimed(Now::At(at(0)), &good).await.is_some(), "and nothing is broken by it");
}

async fn many_pods_at_once_store_each_their_own(fixture: &Fixture) {
    let new = NewCall { due: Due::At(at(0)), ..call("work") };
    let tasks = (0..8).map(|task| {
        let store = if task % 2 == 0 { &fixture.store } else { &fixture.other };
        let (pod, new) = (Pod::on(store), new.clone());
        tokio::spawn(async move {
            let (own, same) = (call("work"), pod.store_claimed(Now::At(at(0)), &new).await);
            assert!(pod.store_claimed(Now::At(at(0)), &own).await.is_some());
            (own.id, same.is_some())
        })
    });
    let done: Vec<_> =
        futures_util::future::join_all(tasks).await.into_iter().map(|done| done.expect("a pod")).collect();
    assert_eq!(done.iter().filter(|(_, got_it)| *got_it).count(), 1, "the same call is one pod's");
    let running = fixture.listed(CallState::Running).await;
    assert_eq!(running.len(), 9);
    assert!(done.iter().all(|(id, _)| running.iter().any(|record| record.id == *id)));
}
