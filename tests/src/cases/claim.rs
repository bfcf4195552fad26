use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futurecall_runtime::store::{CallState, ClaimRequest, Due, NewCall, Now, Outcome};
use futurecall_runtime::{CallId, Moment};
use futures_util::future::join_all;

use crate::make::{LEASE, Pod, SOON, at, call, call_at, every, held, ids, micros, new_ids, schedule, secs};
use crate::suite::{Fixture, cases};

cases![
    a_claim_takes_what_is_due_and_no_more,
    a_claim_holds_the_call,
    a_claimed_call_is_not_claimed_again,
    an_expired_lease_is_not_taken_by_a_claim,
    within_a_lane_the_oldest_goes_first,
    with_limit_one_calls_come_strictly_in_order,
    calls_of_one_moment_go_by_id,
    lower_priority_numbers_go_first,
    names_take_turns,
    turns_are_taken_within_the_limit,
    turns_keep_their_order_to_the_end_of_a_claim,
    priority_goes_before_turns,
    only_names_asked_for_are_claimed,
    a_name_asked_for_twice_counts_once,
    no_names_or_no_room_claims_nothing,
    many_names_at_once,
    until_leaves_later_calls,
    what_is_due_shortly_is_claimed_ahead,
    runs_of_schedules_are_not_claimed_ahead,
    a_claim_tells_the_time,
    without_a_sweep_what_is_due_is_claimed_all_the_same,
    next_is_exact,
    next_looks_at_the_names_asked_for_only,
    next_is_zero_when_more_is_due,
    a_lost_claim_is_found_by_its_number,
    claims_at_once_take_every_call_exactly_once,
];

/// Calls of one name, due at these seconds.
fn lane(name: &str, seconds: &[i64]) -> Vec<NewCall> {
    seconds.iter().map(|seconds| call_at(name, *seconds)).collect()
}

async fn a_claim_takes_what_is_due_and_no_more(fixture: &Fixture) {
    let calls: Vec<_> = [-1, 0, 1]
        .map(|offset| NewCall { due: Due::At(micros(offset)), ..call("work") })
        .into_iter()
        .collect();
    fixture.add(&calls).await;
    let pod = fixture.pod();
    assert_eq!(ids(&pod.claim(micros(-2), &["work"], 10).await), []);
    assert_eq!(ids(&pod.claim(micros(0), &["work"], 10).await), new_ids(&calls[..2]));
    assert_eq!(fixture.state(calls[2].id).await, CallState::Scheduled);
    assert_eq!(ids(&pod.claim(micros(1), &["work"], 10).await), new_ids(&calls[2..]));
}

async fn a_claim_holds_the_call(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    let request = ClaimRequest { claim_no: 41, ..pod.request(&["work"], 10) };
    let claim = pod.send(micros(5), &request).await;
    assert_eq!((claim.calls.len(), claim.skipped, claim.next), (1, 0, None));
    let claimed = &claim.calls[0];
    assert_eq!((claimed.claim_no, claimed.claimed, claimed.attempt), (41, micros(5), 1));
    assert_eq!((claimed.schedule, claimed.due), (None, at(0)));

    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.pod, record.attempt), (CallState::Running, Some(pod.id), 1));
    assert_eq!(record.lease_until, Some(micros(5).checked_add(LEASE).unwrap()));
    assert_eq!((record.start_proven, record.cancel_requested, record.finished), (Some(false), false, None));
    assert_eq!(record.attempts.len(), 1);
    let attempt = &record.attempts[0];
    assert_eq!((attempt.number, attempt.pod, attempt.outcome), (1, Some(pod.id), CallState::Running));
    assert_eq!((attempt.started, attempt.duration, &attempt.error), (None, None, &None));
}

async fn a_claimed_call_is_not_claimed_again(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod();
    pod.claim_one(at(0), "work").await;
    for other in [fixture.pod(), fixture.other_pod(), pod] {
        let claim = other.ask(at(1), &["work"], 10).await;
        assert_eq!((claim.calls.len(), claim.next), (0, None));
    }
}

async fn an_expired_lease_is_not_taken_by_a_claim(fixture: &Fixture) {
    fixture.add(&[call("work")]).await;
    let pod = fixture.pod().rerunning();
    let claimed = pod.claim_one(at(0), "work").await;
    let claim = fixture.other_pod().ask(at(3_600), &["work"], 10).await;
    assert_eq!((claim.calls.len(), claim.next), (0, None));
    let record = fixture.record(claimed.id).await;
    assert_eq!((record.state, record.pod), (CallState::Running, Some(pod.id)));
}

async fn within_a_lane_the_oldest_goes_first(fixture: &Fixture) {
    let mut calls = lane("work", &[3, 1, 2, -5, 0]);
    fixture.add(&calls).await;
    calls.sort_by_key(|call| match call.due {
        Due::At(moment) => moment,
        Due::After(_) => Moment::MAX,
    });
    assert_eq!(ids(&fixture.pod().claim(at(10), &["work"], 10).await), new_ids(&calls));
}

async fn with_limit_one_calls_come_strictly_in_order(fixture: &Fixture) {
    let calls = lane("work", &[0, 1, 2, 3, 4]);
    let mut shuffled = calls.clone();
    shuffled.rotate_left(3);
    fixture.add(&shuffled).await;
    let (one, two) = (fixture.pod(), fixture.other_pod());
    let mut order = Vec::new();
    for turn in 0..5 {
        let pod = if turn % 2 == 0 { &one } else { &two };
        order.extend(ids(&pod.claim(at(10), &["work"], 1).await));
    }
    assert_eq!(order, new_ids(&calls));
}

async fn calls_of_one_moment_go_by_id(fixture: &Fixture) {
    let calls = lane("work", &[0; 20]);
    let mut shuffled = calls.clone();
    shuffled.reverse();
    fixture.add(&shuffled).await;
    let pod = fixture.pod();
    let mut order = ids(&pod.claim(at(0), &["work"], 7).await);
    order.extend(ids(&pod.claim(at(0), &["work"], 100).await));
    assert_eq!(order, new_ids(&calls));
}

async fn lower_priority_numbers_go_first(fixture: &Fixture) {
    let calls: Vec<_> = [(i16::MIN, 9), (-1, 8), (0, 7), (1, 6), (i16::MAX, 0)]
        .map(|(priority, seconds)| NewCall { priority, ..call_at("work", seconds) })
        .into_iter()
        .collect();
    let mut shuffled = calls.clone();
    shuffled.reverse();
    fixture.add(&shuffled).await;
    let pod = fixture.pod();
    assert_eq!(ids(&pod.claim(at(10), &["work"], 2).await), new_ids(&calls[..2]));
    assert_eq!(ids(&pod.claim(at(10), &["work"], 10).await), new_ids(&calls[2..]));
}

async fn names_take_turns(fixture: &Fixture) {
    let (a, b, c) = (lane("a", &[1, 2, 3, 4]), lane("b", &[0, 9]), lane("c", &[5]));
    fixture.add(&[a.clone(), b.clone(), c.clone()].concat()).await;
    // Names in the order of their oldest call: b, a, c.
    let expected = [b[0].id, a[0].id, c[0].id, b[1].id, a[1].id, a[2].id, a[3].id];
    assert_eq!(ids(&fixture.pod().claim(at(10), &["a", "b", "c"], 100).await), expected);
}

async fn turns_are_taken_within_the_limit(fixture: &Fixture) {
    let (a, b) = (lane("a", &[0, 1, 2, 3, 4, 5]), lane("b", &[6, 7]));
    fixture.add(&[a.clone(), b.clone()].concat()).await;
    let pod = fixture.pod();
    assert_eq!(ids(&pod.claim(at(10), &["a", "b"], 3).await), [a[0].id, b[0].id, a[1].id]);
    assert_eq!(ids(&pod.claim(at(10), &["a", "b"], 3).await), [a[2].id, b[1].id, a[3].id]);
    assert_eq!(ids(&pod.claim(at(10), &["a", "b"], 3).await), [a[4].id, a[5].id]);
}

async fn turns_keep_their_order_to_the_end_of_a_claim(fixture: &Fixture) {
    // The oldest that is left after a round is of the name whose turn comes second.
    let (a, b) = (lane("a", &[0, 9, 10]), lane("b", &[1, 2, 3]));
    fixture.add(&[a.clone(), b.clone()].concat()).await;
    let pod = fixture.pod();
    assert_eq!(ids(&pod.claim(at(20), &["a", "b"], 3).await), [a[0].id, b[0].id, a[1].id]);
    assert_eq!(ids(&pod.claim(at(20), &["a", "b"], 3).await), [b[1].id, a[2].id, b[2].id]);
}

async fn priority_goes_before_turns(fixture: &Fixture) {
    let urgent: Vec<_> =
        lane("a", &[5, 6]).into_iter().map(|call| NewCall { priority: -1, ..call }).collect();
    let (a, b) = (lane("a", &[0]), lane("b", &[1]));
    fixture.add(&[a.clone(), b.clone(), urgent.clone()].concat()).await;
    let expected = [urgent[0].id, urgent[1].id, a[0].id, b[0].id];
    assert_eq!(ids(&fixture.pod().claim(at(10), &["b", "a"], 10).await), expected);
}

async fn only_names_asked_for_are_claimed(fixture: &Fixture) {
    let others: Vec<_> = (0..500).map(|_| call_at("unknown", -100)).collect();
    fixture.add(&others).await;
    fixture.add(&[call("work"), call("worker"), call("Work"), call("wor")]).await;
    let pod = fixture.pod();
    assert_eq!(pod.claim(at(0), &["work"], 100).await.len(), 1);
    assert_eq!(pod.claim(at(0), &["work", "w%", "_ork", ""], 100).await, []);
    let left = fixture.listed(CallState::Scheduled).await;
    assert_eq!(left.len(), 503);
    assert!(left.iter().all(|call| call.attempt == 0));
}

async fn a_name_asked_for_twice_counts_once(fixture: &Fixture) {
    let calls = lane("work", &[0, 1, 2]);
    fixture.add(&calls).await;
    assert_eq!(ids(&fixture.pod().claim(at(5), &["work", "work"], 2).await), new_ids(&calls[..2]));
}

async fn no_names_or_no_room_claims_nothing(fixture: &Fixture) {
    fixture.add(&[call("work"), call_at("work", 7)]).await;
    let pod = fixture.pod();
    let nothing = pod.ask(at(0), &[], 10).await;
    assert_eq!((nothing.calls.len(), nothing.next), (0, None));
    let no_room = pod.ask(at(0), &["work"], 0).await;
    assert_eq!((no_room.calls.len(), no_room.next), (0, Some(Duration::ZERO)));
    assert_eq!(fixture.listed(CallState::Scheduled).await.len(), 2);
}

async fn many_names_at_once(fixture: &Fixture) {
    let names: Vec<_> = (0..300).map(|n| format!("crate{n}.method")).collect();
    let calls: Vec<_> = names.iter().map(|name| call(name)).collect();
    fixture.add(&calls).await;
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let claimed = fixture.pod().claim(at(0), &names, 1_000).await;
    assert_eq!(ids(&claimed), new_ids(&calls), "one turn each, by age");
}

async fn until_leaves_later_calls(fixture: &Fixture) {
    let calls = lane("work", &[0, 5, 6]);
    fixture.add(&calls).await;
    let pod = fixture.pod();
    let request = |until| ClaimRequest { until: Some(until), ..pod.request(&["work"], 10) };
    assert_eq!(ids(&pod.send(at(10), &request(at(-1))).await.calls), []);
    assert_eq!(ids(&pod.send(at(10), &request(at(5))).await.calls), new_ids(&calls[..2]));
    assert_eq!(ids(&pod.send(at(5), &request(at(100))).await.calls), [], "it is not due yet");
    assert_eq!(ids(&pod.send(at(6), &request(at(6))).await.calls), new_ids(&calls[2..]));
}

async fn what_is_due_shortly_is_claimed_ahead(fixture: &Fixture) {
    let calls = lane("work", &[5, 6, 8, 9]);
    fixture.add(&calls).await;
    let pod = fixture.pod();
    let request = |ahead, limit| ClaimRequest { ahead: secs(ahead), ..pod.request(&["work"], limit) };
    let claim = pod.send(at(4), &request(0, 10)).await;
    assert_eq!((claim.calls.len(), claim.next), (0, Some(secs(1))));
    let claim = pod.send(at(4), &request(2, 1)).await;
    assert_eq!(ids(&claim.calls), [calls[0].id]);
    assert!(claim.next.is_some_and(|next| next <= secs(2)), "more may be had already");
    let claim = pod.send(at(4), &request(4, 10)).await;
    assert_eq!((ids(&claim.calls), claim.next), (new_ids(&calls[1..3]), Some(secs(5))));
    assert_eq!((claim.calls[0].claimed, claim.calls[0].due), (at(4), at(6)));
    let until = ClaimRequest { until: Some(at(8)), ..request(60, 10) };
    assert_eq!(ids(&pod.send(at(4), &until).await.calls), [], "until holds ahead as well");
}

async fn runs_of_schedules_are_not_claimed_ahead(fixture: &Fixture) {
    fixture.declare(at(0), &schedule("nightly", every(60))).await;
    let later = call_at("work", 61);
    fixture.add(std::slice::from_ref(&later)).await;
    let pod = fixture.pod();
    let request = ClaimRequest { ahead: secs(10), ..pod.request(&["work"], 10) };
    let claim = pod.send(at(55), &request).await;
    assert_eq!((ids(&claim.calls), claim.next), (vec![later.id], Some(secs(5))));
    let claim = pod.send(at(60), &request).await;
    assert_eq!((claim.calls.len(), claim.next), (1, Some(secs(60))));
    assert!(claim.calls[0].schedule.is_some());
}

async fn a_claim_tells_the_time(fixture: &Fixture) {
    let pod = fixture.pod();
    assert_eq!(pod.ask(at(7), &["work"], 1).await.now, Some(at(7)));
    fixture.add(&[call("work")]).await;
    assert_eq!(pod.ask(at(8), &["work"], 1).await.now, Some(at(8)));
}

async fn without_a_sweep_what_is_due_is_claimed_all_the_same(fixture: &Fixture) {
    let pod = fixture.pod();
    let request = |limit| ClaimRequest { sweep: false, ..pod.request(&["work", "play"], limit) };
    let calls: Vec<_> = lane("work", &[0, 1, 1, 2, 3, 4]);
    fixture.add(&calls).await;
    let other = call_at("play", 2);
    fixture.add(std::slice::from_ref(&other)).await;
    let mut claimed = Vec::new();
    // From now on only what was stored by somebody else behind what is claimed may be missed.
    for limit in [2, 1, 10] {
        claimed.extend(pod.send(at(10), &request(limit)).await.calls);
    }
    let all: BTreeSet<CallId> = claimed.iter().map(|call| call.id).collect();
    assert_eq!((claimed.len(), all.len()), (7, 7));
    // Stored by this handle itself: nothing is missed, however old it is, and whatever its priority.
    let behind = [call_at("work", -50), NewCall { priority: -7, ..call_at("play", -60) }];
    fixture.store.insert(Now::At(at(11)), &behind, false, SOON).await.unwrap();
    assert_eq!(ids(&pod.send(at(11), &request(10)).await.calls), [behind[1].id, behind[0].id]);
    // Given back: the same.
    let given: Vec<_> = claimed.iter().take(3).map(held).collect();
    assert_eq!(fixture.store.release(Now::At(at(12)), pod.id, &given, None).await.unwrap(), 3);
    assert_eq!(pod.send(at(12), &request(10)).await.calls.len(), 3);
    // Whatever is missed, the next sweep finds.
    let elsewhere = lane("work", &[-5, 3, 12]);
    fixture.other.insert(Now::At(at(13)), &elsewhere, false, SOON).await.unwrap();
    let mut found = ids(&pod.send(at(13), &request(10)).await.calls);
    found.extend(ids(&pod.ask(at(13), &["work"], 10).await.calls));
    found.sort_unstable();
    let mut expected = new_ids(&elsewhere);
    expected.sort_unstable();
    assert_eq!(found, expected);
}

async fn next_is_exact(fixture: &Fixture) {
    let pod = fixture.pod();
    assert_eq!(pod.ask(at(0), &["work"], 10).await.next, None, "nothing waits");
    let calls = [call_at("work", 100), NewCall { due: Due::At(micros(50_000_001)), ..call("work") }];
    fixture.add(&calls).await;
    assert_eq!(pod.ask(at(0), &["work"], 10).await.next, Some(Duration::from_micros(50_000_001)));
    assert_eq!(pod.ask(at(50), &["work"], 10).await.next, Some(Duration::from_micros(1)));
    let claim = pod.ask(micros(50_000_001), &["work"], 10).await;
    assert_eq!((ids(&claim.calls), claim.next), (vec![calls[1].id], Some(Duration::from_micros(49_999_999))));
    let claim = pod.ask(at(200), &["work"], 10).await;
    assert_eq!((ids(&claim.calls), claim.next), (vec![calls[0].id], None));
}

async fn next_looks_at_the_names_asked_for_only(fixture: &Fixture) {
    let urgent = NewCall { priority: -5, ..call_at("a", 40) };
    fixture.add(&[call_at("a", 30), urgent, call_at("b", 20), call_at("c", -5)]).await;
    let pod = fixture.pod();
    assert_eq!(pod.ask(at(0), &["a"], 10).await.next, Some(secs(30)));
    assert_eq!(pod.ask(at(0), &["a", "b"], 10).await.next, Some(secs(20)));
    assert_eq!(pod.ask(at(0), &["d"], 10).await.next, None);
}

async fn next_is_zero_when_more_is_due(fixture: &Fixture) {
    fixture.add(&lane("work", &[0, 0, 60])).await;
    let pod = fixture.pod();
    assert_eq!(pod.ask(at(1), &["work"], 1).await.next, Some(Duration::ZERO));
    assert_eq!(pod.ask(at(1), &["work"], 1).await.next, Some(secs(59)));
}

async fn a_lost_claim_is_found_by_its_number(fixture: &Fixture) {
    fixture.add(&lane("work", &[0, 1, 2, 3])).await;
    let pod = fixture.pod();
    let first = pod.claim(at(10), &["work"], 2).await;
    let second = pod.claim(at(11), &["work"], 10).await;
    let number = first[0].claim_no;
    assert_ne!(number, second[0].claim_no);

    let by_id = |mut calls: Vec<futurecall_runtime::store::ClaimedCall>| {
        calls.sort_by_key(|call| call.id);
        calls
    };
    let found = fixture.store.find_claim(pod.id, number).await.unwrap();
    assert_eq!(by_id(found), by_id(first.clone()), "exactly as the claim would have said");
    assert_eq!(by_id(fixture.store.find_claim(pod.id, second[0].claim_no).await.unwrap()), by_id(second));
    assert_eq!(fixture.store.find_claim(pod.id, number + 100).await.unwrap(), []);
    assert_eq!(fixture.store.find_claim(fixture.pod().id, number).await.unwrap(), []);

    assert!(pod.finish(at(12), &first[0], Outcome::Succeeded).await);
    assert_eq!(pod.release(at(12), &first[1]).await, 1);
    assert_eq!(fixture.store.find_claim(pod.id, number).await.unwrap(), []);
}

async fn claims_at_once_take_every_call_exactly_once(fixture: &Fixture) {
    const ALL: usize = 2_000;
    let names = ["a", "b", "c"];
    let calls: Vec<_> = (0..ALL)
        .zip(names.iter().cycle())
        .map(|(n, name)| NewCall { priority: i16::try_from(n % 2).unwrap_or(0), ..call(name) })
        .collect();
    fixture.add(&calls).await;
    let taken = Arc::new(AtomicUsize::new(0));
    let tasks = (0..8).map(|task| {
        let pod = Pod::on(if task % 2 == 0 { &fixture.store } else { &fixture.other });
        let taken = Arc::clone(&taken);
        tokio::spawn(async move {
            let mut mine: Vec<CallId> = Vec::new();
            while taken.load(Ordering::SeqCst) < ALL {
                let claimed = pod.claim(at(1), &names, 7 + task * 5).await;
                taken.fetch_add(claimed.len(), Ordering::SeqCst);
                mine.extend(ids(&claimed));
                tokio::task::yield_now().await;
            }
            mine
        })
    });
    let claimed: Vec<_> =
        join_all(tasks).await.into_iter().flat_map(|mine| mine.expect("a claimer")).collect();
    assert_eq!(claimed.len(), ALL, "none twice");
    let distinct: BTreeSet<_> = claimed.into_iter().collect();
    assert_eq!(distinct, new_ids(&calls).into_iter().collect(), "none missing");
    assert_eq!(fixture.listed(CallState::Running).await.len(), ALL);
}
