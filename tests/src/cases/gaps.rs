//! Repetitions while the history may be incomplete.

use std::time::Duration;

use futurecall_runtime::store::{
    CallFilter, CallState, Inserted, NewCall, Now, Outcome, Retention, RunAgain,
};
use futurecall_runtime::{CallId, Moment};

use crate::make::{FORGET, KEEP, SOON, at, call, every, failed, schedule, secs};
use crate::suite::{Fixture, cases};

cases![
    a_repetition_in_a_gap_stores_nothing,
    a_gap_ends_and_never_gets_shorter,
    what_is_stored_for_the_first_time_is_stored_in_a_gap,
    a_call_that_is_run_again_in_a_gap_is_not_stored,
    a_run_that_is_triggered_again_in_a_gap_is_not_stored,
    a_history_that_is_pruned_early_has_a_gap,
    a_history_of_which_calls_are_deleted_has_a_gap,
];

impl Fixture {
    async fn gap(&self, now: Moment, lasts: Duration) {
        self.other.note_history_gap(Now::At(now), lasts).await.expect("a note");
    }

    async fn repeat(&self, now: Moment, calls: &[NewCall]) -> Vec<Inserted> {
        self.store.insert(Now::At(now), calls, true, SOON).await.expect("a repetition")
    }
}

async fn a_repetition_in_a_gap_stores_nothing(fixture: &Fixture) {
    let calls = [call("waits"), call("runs"), call("kept"), call("forgotten"), call("never came")];
    fixture.add(&calls[..4]).await;
    let pod = fixture.pod();
    pod.claim_one(at(0), "runs").await;
    let kept = pod.claim_one(at(0), "kept").await;
    assert!(pod.finish(at(1), &kept, Outcome::Succeeded).await);
    let forgotten = pod.claim_one(at(0), "forgotten").await;
    fixture.gap(at(0), secs(30)).await;
    assert!(pod.finish_keeping(at(1), &forgotten, Outcome::Succeeded, &FORGET).await);
    for _ in 0..2 {
        let known = [Inserted::Stored, Inserted::Stored, Inserted::Stored];
        let unknown = [Inserted::Unknown, Inserted::Unknown];
        assert_eq!(fixture.repeat(at(2), &calls).await, [&known[..], &unknown[..]].concat());
        assert_eq!(fixture.repeat(at(2), &calls[3..]).await, unknown);
        assert_eq!(fixture.repeat(at(2), &calls[..3]).await, known);
        let states: Vec<_> = fixture.list(CallFilter::new()).await.iter().map(|call| call.state).collect();
        assert_eq!(states.len(), 3, "{states:?}");
        assert!(pod.claim(at(2), &["forgotten", "never came"], 10).await.is_empty());
    }
    pod.claim_one(at(2), "waits").await;
}

async fn a_gap_ends_and_never_gets_shorter(fixture: &Fixture) {
    fixture.gap(at(10), secs(20)).await;
    fixture.gap(at(12), secs(1)).await;
    let calls = [call("work")];
    assert_eq!(fixture.repeat(at(29), &calls).await, [Inserted::Unknown]);
    assert_eq!(fixture.repeat(at(30), &calls).await, [Inserted::Stored]);
    fixture.the_pending().await;
    fixture.gap(at(40), Duration::MAX).await;
    assert_eq!(fixture.repeat(at(1_000_000), &[call("work")]).await, [Inserted::Unknown]);
}

async fn what_is_stored_for_the_first_time_is_stored_in_a_gap(fixture: &Fixture) {
    fixture.gap(at(0), secs(30)).await;
    let calls = [call("work"), call("work")];
    let stored = fixture.store.insert(Now::At(at(1)), &calls, false, SOON).await.unwrap();
    assert_eq!(stored, [Inserted::Stored; 2]);
    assert_eq!(fixture.pod().claim(at(1), &["work"], 10).await.len(), 2);
    let schedule = fixture.declare(at(1), &schedule("nightly", every(60))).await;
    let extra = CallId::new();
    let triggered = fixture.store.trigger(Now::At(at(1)), schedule, extra, false).await.unwrap();
    assert_eq!(triggered, Some(Inserted::Stored));
    assert_eq!(fixture.state(extra).await, CallState::Scheduled);
}

async fn a_call_that_is_run_again_in_a_gap_is_not_stored(fixture: &Fixture) {
    let calls = [call("work")];
    fixture.add(&calls).await;
    let pod = fixture.pod();
    let old = pod.claim_one(at(0), "work").await;
    assert!(pod.finish(at(1), &old, failed("no")).await);
    fixture.gap(at(1), secs(30)).await;
    let run_again = async |id, now, again| {
        fixture.store.run_again(Now::At(now), old.id, id, again).await.expect("an answer")
    };
    let (unknown, known) = (CallId::new(), CallId::new());
    assert_eq!(run_again(unknown, at(2), true).await, RunAgain::Unknown);
    assert_eq!(fixture.find(unknown).await, None);
    assert_eq!(run_again(known, at(2), false).await, RunAgain::Stored);
    assert_eq!(run_again(known, at(2), true).await, RunAgain::Stored, "it waits");
    let run = pod.claim_one(at(2), "work").await;
    assert_eq!(run.id, known);
    assert_eq!(run_again(known, at(2), true).await, RunAgain::Stored, "it runs");
    assert!(pod.finish(at(3), &run, Outcome::Succeeded).await);
    assert_eq!(run_again(known, at(4), true).await, RunAgain::Stored, "it is over");
    assert_eq!(run_again(unknown, at(31), true).await, RunAgain::Stored, "nobody can have forgotten it");
}

async fn a_run_that_is_triggered_again_in_a_gap_is_not_stored(fixture: &Fixture) {
    let id = fixture.declare(at(0), &schedule("nightly", every(600))).await;
    fixture.gap(at(1), secs(30)).await;
    let trigger = async |call, now, again| {
        fixture.store.trigger(Now::At(now), id, call, again).await.expect("an answer")
    };
    let (unknown, known) = (CallId::new(), CallId::new());
    assert_eq!(trigger(unknown, at(2), true).await, Some(Inserted::Unknown));
    assert_eq!(fixture.find(unknown).await, None);
    assert_eq!(trigger(known, at(2), false).await, Some(Inserted::Stored));
    assert_eq!(trigger(known, at(2), true).await, Some(Inserted::Stored));
    let pod = fixture.pod();
    let run = pod.claim_one(at(2), "work").await;
    assert_eq!(run.id, known);
    assert!(pod.finish(at(3), &run, Outcome::Succeeded).await);
    assert_eq!(trigger(known, at(4), true).await, Some(Inserted::Stored), "it is over");
    assert_eq!(trigger(unknown, at(31), true).await, Some(Inserted::Stored));
    assert_eq!(fixture.state(unknown).await, CallState::Scheduled);
}

async fn a_history_that_is_pruned_early_has_a_gap(fixture: &Fixture) {
    let calls = [call("work")];
    let short = Retention { succeeded: secs(2), ..KEEP };
    fixture.store.prune(Now::At(at(100)), &KEEP, 10).await.unwrap();
    assert_eq!(fixture.repeat(at(101), &calls).await, [Inserted::Stored], "nothing younger than a day goes");
    let pod = fixture.pod();
    let run = pod.claim_one(at(101), "work").await;
    assert!(pod.finish(at(102), &run, Outcome::Succeeded).await);
    assert_eq!(fixture.store.prune(Now::At(at(105)), &short, 10).await.unwrap(), 1);
    assert_eq!(fixture.repeat(at(106), &calls).await, [Inserted::Unknown]);
    // Whichever of the outcomes goes early.
    let month = secs(30 * 86_400);
    let kept =
        Retention { succeeded: month, failed: month, interrupted: month, cancelled: month, skipped: month };
    let each = [
        Retention { failed: secs(2), ..kept },
        Retention { interrupted: secs(2), ..kept },
        Retention { cancelled: secs(2), ..kept },
    ];
    for (short, from) in each.into_iter().zip([200, 300, 400]) {
        fixture.store.prune(Now::At(at(from)), &short, 10).await.unwrap();
        assert_eq!(fixture.repeat(at(from + 1), &[call("work")]).await, [Inserted::Unknown], "{short:?}");
    }
    fixture.store.prune(Now::At(at(500)), &kept, 10).await.unwrap();
    assert_eq!(fixture.repeat(at(501), &[call("work")]).await, [Inserted::Stored]);
}

async fn a_history_of_which_calls_are_deleted_has_a_gap(fixture: &Fixture) {
    let calls = [call("work")];
    fixture.add(&calls).await;
    let pod = fixture.pod();
    let run = pod.claim_one(at(0), "work").await;
    assert!(pod.finish(at(1), &run, Outcome::Succeeded).await);
    assert_eq!(fixture.store.delete(Now::At(at(2)), &[run.id]).await.unwrap(), 1);
    assert_eq!(fixture.repeat(at(3), &calls).await, [Inserted::Unknown]);
}
