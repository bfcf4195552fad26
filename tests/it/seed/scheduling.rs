//! Page one: defining future calls, and scheduling them.
//!
//! Its negative blocks are compile-fail tests: `ui/usage/pod_builder.rs`, `ui/block/no_calls.rs`,
//! `ui/method/invoke.rs`, `ui/argument/stream.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono_tz::Europe::Berlin;
use futurecall_runtime::chrono::{FixedOffset, TimeZone, Utc};
use futurecall_runtime::prelude::*;
use futurecall_runtime::schedule::Cancelled;
use futurecall_runtime::{CallState, Moment};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;
use futurecall_tests::on_all_stores;

pub(crate) struct ExampleFutureCall;

#[future_call]
impl ExampleFutureCall {
    pub(crate) async fn do_work(session: &Session) {
        session.state::<Journal>().unwrap().write("do_work");
    }

    pub(crate) async fn do_other_work(session: &Session, data: String) {
        session.state::<Journal>().unwrap().write(format!("do_other_work {data}"));
    }

    /// Lists, maps, sets and records, as long as they are typed.
    pub(crate) async fn do_typed_work(
        session: &Session,
        list: Vec<u8>,
        map: BTreeMap<String, i64>,
        set: BTreeSet<char>,
        record: (i32, String),
    ) {
        session.state::<Journal>().unwrap().write(format!("{list:?} {map:?} {set:?} {record:?}"));
    }
}

async fn pod(backend: &Backend) -> (Pod, Journal) {
    let journal = Journal::new();
    let pod = backend.builder().register(ExampleFutureCall).state(journal.clone()).start().await.unwrap();
    (pod, journal)
}

async fn due(pod: &Pod, id: futurecall_runtime::CallId) -> Moment {
    pod.inspect().call(id).await.unwrap().unwrap().due
}

on_all_stores! {
    async fn with_a_delay(backend: &Backend) {
        let (pod, journal) = pod(backend).await;
        let hour = Duration::from_hours(1);
        let later = pod.future_calls().call_with_delay(hour).example().do_work().await.unwrap();
        let call = pod.inspect().call(later).await.unwrap().unwrap();
        assert_eq!(call.state, CallState::Scheduled);
        assert_eq!(call.name, "example.do_work");
        let wait = call.due.saturating_since(call.created);
        assert!(wait >= hour.checked_sub(Duration::from_secs(1)).unwrap() && wait <= hour + Duration::from_secs(1), "{wait:?}");

        pod.futureCalls().call_with_delay(Duration::from_millis(1)).example().do_work().await.unwrap();
        assert_eq!(journal.wait_for(1).await, ["do_work"]);
        pod.shutdown().await;
    }

    async fn at_a_time(backend: &Backend) {
        let (pod, journal) = pod(backend).await;
        let new_year = Utc.with_ymd_and_hms(2035, 1, 1, 0, 0, 0).unwrap();
        let id = pod.future_calls().call_at_time(new_year).example().do_other_work("2".to_owned()).await.unwrap();
        assert_eq!(due(&pod, id).await.to_utc(), new_year);

        // A local time is resolved to UTC: by a named zone, and by an offset.
        let summer = Berlin.with_ymd_and_hms(2035, 7, 1, 12, 0, 0).unwrap();
        let id = pod.future_calls().call_at_time(summer).example().do_work().await.unwrap();
        assert_eq!(due(&pod, id).await.to_utc(), Utc.with_ymd_and_hms(2035, 7, 1, 10, 0, 0).unwrap());
        let offset = FixedOffset::east_opt(-5 * 3_600).unwrap().with_ymd_and_hms(2035, 7, 1, 12, 0, 0).unwrap();
        let id = pod.future_calls().call_at_time(offset).example().do_work().await.unwrap();
        assert_eq!(due(&pod, id).await.to_utc(), Utc.with_ymd_and_hms(2035, 7, 1, 17, 0, 0).unwrap());

        // A moment in the past means now.
        let past = Utc.with_ymd_and_hms(2001, 1, 1, 0, 0, 0).unwrap();
        pod.future_calls().call_at_time(past).example().do_other_work("past".to_owned()).await.unwrap();
        assert_eq!(journal.wait_for(1).await, ["do_other_work past"]);
        pod.shutdown().await;
    }

    async fn with_an_identifier_and_cancelled(backend: &Backend) {
        let (pod, _journal) = pod(backend).await;
        let hour = Duration::from_hours(1);
        let at = Utc.with_ymd_and_hms(2035, 1, 1, 0, 0, 0).unwrap();
        let calls = pod.future_calls();
        let one = calls.call_with_delay(hour).identifier("an-identifying-string").example().do_work().await.unwrap();
        let two = calls.call_at_time(at).identifier("an-identifying-string").example().do_work().await.unwrap();
        let other = calls.call_with_delay(hour).identifier("another").example().do_work().await.unwrap();

        assert_eq!(calls.cancel("nobody's").await.unwrap(), Cancelled::default());
        assert_eq!(calls.status(one).await.unwrap(), Some(CallState::Scheduled));
        assert_eq!(calls.cancel("an-identifying-string").await.unwrap(), Cancelled::new(2, 0, 0));
        assert_eq!(calls.status(one).await.unwrap(), Some(CallState::Cancelled));
        assert_eq!(calls.status(two).await.unwrap(), Some(CallState::Cancelled));
        assert_eq!(calls.status(other).await.unwrap(), Some(CallState::Scheduled));
        pod.shutdown().await;
    }

    async fn with_collections(backend: &Backend) {
        let (pod, journal) = pod(backend).await;
        let map = BTreeMap::from([("a".to_owned(), i64::MIN)]);
        let set = BTreeSet::from(['x', '"']);
        let call = pod.future_calls().call_now().example();
        call.do_typed_work(vec![0, 255], map.clone(), set.clone(), (-1, "r".to_owned())).await.unwrap();
        assert_eq!(journal.wait_for(1).await, [format!("[0, 255] {map:?} {set:?} (-1, \"r\")")]);
        pod.shutdown().await;
    }

    async fn they_survive_a_restart(backend: &Backend) {
        let (first, journal) = pod(backend).await;
        let soon = Duration::from_millis(300);
        let id = first.future_calls().call_with_delay(soon).example().do_work().await.unwrap();
        first.shutdown().await;
        let ran_before = journal.lines().len();
        let (second, later_journal) = pod(backend).await;
        if ran_before == 0 {
            later_journal.wait_for(1).await;
        }
        futurecall_tests::journal::eventually("it has succeeded", || async {
            (second.future_calls().status(id).await.unwrap() == Some(CallState::Succeeded)).then_some(())
        })
        .await;
        assert_eq!(journal.lines().len() + later_journal.lines().len(), 1);
        second.shutdown().await;
    }
}
