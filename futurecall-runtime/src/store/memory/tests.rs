use crate::id::CallId;
use crate::moment::Moment;
use crate::store::{CancelTarget, MemoryStore, NewCall, Now};
use futures_util::FutureExt;
use std::time::Duration;

use crate::store::Due;
use crate::store::prelude::*;

fn call(due: Due) -> NewCall {
    NewCall {
        id: CallId::new(),
        name: "example.do_work".to_owned(),
        identifier: None,
        args: "{}".to_owned(),
        format: 1,
        priority: 0,
        due,
        expires_after: None,
        traceparent: None,
    }
}

#[tokio::test]
async fn a_change_wakes_the_other_handles_only() {
    let store = MemoryStore::at(Moment::MIN);
    let other = store.clone();
    assert!(other.changed().now_or_never().is_none(), "nothing has changed yet");

    let soon = Duration::from_secs(5);
    let late = call(Due::After(soon * 2));
    store.insert(Now::Database, std::slice::from_ref(&late), false, soon).await.unwrap();
    assert!(other.changed().now_or_never().is_none(), "not due soon");
    store.insert(Now::Database, &[call(Due::After(soon))], false, soon).await.unwrap();
    assert!(store.changed().now_or_never().is_none(), "its own change is no news");
    assert!(other.changed().now_or_never().is_some());
    assert!(other.changed().now_or_never().is_none(), "heard already");

    for (id, due, is_news) in [
        (CallId::new(), Duration::ZERO, false),
        (late.id, soon + Duration::from_micros(1), false),
        (late.id, soon, true),
        (late.id, Duration::ZERO, true),
    ] {
        let target = CancelTarget::Call(id);
        store.reschedule(Now::Database, &target, Due::After(due), soon).await.unwrap();
        assert_eq!(other.changed().now_or_never().is_some(), is_news, "{due:?}");
    }

    let waiting = tokio::spawn(async move { other.changed().await });
    tokio::task::yield_now().await;
    store.insert(Now::Database, &[call(Due::After(Duration::ZERO))], false, soon).await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test]
async fn the_clock_can_be_set_for_all_handles() {
    let store = MemoryStore::at(Moment::MIN);
    let other = store.separate().await.unwrap();
    store.set_now(Moment::MAX);
    assert_eq!(other.now().await.unwrap(), Moment::MAX);
    assert!(other.changed().now_or_never().is_some(), "something may be due by the new clock");
    let machine = MemoryStore::new();
    assert!(
        machine.now().await.unwrap()
            >= "2026-01-01T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap().try_into().unwrap()
    );
}
