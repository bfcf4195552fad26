//! Completing a call in a transaction, on stores that have transactions.

use std::time::Duration;

use futurecall_runtime::InTransaction;
use futurecall_runtime::store::{CallState, CancelTarget, ClaimedCall, Completed, Now, Outcome, Retention};

use crate::make::{FORGET, KEEP, Pod, SOON, at, call, call_at, failed, finish, identifier, labelled, secs};
use crate::suite::{Fixture, cases};

cases![
    a_completion_and_what_is_written_with_it_stand_together,
    a_dropped_transaction_leaves_the_call_running,
    a_claim_that_was_lost_completes_nothing,
    another_claim_of_the_same_pod_completes_nothing,
    a_cancelled_run_is_completed_all_the_same,
    a_success_that_is_not_kept_leaves_no_row,
    a_failure_may_be_recorded_in_a_transaction,
    what_became_of_a_claim_can_be_asked,
    completions_one_after_the_other,
];

/// How long a transaction may hold a SQLite file; no case needs as long.
const LIMIT: Duration = Duration::from_secs(30);

/// Completes a call in a transaction in which another one is stored; `None` where the store knows no transactions.
async fn complete(
    fixture: &Fixture,
    pod: &Pod,
    claimed: &ClaimedCall,
    retention: &Retention,
) -> Option<bool> {
    complete_as(fixture, pod, claimed, Outcome::Succeeded, retention).await
}

async fn complete_as(
    fixture: &Fixture,
    pod: &Pod,
    claimed: &ClaimedCall,
    outcome: Outcome,
    retention: &Retention,
) -> Option<bool> {
    let mut open = fixture.store.begin(LIMIT).await.expect("a transaction")?;
    let written = call_at("written", 9_000);
    fixture.store.insert_in(open.lend(), std::slice::from_ref(&written), SOON).await.expect("a call");
    let ended = finish(claimed, outcome);
    let held = fixture.store.complete(open, Now::At(at(5)), pod.id, &ended, retention).await.expect("an end");
    assert_eq!(
        fixture.find(written.id).await.is_some(),
        held,
        "what is written stands if the completion does"
    );
    Some(held)
}

async fn a_completion_and_what_is_written_with_it_stand_together(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let Some(held) = complete(fixture, &pod, &claimed, &KEEP).await else { return };
    assert!(held);
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.finished, record.error), (CallState::Succeeded, Some(at(5)), None));
    assert_eq!((record.attempts[0].started, record.attempts[0].duration), (Some(at(1)), Some(secs(2))));
    assert!(!pod.finish(at(6), &claimed, failed("too late")).await, "there is no other outcome");
    assert_eq!(fixture.state(claimed.id).await, CallState::Succeeded);
}

async fn a_dropped_transaction_leaves_the_call_running(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let Some(mut open) = fixture.store.begin(LIMIT).await.expect("a transaction") else { return };
    let written = call_at("written", 9_000);
    fixture.store.insert_in(open.lend(), std::slice::from_ref(&written), SOON).await.expect("a call");
    drop(open);
    // Whoever writes next does not wait for long.
    assert!(pod.finish(at(6), &claimed, failed("no")).await);
    assert_eq!(fixture.find(written.id).await, None);
    assert_eq!(fixture.state(claimed.id).await, CallState::Failed);
}

async fn a_claim_that_was_lost_completes_nothing(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    assert_eq!(fixture.rescue(at(1_000)).await.len(), 1);
    let before = fixture.record(claimed.id).await;
    let Some(held) = complete(fixture, &pod, &claimed, &KEEP).await else { return };
    assert!(!held);
    assert_eq!(fixture.record(claimed.id).await, before, "it stays interrupted");
}

async fn another_claim_of_the_same_pod_completes_nothing(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod().rerunning();
    let stale = pod.claim_one(at(0), "work").await;
    assert!(fixture.rescue(at(1_000)).await[0].rerun);
    let fresh = pod.claim_one(at(1_000), "work").await;
    let Some(held) = complete(fixture, &pod, &stale, &KEEP).await else { return };
    assert!(!held);
    assert_eq!(fixture.state(fresh.id).await, CallState::Running);
    assert_eq!(complete(fixture, &pod, &fresh, &KEEP).await, Some(true));
    let stranger = fixture.pod();
    assert_eq!(complete(fixture, &stranger, &fresh, &KEEP).await, Some(false));
}

async fn a_cancelled_run_is_completed_all_the_same(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    assert_eq!(fixture.cancel(at(1), &identifier("x")).await.running, 1);
    let Some(held) = complete(fixture, &pod, &claimed, &KEEP).await else { return };
    assert!(held);
    assert_eq!(fixture.state(claimed.id).await, CallState::Succeeded);
}

async fn a_success_that_is_not_kept_leaves_no_row(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let Some(held) = complete(fixture, &pod, &claimed, &FORGET).await else { return };
    assert!(held);
    assert_eq!(fixture.find(claimed.id).await, None);
    let completed = fixture.store.completed(pod.id, claimed.id, claimed.claim_no).await.unwrap();
    assert_eq!(completed, Completed::Lost, "nobody can tell any more");
}

async fn a_failure_may_be_recorded_in_a_transaction(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let Some(held) = complete_as(fixture, &pod, &claimed, failed("no"), &KEEP).await else { return };
    assert!(held);
    assert_eq!(fixture.record(claimed.id).await.error.as_deref(), Some("no"));
}

async fn what_became_of_a_claim_can_be_asked(fixture: &Fixture) {
    fixture.add(&[call("work"), call_at("play", 1)]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let other = pod.claim_one(at(1), "play").await;
    // Asked by another handle: what a transaction has committed is there for all.
    let ask =
        async |call: &ClaimedCall| fixture.other.completed(pod.id, call.id, call.claim_no).await.unwrap();
    assert_eq!(ask(&claimed).await, Completed::No);
    assert!(pod.finish(at(2), &claimed, Outcome::Succeeded).await);
    assert_eq!(ask(&claimed).await, Completed::Yes);
    assert!(pod.finish(at(2), &other, failed("no")).await);
    assert_eq!(ask(&other).await, Completed::Lost, "it ended otherwise");
    let stranger = ClaimedCall { claim_no: claimed.claim_no + 10, ..claimed };
    assert_eq!(ask(&stranger).await, Completed::Lost);
    assert_eq!(fixture.cancel(at(3), &CancelTarget::Call(stranger.id)).await.calls, 0);
    // Another claim of the call lasts: of another pod, and of the same one.
    let (stale, taker) = (fixture.pod().rerunning(), fixture.other_pod());
    for taker in [&taker, &stale] {
        let new = call("rest");
        fixture.add(std::slice::from_ref(&new)).await;
        let lost = stale.claim_one(at(3), "rest").await;
        assert_eq!((lost.id, fixture.rescue(at(40)).await.len()), (new.id, 1));
        assert_eq!(taker.claim_one(at(41), "rest").await.id, new.id);
        let asked = fixture.other.completed(stale.id, lost.id, lost.claim_no).await.unwrap();
        assert_eq!(asked, Completed::Lost, "it is held, but not by that claim");
    }
}

async fn completions_one_after_the_other(fixture: &Fixture) {
    let calls: Vec<_> = (0..30).map(|_| call("work")).collect();
    fixture.add(&calls).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 100).await;
    let completing = claimed.iter().map(|call| complete(fixture, &pod, call, &KEEP));
    let held: Option<Vec<_>> = futures_util::future::join_all(completing).await.into_iter().collect();
    let Some(held) = held else { return };
    assert!(held.into_iter().all(|held| held));
    assert_eq!(fixture.listed(CallState::Succeeded).await.len(), 30);
}
