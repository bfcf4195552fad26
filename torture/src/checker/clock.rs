//! The database's clock, which a fault may have set: what it said when, and when it said what.

use crate::fault::Step;

/// How far two readings of the machine's clocks may lie apart. The ledger reads both one after the other.
pub(super) const CLOCKS: i64 = 2_000;

/// What is known of the database's clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    /// What the machine's wall clock says less what its monotonic one does.
    pub(crate) real_offset: i64,
    /// In the order of their moments.
    pub(crate) steps: Vec<Step>,
}

impl Clock {
    /// Each time with the setting that held in it, from and until.
    fn settings(&self) -> impl Iterator<Item = (i64, i64, i64)> {
        let from = std::iter::once((i64::MIN, 0)).chain(self.steps.iter().map(|step| (step.before, step.by)));
        let until = self.steps.iter().map(|step| step.after).chain(std::iter::once(i64::MAX));
        from.zip(until).map(|((from, by), until)| (from, until, by))
    }

    fn settings_within(&self, from: i64, until: i64) -> impl Iterator<Item = i64> {
        let overlaps = move |(begin, end, by): (i64, i64, i64)| (begin <= until && end >= from).then_some(by);
        self.settings().filter_map(overlaps)
    }

    /// The least that it can have said at `at`, had it been set as it was at any time from then until.
    pub(super) fn at_least(&self, at: i64, until: i64) -> i64 {
        at + self.real_offset + self.settings_within(at, until).min().unwrap_or(0)
    }

    /// The most that it can have said at `at` to who read it `since` then, and has counted on from there.
    pub(super) fn at_most(&self, at: i64, since: i64) -> i64 {
        at + self.real_offset + self.settings_within(since, at).max().unwrap_or(0)
    }

    /// Each setting with the time in which a reading may have been taken that it was applied to, from and until.
    ///
    /// A bent clock reads the machine's clock first, and then the file that bends it: a process that stands still between
    /// the two applies to the moment at which it was stopped a setting of the moment at which it goes on.
    fn readings(&self, standstills: &[(i64, i64)]) -> impl Iterator<Item = (i64, i64, i64)> {
        self.settings().map(move |(from, until, by)| {
            let between = standstills.iter().filter(|(begin, end)| (*begin..=*end).contains(&from));
            (between.map(|(begin, _)| *begin).min().unwrap_or(from), until, by)
        })
    }

    /// The monotonic moments at which it may have said this to processes that stood still for these times.
    pub(super) fn moments(&self, said: i64, standstills: &[(i64, i64)]) -> Vec<i64> {
        let all = self.readings(standstills).filter_map(|(from, until, by)| {
            let at = said - self.real_offset - by;
            let range = from.saturating_sub(CLOCKS)..=until.saturating_add(CLOCKS);
            range.contains(&at).then_some(at)
        });
        all.collect()
    }

    /// When it first said this or more.
    pub(crate) fn first_moment(&self, said: i64, standstills: &[(i64, i64)]) -> i64 {
        let all = self.readings(standstills).filter_map(|(from, until, by)| {
            let at = (said - self.real_offset - by).max(from);
            (at <= until).then_some(at)
        });
        all.min().unwrap_or(said - self.real_offset)
    }

    /// When it last said this or less.
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
        // Twice it said this, before and after it was set back; and this not at all.
        assert_eq!(set.moments(75 * second, &[]), [15 * second, 80 * second]);
        assert_eq!(set.last_moment(75 * second, &[]), 80 * second);
        // What it left out, it said when it was set.
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
