use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::inspect::{Shape, ShapeParameter};
use futurecall_runtime::store::{ClaimRequest, ClaimedCall, Now, PodBeat};
use futurecall_runtime::{CallState, Moment};

use super::inspect::beat;
use crate::make::{Pod, at, call, held};
use crate::suite::{Fixture, cases};

cases![
    claims_of_the_shape_that_declined_leave_a_call_alone,
    a_declined_call_holds_up_no_other,
    a_call_declined_by_every_live_shape_can_be_claimed_again,
    declined_calls_are_opened_again_so_many_at_a_time,
    shapes_are_forgotten_a_day_after_the_last_pod_that_has_them,
    shapes_of_a_pod_that_is_remembered_stay,
    pods_publish_their_shapes,
    a_declined_call_can_be_cancelled,
];

/// How long a shape counts as live.
const LIVE: Duration = Duration::from_secs(30);

fn shape(key: &str) -> Shape {
    Shape::new(vec![ShapeParameter::new(key, "i64")])
}

fn shapes(key: &str) -> BTreeMap<String, Shape> {
    BTreeMap::from([("work".to_owned(), shape(key))])
}

/// A claim of a pod that reads calls of that name under this shape.
fn request(pod: &Pod, key: &str) -> ClaimRequest {
    let shapes = Arc::new(BTreeMap::from([("work".to_owned(), shape(key).hash())]));
    ClaimRequest { shapes, ..pod.request(&["work"], 10) }
}

async fn claim(pod: &Pod, now: Moment, key: &str) -> Vec<ClaimedCall> {
    pod.send(now, &request(pod, key)).await.calls
}

async fn decline(pod: &Pod, now: Moment, call: &ClaimedCall, key: &str) {
    let declined = Some(shape(key).hash());
    let released = pod.store.release(Now::At(now), pod.id, &[held(call)], declined).await.expect("a release");
    assert_eq!(released, 1);
}

/// Says whether calls wait that were declined.
async fn say(pod: &Pod, now: Moment, key: &str) -> bool {
    let said = PodBeat { shapes: shapes(key), names: vec!["work".to_owned()], ..beat(pod.id) };
    pod.store.beat(Now::At(now), &said).await.expect("a heartbeat")
}

async fn reopen(fixture: &Fixture, now: Moment, limit: usize) -> u64 {
    fixture.store.reopen(Now::At(now), LIVE, limit).await.expect("a look at declined calls")
}

async fn claims_of_the_shape_that_declined_leave_a_call_alone(fixture: &Fixture) {
    let (old, new) = (fixture.pod(), fixture.other_pod());
    fixture.add(&[call("work")]).await;
    let claimed = claim(&old, at(1), "user").await;
    decline(&old, at(1), &claimed[0], "user").await;
    let again = old.send(at(2), &request(&old, "user")).await;
    assert!(again.calls.is_empty() && again.next.is_none(), "{again:?}");
    assert!(claim(&fixture.other_pod(), at(2), "user").await.is_empty(), "a pod of the same shape");
    let record = fixture.record(claimed[0].id).await;
    assert_eq!((record.declined, record.attempt), (vec![shape("user").hash()], 0));
    let taken = claim(&new, at(3), "account").await;
    assert_eq!((taken.len(), taken[0].attempt), (1, 1));
    decline(&new, at(3), &taken[0], "account").await;
    assert!(claim(&old, at(4), "user").await.is_empty() && claim(&new, at(4), "account").await.is_empty());
    assert_eq!(fixture.record(claimed[0].id).await.declined.len(), 2);
    // Without a shape, everything is claimed.
    assert_eq!(fixture.other_pod().claim(at(5), &["work"], 10).await.len(), 1);
}

async fn a_declined_call_holds_up_no_other(fixture: &Fixture) {
    let pod = fixture.pod();
    fixture.add(&[call("work")]).await;
    let claimed = claim(&pod, at(1), "user").await;
    fixture.add(&[call("work")]).await;
    decline(&pod, at(1), &claimed[0], "user").await;
    // Also where there is room for one call alone.
    let next = pod.send(at(2), &ClaimRequest { limit: 1, ..request(&pod, "user") }).await.calls;
    assert_eq!(next.len(), 1);
    assert_ne!(next[0].id, claimed[0].id);
}

async fn a_call_declined_by_every_live_shape_can_be_claimed_again(fixture: &Fixture) {
    let (old, new) = (fixture.pod(), fixture.other_pod());
    fixture.add(&[call("work")]).await;
    assert!(!say(&new, at(0), "account").await && !say(&old, at(0), "user").await, "nothing was declined");
    let claimed = claim(&old, at(1), "user").await;
    assert!(!say(&old, at(1), "user").await);
    decline(&old, at(1), &claimed[0], "user").await;
    assert!(say(&old, at(2), "user").await && say(&new, at(2), "account").await);
    assert_eq!(reopen(fixture, at(3), 10).await, 0, "the other shape lives");
    assert!(claim(&old, at(3), "user").await.is_empty());
    // The other pod is not heard of any more. A heartbeat alone opens nothing.
    assert!(say(&old, at(40), "user").await);
    assert!(claim(&old, at(40), "user").await.is_empty());
    assert_eq!((reopen(fixture, at(40), 10).await, reopen(fixture, at(40), 10).await), (1, 0));
    assert!(!say(&old, at(41), "user").await);
    assert_eq!(claim(&old, at(41), "user").await.len(), 1);
    assert!(fixture.record(claimed[0].id).await.declined.is_empty());
}

async fn declined_calls_are_opened_again_so_many_at_a_time(fixture: &Fixture) {
    let old = fixture.pod();
    fixture.add(&[call("work"), call("work"), call("work"), call("other")]).await;
    let claimed = claim(&old, at(1), "user").await;
    assert_eq!(claimed.len(), 3);
    for call in &claimed {
        decline(&old, at(1), call, "user").await;
    }
    say(&old, at(2), "user").await;
    assert_eq!((reopen(fixture, at(2), 2).await, reopen(fixture, at(2), 2).await), (2, 1));
    assert_eq!(claim(&old, at(3), "user").await.len(), 3);
}

/// How many lists of shapes the database holds, where that can be seen.
async fn known_shapes(fixture: &Fixture) -> Option<usize> {
    let as_names = "DELETE FROM {}paused_name; INSERT INTO {}paused_name (name, actor, reason, since) \
                    SELECT CAST(hash AS text), '', '', seen_at FROM {}shapes";
    if !fixture.database.write(as_names).await {
        return None;
    }
    Some(fixture.store.paused_names().await.expect("a look").len())
}

async fn shapes_of(fixture: &Fixture, now: Moment, pod: &Pod) -> Option<BTreeMap<String, Shape>> {
    let pods = fixture.store.pods(Now::At(now), LIVE).await.expect("a look");
    pods.into_iter().find(|record| record.id == pod.id).map(|record| record.shapes)
}

async fn shapes_are_forgotten_a_day_after_the_last_pod_that_has_them(fixture: &Fixture) {
    let (hour, day) = (3_600, 86_400);
    let (old, new, later) = (fixture.pod(), fixture.other_pod(), fixture.pod());
    say(&new, at(0), "account").await;
    for hours in [0, 23, 46, 69] {
        say(&old, at(hours * hour), "user").await;
        let known = shapes_of(fixture, at(hours * hour), &old).await;
        assert_eq!(known, Some(shapes("user")), "a heartbeat keeps them, {hours} h");
    }
    assert!(known_shapes(fixture).await.is_none_or(|known| known == 1), "the other release is forgotten");
    say(&new, at(10 * day), "account").await;
    say(&new, at(10 * day + 1), "account").await;
    assert!(known_shapes(fixture).await.is_none_or(|known| known == 1));
    // A pod that says what was forgotten makes it known again.
    say(&later, at(10 * day + 2), "user").await;
    assert_eq!(shapes_of(fixture, at(10 * day + 2), &later).await, Some(shapes("user")));
    assert_eq!(shapes_of(fixture, at(10 * day + 2), &new).await, Some(shapes("account")));
}

async fn shapes_of_a_pod_that_is_remembered_stay(fixture: &Fixture) {
    let (live, other) = (fixture.pod(), fixture.other_pod());
    say(&other, at(0), "account").await;
    say(&other, at(50_000), "account").await;
    say(&live, at(90_000), "user").await;
    // As after a restored backup, or a clock that was set.
    let old = "UPDATE {}shapes SET seen_at = (SELECT min(started_at) FROM {}pod)";
    if fixture.database.write(old).await {
        say(&other, at(90_001), "account").await;
        assert_eq!(shapes_of(fixture, at(90_001), &live).await, Some(shapes("user")));
    }
}

async fn pods_publish_their_shapes(fixture: &Fixture) {
    let (old, new) = (fixture.pod(), fixture.other_pod());
    say(&old, at(0), "user").await;
    say(&new, at(0), "account").await;
    say(&new, at(1), "account").await;
    let pods = fixture.store.pods(Now::At(at(2)), LIVE).await.expect("a look");
    let of = |pod: &Pod| pods.iter().find(|record| record.id == pod.id).expect("its row").shapes.clone();
    assert_eq!((of(&old), of(&new)), (shapes("user"), shapes("account")));
}

async fn a_declined_call_can_be_cancelled(fixture: &Fixture) {
    let pod = fixture.pod();
    fixture.add(&[call("work")]).await;
    let claimed = claim(&pod, at(1), "user").await;
    decline(&pod, at(1), &claimed[0], "user").await;
    let target = futurecall_runtime::store::CancelTarget::Call(claimed[0].id);
    let cancelled =
        fixture.store.cancel(Now::At(at(2)), &target, &crate::make::KEEP).await.expect("cancelled");
    assert_eq!(cancelled.calls, 1);
    assert_eq!(fixture.state(claimed[0].id).await, CallState::Cancelled);
}
