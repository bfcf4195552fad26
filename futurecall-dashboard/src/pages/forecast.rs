//! Predicts the runs of schedules beyond the one that is stored, and helpers for `Moment` arithmetic.

use std::collections::BTreeMap;
use std::time::Duration;

use futurecall_runtime::Moment;
use futurecall_runtime::inspect::{ScheduleRecord, ScheduleState};
use futurecall_runtime::recurring::Recurrence;

/// Cron runs computed for one page; each takes microseconds.
const BUDGET: usize = 20_000;
/// Cron runs computed for one schedule.
const PER_SCHEDULE: usize = 1_000;

/// Future runs that are not stored yet.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    /// Runs per bucket, by name.
    pub(crate) runs: BTreeMap<String, Vec<u64>>,
    /// Whether the budget ended before the last edge.
    pub(crate) more: bool,
}

/// Counts the runs of active schedules after the stored one, in the buckets between neighbouring `edges`.
pub(crate) fn forecast(schedules: &[ScheduleRecord], edges: &[Moment]) -> Forecast {
    let mut forecast = Forecast::default();
    let (Some(first), Some(last)) = (edges.first().copied(), edges.last().copied()) else { return forecast };
    let mut budget = BUDGET;
    for schedule in schedules.iter().filter(|schedule| schedule.state == ScheduleState::Active) {
        let Some(next) = schedule.next.filter(|next| *next < last) else { continue };
        let counts: Vec<u64> = if let Recurrence::Every { interval_us, .. } = &schedule.effective.recurrence {
            edges.windows(2).map(|pair| boundaries(schedule.anchor, *interval_us, next, pair)).collect()
        } else {
            let limit = PER_SCHEDULE.min(budget);
            let runs = schedule.upcoming(next, limit);
            budget = budget.saturating_sub(runs.len());
            forecast.more |= runs.len() == limit && runs.last().is_none_or(|run| *run < last);
            by_bucket(edges, runs.into_iter().filter(|run| *run >= first && *run < last))
        };
        let total = forecast.runs.entry(schedule.name.clone()).or_insert_with(|| vec![0; counts.len()]);
        for (total, count) in total.iter_mut().zip(counts) {
            *total = total.saturating_add(count);
        }
    }
    forecast.runs.retain(|_, counts| counts.iter().any(|count| *count > 0));
    forecast
}

/// Counts the boundaries of an interval that lie in a bucket and after the stored run.
fn boundaries(anchor: Moment, interval_us: u64, next: Moment, bucket: &[Moment]) -> u64 {
    let [from, until] = bucket else { return 0 };
    let interval = i128::from(interval_us.max(1));
    // Counted from the anchor.
    let boundaries_before = |moment: i64| {
        (i128::from(moment) - i128::from(anchor.as_micros()) + interval - 1).div_euclid(interval)
    };
    let from = from.as_micros().max(next.as_micros().saturating_add(1));
    u64::try_from(boundaries_before(until.as_micros()) - boundaries_before(from)).unwrap_or(0)
}

fn by_bucket(edges: &[Moment], runs: impl Iterator<Item = Moment>) -> Vec<u64> {
    let mut counts = vec![0_u64; edges.len().saturating_sub(1)];
    for run in runs {
        let at = edges.partition_point(|edge| *edge <= run).saturating_sub(1);
        if let Some(count) = counts.get_mut(at) {
            *count = count.saturating_add(1);
        }
    }
    counts
}

/// Subtracts a duration; 1970 at the earliest.
pub(crate) fn before(moment: Moment, duration: Duration) -> Moment {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    Moment::from_micros(moment.as_micros().saturating_sub(micros)).unwrap_or(Moment::MIN)
}

/// Adds a duration; the year 9999 at the latest.
pub(crate) fn after(moment: Moment, duration: Duration) -> Moment {
    moment.checked_add(duration).unwrap_or(Moment::MAX)
}

/// Rounds down to a multiple of `step` since 1970.
pub(crate) fn floor(moment: Moment, step: Duration) -> Moment {
    let step = i64::try_from(step.as_micros()).unwrap_or(i64::MAX).max(1);
    Moment::from_micros(moment.as_micros() - moment.as_micros().rem_euclid(step)).unwrap_or(Moment::MIN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futurecall_runtime::Moment;

    use super::{boundaries, by_bucket, floor};

    fn at(seconds: i64) -> Moment {
        Moment::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn boundaries_are_counted_as_they_would_be_walked() {
        let (anchor, interval) = (at(1_007), 10_000_000);
        for next in [1_007, 1_017, 1_057] {
            for (from, until) in
                [(1_000, 1_060), (1_017, 1_018), (1_018, 1_027), (1_100, 1_100), (900, 1_000)]
            {
                let walked = (0..1_000)
                    .map(|n| 1_007 + 10 * n)
                    .filter(|run| *run > next && *run >= from && *run < until);
                let counted = boundaries(anchor, interval, at(next), &[at(from), at(until)]);
                assert_eq!(counted, walked.count() as u64, "next {next}, {from} to {until}");
            }
        }
        let all = [Moment::MIN, Moment::MAX];
        assert!(
            boundaries(at(5), 1_000, at(5), &all) > 200_000_000_000,
            "a millisecond's rule to the end of time"
        );
    }

    #[test]
    fn runs_are_counted_in_their_buckets() {
        let edges = [at(0), at(10), at(20)];
        assert_eq!(by_bucket(&edges, [0, 9, 10, 19].into_iter().map(at)), [2, 2]);
        assert_eq!(floor(at(125), Duration::from_mins(1)), at(120));
    }
}
