//! How much history there is, and whether it is being pruned.

use super::limits::{COUNTED, HISTORY, UNPRUNED};
use super::{Finding, Ground, Severity, capped};
use crate::error::StoreError;
use crate::moment::Moment;
use crate::store::{CallFilter, CallState};

pub(super) async fn examine(ground: &Ground<'_>) -> Result<[Finding; 2], StoreError> {
    let counts = ground.inspector.counts_up_to(HISTORY).await?;
    let outcomes = [
        counts.succeeded,
        counts.failed,
        counts.interrupted,
        counts.cancelled,
        counts.expired,
        counts.skipped,
    ];
    let total = outcomes.iter().fold(0_u64, |total, count| total.saturating_add(*count));
    let found = format!("{} finished calls", capped(total, HISTORY));
    let history = if total < HISTORY {
        Finding::ok("history", found)
    } else {
        Finding::new(
            Severity::Note,
            "history",
            found,
            "A long history costs disk, and time in listings.",
            "To keep less: FUTURECALL_RETENTION_SUCCEEDED and its like, in the pods.",
        )
    };
    Ok([history.figure("finished", total.min(HISTORY)), pruning(ground).await?])
}

/// By the retention of this process: what the pods of the service are set to is not known here.
async fn pruning(ground: &Ground<'_>) -> Result<Finding, StoreError> {
    let code = "retention";
    let retention = ground.inspector.pod.engine().config.retention;
    let mut old = 0_u64;
    for state in CallState::ALL.into_iter().filter(|state| state.is_finished()) {
        let kept = retention.of(state).saturating_add(UNPRUNED);
        let until =
            ground.now.as_micros().saturating_sub(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX));
        let until = Moment::from_micros(until.max(0)).unwrap_or(Moment::MIN);
        let filter = CallFilter::new().state(state).until(until);
        old = old.saturating_add(ground.inspector.count(&filter, COUNTED).await?);
    }
    let finding = if old == 0 {
        Finding::ok(code, "nothing is older than the retention")
    } else {
        Finding::warning(
            code,
            format!("{} finished calls are a day or more past the retention", capped(old, COUNTED)),
            "The service keeps its history for longer than this process would, or no pod lives to prune it.",
            "If that is not meant: `futurecall prune`, and look at the pods' retention.",
        )
    };
    Ok(finding.figure("unpruned", old))
}
