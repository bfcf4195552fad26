//! The database's clock, which a fault may have set: its reading at a time, and the times of a reading.

use crate::fault::Step;

/// How far two readings of the machine's clocks may differ. The ledger reads one after the other.
pub(super) const CLOCKS: i64 = 2_000;

/// What is known of the database's clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    /// The machine's wall clock minus its monotonic clock.
    pub(crate) real_offset: i64,
    /// In order of time.
    pub(crate) steps: Vec<Step>,
}

impl Clock {
    /// Returns each setting with the time span in which it applied.
    fn settings(&self) -> impl Iterator<Item = (i64, i64, i64)> {
        let from = std::iter::once((i64::MIN, 0)).chain(self.steps.iter().map(|step| (step.before, step.by)));
        let until = self.steps.iter().map(|step| step.after).chain(std::iter::once(i64::MAX));
        from.zip(until).map(|((from, by), until)| (from, until, by))
    }

    fn settings_within(&self, from: i64, until: i64) -> impl Iterator<Item = i64> {
        let overlaps = move |(begin, end, by): (i64, i64, i64)| (begin <= until && end >= from).then_some(by);
        self.settings().filter_map(overlaps)
    }

    /// Returns the lowest possible reading at `at`, for any setting between that time and then.
    pub(super) fn at_least(&self, at: i64, until: i64) -> i64 {
        at + self.real_offset + self.settings_within(at, until).min().unwrap_or(0)
    }

    /// Returns the highest possible reading at `at` for a process that read it `since` then, and has counted on from
    /// there.
    pub(super) fn at_most(&self, at: i64, since: i64) -> i64 {
        at + self.real_offset + self.settings_within(since, at).max().unwrap_or(0)
    }

    /// Returns each setting with the time span in which a reading may have been taken that it was applied to.
    ///
    /// A shifted clock reads the machine's clock first, and then the file that shifts it: a process that is paused
    /// between the two applies the setting of the time at which it resumes to the time at which it was paused.
    fn readings(&self, standstills: &[(i64, i64)]) -> impl Iterator<Item = (i64, i64, i64)> {
        self.settings().map(move |(from, until, by)| {
            let between = standstills.iter().filter(|(begin, end)| (*begin..=*end).contains(&from));
            (between.map(|(begin, _)| *begin).min().unwrap_or(from), until, by)
        })
    }

    /// Returns the monotonic times at which it may have shown this to processes that were paused at these times.
    pub(super) fn moments(&self, said: i64, standstills: &[(i64, i64)]) -> Vec<i64> {
        let all = self.readings(standstills).filter_map(|(from, until, by)| {
            let at = said - self.real_offset - by;
            let range = from.saturating_sub(CLOCKS)..=until.saturating_add(CLOCKS);
            range.contains(&at).then_some(at)
        });
        all.collect()
    }

    /// Returns when it first showed this or more.
    pub(crate) fn first_moment(&self, said: i64, standstills: &[(i64, i64)]) -> i64 {
        let all = self.readings(standstills).filter_map(|(from, until, by)| {
            let at = (said - self.real_offset - by).max(from);
            (at <= until).then_some(at)
        });
        all.min().unwrap_or(said - self.real_offset)
    }

    /// Returns when it last showed this or less.
    pub(super) fn last_moment(&self, said: i64, standstills: &[(i64, i64)]) -> i64 {
        let all = self.readings(standstills).filter_map(|(from, until, by)| {
            let at = (said - self.real_offset - by).min(until);
            (at >= from.saturating_sub(CLOCKS)).then_some(at)
        });
        all.max().unwrap_or(said - self.real_offset)
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Step};

    #[test]
    fn a_clock_that_was_set_says_what_it_said() {
        let plain = Clock { real_offset: 100_000_000, steps: Vec::new() };
        assert_eq!((plain.at_least(5, 90), plain.at_most(90, 5)), (100_000_005, 100_000_090));
        assert_eq!(plain.moments(100_000_005, &[]), [5]);

        let second = 1_000_000;
        let step = |at: i64, by: i64| Step { before: at * second, after: at * second + 10, by: by * second };
        let set = Clock { real_offset: 0, steps: vec![step(10, 60), step(20, -5)] };
        assert_eq!(set.at_least(9 * second, 9 * second), 9 * second);
        assert_eq!(set.at_most(11 * second, 11 * second), 71 * second);
        // It was read before it was set back.
        assert_eq!(set.at_most(21 * second, 15 * second), 81 * second);
        assert_eq!(set.at_least(21 * second, 22 * second), 16 * second);
        assert_eq!(set.moments(9 * second, &[]), [9 * second]);
        assert_eq!(set.moments(16 * second, &[]), [21 * second]);
        // It showed this twice, before and after it was set back; and this not at all.
        assert_eq!(set.moments(75 * second, &[]), [15 * second, 80 * second]);
        assert_eq!(set.last_moment(75 * second, &[]), 80 * second);
        // What it skipped, it showed when it was set.
        assert!(set.moments(12 * second, &[]).is_empty());
        assert_eq!(set.first_moment(12 * second, &[]), 10 * second);
        assert_eq!(
            (set.first_moment(75 * second, &[]), set.first_moment(5 * second, &[])),
            (15 * second, 5 * second)
        );
        assert_eq!(
            (set.last_moment(5 * second, &[]), set.last_moment(90 * second, &[])),
            (5 * second, 95 * second)
        );
        assert_eq!(set.last_moment(12 * second, &[]), 10 * second + 10);
    }
}
