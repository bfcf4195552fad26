//! Calls that do not move.

use std::time::Duration;

use super::limits::{COUNTED, LATE, LONG, NEXT, RUNNING, STUCK, UNKNOWN};
use super::{Finding, Ground, Severity, capped, some_of};
use crate::error::StoreError;
use crate::store::{CallFilter, CallRecord, CallState, PendingName};
use crate::text::duration;

/// Claims whose lease has ended and that nobody has taken up, and handlers that run for very long.
pub(super) async fn running(ground: &Ground<'_>) -> Result<[Finding; 2], StoreError> {
    let filter = CallFilter::new().state(CallState::Running).limit(RUNNING);
    let calls = ground.inspector.calls(filter).await?.calls;
    let since = |moment| ground.now.saturating_since(moment);
    let is_stuck = |call: &&CallRecord| call.lease_until.is_some_and(|until| since(until) > STUCK);
    let is_long = |call: &&CallRecord| {
        call.start_proven == Some(true) && since(call.next_attempt.unwrap_or(call.due)) > LONG
    };
    let stuck: Vec<&CallRecord> = calls.iter().filter(is_stuck).collect();
    let long: Vec<&CallRecord> = calls.iter().filter(|call| !is_stuck(call)).filter(is_long).collect();
    let found = |some: &[&CallRecord]| match some.len() {
        0 => format!("none of {} running", calls.len()),
        count => format!("{count} of {}: {}", calls.len(), some_of(some.iter().map(|call| call.id))),
    };
    let judged = |code, severity, some: &[&CallRecord], means, todo| {
        let finding = match some.len() {
            0 => Finding::ok(code, found(some)),
            _ => Finding::new(severity, code, found(some), means, todo),
        };
        finding.figure("calls", some.len()).figure("running", calls.len())
    };
    Ok([
        judged(
            "stuck-calls",
            Severity::Problem,
            &stuck,
            "Their pods have vanished, and no pod is there that takes such calls up.",
            "Start a pod, of whatever version: it finds them within a minute.",
        ),
        judged(
            "long-runs",
            Severity::Note,
            &long,
            "They run, and have been due for more than an hour.",
            "See whether their handlers hang; a run can be cancelled: `futurecall cancel ID`.",
        ),
    ])
}

/// The oldest call that is due.
pub(super) async fn due(ground: &Ground<'_>) -> Result<Finding, StoreError> {
    let code = "due-calls";
    let counts = ground.inspector.counts_up_to(COUNTED).await?;
    let age = counts.oldest_due.map(|oldest| ground.now.saturating_since(oldest));
    let finding = match age {
        None => Finding::ok(code, "none waits"),
        Some(age) => {
            let found = format!("{} due, the oldest for {}", capped(counts.due, COUNTED), duration(age));
            if age <= LATE {
                Finding::ok(code, found)
            } else {
                Finding::warning(
                    code,
                    found,
                    "Calls wait though they are due: for slots, for a pod that knows them, or behind a pause.",
                    "Ask the oldest one: `futurecall list --state scheduled --limit 1`, then `futurecall why ID`.",
                )
            }
        }
    };
    Ok(finding.figure("due", counts.due).figure("oldest_due_seconds", age.map(|age| age.as_secs_f64())))
}

/// Names with pending calls that no live pod knows.
pub(super) async fn unknown(ground: &Ground<'_>) -> Result<Finding, StoreError> {
    let code = "unknown-names";
    let pending = ground.inspector.pending_names(COUNTED).await?;
    // Without pods every name is unknown, which the check of pods says already.
    if ground.runners().is_empty() {
        return Ok(Finding::ok(code, format!("{} names wait for a pod", pending.len())));
    }
    let unknown: Vec<&PendingName> = pending.iter().filter(|one| !ground.knows(&one.name)).collect();
    let mut overdue: Option<Duration> = None;
    for one in unknown.iter().take(UNKNOWN) {
        let filter = CallFilter::new().name(one.name.as_str()).state(CallState::Scheduled).limit(1);
        let first = ground.inspector.calls(filter).await?.calls.into_iter().next();
        let age = first.map(|call| ground.now.saturating_since(call.next_attempt.unwrap_or(call.due)));
        overdue = overdue.max(age.filter(|age| !age.is_zero()));
    }
    let names = some_of(unknown.iter().map(|one| format!("{} ({})", one.name, capped(one.calls, COUNTED))));
    let todo = "Deploy code that knows them (or keeps them as an alias), or cancel them: `futurecall cancel --name NAME`.";
    let finding = match overdue {
        _ if unknown.is_empty() => Finding::ok(code, "live pods know all names"),
        Some(age) => Finding::problem(
            code,
            format!("{names}, the oldest due for {}", duration(age)),
            "No live pod knows these names: their calls never run.",
            todo,
        ),
        None => Finding::warning(
            code,
            format!("{names}, none of them due yet"),
            "No live pod knows these names: unless one does by then, their calls do not run.",
            todo,
        ),
    };
    let names: Vec<&str> = unknown.iter().map(|one| one.name.as_str()).collect();
    Ok(finding.figure("names", names).figure("oldest_due_seconds", overdue.map(|age| age.as_secs_f64())))
}

/// Calls among the next whose arguments neither this pod nor another live one can read. Names that nobody knows are a
/// finding of their own.
pub(super) async fn broken(ground: &Ground<'_>) -> Result<Finding, StoreError> {
    let code = "broken-calls";
    let filter = CallFilter::new().state(CallState::Scheduled).limit(NEXT);
    let next = ground.inspector.calls(filter).await?.calls;
    let broken: Vec<&CallRecord> = next.iter().filter(|call| is_broken(ground, call)).collect();
    let finding = match broken.first() {
        None => Finding::ok(code, format!("none of the next {}", next.len())),
        Some(first) => {
            let why = first.broken.as_deref().unwrap_or("every live pod that knows its name has tried");
            let found = format!("{} of the next {}, the first because: {why}", broken.len(), next.len());
            Finding::problem(
                code,
                found,
                "Their arguments cannot be read by the pods that are alive: they fail when they are due.",
                "Deploy code that reads them, or cancel them: see one with `futurecall why ID`.",
            )
        }
    };
    let ids: Vec<String> = broken.iter().take(super::limits::SHOWN).map(|call| call.id.to_string()).collect();
    Ok(finding.figure("calls", broken.len()).figure("looked_at", next.len()).figure("first_ids", ids))
}

fn is_broken(ground: &Ground<'_>, call: &CallRecord) -> bool {
    let own = ground.inspector.pod.engine().runner.hashes().get(&call.name).copied();
    let was_tried = match own {
        Some(_) => call.broken.is_some(),
        None => !call.declined.is_empty(),
    };
    was_tried && ground.knows(&call.name) && !ground.runners.may_read(&call.name, own, &call.declined)
}
