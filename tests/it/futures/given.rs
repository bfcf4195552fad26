//! Futures that are kept in the usual ways.

use std::pin::pin;
use std::time::Duration;

use futurecall_runtime::{Pod, ScheduleError, StoreError};
use futurecall_tests::backend::Backend;
use futurecall_tests::on_all_stores;
use futures_util::future::{BoxFuture, ready};
use futures_util::{FutureExt, StreamExt, stream};

use super::kept::{poll_times, soon};
use super::stage::ELSEWHERE;

const HOUR: Duration = Duration::from_hours(1);

fn later(pod: &Pod) -> BoxFuture<'static, Result<futurecall_runtime::CallId, ScheduleError>> {
    pod.future_call_with_delay(ELSEWHERE, None::<&()>, HOUR).into_future()
}

async fn stored(pod: &Pod) -> u64 {
    pod.inspect().counts().await.unwrap().scheduled
}

on_all_stores! {
    async fn a_call_that_loses_a_race_stops_no_other(backend: &Backend) {
        let pod = backend.builder().start().await.unwrap();
        let mut first = pin!(later(&pod));
        // A store that answers within one poll wins it.
        let won = tokio::select! {
            biased;
            stored = &mut first => Some(stored),
            () = ready(()) => None,
        };
        for _ in 0..3 {
            soon("scheduling", later(&pod)).await.unwrap();
        }
        match won {
            Some(stored) => stored.unwrap(),
            None => soon("what has lost", first).await.unwrap(),
        };
        assert_eq!(stored(&pod).await, 4);
        pod.shutdown().await;
    }

    async fn a_stream_of_calls_whose_body_schedules_goes_on(backend: &Backend) {
        let pod = backend.builder().start().await.unwrap();
        let mut calls = stream::iter(0..50).map(|_| later(&pod)).buffer_unordered(8);
        // While the body waits, nobody polls what the stream has begun.
        while let Some(call) = soon("the stream", calls.next()).await {
            call.unwrap();
            soon("the body", later(&pod)).await.unwrap();
        }
        assert_eq!(stored(&pod).await, 100);
        pod.shutdown().await;
    }

    async fn looks_that_are_kept_leave_a_connection_for_others(backend: &Backend) {
        let pod = backend.builder().connections(2).start().await.unwrap();
        let mut kept: Vec<BoxFuture<'static, Result<u64, StoreError>>> = Vec::new();
        for _ in 0..6 {
            let inspector = pod.inspect();
            let mut look = async move { Ok(inspector.counts().await?.scheduled) }.boxed();
            if poll_times(look.as_mut(), 1).await.is_none() {
                kept.push(look);
            }
        }
        assert_eq!(soon("a look", stored(&pod)).await, 0);
        soon("scheduling", later(&pod)).await.unwrap();
        for look in kept {
            assert!(soon("a look that was kept", look).await.unwrap() <= 1);
        }
        pod.shutdown().await;
    }
}
