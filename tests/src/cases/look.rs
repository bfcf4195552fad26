use futurecall_runtime::store::{CallFilter, CallRecord, CallState, NewCall, Now, Outcome, TimelineCount};
use futurecall_runtime::{CallId, Moment, PodId, ScheduleId};

use crate::make::{Pod, at, call, call_at, every, failed, identifier, labelled, retry, schedule};
use crate::suite::{Fixture, cases};

cases![
    every_filter_lets_through_what_it_says,
    a_stretch_of_time_goes_by_what_is_next_and_by_what_was,
    an_error_is_found_by_any_part_of_it,
    pages_of_hundreds_of_lanes_make_up_the_whole,
    what_is_looked_through_goes_on_from_page_to_page,
    counting_stops_at_its_cap,
    the_oldest_due_call_is_told,
    what_goes_before_a_call_is_counted,
    a_timeline_counts_by_name_and_stretch,
    settings_are_told_by_the_names_of_the_database,
];

/// Calls of every state, by two pods, with and without identifiers, priorities, errors and schedules.
async fn all_kinds(fixture: &Fixture) -> (ScheduleId, [Pod; 2]) {
    let nightly = fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let low = |call| NewCall { priority: 5, ..call };
    let mut calls = vec![call_at("later", 500), low(call_at("later", 400)), labelled("gone", "x")];
    for name in ["a", "b", "c", "d"] {
        calls.extend([call(name), labelled(name, "x"), low(labelled(name, "y"))]);
    }
    fixture.add(&calls).await;
    let pods = [fixture.pod(), fixture.other_pod()];
    for (n, pod) in pods.iter().enumerate() {
        for (m, call) in pod.claim(at(5), &[["a", "b"], ["c", "work"]][n], 10).await.iter().enumerate() {
            let outcome = match m % 4 {
                0 => Outcome::Succeeded,
                1 => failed("Connection refused"),
                2 => retry("not yet", 90),
                _ => continue,
            };
            assert!(pod.finish(at(6 + i64::try_from(m).unwrap()), call, outcome).await);
        }
    }
    fixture.cancel(at(20), &identifier("x")).await;
    for call in pods[0].claim(at(61), &["work"], 10).await {
        assert!(pods[0].finish(at(62), &call, failed("disk full")).await);
    }
    (nightly, pods)
}

/// By which moment the listing has it; none of these that run has been tried before.
fn moment(record: &CallRecord) -> Moment {
    record.finished.or(record.next_attempt).unwrap_or(record.due)
}

fn passes(filter: &CallFilter, record: &CallRecord) -> bool {
    filter.name.as_ref().is_none_or(|name| *name == record.name)
        && (filter.identifier.is_none() || filter.identifier == record.identifier)
        && filter.state.is_none_or(|state| state == record.state)
        && filter.schedule.is_none_or(|schedule| Some(schedule) == record.schedule)
        && filter.pod.is_none_or(|pod| Some(pod) == record.pod)
        && filter.since.is_none_or(|since| since <= moment(record))
        && filter.until.is_none_or(|until| moment(record) < until)
        && filter.error.as_ref().is_none_or(|text| {
            record.error.as_ref().is_some_and(|error| error.to_lowercase().contains(&text.to_lowercase()))
        })
}

fn both(filters: &[CallFilter], more: &[fn(CallFilter) -> CallFilter]) -> Vec<CallFilter> {
    filters.iter().flat_map(|filter| more.iter().map(|more| more(filter.clone()))).collect()
}

async fn every_filter_lets_through_what_it_says(fixture: &Fixture) {
    let (nightly, pods) = all_kinds(fixture).await;
    let all = fixture.list(CallFilter::new()).await;
    let states: std::collections::BTreeSet<_> = all.iter().map(|call| call.state).collect();
    assert!(states.len() >= 5, "{states:?}");

    let plain = CallFilter::new;
    let mut filters = vec![plain(), plain().schedule(nightly), plain().schedule(ScheduleId::new())];
    filters.extend(CallState::ALL.map(|state| plain().state(state)));
    filters.extend(pods.iter().map(|pod| plain().pod(pod.id)).chain([plain().pod(PodId::new())]));
    let filters = both(
        &filters,
        &[
            |filter| filter,
            |filter| filter.name("a"),
            |filter| filter.name("work"),
            |filter| filter.name("nobody"),
            |filter| filter.identifier("x"),
            |filter| filter.identifier("nightly"),
        ],
    );
    let filters = both(
        &filters,
        &[
            |filter| filter,
            |filter| filter.since(at(7)),
            |filter| filter.until(at(60)),
            |filter| filter.since(at(0)).until(at(20)),
            |filter| filter.error("REFUSED"),
            |filter| filter.error("e").since(at(3)),
        ],
    );
    let mut met = 0;
    for filter in filters {
        let expected: Vec<_> = all.iter().filter(|call| passes(&filter, call)).map(|call| call.id).collect();
        let found: Vec<_> = fixture.list(filter.clone()).await.iter().map(|call| call.id).collect();
        assert_eq!(found, expected, "{filter:?}");
        // Counted as a page is looked for, and however it is quickest.
        for cap in [1_000, u64::MAX] {
            let counted = fixture.other.count(Now::At(at(70)), &filter, cap).await.unwrap();
            assert_eq!(counted, expected.len() as u64, "{cap}: {filter:?}");
        }
        met += usize::from(!expected.is_empty());
    }
    assert!(met > 60, "only {met} of the filters let something through");
}

async fn a_stretch_of_time_goes_by_what_is_next_and_by_what_was(fixture: &Fixture) {
    fixture.add(&[call_at("retried", 1), call_at("over", 2), call_at("waits", 30)]).await;
    let pod = fixture.pod();
    let again = pod.claim_one(at(3), "retried").await;
    assert!(pod.finish(at(4), &again, retry("not yet", 26)).await);
    let over = pod.claim_one(at(5), "over").await;
    assert!(pod.finish(at(30), &over, Outcome::Succeeded).await);
    let names = async |from, until| -> Vec<String> {
        let calls = fixture.list(CallFilter::new().since(at(from)).until(at(until))).await;
        calls.into_iter().map(|call| call.name).collect()
    };
    assert_eq!(
        names(0, 30).await,
        Vec::<String>::new(),
        "the end is outside, and first moments do not count"
    );
    let mut all = names(30, 31).await;
    all.sort();
    assert_eq!(all, ["over", "retried", "waits"], "the beginning is inside");
    assert_eq!(names(31, 99).await, Vec::<String>::new());
    assert_eq!(names(30, 30).await, Vec::<String>::new());
}

async fn an_error_is_found_by_any_part_of_it(fixture: &Fixture) {
    let errors = ["Disk FULL at 100%", "disk_full", "diskXfull", "Größe", "a\\b 'c'", ""];
    fixture.add(&["a", "b", "c", "d", "e", "f", "fine"].map(call)).await;
    let pod = fixture.pod();
    for (name, error) in ["a", "b", "c", "d", "e", "f"].into_iter().zip(errors) {
        let claimed = pod.claim_one(at(1), name).await;
        assert!(pod.finish(at(2), &claimed, failed(error)).await);
    }
    let fine = pod.claim_one(at(1), "fine").await;
    assert!(pod.finish(at(2), &fine, Outcome::Succeeded).await);
    for (text, expected) in [
        ("disk", "abc"),
        ("DISK full", "a"),
        ("disk_full", "b"),
        ("0%", "a"),
        ("%", "a"),
        ("_", "b"),
        ("gRöSSe", ""),
        ("grö", "d"),
        ("GRÖ", ""),
        ("\\b", "e"),
        ("'C'", "e"),
        ("", "abcdef"),
        ("nothing of it", ""),
    ] {
        let filter = CallFilter::new().error(text);
        let mut names: Vec<_> =
            fixture.list(filter.clone()).await.into_iter().map(|call| call.name).collect();
        names.sort();
        assert_eq!(names.concat(), expected, "{text:?}");
        for cap in [100, 1_000_000] {
            let counted = fixture.store.count(Now::At(at(9)), &filter, cap).await.unwrap();
            assert_eq!(counted, expected.len() as u64, "{cap}: {text:?}");
        }
    }
    let refused = fixture.store.calls(Now::At(at(9)), &CallFilter::new().error("a\0b")).await.unwrap_err();
    assert!(refused.is_refused(), "{refused}");
    assert!(
        fixture
            .store
            .count(Now::At(at(9)), &CallFilter::new().name("a\0b"), 9)
            .await
            .unwrap_err()
            .is_refused()
    );
}

async fn pages_of_hundreds_of_lanes_make_up_the_whole(fixture: &Fixture) {
    const LANES: i64 = 230;
    let mut calls = Vec::new();
    for n in 0..LANES {
        calls.push(call_at(&format!("name {n}"), n * 7 % 50));
        calls.push(labelled(&format!("over {n}"), &format!("x{}", n % 3)));
    }
    fixture.add(&calls).await;
    fixture.pod().claim(at(40), &["name 0", "name 1", "name 229"], 10).await;
    for n in 0..3 {
        assert!(fixture.cancel(at(1 + n % 2), &identifier(&format!("x{n}"))).await.calls > 70);
    }
    let whole = fixture.list(CallFilter::new()).await;
    assert_eq!(whole.len(), calls.len());
    assert!(whole.iter().all(|call| call.state.is_finished() || call.name.starts_with("name")));
    for filter in
        [CallFilter::new(), CallFilter::new().error("c"), CallFilter::new().state(CallState::Cancelled)]
    {
        let expected: Vec<_> =
            whole.iter().filter(|call| passes(&filter, call)).map(|call| call.id).collect();
        let paged = in_pages(fixture, filter.limit(90)).await;
        assert_eq!(paged.iter().map(|call| call.id).collect::<Vec<_>>(), expected);
    }
    let counted = fixture.store.count(Now::At(at(50)), &CallFilter::new(), 10_000).await.unwrap();
    assert_eq!(counted, whole.len() as u64);
    let counts = fixture.store.counts(Now::At(at(50)), 10_000).await.unwrap();
    assert_eq!((counts.scheduled, counts.running, counts.cancelled), (227, 3, 230));
}

/// All pages, one after the other.
async fn in_pages(fixture: &Fixture, mut filter: CallFilter) -> Vec<CallRecord> {
    let mut calls = Vec::new();
    for _ in 0..1_000 {
        let page = fixture.store.calls(Now::At(at(70)), &filter).await.unwrap();
        assert!(page.calls.len() <= filter.limit);
        calls.extend(page.calls);
        match page.next {
            None => return calls,
            next => filter.after = next,
        }
    }
    panic!("the pages do not end: {filter:?}");
}

async fn what_is_looked_through_goes_on_from_page_to_page(fixture: &Fixture) {
    // More than a page looks through, and what is looked for stands behind them.
    const CROWD: usize = 10_050;
    let oldest = ["first", "second"].map(|name| labelled(name, "oldest"));
    fixture.add(&oldest).await;
    fixture.cancel(at(1), &identifier("oldest")).await;
    let crowd: Vec<_> = (0..CROWD).map(|_| labelled("crowd", "x")).collect();
    for calls in crowd.chunks(5_000) {
        fixture.add(calls).await;
    }
    assert_eq!(fixture.cancel(at(2), &identifier("x")).await.calls, CROWD as u64);
    fixture.add(&[call_at("waits", 900)]).await;
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(900), "waits").await;
    assert!(pod.finish(at(901), &claimed, failed("the needle")).await);

    // All in one page where nothing has to be looked through.
    let found = in_pages(fixture, CallFilter::new().error("needle")).await;
    assert_eq!(found.iter().map(|call| call.name.as_str()).collect::<Vec<_>>(), ["waits"]);
    let found = in_pages(fixture, CallFilter::new().identifier("oldest").error("cancel")).await;
    assert_eq!(found.len(), 2);
    let found = in_pages(fixture, CallFilter::new().identifier("x").error("no such text")).await;
    assert_eq!(found, []);
    let counted = async |text: &str, cap| {
        fixture.store.count(Now::At(at(950)), &CallFilter::new().error(text), cap).await.unwrap()
    };
    assert_eq!(counted("no such text", 10).await, 0);
    assert_eq!(counted("cancel", 10).await, 10);
    assert_eq!(counted("cancel", u64::MAX).await, CROWD as u64 + 2, "told to, it looks at all");
    // What stands behind more than a page looks through is on a later one.
    let mut filter = CallFilter::new().state(CallState::Cancelled).error("CANCEL").limit(10_000);
    let found = in_pages(fixture, filter.clone()).await;
    assert_eq!(found.len(), CROWD + 2);
    filter.pod = Some(pod.id);
    assert_eq!(in_pages(fixture, filter).await, []);
    assert_eq!(in_pages(fixture, CallFilter::new().pod(pod.id)).await.len(), 1);
}

async fn counting_stops_at_its_cap(fixture: &Fixture) {
    let mut calls: Vec<_> = (0..7).map(|n| labelled(["a", "b"][n % 2], "x")).collect();
    calls.extend((0..6).map(|n| call(["c", "d"][n % 2])));
    calls.extend((0..5).map(|_| call_at("later", 900)));
    fixture.add(&calls).await;
    fixture.pod().claim(at(1), &["c"], 10).await;
    fixture.cancel(at(2), &identifier("x")).await;
    let now = Now::At(at(3));
    for cap in [0, 1, 2, 3, 4, 6, 100, u64::MAX] {
        let counts = fixture.store.counts(now, cap).await.unwrap();
        let figures = (counts.scheduled, counts.due, counts.running, counts.cancelled, counts.failed);
        assert_eq!(figures, (8.min(cap), 3.min(cap), 3.min(cap), 7.min(cap), 0), "cap {cap}");
        let filter = CallFilter::new;
        for (filter, all) in [
            (filter(), 18),
            (filter().limit(2), 18),
            (filter().state(CallState::Scheduled), 8),
            (filter().state(CallState::Cancelled), 7),
            (filter().name("d"), 3),
            (filter().identifier("x"), 7),
            (filter().after(CallId::new()), 18),
        ] {
            let counted = fixture.store.count(now, &filter, cap).await.unwrap();
            assert_eq!(counted, all.min(cap), "cap {cap}: {filter:?}");
        }
    }
}

async fn the_oldest_due_call_is_told(fixture: &Fixture) {
    let oldest = async |seconds| fixture.store.counts(Now::At(at(seconds)), 10).await.unwrap().oldest_due;
    assert_eq!(oldest(0).await, None);
    fixture.add(&[call_at("a", 20), call_at("b", 10), call_at("b", 30)]).await;
    assert_eq!(oldest(9).await, None);
    assert_eq!(oldest(10).await, Some(at(10)));
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(15), "b").await;
    assert_eq!(oldest(19).await, None, "it runs");
    assert_eq!(oldest(25).await, Some(at(20)));
    assert!(pod.finish(at(25), &claimed, retry("not yet", 10)).await);
    assert_eq!(oldest(99).await, Some(at(20)));
}

async fn what_goes_before_a_call_is_counted(fixture: &Fixture) {
    let at_priority = |name: &str, seconds, priority| NewCall { priority, ..call_at(name, seconds) };
    let (asked, low) = (at_priority("a", 5, 0), at_priority("b", 1, 9));
    let mut calls = vec![asked.clone(), low.clone()];
    calls.extend([3, 4, 5, 6].map(|seconds| at_priority("a", seconds, 0)));
    calls.extend([1, 2, 90].map(|seconds| at_priority("b", seconds, -1)));
    calls.extend([1, 2].map(|seconds| at_priority("b", seconds, 0)));
    fixture.add(&calls).await;
    let ahead = async |seconds, id, cap| fixture.other.ahead(Now::At(at(seconds)), id, cap).await.unwrap();
    let same_moment = u64::from(calls[4].id < asked.id);
    assert_eq!(ahead(10, asked.id, 100).await, 2 + same_moment + 2, "its own lane, and the more urgent ones");
    assert_eq!(ahead(10, asked.id, 3).await, 3);
    assert_eq!(ahead(3, asked.id, 100).await, 1 + 2, "of what is due");
    assert_eq!(ahead(10, low.id, 100).await, 5 + 2 + 2);
    assert_eq!(ahead(99, low.id, 100).await, 5 + 3 + 2);
    let pod = fixture.pod();
    let taken = pod.claim(at(4), &["b"], 2).await;
    assert_eq!(taken.iter().map(|call| call.priority).collect::<Vec<_>>(), [-1, -1]);
    assert_eq!(ahead(10, asked.id, 100).await, 2 + same_moment, "what runs is not ahead any more");
    assert_eq!(ahead(10, taken[0].id, 100).await, 0);
    assert_eq!(ahead(10, CallId::new(), 100).await, 0);
    assert!(pod.finish(at(5), &taken[0], Outcome::Succeeded).await);
    assert_eq!(ahead(10, taken[0].id, 100).await, 0);
}

async fn a_timeline_counts_by_name_and_stretch(fixture: &Fixture) {
    let mut calls: Vec<_> = [0, 9, 10, 19, 20, 29, 30].map(|seconds| call_at("b", seconds)).into();
    calls.extend([12, 13].map(|seconds| call_at("a", seconds)));
    calls.push(NewCall { priority: 3, ..call_at("a", 14) });
    fixture.add(&calls).await;
    let pod = fixture.pod();
    pod.claim_one(at(5), "b").await;
    assert_eq!(pod.claim(at(12), &["a"], 1).await.len(), 1);
    let timeline = async |edges: &[i64], cap| {
        let edges: Vec<_> = edges.iter().copied().map(at).collect();
        fixture.other.timeline(Now::At(at(12)), &edges, cap).await.unwrap()
    };
    let count = |name: &str, stretch, calls| TimelineCount::new(name.to_owned(), stretch, calls);
    let edges = [0, 10, 20, 30];
    let whole = [count("a", 1, 2), count("b", 0, 1), count("b", 1, 2), count("b", 2, 2)];
    assert_eq!(timeline(&edges, 100).await, whole);
    let capped = [count("a", 1, 1), count("b", 0, 1), count("b", 1, 1), count("b", 2, 1)];
    assert_eq!(timeline(&edges, 1).await, capped);
    assert_eq!(timeline(&[30, 31], 100).await, [count("b", 0, 1)]);
    for none in [&[][..], &[0], &[31, 99]] {
        assert_eq!(timeline(none, 100).await, []);
    }
}

async fn settings_are_told_by_the_names_of_the_database(fixture: &Fixture) {
    let settings = fixture.store.settings().await.unwrap();
    let value = |name: &str| {
        settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
    };
    assert!(value("version").is_some_and(|version| version.contains('.')), "{settings:?}");
    let expected: &[(&str, &str)] = match fixture.store.kind() {
        "postgres" => &[("transaction_read_only", "off"), ("synchronous_commit", "on")],
        "sqlite" => &[("journal_mode", "wal"), ("synchronous", "2")],
        _ => &[],
    };
    for (name, setting) in expected {
        assert_eq!(value(name), Some(*setting), "{settings:?}");
    }
}
