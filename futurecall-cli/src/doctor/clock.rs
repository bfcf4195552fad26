//! How far this machine's clock is from the database's.

use std::time::{Duration, Instant, SystemTime};

use futurecall_runtime::store::Store;
use futurecall_runtime::{Moment, ToMoment};

use super::Finding;
use crate::output::roughly;

const CHECK: &str = "clock";
/// More than this is no longer the network's doing.
const MOST: Duration = Duration::from_secs(1);

/// Of several looks the quickest says most.
pub(super) async fn examine(store: &dyn Store) -> Option<Finding> {
    let mut best: Option<(Duration, Duration)> = None;
    for _ in 0..3 {
        let (began, before) = (Instant::now(), SystemTime::now().to_moment().ok()?);
        let theirs = store.now().await.ok()?;
        let took = began.elapsed();
        let ours = before.checked_add(took / 2).ok()?;
        if best.is_none_or(|(quickest, _)| took < quickest) {
            best = Some((took, apart(ours, theirs)));
        }
    }
    best.map(|(took, apart)| verdict(apart, took))
}

fn apart(one: Moment, other: Moment) -> Duration {
    one.saturating_since(other).max(other.saturating_since(one))
}

fn verdict(apart: Duration, took: Duration) -> Finding {
    let found = format!("{} from the database's, which answers in {}", roughly(apart), roughly(took));
    if apart > MOST + took {
        Finding::warning(
            CHECK,
            found,
            "Calls become due by the database's clock, so that none runs early; but moments that programs of this \
             machine work out by its own clock are off by as much.",
            "Let both machines keep time by NTP.",
        )
    } else {
        Finding::fine(CHECK, found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn only_more_than_the_answer_takes_counts() {
        let second = Duration::from_secs(1);
        assert_eq!(verdict(second * 3, second / 100).status, Status::Warning);
        assert_eq!(verdict(second * 3, second * 3).status, Status::Fine);
        assert_eq!(verdict(second / 2, second / 100).status, Status::Fine);
    }
}
