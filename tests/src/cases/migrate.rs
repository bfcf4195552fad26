use std::sync::Arc;

use futurecall_runtime::store::{
    CallFilter, CallState, Inserted, Lease, MigrationRecord, Now, Outcome, Store,
};
use futures_util::future::join_all;

use crate::make::{SOON, at, call, every, ids, new_ids, schedule};
use crate::suite::{Fixture, cases};

cases![
    the_steps_are_told_before_and_after,
    migrating_again_keeps_everything,
    migrations_at_once_make_one_set_of_tables,
    a_separate_handle_is_on_the_same_database,
    a_separate_handle_works_on_a_runtime_of_its_own,
    the_kind_is_one_lower_case_word,
    all_handles_read_one_clock,
];

async fn the_steps_are_told_before_and_after(fixture: &Fixture) {
    let before = fixture.store.migrations().await.unwrap();
    // Where the roles of a worker are tried, the owner has made the tables.
    let done = before.iter().filter(|step| step.applied.is_some()).count();
    assert!(done == 0 || done == before.len(), "{before:?}");
    assert!(before.iter().all(|step| step.sql.contains("CREATE TABLE")), "{before:?}");
    fixture.other.migrate().await.unwrap();
    let after = fixture.store.migrations().await.unwrap();
    assert!(
        after.iter().all(|step| step.applied.is_some() && step.sql.contains("CREATE TABLE")),
        "{after:?}"
    );
    let steps = |steps: &[MigrationRecord]| -> Vec<_> {
        steps.iter().map(|step| (step.version, step.name.clone())).collect()
    };
    assert_eq!(steps(&before), steps(&after));
    assert!(
        (1..).zip(&after).all(|(number, step)| step.version == number && !step.name.is_empty()),
        "{after:?}"
    );
    // Memory has no tables.
    assert_eq!(after.is_empty(), fixture.store.kind() == "memory");
}

async fn migrating_again_keeps_everything(fixture: &Fixture) {
    fixture.store.migrate().await.unwrap();
    let calls = [call("work")];
    fixture.add(&calls).await;
    fixture.declare(at(0), &schedule("nightly", every(60))).await;
    for store in [&fixture.store, &fixture.other] {
        store.migrate().await.unwrap();
    }
    assert_eq!(fixture.list(CallFilter::new().name("work")).await.len(), 2);
    assert_eq!(ids(&fixture.pod().claim(at(0), &["work"], 10).await), new_ids(&calls));
}

async fn migrations_at_once_make_one_set_of_tables(fixture: &Fixture) {
    let tasks = (0..8).map(|task| {
        let store = Arc::clone(if task % 2 == 0 { &fixture.store } else { &fixture.other });
        tokio::spawn(async move {
            store.migrate().await.expect("a migration");
            // Whoever has migrated can use it at once.
            let one = [call("work")];
            assert_eq!(store.insert(Now::At(at(0)), &one, false, SOON).await.unwrap(), [Inserted::Stored]);
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert_eq!(fixture.pod().claim(at(0), &["work"], 10).await.len(), 8);
}

async fn a_separate_handle_is_on_the_same_database(fixture: &Fixture) {
    fixture.store.migrate().await.unwrap();
    let separate: Arc<dyn Store> = fixture.store.separate().await.unwrap().into();
    assert_eq!(separate.kind(), fixture.store.kind());
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let same_pod = pod.through(&separate);
    assert_eq!(same_pod.renew(at(20), &claimed).await.lease, Lease::Held);
    assert_eq!(fixture.record(claimed.id).await.lease_until, Some(at(50)));
    assert!(same_pod.finish(at(21), &claimed, Outcome::Succeeded).await);
}

async fn a_separate_handle_works_on_a_runtime_of_its_own(fixture: &Fixture) {
    fixture.store.migrate().await.unwrap();
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let store = Arc::clone(&fixture.store);
    // Renewal has a thread and a runtime of its own.
    let renewing = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let separate: Arc<dyn Store> = store.separate().await.unwrap().into();
            pod.through(&separate).renew(at(10), &claimed).await
        })
    });
    assert_eq!(renewing.await.unwrap().lease, Lease::Held);
    assert_eq!(fixture.listed(CallState::Running).await[0].lease_until, Some(at(40)));
}

async fn the_kind_is_one_lower_case_word(fixture: &Fixture) {
    let kind = fixture.store.kind();
    assert!(!kind.is_empty() && kind.chars().all(|c| c.is_ascii_lowercase()), "{kind}");
    assert_eq!(fixture.other.kind(), kind);
}

async fn all_handles_read_one_clock(fixture: &Fixture) {
    fixture.store.migrate().await.unwrap();
    let mut last = fixture.store.now().await.unwrap();
    for store in [&fixture.other, &fixture.store, &fixture.other] {
        let now = store.now().await.unwrap();
        assert!(now >= last, "{now} after {last}");
        last = now;
    }
    assert!(last > at(-31_557_600), "it is set: {last}");
}
