//! Work that must continue while futures are kept that began before.

use std::time::Duration;

use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::operate::Selection;
use futurecall_runtime::{CallId, CallState};
use futurecall_tests::journal::eventually;

use super::handlers::{COMPLETE, NOTE};
use super::kept::soon;
use super::stage::{ELSEWHERE, Stage, declare};

/// Uses everything once. Returns the calls that were stored to be run.
pub(crate) async fn go_on(stage: &Stage<'_>) -> Vec<CallId> {
    let mut ids = schedule(stage).await;
    look(stage).await;
    act(stage).await;
    let started = soon("a start", stage.backend.builder().start()).await.unwrap();
    soon("a shutdown", started.shutdown()).await;
    soon("running what is due", stage.side.run_due()).await.unwrap();
    soon("a shutdown that was begun before", stage.ending.shutdown()).await;
    if stage.has_transactions() {
        let call = stage.pod.future_call_with_delay(COMPLETE, None::<&u64>, Duration::ZERO);
        let id = soon("scheduling", call.into_future()).await.unwrap();
        ends_well(stage, id).await;
    }
    for id in &ids {
        ends_well(stage, *id).await;
    }
    ids.sort_unstable();
    ids
}

async fn ends_well(stage: &Stage<'_>, id: CallId) {
    let over = eventually("a call is over", async || {
        let call = soon("a look", stage.pod.inspect().call(id)).await.unwrap()?;
        (!matches!(call.state, CallState::Scheduled | CallState::Running)).then_some(call)
    });
    let call = over.await;
    assert_eq!(call.state, CallState::Succeeded, "{call:?}");
}

async fn schedule(stage: &Stage<'_>) -> Vec<CallId> {
    let calls = stage.pod.future_calls();
    let note = || stage.pod.future_call_with_delay(NOTE, None::<&CallId>, Duration::ZERO);
    let mut ids = soon("scheduling many", calls.schedule_all([note(), note()]).into_future()).await.unwrap();
    let mut together = tokio::task::JoinSet::new();
    for _ in 0..6 {
        together.spawn(note().into_future());
    }
    while let Some(stored) = soon("scheduling", together.join_next()).await {
        ids.push(stored.unwrap().unwrap());
    }
    soon("declaring", declare(&stage.pod, "others").into_future()).await.unwrap();
    soon("cancelling", calls.cancel("others").into_future()).await.unwrap();
    ids
}

async fn look(stage: &Stage<'_>) {
    let inspect = stage.pod.inspect();
    for _ in 0..6 {
        soon("a look", inspect.counts()).await.unwrap();
        soon("a look", inspect.calls(CallFilter::new())).await.unwrap();
    }
    let health = soon("a look at the health", stage.pod.health()).await;
    assert!(health.ready, "{health:?}");
}

async fn act(stage: &Stage<'_>) {
    let (calls, operator) = (stage.pod.future_calls(), stage.pod.operate("others"));
    let later = stage.pod.future_call_with_delay(ELSEWHERE, None::<&()>, Duration::from_hours(1));
    let id = soon("scheduling", later.into_future()).await.unwrap();
    assert_eq!(soon("moving", calls.run_now(id).into_future()).await.unwrap().calls, 1);
    assert_eq!(soon("cancelling", operator.cancel(Selection::call(id))).await.unwrap().done, 1);
    let again = soon("running again", calls.run_again(id)).await.unwrap();
    assert_eq!(soon("cancelling", calls.cancel_call(again).into_future()).await.unwrap().calls, 1);
}
