//! What schedules will do beyond the one call that each has stored, and arithmetic of moments.

use std::collections::BTreeMap;
use std::time::Duration;

use futurecall_runtime::Moment;
use futurecall_runtime::inspect::{ScheduleRecord, ScheduleState};
use futurecall_runtime::recurring::Recurrence;

/// How many runs of calendar rules are worked out for one page: each costs microseconds.
const BUDGET: usize = 20_000;
/// How many of one rule.
const MOST_OF_ONE: usize = 1_000;

/// Runs to come that are not stored yet.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    /// By name, how many in each stretch.
    pub(crate) runs: BTreeMap<String, Vec<u64>>,
    /// Whether there are more than were worked out.
    pub(crate) more: bool,
}

/// What active schedules do between each two neighbours of `edges`, after the run that is stored.
pub(crate) fn forecast(schedules: &[ScheduleRecord], edges: &[Moment]) -> Forecast {
    let mut forecast = Forecast::default();
    let (Some(first), Some(last)) = (edges.first().copied(), edges.last().copied()) else { return forecast };
    let mut budget = BUDGET;
    for schedule in schedules.iter().filter(|schedule| schedule.state == ScheduleState::Active) {
        let Some(next) = schedule.next.filter(|next| *next < last) else { continue };
        let counts: Vec<u64> = if let Recurrence::Every { interval_us, .. } = &schedule.effective.recurrence {
            edges.windows(2).map(|pair| boundaries(schedule.anchor, *interval_us, next, pair)).collect()
        } else {
            let wanted = MOST_OF_ONE.min(budget);
            let runs = schedule.upcoming(next, wanted);
            budget = budget.saturating_sub(runs.len());
            forecast.more |= runs.len() == wanted && runs.last().is_none_or(|run| *run < last);
            by_stretch(edges, runs.into_iter().filter(|run| *run >= first && *run < last))
        };
        let total = forecast.runs.entry(schedule.name.clone()).or_insert_with(|| vec![0; counts.len()]);
        for (total, count) in total.iter_mut().zip(counts) {
            *total = total.saturating_add(count);
        }
    }
    forecast.runs.retain(|_, counts| counts.iter().any(|count| *count > 0));
    forecast
}

/// How many boundaries of an interval lie in a stretch, and after the run that is stored.
fn boundaries(anchor: Moment, interval_us: u64, next: Moment, stretch: &[Moment]) -> u64 {
    let [from, until] = stretch else { return 0 };
    let interval = i128::from(interval_us.max(1));
    // Boundaries before a moment, counted from the anchor.
    let until_there = |moment: i64| {
        (i128::from(moment) - i128::from(anchor.as_micros()) + interval - 1).div_euclid(interval)
    };
    let from = from.as_micros().max(next.as_micros().saturating_add(1));
    u64::try_from(until_there(until.as_micros()) - until_there(from)).unwrap_or(0)
}

fn by_stretch(edges: &[Moment], runs: impl Iterator<Item = Moment>) -> Vec<u64> {
    let mut counts = vec![0_u64; edges.len().saturating_sub(1)];
    for run in runs {
        let at = edges.partition_point(|edge| *edge <= run).saturating_sub(1);
        if let Some(count) = counts.get_mut(at) {
            *count = count.saturating_add(1);
        }
    }
    counts
}

/// That long before a moment; 1970 at the earliest.
pub(crate) fn before(moment: Moment, duration: Duration) -> Moment {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    Moment::from_micros(moment.as_micros().saturating_sub(micros)).unwrap_or(Moment::MIN)
}

/// That long after a moment; 9999 at the latest.
pub(crate) fn after(moment: Moment, duration: Duration) -> Moment {
    moment.checked_add(duration).unwrap_or(Moment::MAX)
}

/// The last whole multiple of `step` since 1970.
pub(crate) fn floor(moment: Moment, step: Duration) -> Moment {
    let step = i64::try_from(step.as_micros()).unwrap_or(i64::MAX).max(1);
    Moment::from_micros(moment.as_micros() - moment.as_micros().rem_euclid(step)).unwrap_or(Moment::MIN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futurecall_runtime::Moment;

    use super::{boundaries, by_stretch, floor};

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
    fn runs_fall_into_their_stretches() {
        let edges = [at(0), at(10), at(20)];
        assert_eq!(by_stretch(&edges, [0, 9, 10, 19].into_iter().map(at)), [2, 2]);
        assert_eq!(floor(at(125), Duration::from_mins(1)), at(120));
    }
}
