//! Callers that abandon what they began, and callers of both releases, which wait for every result.

use std::future::{IntoFuture as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futurecall_runtime::Pod;
use tokio_util::sync::CancellationToken;

use super::guest::{NewerFutureCall, OlderFutureCall};
use crate::acks::{Acks, Asked, Kind, Promise, Stored};
use crate::clock;
use crate::producer::stored;
use crate::worker::TortureCallsExt as _;
use futurecall_testbed::rng::Rng;

/// How many futures are kept at most.
const KEPT: usize = 200;

/// The time within which a result must come.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

type Kept<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls futures of the library a few times, keeps some and drops others, until stopped. Returns how many it began.
pub(super) async fn keep_and_drop(pod: Pod, acks: Arc<Acks>, mut rng: Rng, stop: CancellationToken) -> usize {
    let (mut calls, mut looks, mut begun) = (Vec::new(), Vec::new(), 0);
    while !stop.is_cancelled() {
        begun += 1;
        let delay = rng.between(0, 500);
        let call = pod.future_calls().call_with_delay(delay).torture().keep(1, false);
        let (id, sent) = (call.id().as_uuid(), clock::monotonic());
        let mut call: Kept<_> = call.into_future();
        let answer = polled(&mut call, &mut rng).await;
        let asked =
            Some(Asked { sent, answered: clock::monotonic(), delay: clock::micros(delay), worker: None });
        let stored = answer.map_or(Stored::Unknown, |answer| stored(&answer.map(drop)));
        acks.scheduled(id, Promise { kind: Kind::Keep, stored, asked, cancelled: None });
        keep(&mut calls, call, &mut rng);

        let looking = pod.clone();
        let mut look: Kept<_> = Box::pin(async move { looking.inspect().counts().await });
        polled(&mut look, &mut rng).await;
        keep(&mut looks, look, &mut rng);
        tokio::time::sleep(rng.between(2, 12)).await;
    }
    begun
}

/// Polls a future up to fifteen times; returns its result if that was enough.
async fn polled<T: 'static>(future: &mut Kept<T>, rng: &mut Rng) -> Option<T> {
    for _ in 0..rng.below(16) {
        let state = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(answer) = state {
            // It must not be polled again.
            *future = Box::pin(std::future::pending());
            return Some(answer);
        }
        tokio::time::sleep(rng.between(0, 4)).await;
    }
    None
}

/// Keeps it, or drops it, and drops another now and then.
fn keep<T>(kept: &mut Vec<Kept<T>>, future: Kept<T>, rng: &mut Rng) {
    if rng.percent(50) {
        kept.push(future);
    }
    if kept.len() > KEPT || rng.percent(2) && !kept.is_empty() {
        let place = rng.below(kept.len());
        drop(kept.swap_remove(place));
    }
}

/// Schedules calls as both releases write them, and waits for each result. Returns how many, and the waits that were
/// too long.
pub(super) async fn of_both_releases(
    pod: Pod,
    acks: Arc<Acks>,
    mut rng: Rng,
    stop: CancellationToken,
) -> (i64, Vec<String>) {
    let (mut number, mut complaints) = (0, Vec::new());
    while !stop.is_cancelled() {
        number += 1;
        let delay = if rng.percent(30) { Duration::ZERO } else { rng.between(1, 1_500) };
        let calls = pod.future_calls().call_with_delay(delay);
        let call = if rng.percent(50) {
            calls.of::<OlderFutureCall>().pass(number)
        } else {
            calls.of::<NewerFutureCall>().pass(number)
        };
        let (id, sent) = (call.id().as_uuid(), clock::monotonic());
        let answer = tokio::time::timeout(ANSWERED_WITHIN, call.into_future()).await;
        let asked =
            Some(Asked { sent, answered: clock::monotonic(), delay: clock::micros(delay), worker: None });
        let stored = if let Ok(answer) = answer {
            stored(&answer.map(drop))
        } else {
            complaints.push(format!("scheduling {id} did not come back within {ANSWERED_WITHIN:?}"));
            Stored::Unknown
        };
        acks.scheduled(id, Promise { kind: Kind::Keep, stored, asked, cancelled: None });
        tokio::time::sleep(rng.between(5, 25)).await;
    }
    (number, complaints)
}
