//! Calls that do not move.

use std::time::Duration;

use futurecall_runtime::{CallFilter, CallState};

use super::{Finding, Patient, some_of};
use crate::exit::Failure;
use crate::output::roughly;

/// A lease that ended this long ago should have been found: pods look every few seconds.
const FOUND_WITHIN: Duration = Duration::from_mins(2);
/// Due for so long, a call is late whatever the load.
const LATE: Duration = Duration::from_mins(5);
const CAP: u64 = 100_000;

pub(super) async fn examine(patient: &Patient) -> Result<Vec<Finding>, Failure> {
    Ok(vec![stuck(patient).await?, overdue(patient).await?, unknown(patient).await?])
}

/// Claims whose lease has ended and that nobody has taken up.
async fn stuck(patient: &Patient) -> Result<Finding, Failure> {
    let check = "stuck calls";
    let mut filter = CallFilter::new().state(CallState::Running).limit(10_000);
    let (mut running, mut stuck) = (0_u64, Vec::new());
    loop {
        let page = patient.pod.inspect().calls(filter.clone()).await?;
        for call in &page.calls {
            running += 1;
            let ended = call.lease_until.map(|until| patient.now.saturating_since(until));
            if ended.is_some_and(|ended| ended > FOUND_WITHIN) {
                stuck.push(call.id.to_string());
            }
        }
        filter.after = page.next;
        if page.next.is_none() || running >= CAP {
            break;
        }
    }
    Ok(if stuck.is_empty() {
        Finding::fine(check, format!("none of {running} running"))
    } else {
        Finding::problem(
            check,
            format!("{} of {running}: {}", stuck.len(), some_of(stuck.iter().map(String::as_str))),
            "Their pods have vanished, and no pod is there that takes such calls up.",
            "Start a pod, of whatever version: it finds them within a minute.",
        )
    })
}

/// The oldest call that is due.
async fn overdue(patient: &Patient) -> Result<Finding, Failure> {
    let check = "due calls";
    let counts = patient.pod.inspect().counts_up_to(CAP).await?;
    let Some(oldest) = counts.oldest_due else { return Ok(Finding::fine(check, "none waits")) };
    let age = patient.now.saturating_since(oldest);
    let found = format!("{} due, the oldest for {}", counts.due, roughly(age));
    Ok(if age > LATE {
        let means =
            "Calls wait though they are due: for slots, for a pod that knows them, or behind a pause.";
        let todo =
            "Ask the oldest one: `futurecall list --state scheduled --limit 1`, then `futurecall why ID`.";
        Finding::warning(check, found, means, todo)
    } else {
        Finding::fine(check, found)
    })
}

/// Names with pending calls that no live pod knows.
async fn unknown(patient: &Patient) -> Result<Finding, Failure> {
    let check = "unknown names";
    let pending = patient.pod.inspect().pending_names(CAP).await?;
    // Without pods every name is unknown, which the check of pods says already.
    if patient.runners().next().is_none() {
        return Ok(Finding::fine(check, format!("{} names wait for a pod", pending.len())));
    }
    let (mut unknown, mut due) = (Vec::new(), None);
    for (name, count) in pending.iter().filter(|(name, _)| !patient.knows(name)) {
        let filter = CallFilter::new().name(name.as_str()).state(CallState::Scheduled).limit(1);
        let first = patient.pod.inspect().calls(filter).await?.calls.first().map(|call| call.due);
        due = due.max(first.map(|first| patient.now.saturating_since(first)).filter(|age| !age.is_zero()));
        unknown.push(format!("{name} ({count})"));
    }
    let names = some_of(unknown.iter().map(String::as_str));
    Ok(match due {
        _ if unknown.is_empty() => Finding::fine(check, "live pods know all names"),
        Some(age) => Finding::problem(
            check,
            format!("{names}, the oldest due for {}", roughly(age)),
            "No live pod knows these names: their calls never run.",
            "Deploy code that knows them (or keeps them as an alias), or cancel them: `futurecall cancel --name NAME`.",
        ),
        None => Finding::warning(
            check,
            format!("{names}, none of them due yet"),
            "No live pod knows these names: unless one does by then, their calls do not run.",
            "Deploy code that knows them (or keeps them as an alias), or cancel them: `futurecall cancel --name NAME`.",
        ),
    })
}
