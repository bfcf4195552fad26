use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::store::{ClaimRequest, ClaimedCall, Now, PodBeat};
use futurecall_runtime::{CallState, Moment, Shape, ShapeParameter};

use super::inspect::beat;
use crate::make::{Pod, at, call, held};
use crate::suite::{Fixture, cases};

cases![
    claims_of_the_shape_that_declined_leave_a_call_alone,
    a_declined_call_holds_up_no_other,
    a_call_declined_by_every_live_shape_can_be_claimed_again,
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

async fn say(pod: &Pod, now: Moment, key: &str) {
    let said =
        PodBeat { shapes: shapes(key), names: vec!["work".to_owned()], shapes_live: LIVE, ..beat(pod.id) };
    pod.store.beat(Now::At(now), &said).await.expect("a heartbeat");
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
    let next = claim(&pod, at(2), "user").await;
    assert_eq!(next.len(), 1);
    assert_ne!(next[0].id, claimed[0].id);
}

async fn a_call_declined_by_every_live_shape_can_be_claimed_again(fixture: &Fixture) {
    let (old, new) = (fixture.pod(), fixture.other_pod());
    fixture.add(&[call("work")]).await;
    say(&new, at(0), "account").await;
    let claimed = claim(&old, at(1), "user").await;
    decline(&old, at(1), &claimed[0], "user").await;
    say(&old, at(2), "user").await;
    assert!(claim(&old, at(3), "user").await.is_empty(), "the other shape lives");
    // The other pod is not heard of any more.
    say(&old, at(40), "user").await;
    assert_eq!(claim(&old, at(41), "user").await.len(), 1);
    assert!(fixture.record(claimed[0].id).await.declined.is_empty());
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
