use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futurecall_runtime::store::{
    CallFilter, CallPage, CallRecord, CallState, Counts, KeySet, KeysLook, NewCall, Now, Outcome,
    PendingName, PodBeat,
};
use futurecall_runtime::{CallId, Moment, PodId};

use crate::make::{at, call, call_at, every, failed, identifier, labelled, schedule, secs};
use crate::suite::{Fixture, cases};

cases![
    an_empty_store_has_nothing_to_show,
    a_filter_lets_through_what_it_says,
    pending_calls_stand_by_due_moment,
    the_history_stands_newest_first,
    without_a_state_pending_calls_come_first,
    pages_make_up_the_whole,
    pages_of_one_state_go_on_from_a_call_that_moved,
    a_page_after_nothing_known_is_empty,
    limits_are_clamped,
    counts_tell_the_states_apart,
    pending_names_are_counted_up_to_a_cap,
    sets_of_keys_are_told_apart,
    a_look_at_keys_is_bounded,
    no_argument_fails_a_look_at_keys,
    a_pod_is_shown_with_its_last_heartbeat,
    pods_stand_newest_first_and_say_who_lives,
    a_pod_that_leaves_is_gone,
    a_pod_not_heard_of_for_a_day_is_forgotten,
];

/// A heartbeat of a pod that runs nothing.
pub(super) fn beat(id: PodId) -> PodBeat {
    PodBeat {
        id,
        label: "host:1".to_owned(),
        role: "monolith".to_owned(),
        version: "0.1.0".to_owned(),
        names: Vec::new(),
        shapes: BTreeMap::new(),
        schedules: Vec::new(),
        redacted: BTreeMap::new(),
        slots: 64,
        running: 0,
    }
}

async fn page(fixture: &Fixture, filter: &CallFilter) -> CallPage {
    fixture.store.calls(Now::At(at(0)), filter).await.unwrap()
}

fn names(calls: &[CallRecord]) -> Vec<&str> {
    calls.iter().map(|call| call.name.as_str()).collect()
}

/// Finishes, one second after the other, one call of each of these names.
async fn finish_in_order(fixture: &Fixture, names: &[&str], from: i64) {
    let pod = fixture.pod();
    for (seconds, name) in (from..).zip(names) {
        let claimed = pod.claim_one(at(seconds), name).await;
        let outcome = if seconds % 2 == 0 { Outcome::Succeeded } else { failed("odd") };
        assert!(pod.finish(at(seconds), &claimed, outcome).await);
    }
}

async fn an_empty_store_has_nothing_to_show(fixture: &Fixture) {
    let now = Now::At(at(0));
    assert_eq!(page(fixture, &CallFilter::new()).await, CallPage::default());
    assert_eq!(fixture.find(CallId::new()).await, None);
    assert_eq!(fixture.store.schedules().await.unwrap(), []);
    assert_eq!(fixture.store.pods(now, secs(60)).await.unwrap(), []);
    assert_eq!(fixture.store.counts(now, u64::MAX).await.unwrap(), Counts::default());
    assert_eq!(fixture.store.pending_names(Now::At(Moment::MAX), 10).await.unwrap(), []);
}

async fn a_filter_lets_through_what_it_says(fixture: &Fixture) {
    let id = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    fixture.add(&[labelled("a", "x"), labelled("a", "y"), labelled("b", "x"), call("b")]).await;
    fixture.pod().claim(at(0), &["b"], 10).await;
    assert_eq!(fixture.cancel(at(1), &identifier("y")).await.calls, 1);

    let filter = CallFilter::new;
    for (filter, expected) in [
        (filter(), 5),
        (filter().name("a"), 2),
        (filter().name("A"), 0),
        (filter().identifier("x"), 2),
        (filter().name("a").identifier("x"), 1),
        (filter().name("b").identifier("y"), 0),
        (filter().state(CallState::Scheduled), 2),
        (filter().state(CallState::Running), 2),
        (filter().state(CallState::Cancelled), 1),
        (filter().state(CallState::Failed), 0),
        (filter().state(CallState::Running).identifier("x"), 1),
        (filter().state(CallState::Cancelled).identifier("x"), 0),
        (filter().schedule(id), 1),
        (filter().schedule(id).state(CallState::Running), 0),
    ] {
        assert_eq!(fixture.list(filter.clone()).await.len(), expected, "{filter:?}");
    }
}

async fn pending_calls_stand_by_due_moment(fixture: &Fixture) {
    let twins = [call_at("twin 1", 5), call_at("twin 2", 5)];
    fixture.add(&[call_at("last", 9), twins[1].clone(), call_at("first", -3), twins[0].clone()]).await;
    fixture.pod().claim_one(at(9), "twin 2").await;
    let calls = fixture.list(CallFilter::new()).await;
    assert_eq!(names(&calls), ["first", "twin 1", "twin 2", "last"], "running ones among them");
}

async fn the_history_stands_newest_first(fixture: &Fixture) {
    let order = ["a", "b", "c", "d"];
    fixture.add(&order.map(call)).await;
    finish_in_order(fixture, &order, 10).await;
    assert_eq!(names(&fixture.list(CallFilter::new()).await), ["d", "c", "b", "a"]);
    assert_eq!(names(&fixture.listed(CallState::Failed).await), ["d", "b"]);
    assert_eq!(names(&fixture.listed(CallState::Succeeded).await), ["c", "a"]);
}

async fn without_a_state_pending_calls_come_first(fixture: &Fixture) {
    fixture.add(&[call_at("late", 99), call("a"), call("b"), call_at("early", -9)]).await;
    finish_in_order(fixture, &["a", "b"], 1).await;
    assert_eq!(names(&fixture.list(CallFilter::new()).await), ["early", "late", "b", "a"]);
}

async fn pages_make_up_the_whole(fixture: &Fixture) {
    let pending: Vec<_> = (0..7).map(|n| call_at("waits", n / 2)).collect();
    let over: Vec<_> = (0..6).map(|_| labelled("over", "x")).collect();
    fixture.add(&pending).await;
    fixture.add(&over).await;
    // All of them at one moment: the id decides.
    assert_eq!(fixture.cancel(at(1), &identifier("x")).await.calls, 6);
    let whole = fixture.list(CallFilter::new()).await;
    assert_eq!(whole.len(), 13);

    for limit in [1, 2, 3, 5, 12, 13, 14] {
        let mut calls: Vec<CallRecord> = Vec::new();
        let mut filter = CallFilter::new().limit(limit);
        loop {
            let page = page(fixture, &filter).await;
            assert!(page.calls.len() <= limit && !page.calls.is_empty(), "limit {limit}");
            calls.extend(page.calls);
            assert!(calls.len() <= whole.len(), "limit {limit}: the pages go round in circles");
            let Some(next) = page.next else { break };
            assert_eq!(calls.last().map(|call| call.id), Some(next), "a page goes on after its last call");
            filter = filter.after(next);
        }
        assert_eq!(calls, whole, "limit {limit}");
    }
    for state in [CallState::Scheduled, CallState::Cancelled] {
        let whole = fixture.listed(state).await;
        let first = page(fixture, &CallFilter::new().state(state).limit(4)).await;
        let second =
            page(fixture, &CallFilter::new().state(state).limit(4).after(first.next.expect("more"))).await;
        assert_eq!([first.calls, second.calls].concat(), whole);
        assert_eq!(second.next, None);
    }
}

async fn pages_of_one_state_go_on_from_a_call_that_moved(fixture: &Fixture) {
    let calls: Vec<_> = (0..4).map(|n| call_at("work", n)).collect();
    fixture.add(&calls).await;
    let scheduled = CallFilter::new().state(CallState::Scheduled);
    let first = page(fixture, &scheduled.clone().limit(2)).await;
    assert_eq!(first.next, Some(calls[1].id));
    // By the time the next page is asked for, the first has been run.
    let pod = fixture.pod();
    for claimed in pod.claim(at(1), &["work"], 10).await {
        assert!(pod.finish(at(2), &claimed, Outcome::Succeeded).await);
    }
    let second = page(fixture, &scheduled.limit(2).after(calls[1].id)).await;
    assert_eq!(second.calls.iter().map(|call| call.id).collect::<Vec<_>>(), [calls[2].id, calls[3].id]);
}

async fn a_page_after_nothing_known_is_empty(fixture: &Fixture) {
    fixture.add(&[call("a"), call("b")]).await;
    finish_in_order(fixture, &["b"], 1).await;
    for state in [None, Some(CallState::Scheduled), Some(CallState::Failed)] {
        let mut filter = CallFilter::new().after(CallId::new());
        filter.state = state;
        assert_eq!(page(fixture, &filter).await, CallPage::default());
    }
}

async fn limits_are_clamped(fixture: &Fixture) {
    fixture.add(&(0..120).map(|_| call("work")).collect::<Vec<_>>()).await;
    let with_limit = |limit| {
        let mut filter = CallFilter::new();
        filter.limit = limit;
        filter
    };
    assert_eq!(page(fixture, &CallFilter::new()).await.calls.len(), 100);
    assert_eq!(page(fixture, &with_limit(0)).await.calls.len(), 1);
    assert_eq!(page(fixture, &with_limit(usize::MAX)).await.calls.len(), 120);
}

async fn counts_tell_the_states_apart(fixture: &Fixture) {
    fixture.add(&[call_at("later", 100), call_at("later", 50), call("due"), labelled("gone", "x")]).await;
    fixture.add(&["a", "b", "c", "d", "e"].map(call)).await;
    finish_in_order(fixture, &["a", "b", "c"], 1).await;
    let pod = fixture.pod();
    pod.claim_one(at(5), "d").await;
    fixture.cancel(at(5), &identifier("x")).await;
    let counts = fixture.store.counts(Now::At(at(50)), u64::MAX).await.unwrap();
    assert_eq!((counts.scheduled, counts.due, counts.running), (4, 3, 1));
    assert_eq!((counts.succeeded, counts.failed, counts.cancelled), (1, 2, 1));
    assert_eq!((counts.interrupted, counts.expired, counts.skipped), (0, 0, 0));
    fixture.rescue(at(50)).await;
    let counts = fixture.store.counts(Now::At(at(49)), u64::MAX).await.unwrap();
    assert_eq!((counts.running, counts.interrupted, counts.due), (0, 1, 2));
}

async fn pending_names_are_counted_up_to_a_cap(fixture: &Fixture) {
    let calls: Vec<_> = ["b", "a", "b", "c", "b"].map(call).into_iter().chain([call_at("a", 999)]).collect();
    fixture.add(&calls).await;
    finish_in_order(fixture, &["c"], 1).await;
    let counted = async |cap| {
        let mut names = fixture.store.pending_names(Now::At(Moment::MAX), cap).await.unwrap();
        names.sort();
        names
    };
    let named = |counts: [(&str, u64); 2]| {
        counts.map(|(name, count)| PendingName::new(name.to_owned(), count)).to_vec()
    };
    assert_eq!(counted(1_000).await, named([("a", 2), ("b", 3)]));
    assert_eq!(counted(3).await, named([("a", 2), ("b", 3)]));
    assert_eq!(counted(2).await, named([("a", 2), ("b", 2)]));
}

/// A call with these arguments.
fn with(form: i16, args: &str, seconds: i64) -> NewCall {
    NewCall { args: args.to_owned(), format: form, ..call_at("keyed", seconds) }
}

/// Of each set of keys of the calls "keyed": the form, the keys, how many calls, and when the first ones are due.
async fn sets(
    fixture: &Fixture,
    from: Option<i64>,
    calls: u64,
    first: usize,
) -> Vec<(i16, Option<String>, u64, Vec<Moment>)> {
    let names = ["gone", "keyed", "keyed"].map(str::to_owned).to_vec();
    let look = KeysLook { names, from: from.map(at), calls, first };
    let found = fixture.store.pending_keys(Now::At(at(0)), &look).await.unwrap();
    assert!(found.iter().all(|found| found.name == "keyed") && found.len() <= 1, "{found:?}");
    let set = |set: KeySet| {
        assert!(set.first.iter().all(|call| call.name == "keyed" && call.format == set.format), "{set:?}");
        let keys = set.keys.map(|keys| keys.into_iter().collect::<Vec<_>>().join(","));
        (set.format, keys, set.calls, set.first.iter().map(|call| call.due).collect())
    };
    found.into_iter().flat_map(|found| found.sets).map(set).collect()
}

async fn sets_of_keys_are_told_apart(fixture: &Fixture) {
    assert_eq!(sets(fixture, None, 100, 9).await, []);
    let claimed = with(1, r#"{"claimed":1}"#, 1);
    fixture.add(&[claimed, NewCall { args: r#"{"other":1}"#.to_owned(), ..call("other") }]).await;
    fixture.pod().claim_one(at(1), "keyed").await;
    assert_eq!(sets(fixture, None, 100, 9).await, [], "what runs does not wait");
    let low = NewCall { priority: 5, ..with(1, r#"{ "user" : 1, "text": {"deep": 1} }"#, 11) };
    fixture
        .add(&[
            with(1, r#"{"user":1,"text":"x"}"#, 13),
            low,
            with(1, r#"{"text":"{}", "user":[]}"#, 12),
            with(1, r#"{"text":1,"user":2,"text":3}"#, 14),
            with(1, r#"{"user":1,"words":"x"}"#, 20),
            with(1, "{}", 30),
            with(1, r#"["user","text"]"#, 42),
            with(1, "7", 40),
            with(1, "null", 41),
            with(2, r#"{"data":{"user":1,"text":"x"}}"#, 50),
            with(2, r#"{"data":[1]}"#, 61),
            with(2, r#"{"data":null}"#, 60),
            with(2, "{}", 70),
            with(2, r#"{"data":{}}"#, 71),
        ])
        .await;
    let expected = [
        (1, Some("text,user"), 4, [11, 12, 13].as_slice()),
        (1, Some("user,words"), 1, &[20]),
        (1, Some(""), 1, &[30]),
        (1, None, 3, &[40, 41, 42]),
        (2, Some("text,user"), 1, &[50]),
        (2, None, 2, &[60, 61]),
        (2, Some(""), 2, &[70, 71]),
    ];
    let expected = expected.map(|(form, keys, calls, first)| {
        (form, keys.map(str::to_owned), calls, first.iter().map(|seconds| at(*seconds)).collect::<Vec<_>>())
    });
    assert_eq!(sets(fixture, None, 100, 3).await, expected);
    assert_eq!(sets(fixture, Some(20), 100, 3).await, expected[1..]);
    assert_eq!(sets(fixture, Some(72), 100, 3).await, []);
}

async fn a_look_at_keys_is_bounded(fixture: &Fixture) {
    let many: Vec<_> = (0..60).map(|n| with(1, &format!("{{\"key {n:02}\":1}}"), n)).collect();
    fixture.add(&many).await;
    let found = sets(fixture, None, 1_000, 1).await;
    let expected: Vec<_> = (0..50).map(|n| (1, Some(format!("key {n:02}")), 1, vec![at(n)])).collect();
    assert_eq!(found, expected, "no more than fifty sets");
    let found = sets(fixture, None, 7, 1).await;
    assert_eq!(found, expected[..7], "no more than seven calls");
    fixture.add(&[NewCall { priority: -1, ..with(1, r#"{"high":1}"#, 99) }]).await;
    let found = sets(fixture, None, 6, 1).await;
    assert_eq!((found.len(), &found[..3]), (4, &expected[..3]), "half of them in each priority");
    assert_eq!(sets(fixture, None, 0, 0).await.len(), 2, "one of each priority at least");
    // As large as several calls may be together; random, so that no database makes them small.
    let large = || (0..200).map(|_| CallId::new().to_string()).collect::<String>();
    let large: Vec<_> =
        (0..10).map(|n| with(1, &format!("{{\"large\":\"{}\"}}", large()), 1_000 + n)).collect();
    fixture.add(&large).await;
    let found = sets(fixture, Some(1_000), 10, 10).await;
    assert!(found.len() == 1 && (1..5).contains(&found[0].2), "{found:?}");
}

async fn no_argument_fails_a_look_at_keys(fixture: &Fixture) {
    let odd = [
        r#"{"nul":"\u0000","\u0000":1}"#,
        r#"{"nul":"\ud800 \udc00\\u0000\\\u0001 C:\\users"}"#,
        r#"{"nul":"\\","\\u":1}"#,
        r#"{"nul":"\"}{\u007b\""}"#,
    ];
    let calls: Vec<_> = (0..).zip(odd).map(|(n, args)| with(1, args, n)).collect();
    fixture.add(&calls).await;
    let found = sets(fixture, None, 100, 1).await;
    let keys: Vec<_> = found.iter().map(|(_, keys, calls, _)| (keys.as_deref().unwrap(), *calls)).collect();
    assert_eq!(keys, [("/u0000,nul", 1), ("nul", 2), ("/u,nul", 1)]);
    // Deeper than some readers go: what is found of it is left to the store.
    let deep = format!("{{\"deep\":{}{}}}", "[".repeat(1_500), "]".repeat(1_500));
    let by_name = format!("{{\"data\":{deep}}}");
    fixture.add(&[with(1, &deep, 100), with(2, &by_name, 101)]).await;
    let found = sets(fixture, Some(100), 100, 1).await;
    assert_eq!(found.iter().map(|set| set.2).sum::<u64>(), 2, "{found:?}");
}

async fn a_pod_is_shown_with_its_last_heartbeat(fixture: &Fixture) {
    let first = beat(PodId::new());
    fixture.store.beat(Now::At(at(0)), &first).await.unwrap();
    let names = ["z.last", "a.first", "quote'\" , {}"].map(str::to_owned).to_vec();
    let keys = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
    let redacted = BTreeMap::from([
        ("quote'\" , {}".to_owned(), keys(&["pässword", "old \"pin\""])),
        ("a.first".to_owned(), keys(&["data"])),
    ]);
    let label = "höst:2".to_owned();
    let said = PodBeat { names, redacted, label, slots: 9, running: 65_535, ..first };
    fixture.other.beat(Now::At(at(10)), &said).await.unwrap();
    let pods = fixture.store.pods(Now::At(at(20)), secs(15)).await.unwrap();
    assert_eq!(pods.len(), 1);
    let pod = &pods[0];
    assert_eq!(
        (pod.id, &pod.label, &pod.role, &pod.version),
        (said.id, &said.label, &said.role, &said.version)
    );
    assert_eq!((&pod.names, pod.slots, pod.running), (&said.names, 9, 65_535));
    assert_eq!(pod.redacted, said.redacted);
    assert_eq!((pod.started, pod.beat, pod.live), (at(0), at(10), true));
}

async fn pods_stand_newest_first_and_say_who_lives(fixture: &Fixture) {
    let pods: Vec<_> = (0..4).map(|_| beat(PodId::new())).collect();
    for (pod, seconds) in pods.iter().zip([30, 10, 40, 20]) {
        fixture.store.beat(Now::At(at(seconds)), pod).await.unwrap();
    }
    let shown = fixture.store.pods(Now::At(at(45)), secs(20)).await.unwrap();
    assert_eq!(shown.iter().map(|pod| pod.beat).collect::<Vec<_>>(), [40, 30, 20, 10].map(at));
    assert_eq!(shown.iter().map(|pod| pod.live).collect::<Vec<_>>(), [true, true, false, false]);
    let distinct: BTreeSet<_> = shown.iter().map(|pod| pod.id).collect();
    assert_eq!(distinct, pods.iter().map(|pod| pod.id).collect());
}

async fn a_pod_that_leaves_is_gone(fixture: &Fixture) {
    let (stays, leaves) = (beat(PodId::new()), beat(PodId::new()));
    for pod in [&stays, &leaves] {
        fixture.store.beat(Now::At(at(0)), pod).await.unwrap();
    }
    for _ in 0..2 {
        fixture.other.leave(leaves.id).await.unwrap();
        let shown = fixture.store.pods(Now::At(at(1)), secs(60)).await.unwrap();
        assert_eq!(shown.iter().map(|pod| pod.id).collect::<Vec<_>>(), [stays.id]);
    }
}

async fn a_pod_not_heard_of_for_a_day_is_forgotten(fixture: &Fixture) {
    const DAY: i64 = 86_400;
    let (old, new) = (beat(PodId::new()), beat(PodId::new()));
    fixture.store.beat(Now::At(at(0)), &old).await.unwrap();
    fixture.store.beat(Now::At(at(DAY - 1)), &new).await.unwrap();
    let shown = async |now: Moment| {
        let pods = fixture.store.pods(Now::At(now), Duration::from_hours(1)).await.unwrap();
        pods.iter().map(|pod| (pod.id, pod.live)).collect::<Vec<_>>()
    };
    assert_eq!(shown(at(DAY - 1)).await, [(new.id, true), (old.id, false)]);
    assert_eq!(shown(at(DAY + 1)).await, [(new.id, true)]);
    fixture.store.beat(Now::At(at(DAY + 1)), &new).await.unwrap();
    assert_eq!(shown(at(DAY - 1)).await, [(new.id, true)], "its row is gone");
}
