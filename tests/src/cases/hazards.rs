use std::collections::BTreeMap;
use std::time::Duration;

use futurecall_runtime::store::{
    CallFilter, CallState, Cancelled, ClaimRequest, Due, Finish, Finished, Inserted, Lease, LivePod, NewCall,
    NewSchedule, Now, Outcome, PodBeat, Retention,
};
use futurecall_runtime::{Moment, PodId, StoreError};

use crate::cases::inspect::beat;
use crate::make::{
    KEEP, LEASE, SOON, at, call, every, failed, finish, held, identifier, ids, labelled, schedule, secs,
};
use crate::suite::{Fixture, cases};

cases![
    arguments_come_back_to_the_byte,
    arguments_of_a_schedule_come_back_to_the_byte,
    a_mebibyte_of_arguments_comes_back,
    texts_come_back_as_they_are,
    names_come_back_as_they_are,
    errors_come_back_as_they_are,
    nul_is_refused_in_a_call,
    nul_is_refused_wherever_a_text_is_given,
    both_ends_of_time_can_be_stored,
    the_last_moment_can_be_lived,
    numbers_at_both_ends_come_back,
    endless_durations_do_no_harm,
    limits_without_end_do_no_harm,
    ten_thousand_calls_at_once,
    what_an_index_of_the_application_refuses_is_not_taken_for_stored,
];

/// Arguments that lose something as soon as a database or a parser looks at them as values.
fn odd_arguments() -> Vec<String> {
    let deep = format!(r#"{{"deep": {}1{}}}"#, "[".repeat(99), "]".repeat(99));
    let texts = [
        "{}",
        "{ }",
        r#"{"a": "\u0000", "b": "x\u0000y"}"#,
        r#"{"a": 1, "a": 2}"#,
        r#"{"z": 1, "a": 2, "m": 3}"#,
        r#"{"zero": -0.0, "also": -0, "exponent": 1E+2, "trailing": 1.10}"#,
        r#"{"huge": 1e400, "tiny": 1e-400}"#,
        r#"{"big": 123456789012345678901234567890, "max": 18446744073709551615}"#,
        r#"{"fine": 0.1000000000000000055511151231257827021181583404541015625}"#,
        "{\n\t\"white\" :  [ 1 ,2 ]\r\n}",
        r#"{"escapes": "\/ \u00e9 \ud83d\ude00 \b\f\n\r\t \" \\"}"#,
        "{\"plain\": \"é 😀 \u{202e}rtl \u{feff} \u{2028}\"}",
        "{\"e\u{301}\": 1, \"\u{e9}\": 2, \"\": 3}",
        r#"{"sql": "'; DROP TABLE call; --", "like": "%_", "param": "$1 ?1 :a @b"}"#,
        r#"{"data": null}"#,
        &deep,
    ];
    texts.map(str::to_owned).to_vec()
}

/// Labels that break quoting, patterns, terminals or collations, none of them with NUL.
fn odd_texts() -> Vec<String> {
    let texts = [
        "plain",
        "'; DROP TABLE call; --",
        "\"double\" 'single' `back` $$dollar$$ $1 ?1 :a",
        "100%",
        "under_score",
        "back\\slash",
        "{a,\"b\",NULL}",
        "[\"json\"]",
        "null",
        " leading and trailing ",
        "tab\tand\nnewline\r\n",
        "\u{1b}[31mred\u{7}",
        "\u{202e}right to left",
        "עברית العربية",
        "\u{e9} against e\u{301}",
        "<script>alert(1)</script>",
        "\u{10ffff}\u{fffd}\u{feff}",
    ];
    let mut texts: Vec<_> = texts.map(str::to_owned).to_vec();
    texts.push("😀".repeat(255));
    texts.push("x".repeat(255));
    texts
}

async fn arguments_come_back_to_the_byte(fixture: &Fixture) {
    let all = odd_arguments();
    let calls: Vec<_> = all.iter().map(|args| NewCall { args: args.clone(), ..call("work") }).collect();
    fixture.add(&calls).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 100).await;
    assert_eq!(claimed.iter().map(|call| &call.args).collect::<Vec<_>>(), all.iter().collect::<Vec<_>>());
    for found in pod.store.find_claim(pod.id, claimed[0].claim_no).await.unwrap() {
        let given = calls.iter().find(|call| call.id == found.id).expect("one of them");
        assert_eq!(found.args, given.args);
    }
    for (call, args) in claimed.iter().zip(&all) {
        assert_eq!(&fixture.record(call.id).await.args, args);
        assert!(pod.finish(at(1), call, Outcome::Succeeded).await);
        assert_eq!(&fixture.record(call.id).await.args, args, "in the history");
    }
}

async fn arguments_of_a_schedule_come_back_to_the_byte(fixture: &Fixture) {
    for (n, args) in odd_arguments().into_iter().enumerate() {
        let mut given = schedule(&format!("key {n}"), every(60));
        given.name = format!("name {n}");
        given.args.clone_from(&args);
        fixture.declare(at(0), &given).await;
        let again = fixture.store.declare(Now::At(at(1)), std::slice::from_ref(&given)).await.unwrap();
        assert!(!again[0].changed, "{args}");
        let pod = fixture.pod();
        assert_eq!(pod.claim_one(at(60), &given.name).await.args, args);
        let records = fixture.list(CallFilter::new().name(&given.name)).await;
        assert!(
            records.len() == 2 && records.iter().all(|record| record.args == args),
            "the successor as well"
        );
    }
}

async fn a_mebibyte_of_arguments_comes_back(fixture: &Fixture) {
    // Nothing that compresses to nothing.
    let noise: String = (0_u32..)
        .map(|n| char::from(b'!' + (n.wrapping_mul(2_654_435_761) >> 26) as u8))
        .take(1 << 20)
        .collect();
    let args = serde_json::json!({ "noise": noise }).to_string();
    assert!(args.len() > 1 << 20);
    let big = NewCall { args, ..call("work") };
    fixture.add(&[big.clone(), call("work")]).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 10).await;
    assert!(claimed[0].args == big.args, "the arguments came back changed");
    assert!(pod.finish(at(1), &claimed[0], failed(&big.args)).await);
    let record = fixture.record(big.id).await;
    assert!(record.args == big.args && record.error == Some(big.args), "the history changed them");
}

async fn texts_come_back_as_they_are(fixture: &Fixture) {
    let all = odd_texts();
    let calls: Vec<_> = all
        .iter()
        .map(|text| NewCall { traceparent: Some(text.clone()), ..labelled("work", text) })
        .collect();
    fixture.add(&calls).await;
    for (n, text) in all.iter().enumerate() {
        let found = fixture.list(CallFilter::new().identifier(text)).await;
        assert_eq!(found.len(), 1, "{text:?}");
        assert_eq!((found[0].id, found[0].identifier.as_ref()), (calls[n].id, Some(text)));
    }
    for text in &all[..5] {
        assert_eq!(fixture.cancel(at(1), &identifier(text)).await, Cancelled::new(1, 0, 0), "{text:?}");
    }
    let claimed = fixture.pod().claim(at(1), &["work"], 100).await;
    assert_eq!(claimed.len(), all.len() - 5);
    for (call, text) in claimed.iter().zip(&all[5..]) {
        assert_eq!((call.identifier.as_ref(), call.traceparent.as_ref()), (Some(text), Some(text)));
    }
}

async fn names_come_back_as_they_are(fixture: &Fixture) {
    let all = odd_texts();
    fixture.add(&all.iter().map(|name| call(name)).collect::<Vec<_>>()).await;
    let mut pending: Vec<_> = fixture
        .store
        .pending_names(Now::At(Moment::MAX), 10)
        .await
        .unwrap()
        .into_iter()
        .map(|pending| pending.name)
        .collect();
    pending.sort();
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(pending, sorted);
    let mut said = beat(PodId::new());
    (said.names, said.schedules) = (all.clone(), all.clone());
    fixture.store.beat(Now::At(at(0)), &said).await.unwrap();
    assert_eq!(fixture.store.pods(Now::At(at(0)), secs(1)).await.unwrap()[0].names, all);
    for name in &all {
        let pod = fixture.pod();
        let claimed = pod.claim_one(at(0), name).await;
        assert_eq!(&claimed.name, name);
        assert!(pod.finish(at(1), &claimed, Outcome::Succeeded).await);
        assert_eq!(fixture.list(CallFilter::new().name(name)).await.len(), 1, "{name:?}");
    }
}

async fn errors_come_back_as_they_are(fixture: &Fixture) {
    let all = odd_texts();
    fixture.add(&all.iter().map(|_| call("work")).collect::<Vec<_>>()).await;
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 100).await;
    let batch: Vec<_> = claimed.iter().zip(&all).map(|(call, text)| finish(call, failed(text))).collect();
    let results = pod.store.finish(Now::At(at(1)), pod.id, &batch, &KEEP).await.unwrap();
    assert_eq!(results, vec![Finished::Recorded; all.len()]);
    for (call, text) in claimed.iter().zip(&all) {
        assert_eq!(fixture.record(call.id).await.error.as_ref(), Some(text));
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(what: &str, result: Result<T, StoreError>) {
    let error = result.expect_err(what);
    assert!(error.is_refused() && !error.is_transient(), "{what}: {error}");
}

async fn nul_is_refused_in_a_call(fixture: &Fixture) {
    let nul = || Some("a\0b".to_owned());
    let calls = [
        NewCall { name: "a\0b".to_owned(), ..call("work") },
        NewCall { identifier: nul(), ..call("work") },
        NewCall { args: "{\"a\": \"\0\"}".to_owned(), ..call("work") },
        NewCall { traceparent: nul(), ..call("work") },
    ];
    for bad in calls {
        let batch = [call("work"), bad];
        for again in [false, true] {
            let result = fixture.store.insert(Now::At(at(0)), &batch, again, SOON).await;
            assert_refused(&format!("{:?}", batch[1]), result);
        }
    }
    assert_eq!(fixture.list(CallFilter::new()).await, [], "nor is the other call of the batch stored");
    fixture.add(&[call("work")]).await;
}

async fn nul_is_refused_wherever_a_text_is_given(fixture: &Fixture) {
    const NUL: &str = "a\0b";
    fixture.add(&[labelled("work", "a"), labelled("play", "a")]).await;
    let (store, now) = (&fixture.store, Now::At(at(1)));
    let pod = fixture.pod();
    let claimed = pod.claim_one(at(0), "work").await;
    let waiting = fixture.the_pending().await;

    assert_refused("cancel", store.cancel(now, &identifier(NUL), &KEEP).await);
    assert_refused("claim", store.claim(now, &pod.request(&["work", NUL], 10)).await);
    assert_refused("name filter", store.calls(now, &CallFilter::new().name(NUL)).await);
    assert_refused("identifier filter", store.calls(now, &CallFilter::new().identifier(NUL)).await);
    assert_refused("discard", store.discard(now, &[(waiting.id, NUL.to_owned())], &KEEP).await);
    assert_refused("finish", store.finish(now, pod.id, &[finish(&claimed, failed(NUL))], &KEEP).await);
    let nul = || NUL.to_owned();
    let declared = schedule("key", every(60));
    for given in [
        NewSchedule { key: nul(), ..declared.clone() },
        NewSchedule { name: nul(), ..declared.clone() },
        NewSchedule { args: nul(), ..declared.clone() },
        NewSchedule { identifier: Some(nul()), ..declared.clone() },
    ] {
        assert_refused("declare", store.declare(now, &[schedule("good", every(60)), given]).await);
    }
    let said = beat(pod.id);
    for said in [
        PodBeat { label: nul(), ..said.clone() },
        PodBeat { role: nul(), ..said.clone() },
        PodBeat { version: nul(), ..said.clone() },
        PodBeat { names: vec![nul()], ..said.clone() },
        PodBeat { schedules: vec![nul()], ..said.clone() },
        PodBeat { redacted: BTreeMap::from([("work".to_owned(), vec![nul()])]), ..said.clone() },
        PodBeat { redacted: BTreeMap::from([(nul(), Vec::new())]), ..said.clone() },
    ] {
        assert_refused("beat", store.beat(now, &said).await);
    }

    assert_eq!(fixture.state(claimed.id).await, CallState::Running);
    assert_eq!(fixture.state(waiting.id).await, CallState::Scheduled);
    assert_eq!(store.schedules().await.unwrap(), []);
    assert_eq!(store.pods(now, secs(60)).await.unwrap(), []);
    assert!(pod.finish(at(1), &claimed, failed("without it")).await);
}

async fn both_ends_of_time_can_be_stored(fixture: &Fixture) {
    let due = |due| NewCall { due: Due::At(due), ..call("work") };
    let calls = [due(Moment::MIN), due(at(0)), due(Moment::MAX)];
    fixture.add(&calls).await;
    let listed: Vec<_> = fixture.list(CallFilter::new()).await.into_iter().map(|call| call.due).collect();
    assert_eq!(listed, [Moment::MIN, at(0), Moment::MAX], "in order");
    let pod = fixture.pod();
    let claim = pod.ask(Moment::MIN, &["work"], 10).await;
    assert_eq!(ids(&claim.calls), [calls[0].id], "the very first moment");
    assert_eq!(claim.next, Some(at(0).saturating_since(Moment::MIN)));
    let claim = pod.ask(at(0), &["work"], 10).await;
    assert_eq!(
        (ids(&claim.calls), claim.next),
        (vec![calls[1].id], Some(Moment::MAX.saturating_since(at(0))))
    );
    assert_eq!(pod.claim_one(Moment::MAX, "work").await.due, Moment::MAX);
}

async fn the_last_moment_can_be_lived(fixture: &Fixture) {
    fixture.add(&[labelled("work", "x"), labelled("play", "x")]).await;
    let pod = fixture.pod();
    // No lease can end after the last moment: it ends with it.
    let claimed = pod.claim_one(Moment::MAX, "work").await;
    assert_eq!(fixture.record(claimed.id).await.lease_until, Some(Moment::MAX));
    assert_eq!(pod.renew(Moment::MAX, &claimed).await.lease, Lease::Held);
    assert_eq!(fixture.rescue(Moment::MAX).await, []);
    assert!(pod.finish(Moment::MAX, &claimed, Outcome::Succeeded).await);
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.finished), (CallState::Succeeded, Some(Moment::MAX)));
    let result = fixture.store.insert(Now::At(Moment::MAX), &[call("work")], false, SOON).await.unwrap();
    assert_eq!(result, [Inserted::Stored]);
    assert_eq!(fixture.cancel(Moment::MAX, &identifier("x")).await, Cancelled::new(1, 0, 0));
}

async fn numbers_at_both_ends_come_back(fixture: &Fixture) {
    for (extreme, claim_no) in [(i16::MIN, i64::MIN), (i16::MAX, i64::MAX)] {
        fixture.add(&[NewCall { priority: extreme, format: extreme, ..call("work") }]).await;
        let pod = fixture.pod();
        let claim = pod.send(at(0), &ClaimRequest { claim_no, ..pod.request(&["work"], 10) }).await;
        let claimed = &claim.calls[0];
        assert_eq!((claimed.priority, claimed.format, claimed.claim_no), (extreme, extreme, claim_no));
        assert_eq!(pod.store.find_claim(pod.id, claim_no).await.unwrap().len(), 1);
        assert_eq!(pod.renew(at(1), claimed).await.lease, Lease::Held);
        assert!(pod.finish(at(1), claimed, Outcome::Succeeded).await);
    }
}

async fn endless_durations_do_no_harm(fixture: &Fixture) {
    let (store, endless) = (&fixture.store, Duration::MAX);
    store.insert(Now::At(at(0)), &[call("work"), call("play")], false, endless).await.unwrap();
    let pod = fixture.pod();
    let request = ClaimRequest { lease: endless, ..pod.request(&["work"], 10) };
    let claimed = pod.send(at(0), &request).await.calls.remove(0);
    let far = Moment::from_micros(Moment::MAX.as_micros() / 2).unwrap();
    assert!(fixture.record(claimed.id).await.lease_until > Some(far), "as long as the store can count");
    let renewed = store.renew(Now::At(at(1)), pod.id, &[held(&claimed)], endless).await.unwrap();
    assert_eq!(renewed[0].lease, Lease::Held);
    let long =
        Finish { started_after: Some(endless), ran_for: endless, ..finish(&claimed, Outcome::Succeeded) };
    assert_eq!(store.finish(Now::At(at(1)), pod.id, &[long], &KEEP).await.unwrap(), [Finished::Recorded]);
    assert_eq!(fixture.state(claimed.id).await, CallState::Succeeded);

    let forever = Retention {
        succeeded: endless,
        failed: endless,
        interrupted: endless,
        cancelled: endless,
        skipped: endless,
    };
    assert_eq!(store.prune(Now::At(Moment::MAX), &forever, 10).await.unwrap(), 0);
    store.beat(Now::At(at(0)), &beat(pod.id)).await.unwrap();
    assert!(store.pods(Now::At(at(1)), endless).await.unwrap()[0].live);
    let live = LivePod { pod_live: endless, ..LivePod::default() };
    assert_eq!(store.end_undeclared(Now::At(at(1)), &live, endless).await.unwrap(), 0);
}

async fn limits_without_end_do_no_harm(fixture: &Fixture) {
    fixture.add(&[call("work"), call("work")]).await;
    let pod = fixture.pod();
    assert_eq!(pod.claim(at(0), &["work"], usize::MAX).await.len(), 2);
    let rescued = fixture.store.rescue(Now::At(at(60)), usize::MAX, &KEEP).await.unwrap();
    assert_eq!(rescued.len(), 2);
    assert_eq!(fixture.store.pending_names(Now::At(Moment::MAX), u64::MAX).await.unwrap(), []);
    assert_eq!(fixture.store.prune(Now::At(at(100_000)), &KEEP, usize::MAX).await.unwrap(), 2);
    assert_eq!(fixture.store.rescue(Now::At(at(60)), 0, &KEEP).await.unwrap(), []);
    assert_eq!(fixture.store.prune(Now::At(at(100_000)), &KEEP, 0).await.unwrap(), 0);
}

async fn ten_thousand_calls_at_once(fixture: &Fixture) {
    const ALL: usize = 10_000;
    let calls: Vec<_> = (0..ALL).map(|n| labelled("work", &format!("label {}", n % 10))).collect();
    fixture.add(&calls).await;
    let counts = fixture.store.counts(Now::At(at(0)), u64::MAX).await.unwrap();
    assert_eq!((counts.scheduled, counts.due), (10_000, 10_000));
    assert_eq!(fixture.cancel(at(0), &identifier("label 7")).await, Cancelled::new(1_000, 0, 0));
    let pod = fixture.pod();
    let claimed = pod.claim(at(0), &["work"], 20_000).await;
    assert_eq!(claimed.len(), 9_000);
    let all: Vec<_> = claimed.iter().map(held).collect();
    let renewed = pod.store.renew(Now::At(at(1)), pod.id, &all, LEASE).await.unwrap();
    assert!(renewed.len() == 9_000 && renewed.iter().all(|renewed| renewed.lease == Lease::Held));
    let (done, back) = claimed.split_at(5_000);
    let done: Vec<_> = done.iter().map(|call| finish(call, Outcome::Succeeded)).collect();
    assert_eq!(
        pod.store.finish(Now::At(at(2)), pod.id, &done, &KEEP).await.unwrap(),
        vec![Finished::Recorded; 5_000]
    );
    let back: Vec<_> = back.iter().map(held).collect();
    assert_eq!(pod.store.release(Now::At(at(2)), pod.id, &back, None).await.unwrap(), 4_000);
    let counts = fixture.store.counts(Now::At(at(2)), u64::MAX).await.unwrap();
    assert_eq!(
        (counts.scheduled, counts.running, counts.succeeded, counts.cancelled),
        (4_000, 0, 5_000, 1_000)
    );
}

/// Each user is to have one call. What that index refuses is no duplicate of a call that is stored already.
async fn what_an_index_of_the_application_refuses_is_not_taken_for_stored(fixture: &Fixture) {
    if !fixture.database.write("CREATE UNIQUE INDEX one_each ON {}call (identifier)").await {
        return;
    }
    let (pod, now) = (fixture.pod(), Now::At(at(0)));
    pod.store.insert(now, &[labelled("work", "user:7")], false, SOON).await.unwrap();
    let mut refusals = Vec::new();
    for again in [false, true] {
        for calls in [vec![labelled("work", "user:7")], vec![call("work"), labelled("work", "user:7")]] {
            refusals.push(pod.store.insert(now, &calls, again, SOON).await.map(drop));
        }
    }
    let request = pod.request(&["work"], 1);
    refusals.push(pod.store.insert_claimed(now, &labelled("work", "user:7"), &request).await.map(drop));
    for refused in refusals {
        let error = refused.expect_err("nothing was stored");
        assert!(error.is_refused() && !error.outcome_unknown(), "{error}");
    }
    assert_eq!(fixture.listed(CallState::Scheduled).await.len(), 1);
}
