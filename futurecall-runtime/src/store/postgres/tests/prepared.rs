//! What is all but never so, and what the usual statements are not prepared for.

use super::super::insert::COPIED;
use super::*;
use crate::id::CallId;
use crate::store::{Due, Finish, Finished, Inserted, NewCall, Now, PostgresStore, Retention};
use std::time::Duration;

#[tokio::test]
async fn many_calls_are_streamed_and_stored_like_single_ones() {
    let (mut home, store) = Home::migrated().await;
    let now = store.now().await.unwrap();
    let mut many = calls("many", COPIED);
    many[0] = NewCall {
        identifier: Some("é\t\\N,\"".to_owned()),
        args: "{ \"a\": \"\\t\" }".to_owned(),
        priority: -3,
        due: Due::At(now.checked_add(LEASE).unwrap()),
        expires_after: Some(SOON),
        traceparent: Some("00-a".to_owned()),
        ..call("many")
    };
    many[1].due = Due::After(SOON);
    many[2].expires_after = Some(Duration::MAX);
    store.insert(Now::At(now), &many, false, SOON).await.unwrap();
    for one in &many[..4] {
        let one = NewCall { id: CallId::new(), ..one.clone() };
        store.insert(Now::At(now), &[one], false, SOON).await.unwrap();
    }
    let kinds = "SELECT count(*) FROM (SELECT DISTINCT name, priority, due_at, identifier, args::text, format, \
        traceparent, expires_at, created_at FROM futurecall.call) AS c";
    assert_eq!(home.number(kinds).await, 4);

    // In a transaction of its own, and one is stored already.
    let url = format!("{}?statement-cache-capacity=0", home.url);
    let store = PostgresStore::open(&url, &home.schema).await.unwrap();
    let mut again = calls("many", COPIED);
    again[7].id = many[7].id;
    let inserted = store.insert(Now::Database, &again, false, SOON).await.unwrap();
    let duplicates: Vec<usize> =
        (0..COPIED).filter(|place| inserted[*place] == Inserted::Duplicate).collect();
    assert_eq!(duplicates, [7]);
    let mut refused = calls("many", COPIED);
    refused[COPIED - 1].args = "{".to_owned();
    let error = store.insert(Now::Database, &refused, false, SOON).await.unwrap_err();
    assert!(error.is_refused(), "{error}");
    let stored = i64::try_from(2 * COPIED - 1 + 4).unwrap();
    assert_eq!(home.number("SELECT count(*) FROM futurecall.call").await, stored);
    home.remove().await;
}

#[tokio::test]
async fn a_call_that_stands_in_the_history_already_ends_with_the_others() {
    let (mut home, store) = Home::migrated().await;
    store.insert(Now::Database, &calls("work", 3), false, SOON).await.unwrap();
    let request = request(&["work"], 3);
    let claim = store.claim(Now::Database, &request).await.unwrap();
    let before = "INSERT INTO futurecall.finished (id, name, priority, due_at, args, format, created_at, state, attempt, \
        finished_at) SELECT id, name, priority, due_at, args, format, created_at, 4, 0, now() FROM futurecall.call LIMIT 1";
    home.run(before).await;
    let ends: Vec<Finish> = claim.calls.iter().map(succeeded).collect();
    let ended = store.finish(Now::Database, request.pod, &ends, &Retention::default()).await.unwrap();
    assert!(ended.into_iter().all(Finished::is_recorded));
    assert_eq!(home.number("SELECT count(*) FROM futurecall.call").await, 0);
    assert_eq!(home.number("SELECT count(*) FROM futurecall.finished WHERE state = 1").await, 2);
    assert_eq!(home.number("SELECT count(*) FROM futurecall.finished").await, 3);
    home.remove().await;
}
