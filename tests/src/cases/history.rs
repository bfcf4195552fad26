use std::time::Duration;

use futurecall_runtime::CallId;
use futurecall_runtime::store::{
    CallFilter, CallState, Counts, Finish, Finished, NewCall, Now, Outcome, Retention,
};

use crate::make::{FORGET, KEEP, at, call, failed, finish, identifier, labelled, micros, secs};
use crate::suite::{Fixture, cases};

cases![
    outcomes_are_recorded,
    a_run_that_never_started_says_so,
    times_are_exact,
    the_call_is_kept_as_it_was,
    results_stand_in_order,
    many_outcomes_at_once,
    an_outcome_kept_for_no_time_leaves_no_row,
    the_retention_is_that_of_the_outcome,
    a_cancelled_failure_is_kept_as_cancelled,
    pruning_goes_by_outcome_and_age,
    pruning_stops_at_its_limit,
    pruning_leaves_what_is_pending,
];

async fn outcomes_are_recorded(fixture: &Fixture) {
    fixture.add(&[call("work"), call("work"), call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 10).await;
    let interrupted = Outcome::Interrupted { error: "shutting down".to_owned() };
    let cases = [
        (Outcome::Succeeded, CallState::Succeeded, None),
        (failed("smtp: no route"), CallState::Failed, Some("smtp: no route")),
        (interrupted, CallState::Interrupted, Some("shutting down")),
    ];
    for (call, (outcome, state, error)) in claimed.iter().zip(cases) {
        assert!(pod.finish(at(5), call, outcome).await);
        let record = fixture.record(call.id).await;
        assert_eq!((record.state, record.error.as_deref()), (state, error));
        assert_eq!((record.attempt, record.pod, record.finished), (1, Some(pod.id), Some(at(5))));
        assert_eq!((record.start_proven, record.lease_until), (Some(true), None));
        assert_eq!(record.attempts.len(), 1);
        let attempt = &record.attempts[0];
        assert_eq!((attempt.number, attempt.pod, attempt.outcome), (1, Some(pod.id), state));
        assert_eq!((attempt.started, attempt.duration), (Some(at(1)), Some(secs(2))));
        assert_eq!(attempt.error.as_deref(), error);
    }
    let counts = fixture.store.counts(Now::At(at(5)), u64::MAX).await.unwrap();
    assert_eq!((counts.succeeded, counts.failed, counts.interrupted), (1, 1, 1));
    assert_eq!((counts.scheduled, counts.running), (0, 0));
}

async fn a_run_that_never_started_says_so(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let undecodable = Finish {
        started_after: None,
        ran_for: Duration::ZERO,
        ..finish(&claimed, failed("missing field `data`"))
    };
    assert_eq!(
        pod.store.finish(Now::At(at(1)), pod.id, &[undecodable], &KEEP).await.unwrap(),
        [Finished::Recorded]
    );
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.start_proven), (CallState::Failed, Some(false)));
    assert_eq!(record.attempts[0].started, None);
}

async fn times_are_exact(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(micros(3), "work").await;
    let exact = Finish {
        started_after: Some(Duration::from_micros(1_500_007)),
        ran_for: Duration::from_micros(86_400_000_001),
        ..finish(&claimed, Outcome::Succeeded)
    };
    assert_eq!(
        pod.store.finish(Now::At(micros(9)), pod.id, &[exact], &KEEP).await.unwrap(),
        [Finished::Recorded]
    );
    let record = fixture.record(claimed.id).await;
    assert_eq!(record.finished, Some(micros(9)));
    let attempt = &record.attempts[0];
    assert_eq!(attempt.started, Some(micros(1_500_010)));
    assert_eq!(attempt.duration, Some(Duration::from_micros(86_400_000_001)));
}

async fn the_call_is_kept_as_it_was(fixture: &Fixture) {
    let args = r#"{ "z":1, "a" : "\u0000" }"#.to_owned();
    let given = NewCall { args, priority: 12, ..labelled("work", "ünïcode '\"%") };
    fixture.add(std::slice::from_ref(&given)).await;
    let before = fixture.record(given.id).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(2), "work").await;
    assert!(pod.finish(at(3), &claimed, Outcome::Succeeded).await);
    let after = fixture.record(given.id).await;
    assert_eq!((after.name, after.args, after.identifier), (before.name, before.args, before.identifier));
    assert_eq!((after.priority, after.due, after.created), (before.priority, before.due, before.created));
}

async fn results_stand_in_order(fixture: &Fixture) {
    fixture.add(&[call("work"), call("work"), call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 10).await;
    assert_eq!(pod.release(at(1), &claimed[1]).await, 1);
    let batch = [
        Finish { id: CallId::new(), ..finish(&claimed[0], Outcome::Succeeded) },
        finish(&claimed[2], failed("no")),
        finish(&claimed[1], Outcome::Succeeded),
        finish(&claimed[0], Outcome::Succeeded),
    ];
    let results = pod.store.finish(Now::At(at(2)), pod.id, &batch, &KEEP).await.unwrap();
    assert_eq!(results, [Finished::Lost, Finished::Recorded, Finished::Lost, Finished::Recorded]);
    assert_eq!(fixture.state(claimed[0].id).await, CallState::Succeeded);
    assert_eq!(fixture.state(claimed[1].id).await, CallState::Scheduled);
    assert_eq!(fixture.state(claimed[2].id).await, CallState::Failed);
}

async fn many_outcomes_at_once(fixture: &Fixture) {
    let calls: Vec<_> = (0..1_500).map(|_| call("work")).collect();
    fixture.add(&calls).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 2_000).await;
    assert_eq!(claimed.len(), 1_500);
    let outcome =
        |n: usize| if n.is_multiple_of(3) { failed(&format!("number {n}")) } else { Outcome::Succeeded };
    let batch: Vec<_> = claimed.iter().enumerate().map(|(n, call)| finish(call, outcome(n))).collect();
    let results = pod.store.finish(Now::At(at(2)), pod.id, &batch, &KEEP).await.unwrap();
    assert_eq!(results, vec![Finished::Recorded; 1_500]);
    let counts = fixture.store.counts(Now::At(at(2)), u64::MAX).await.unwrap();
    assert_eq!((counts.failed, counts.succeeded, counts.running), (500, 1_000, 0));
    assert_eq!(fixture.record(claimed[999].id).await.error.as_deref(), Some("number 999"));
}

async fn an_outcome_kept_for_no_time_leaves_no_row(fixture: &Fixture) {
    fixture.add(&[call("work"), call("work"), call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 10).await;
    let interrupted = Outcome::Interrupted { error: "shutting down".to_owned() };
    for (call, outcome) in claimed.iter().zip([Outcome::Succeeded, failed("no"), interrupted]) {
        assert!(pod.finish_keeping(at(1), call, outcome, &FORGET).await);
        assert_eq!(fixture.find(call.id).await, None);
    }
    assert_eq!(fixture.store.counts(Now::At(at(1)), u64::MAX).await.unwrap(), Counts::default());
    assert!(
        !pod.finish_keeping(at(2), &claimed[0], Outcome::Succeeded, &FORGET).await,
        "nobody can tell any more"
    );
}

async fn the_retention_is_that_of_the_outcome(fixture: &Fixture) {
    fixture.add(&[call("work"), call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 10).await;
    let retention = Retention { succeeded: Duration::ZERO, ..KEEP };
    let batch = [finish(&claimed[0], Outcome::Succeeded), finish(&claimed[1], failed("no"))];
    assert_eq!(
        pod.store.finish(Now::At(at(1)), pod.id, &batch, &retention).await.unwrap(),
        [Finished::Recorded; 2]
    );
    assert_eq!(fixture.find(claimed[0].id).await, None);
    assert_eq!(fixture.state(claimed[1].id).await, CallState::Failed);
}

async fn a_cancelled_failure_is_kept_as_cancelled(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x"), labelled("work", "x")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 10).await;
    assert_eq!(fixture.cancel(at(1), &identifier("x")).await.running, 2);
    let only_failed = Retention { failed: secs(60), ..FORGET };
    assert!(pod.finish_keeping(at(2), &claimed[0], failed("stopped"), &only_failed).await);
    assert_eq!(fixture.find(claimed[0].id).await, None);
    let only_cancelled = Retention { cancelled: secs(60), ..FORGET };
    assert!(pod.finish_keeping(at(2), &claimed[1], failed("stopped"), &only_cancelled).await);
    assert_eq!(fixture.state(claimed[1].id).await, CallState::Cancelled);
}

async fn pruning_goes_by_outcome_and_age(fixture: &Fixture) {
    let names = ["old ok", "old bad", "new ok", "new bad", "old gone"];
    fixture.add(&names.map(call)).await;
    let pod = fixture.pod();
    for (name, seconds) in names.into_iter().zip([10, 10, 100, 100, 10]) {
        let claimed = pod.claim_one(at(seconds), name).await;
        let outcome = match name {
            "old ok" | "new ok" => Outcome::Succeeded,
            "old gone" => Outcome::Interrupted { error: "shutting down".to_owned() },
            _ => failed("no"),
        };
        assert!(pod.finish(at(seconds), &claimed, outcome).await);
    }
    let retention =
        Retention { succeeded: secs(60), failed: secs(3_600), interrupted: Duration::ZERO, ..KEEP };
    assert_eq!(
        fixture.store.prune(Now::At(at(9)), &retention, 100).await.unwrap(),
        0,
        "nothing has aged yet"
    );
    assert_eq!(fixture.store.prune(Now::At(at(120)), &retention, 100).await.unwrap(), 2);
    let mut left: Vec<_> = fixture.list(CallFilter::new()).await.into_iter().map(|call| call.name).collect();
    left.sort();
    assert_eq!(left, ["new bad", "new ok", "old bad"]);
    assert_eq!(fixture.store.prune(Now::At(at(120)), &retention, 100).await.unwrap(), 0);
    assert_eq!(fixture.store.prune(Now::At(at(5_000)), &retention, 100).await.unwrap(), 3);
    assert_eq!(fixture.list(CallFilter::new()).await, []);
}

async fn pruning_stops_at_its_limit(fixture: &Fixture) {
    let calls: Vec<_> = (0..7).map(|_| labelled("work", "x")).collect();
    fixture.add(&calls).await;
    assert_eq!(fixture.cancel(at(0), &identifier("x")).await.calls, 7);
    let later = Now::At(at(7_200));
    for expected in [3, 3, 1, 0] {
        assert_eq!(fixture.other.prune(later, &KEEP, 3).await.unwrap(), expected);
    }
}

async fn pruning_leaves_what_is_pending(fixture: &Fixture) {
    fixture.add(&[call("waits"), call("runs")]).await;
    fixture.pod().claim_one(at(0), "runs").await;
    assert_eq!(fixture.store.prune(Now::At(at(1_000_000)), &FORGET, 100).await.unwrap(), 0);
    assert_eq!(fixture.list(CallFilter::new()).await.len(), 2);
}
