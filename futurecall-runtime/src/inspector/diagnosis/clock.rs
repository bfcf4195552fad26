//! How far this machine's clock is from the database's.

use std::time::Duration;

use super::limits::SKEW;
use super::{Finding, Inspector};
use crate::error::StoreError;
use crate::moment::Moment;
use crate::text::duration;

/// Asks three times: the quickest answer tells most.
pub(super) async fn examine(inspector: &Inspector) -> Result<Finding, StoreError> {
    let mut best: Option<(Duration, Duration)> = None;
    for _ in 0..3 {
        let (began, before) = (crate::clock::instant(), crate::clock::wall());
        let theirs = inspector.now().await?;
        let took = crate::clock::instant().saturating_duration_since(began);
        let ours = before.checked_add(took / 2).unwrap_or(Moment::MAX);
        if best.is_none_or(|(quickest, _)| took < quickest) {
            best = Some((took, ours.saturating_since(theirs).max(theirs.saturating_since(ours))));
        }
    }
    let (took, apart) = best.unwrap_or_default();
    Ok(verdict(apart, took))
}

fn verdict(apart: Duration, took: Duration) -> Finding {
    let code = "clock";
    let found = format!("{} from the database's, which answers in {}", duration(apart), duration(took));
    let finding = if apart > SKEW + took {
        Finding::warning(
            code,
            found,
            "Calls become due by the database's clock, so that none runs early; but moments that programs of this \
             machine work out by its own clock are off by as much.",
            "Let both machines keep time by NTP.",
        )
    } else {
        Finding::ok(code, found)
    };
    finding.figure("apart_seconds", apart.as_secs_f64()).figure("answer_seconds", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn only_more_than_the_answer_takes_counts() {
        let second = Duration::from_secs(1);
        assert_eq!(verdict(second * 3, second / 100).severity, Severity::Warning);
        assert_eq!(verdict(second * 3, second * 3).severity, Severity::Ok);
        assert_eq!(verdict(second / 2, second / 100).severity, Severity::Ok);
    }
}
