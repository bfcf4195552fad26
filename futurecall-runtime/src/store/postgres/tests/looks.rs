//! What people ask for reads a handful of rows down an index, however many there are.

use super::*;
use crate::store::{CallFilter, CallState, KeysLook, Now, PostgresStore, Retention};
use std::time::Duration;

/// 100,000 calls of 20 names that wait, a few of them due and some claimed, and as many that are over.
async fn filled() -> (Home, PostgresStore) {
    let (mut home, store) = Home::migrated().await;
    // A pod that has asked while the tables were empty: nothing of that may hold on.
    assert_eq!(store.counts(Now::Database, 10).await.unwrap().scheduled, 0);
    home.run(
        "INSERT INTO futurecall.call (id, name, due_at, args)
         SELECT gen_random_uuid(), 'name ' || n % 20, now() + (n - 2000) * interval '1 s', '{}'
         FROM generate_series(1, 100000) AS n",
    )
    .await;
    home.run(
        "INSERT INTO futurecall.finished (id, name, priority, due_at, args, format, created_at, state, attempt,
             finished_at, error)
         SELECT gen_random_uuid(), 'name ' || n % 20, 0, now(), '{}', 1, now(), 1 + n % 3, 1,
             now() - n * interval '1 s', 'number ' || n FROM generate_series(1, 100000) AS n",
    )
    .await;
    let request = request(&["name 7", "name 8"], 20);
    assert_eq!(store.claim(Now::Database, &request).await.unwrap().calls.len(), 20);
    (home, store)
}

/// How many rows of both tables have been read so far, one by one and by way of an index.
async fn read(home: &mut Home) -> (i64, i64) {
    let schema = home.schema.clone();
    let sum = |columns: &str| {
        format!(
            "SELECT coalesce(sum({columns}), 0)::bigint FROM pg_stat_user_tables WHERE schemaname = '{schema}'"
        )
    };
    let indexes = format!(
        "SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_user_indexes WHERE schemaname = '{schema}'"
    );
    (home.number(&sum("seq_tup_read")).await, home.number(&indexes).await)
}

#[tokio::test]
async fn what_people_ask_for_stays_cheap_without_statistics() {
    let (mut home, filling) = filled().await;
    // A connection reports its figures when it ends, at the latest.
    drop(filling);
    let before = {
        let schema = home.schema.clone();
        let open = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{schema}'");
        while home.number(&open).await > 0 {}
        read(&mut home).await
    };

    let store = PostgresStore::open_with(&home.url, &home.schema, 1).await.unwrap();
    let filter = CallFilter::new;
    for (filter, expected) in [
        (filter(), 100),
        (filter().state(CallState::Scheduled), 100),
        (filter().state(CallState::Running), 20),
        (filter().name("name 7").state(CallState::Running), 10),
        (filter().state(CallState::Succeeded), 100),
        (filter().name("name 3").state(CallState::Failed), 100),
        (filter().state(CallState::Expired), 0),
        (filter().state(CallState::Failed).error("NUMBER 1"), 100),
    ] {
        let page = store.calls(Now::Database, &filter).await.unwrap();
        assert_eq!(page.calls.len(), expected, "{filter:?}");
        let counted = store.count(Now::Database, &filter, 50).await.unwrap();
        assert_eq!(counted, u64::try_from(expected).unwrap().min(50), "{filter:?}");
    }
    let counts = store.counts(Now::Database, 100).await.unwrap();
    assert_eq!((counts.scheduled, counts.due, counts.running, counts.failed), (100, 100, 20, 100));
    let page = store.calls(Now::Database, &filter().state(CallState::Scheduled)).await.unwrap();
    let last = page.calls.last().unwrap().id;
    let ahead = store.ahead(Now::Database, last, 50).await.unwrap();
    let now = store.now().await.unwrap();
    let edges = [now, now.checked_add(Duration::from_mins(10)).unwrap()];
    assert_eq!(store.timeline(Now::Database, &edges, 10).await.unwrap().len(), 20);
    assert_eq!(store.pending_names(Now::Database, 10).await.unwrap().len(), 20);
    let look = KeysLook {
        names: (0..20).map(|n| format!("name {n}")).collect(),
        from: Some(now),
        calls: 50,
        first: 5,
    };
    let keys = store.pending_keys(Now::Database, &look).await.unwrap();
    assert_eq!((keys.len(), keys[0].sets[0].calls, keys[0].sets[0].first.len()), (20, 50, 5));
    assert_eq!(store.prune(Now::Database, &Retention::default(), 100).await.unwrap(), 100);
    drop(store);

    let schema = home.schema.clone();
    while home
        .number(&format!(
            "SELECT n_tup_del FROM pg_stat_user_tables WHERE schemaname = '{schema}' AND relname = 'finished'"
        ))
        .await
        < 100
    {}
    let after = read(&mut home).await;
    assert!(after.0 - before.0 < 1_000, "{} rows were read one by one", after.0 - before.0);
    assert!(after.1 - before.1 < 60_000, "{} index entries were read", after.1 - before.1);
    // Only now: it reads them all, and a connection that goes on reports its figures up to a second late.
    let due = home
        .number("SELECT count(*) FROM futurecall.call WHERE due_at <= now() AND claimed_by IS NULL")
        .await;
    assert!(ahead < 50 && due > 1_000, "{ahead} of {due} go before it");
    home.remove().await;
}

#[tokio::test]
async fn pages_go_on_from_their_place() {
    let (home, store) = Home::migrated().await;
    crate::store::page::tests::pages_go_on_from_their_place(&store).await;
    home.remove().await;
}
