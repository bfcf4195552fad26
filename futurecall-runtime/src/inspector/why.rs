//! Gathers what is known of one call into the reasons why it stands where it stands.

use std::sync::Arc;

use super::Inspector;
use crate::engine::readers::Readers;
use crate::error::StoreError;
use crate::id::CallId;
use crate::moment::Moment;
use crate::recurring::Overlap;
use crate::store::{ActionFilter, CallFilter, CallRecord, CallState, Now, PodRecord, Store};
use crate::why::{Reason, Why};

/// Names that it may be known under elsewhere do not matter: a pod reports its aliases as names of its own.
pub(super) async fn why(inspector: &Inspector, id: CallId) -> Result<Option<Why>, StoreError> {
    let Some(call) = inspector.call(id).await? else { return Ok(None) };
    let mut reasons = match call.state {
        CallState::Scheduled => pending(inspector, &call).await?,
        CallState::Running => running(&call),
        _ => vec![Reason::Finished { at: call.finished, error: call.error.clone() }],
    };
    let actions = inspector.actions(&ActionFilter::new().call(id).limit(1)).await?;
    reasons.extend(actions.into_iter().map(|action| Reason::Action {
        actor: action.actor,
        verb: action.verb,
        at: action.at,
    }));
    Ok(Some(Why::new(id, call.state, reasons)))
}

fn running(call: &CallRecord) -> Vec<Reason> {
    let held = call.pod.map(|pod| Reason::Running {
        pod,
        started: call.start_proven == Some(true),
        lease_until: call.lease_until,
    });
    let cancelled = call.cancel_requested.then_some(Reason::CancelRequested);
    held.into_iter().chain(cancelled).collect()
}

async fn pending(inspector: &Inspector, call: &CallRecord) -> Result<Vec<Reason>, StoreError> {
    let now = inspector.now().await?;
    let due = call.next_attempt.unwrap_or(call.due);
    let mut reasons = Vec::new();
    if due > now {
        reasons.push(match call.next_attempt {
            Some(at) => Reason::WaitsForRetry {
                attempt: call.attempt.saturating_add(1),
                at,
                error: call.error.clone(),
            },
            None => Reason::NotDue { due, left: due.saturating_since(now) },
        });
    }
    let readers = Readers::new(inspector.pods().await?);
    let pods = readers.pods();
    let able: Vec<&PodRecord> = pods.iter().filter(|pod| pod.names.contains(&call.name)).collect();
    reasons.extend(unreadable(inspector, call, &readers));
    let paused = inspector.paused_names().await?.into_iter().find(|paused| paused.name == call.name);
    reasons.extend(paused.map(|paused| Reason::Paused {
        name: paused.name,
        actor: paused.actor,
        reason: paused.reason,
        since: paused.since,
    }));
    if pods.is_empty() {
        reasons.push(Reason::NoPod);
    } else if able.is_empty() {
        let pods = u64::try_from(pods.len()).unwrap_or(u64::MAX);
        reasons.push(Reason::NoPodKnowsName { name: call.name.clone(), pods });
    }
    if reasons.is_empty() {
        reasons.push(turn(inspector, call, due, now, &able).await?);
    }
    Ok(reasons)
}

/// Returns what is wrong with its arguments, in one reason: while another live shape is left to try, that it waits for it;
/// otherwise why they do not decode here.
fn unreadable(inspector: &Inspector, call: &CallRecord, readers: &Readers) -> Option<Reason> {
    let able = readers.of_call(&call.name, None, &call.declined).count();
    let able = u64::try_from(able).unwrap_or(u64::MAX);
    let is_known_here = || inspector.pod.registry().get(&call.name).is_some();
    if call.declined.is_empty() || (able == 0 && call.broken.is_some() && is_known_here()) {
        return call.broken.clone().map(|reason| Reason::Broken { reason });
    }
    Some(Reason::OtherRelease { name: call.name.clone(), able })
}

/// It is due, and some pod could run it.
async fn turn(
    inspector: &Inspector,
    call: &CallRecord,
    due: Moment,
    now: Moment,
    able: &[&PodRecord],
) -> Result<Reason, StoreError> {
    if let Some(id) = run_before(inspector, call).await? {
        return Ok(Reason::RunBefore { id });
    }
    let id = call.id;
    let counting =
        |store: Arc<dyn Store>| async move { store.ahead(Now::Database, id, Reason::AHEAD_CAP).await };
    let ahead = inspector.ask(counting).await?;
    let sum = |of: fn(&PodRecord) -> u32| {
        able.iter().fold(0_u64, |total, pod| total.saturating_add(of(pod).into()))
    };
    Ok(match ahead {
        0 => Reason::Due { late: now.saturating_since(due) },
        ahead => Reason::Waiting { ahead, slots: sum(|pod| pod.slots), running: sum(|pod| pod.running) },
    })
}

/// A run of the same schedule that is going, where they may not overlap.
async fn run_before(inspector: &Inspector, call: &CallRecord) -> Result<Option<CallId>, StoreError> {
    let Some(schedule) = call.schedule else { return Ok(None) };
    let schedules = inspector.schedules().await?;
    let overlaps =
        |overlap| schedules.iter().any(|one| one.id == schedule && one.effective.overlap == overlap);
    if !overlaps(Overlap::Skip) {
        return Ok(None);
    }
    let running = CallFilter::new().schedule(schedule).state(CallState::Running).limit(1);
    Ok(inspector.calls(running).await?.calls.first().map(|run| run.id))
}
