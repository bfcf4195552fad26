//! How much history there is, and whether it is being pruned.

use std::time::Duration;

use futurecall_runtime::{CallFilter, CallState, Retention};

use super::{Finding, Patient};
use crate::exit::Failure;
use crate::when::When;

const CAP: u64 = 1_000_000;
/// Pods prune every few minutes; what is a day too old is left lying.
const OVERDUE: Duration = Duration::from_hours(24);

pub(super) async fn examine(patient: &Patient) -> Result<Vec<Finding>, Failure> {
    let counts = patient.pod.inspect().counts_up_to(CAP).await?;
    let outcomes = [
        counts.succeeded,
        counts.failed,
        counts.interrupted,
        counts.cancelled,
        counts.expired,
        counts.skipped,
    ];
    let total: u64 = outcomes.iter().sum();
    let more = if outcomes.iter().any(|count| *count >= CAP) { " or more" } else { "" };
    let found = format!("{total}{more} finished calls");
    let mut findings = vec![if more.is_empty() {
        Finding::fine("history", found)
    } else {
        Finding::warning(
            "history",
            found,
            "A long history costs disk, and time in listings.",
            "Shorten what is kept: FUTURECALL_RETENTION_SUCCEEDED and its like, in the pods.",
        )
    }];
    findings.push(pruning(patient).await?);
    Ok(findings)
}

/// By the default retention: what the pods' code says is not known here.
async fn pruning(patient: &Patient) -> Result<Finding, Failure> {
    let check = "retention";
    let retention = Retention::default();
    let mut old = 0_u64;
    for state in CallState::ALL.into_iter().filter(|state| state.is_finished()) {
        let kept = retention.of(state).saturating_add(OVERDUE);
        let until = When::Back(kept).moment(patient.now)?;
        old += patient.pod.inspect().count(&CallFilter::new().state(state).until(until), CAP).await?;
    }
    Ok(if old == 0 {
        Finding::fine(check, "nothing is older than the default retention")
    } else {
        Finding::warning(
            check,
            format!("{old} finished calls are a day or more past the default retention"),
            "The service keeps its history for longer than by default, or no pod lives to prune it.",
            "If that is not meant: `futurecall prune`, and look at the pods' retention.",
        )
    })
}
