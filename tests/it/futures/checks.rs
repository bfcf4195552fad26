//! Checks of the final state: nothing half, nothing twice, and everything that was promised.

use std::collections::HashMap;

use futurecall_runtime::inspect::{CallFilter, CallRecord, ScheduleState};
use futurecall_runtime::operate::ActionFilter;
use futurecall_runtime::{CallId, CallState};
use futurecall_tests::journal::eventually;

use super::list::Effect;
use super::stage::{Stage, far};

/// Checks that this has happened, completely if it was promised, and otherwise completely or not at all. Work that
/// continues without its caller gets time to end.
pub(crate) async fn effect(stage: &Stage<'_>, name: &str, effect: &Effect, promised: bool) {
    let what =
        format!("{name} has wholly happened{}: {effect:?}", if promised { "" } else { ", or not at all" });
    let is_whole = async || {
        let (done, all) = match effect {
            Effect::None => return Some(()),
            Effect::Runs(ids) => count(stage, ids, |call| call.is_some_and(|call| is_over(&call))).await,
            Effect::Stored(ids) => count(stage, ids, |call| call.is_some()).await,
            Effect::Deleted(ids) => count(stage, ids, |call| call.is_none()).await,
            Effect::Cancelled(ids) => {
                count(stage, ids, |call| call.is_some_and(|call| call.state == CallState::Cancelled)).await
            }
            Effect::Moved(ids) => {
                count(stage, ids, |call| call.is_some_and(|call| call.due.to_utc() != far())).await
            }
            Effect::Again(ids) => (again(stage, ids).await, ids.len()),
            Effect::Declared(identifier) => (declared(stage, identifier).await, 1),
        };
        (done == all || (done == 0 && !promised)).then_some(())
    };
    eventually(&what, is_whole).await;
}

async fn count(stage: &Stage<'_>, ids: &[CallId], is: impl Fn(Option<CallRecord>) -> bool) -> (usize, usize) {
    let mut done = 0;
    for id in ids {
        done += usize::from(is(stage.pod.inspect().call(*id).await.unwrap()));
    }
    (done, ids.len())
}

fn is_over(call: &CallRecord) -> bool {
    assert!(
        matches!(call.state, CallState::Scheduled | CallState::Running | CallState::Succeeded),
        "{call:?}"
    );
    call.state == CallState::Succeeded
}

/// Returns how many of these were run again; none twice.
async fn again(stage: &Stage<'_>, ids: &[CallId]) -> usize {
    let page = stage.pod.inspect().calls(CallFilter::new().limit(10_000)).await.unwrap();
    let of = |id: &CallId| page.calls.iter().filter(|call| call.rerun_of == Some(*id)).count();
    let counts: Vec<usize> = ids.iter().map(of).collect();
    assert!(counts.iter().all(|count| *count <= 1), "run again twice: {counts:?}");
    counts.iter().sum()
}

/// Returns whether there is such a schedule, with the one call that it has to have.
async fn declared(stage: &Stage<'_>, identifier: &str) -> usize {
    let schedules = stage.pod.inspect().schedules().await.unwrap();
    let named =
        |one: &&futurecall_runtime::inspect::ScheduleRecord| one.identifier.as_deref() == Some(identifier);
    let found: Vec<_> = schedules.iter().filter(named).collect();
    assert!(found.len() <= 1, "declared twice: {found:?}");
    for schedule in &found {
        assert_eq!(schedule.state, ScheduleState::Active);
        let calls = stage.pod.inspect().calls(CallFilter::new().schedule(schedule.id)).await.unwrap().calls;
        assert_eq!(calls.len(), 1, "{calls:?}");
    }
    found.len()
}

/// Checks that every call was run at most once, and once if it is recorded as succeeded; each child has its parent.
pub(crate) async fn runs(stage: &Stage<'_>) {
    let page = stage.pod.inspect().calls(CallFilter::new().limit(10_000)).await.unwrap();
    let succeeded = |name: &str| {
        let name = name.to_owned();
        page.calls.iter().filter(move |call| call.name == name && call.state == CallState::Succeeded)
    };
    let mut lines: HashMap<String, usize> = HashMap::new();
    for line in stage.journal.lines() {
        *lines.entry(line).or_default() += 1;
    }
    let children =
        |call: &CallRecord| lines.get(&format!("child of {}", call.id)).copied().unwrap_or_default();
    for call in succeeded(super::handlers::NOTE) {
        assert_eq!(lines.get(&call.id.to_string()), Some(&1), "{call:?}");
    }
    for call in page.calls.iter().filter(|call| call.name == super::handlers::COMPLETE) {
        let promised = usize::from(call.state == CallState::Succeeded);
        assert_eq!(children(call), promised, "{call:?}");
    }
    assert!(lines.values().all(|count| *count == 1), "run twice: {lines:?}");
}

/// Checks that every action has a recorded result: those that began were completed.
pub(crate) async fn actions(stage: &Stage<'_>) {
    eventually("every action has an outcome", async || {
        let actions = stage.pod.inspect().actions(&ActionFilter::new().limit(1_000)).await.unwrap();
        actions.iter().all(|action| action.outcome.is_some()).then_some(())
    })
    .await;
}

/// Checks that nothing waits or runs any more except for what stays.
pub(crate) async fn rest(stage: &Stage<'_>) {
    eventually("all calls with handlers are over", async || {
        let page = stage.pod.inspect().calls(CallFilter::new().limit(10_000)).await.unwrap();
        let is_ours = |name: &str| name == super::handlers::NOTE || name == super::handlers::COMPLETE;
        let is_pending = |state| matches!(state, CallState::Scheduled | CallState::Running);
        let waits = page.calls.iter().any(|call| is_ours(&call.name) && is_pending(call.state));
        (!waits).then_some(())
    })
    .await;
}
