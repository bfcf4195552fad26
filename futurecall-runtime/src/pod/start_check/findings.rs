//! The findings of the check at start, and their log lines.

use std::collections::BTreeMap;
use std::fmt;

use crate::id::PodId;

/// A number of calls, exact or a lower bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    calls: u64,
    at_least: bool,
}

impl Count {
    pub(super) const fn exactly(calls: u64) -> Self {
        Self { calls, at_least: false }
    }

    pub(super) const fn at_least(calls: u64) -> Self {
        Self { calls, at_least: true }
    }

    /// Creates the result of a count that stopped at `cap`.
    pub(super) const fn up_to(calls: u64, cap: u64) -> Self {
        Self { calls, at_least: calls >= cap }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.at_least |= other.at_least;
    }

    /// Raises it to a higher count of the same calls.
    pub(super) fn raise(&mut self, other: Self) {
        if other.calls > self.calls {
            *self = other;
        }
    }

    const fn less(self, calls: u64) -> Self {
        Self { calls: self.calls.saturating_sub(calls), at_least: self.at_least }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at_least {
            f.write_str("at least ")?;
        }
        self.calls.fmt(f)
    }
}

/// Why a call is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Broken {
    pub(super) reason: String,
    /// This pod has no handler of that name.
    pub(super) is_unknown: bool,
    /// Another live pod may be able to run it.
    pub(super) runs_elsewhere: bool,
}

/// Number of calls that are broken for one reason.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    /// Calls that were decoded; all calls of an unknown name.
    calls: Count,
    /// Calls whose arguments have the same keys as one of these.
    same_keys: Option<Count>,
}

/// The pending calls of one name.
#[derive(Debug, Default)]
struct Waiting {
    calls: Count,
    /// Number of calls whose argument keys were read, and number of distinct sets of keys.
    keys_read: u64,
    sets: u64,
    decoded: u64,
    is_unknown: bool,
    broken: BTreeMap<Broken, Extent>,
}

/// What was checked and found, by name.
#[derive(Debug, Default)]
pub(super) struct Found {
    names: BTreeMap<String, Waiting>,
    /// Whether only keys of arguments and a sample were checked, not every call.
    is_sample: bool,
}

/// What was checked, over all names.
#[derive(Default)]
struct Total {
    waiting: Count,
    keys_read: u64,
    keys_not_read: Count,
    sets: u64,
    decoded: u64,
    not_decoded: Count,
    names_not_decoded: u64,
}

impl Found {
    /// Creates empty findings of a sample.
    pub(super) fn of_sample() -> Self {
        Self { is_sample: true, ..Self::default() }
    }

    /// Adds pending calls of a name.
    pub(super) fn waits(&mut self, name: &str, calls: Count) {
        self.of(name).calls.add(calls);
    }

    /// Counts a call of that name whose arguments were decoded, successfully or not.
    pub(super) fn decoded(&mut self, name: &str) {
        let waiting = self.of(name);
        waiting.decoded = waiting.decoded.saturating_add(1);
    }

    /// Counts a set of keys, and the calls whose keys were read to find it.
    pub(super) fn set_of_keys(&mut self, name: &str, read: u64) {
        let waiting = self.of(name);
        waiting.sets = waiting.sets.saturating_add(1);
        waiting.keys_read = waiting.keys_read.saturating_add(read);
    }

    /// Adds calls that are broken.
    pub(super) fn broken_as(&mut self, name: &str, broken: Broken, calls: Count) {
        let waiting = self.of(name);
        waiting.is_unknown = broken.is_unknown;
        waiting.broken.entry(broken).or_default().calls.add(calls);
    }

    /// Adds calls whose arguments have the same keys as a broken one.
    pub(super) fn same_keys(&mut self, name: &str, broken: Broken, calls: Count) {
        self.of(name).broken.entry(broken).or_default().same_keys.get_or_insert_default().add(calls);
    }

    fn of(&mut self, name: &str) -> &mut Waiting {
        if !self.names.contains_key(name) {
            self.names.insert(name.to_owned(), Waiting::default());
        }
        self.names.entry(name.to_owned()).or_default()
    }

    /// Logs the broken calls, and what was checked and what was not.
    pub(super) fn report(&self, pod: PodId) {
        for (name, waiting) in &self.names {
            for (broken, extent) in &waiting.broken {
                tracing::warn!(
                    %pod,
                    name,
                    calls = %extent.calls,
                    same_keys = extent.same_keys.map(tracing::field::display),
                    reason = broken.reason,
                    runs_elsewhere = broken.runs_elsewhere,
                    decoded = waiting.decoded,
                    waiting = %waiting.calls,
                    "pending calls cannot be run by this pod"
                );
            }
        }
        let names = self.names.len();
        let Total { waiting, keys_read, keys_not_read, sets, decoded, not_decoded, names_not_decoded } =
            self.total();
        if !self.is_sample {
            tracing::info!(
                %pod, names, %waiting, decoded, %not_decoded,
                "checked whether this pod can run the pending calls: all of them"
            );
        } else if keys_not_read == Count::default() {
            tracing::info!(
                %pod, names, %waiting, keys_read, sets_of_keys = sets, decoded, %not_decoded, names_not_decoded,
                "checked whether this pod can run the pending calls: their names and the keys of their arguments, and the \
                 arguments of a sample of each set of keys (set check_broken_calls to always to decode all of them)"
            );
        } else {
            tracing::info!(
                %pod, names, %waiting, keys_read, %keys_not_read, sets_of_keys = sets, decoded, %not_decoded,
                names_not_decoded,
                "checked whether this pod can run the pending calls: their names, the keys of the arguments of the earliest \
                 calls of each name, and the arguments of a sample of each set of keys; of later calls, only a few that are \
                 due in an hour, a day, a week, 30 days and 180 days were looked at (set check_broken_calls to always to decode \
                 all of them)"
            );
        }
    }

    fn total(&self) -> Total {
        let mut total = Total::default();
        for waiting in self.names.values() {
            total.waiting.add(waiting.calls);
            total.keys_read = total.keys_read.saturating_add(waiting.keys_read);
            total.sets = total.sets.saturating_add(waiting.sets);
            total.decoded = total.decoded.saturating_add(waiting.decoded);
            if !waiting.is_unknown {
                total.keys_not_read.add(waiting.calls.less(waiting.keys_read));
                total.not_decoded.add(waiting.left());
                total.names_not_decoded += u64::from(waiting.decoded == 0);
            }
        }
        total
    }

    /// Describes the calls that neither this pod nor another live one can run.
    pub(super) fn broken(&self) -> Vec<String> {
        let told = |(name, waiting): (&String, &Waiting)| -> Vec<String> {
            let broken = waiting.broken.iter().filter(|(broken, _)| !broken.runs_elsewhere);
            broken.map(|(broken, extent)| waiting.told(name, &broken.reason, *extent)).collect()
        };
        self.names.iter().flat_map(told).collect()
    }
}

impl Waiting {
    /// Returns how many were not decoded.
    const fn left(&self) -> Count {
        self.calls.less(self.decoded)
    }

    fn told(&self, name: &str, reason: &str, extent: Extent) -> String {
        let Extent { calls, same_keys } = extent;
        let noun = if calls == Count::exactly(1) { "call" } else { "calls" };
        let is_sample = !self.is_unknown && self.calls != Count::exactly(self.decoded);
        if is_sample {
            let Self { decoded, calls: waiting, .. } = self;
            let same_keys =
                same_keys.map_or_else(String::new, |calls| format!(", {calls} with the same keys"));
            return format!(
                "`{name}`, {calls} of {decoded} decoded calls ({waiting} pending{same_keys}): {reason}"
            );
        }
        format!("`{name}`, {calls} {noun}: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(reason: &str, is_unknown: bool, runs_elsewhere: bool) -> Broken {
        Broken { reason: reason.to_owned(), is_unknown, runs_elsewhere }
    }

    #[test]
    fn what_a_live_pod_may_run_is_not_broken_and_a_sample_says_that_it_is_one() {
        let mut found = Found::of_sample();
        let many = Count::up_to(10_000, 10_000);
        for (name, runs_elsewhere) in [("elsewhere", true), ("gone", false)] {
            found.waits(name, many);
            found.broken_as(name, broken("no such name", true, runs_elsewhere), many);
        }
        found.waits("here", Count::exactly(7));
        for runs_elsewhere in [true, false] {
            found.decoded("here");
            found.broken_as("here", broken("`n` is missing", false, runs_elsewhere), Count::exactly(1));
        }
        found.same_keys("here", broken("`n` is missing", false, false), Count::exactly(3));
        assert_eq!(
            found.broken(),
            [
                "`gone`, at least 10000 calls: no such name",
                "`here`, 1 of 2 decoded calls (7 pending, 3 with the same keys): `n` is missing",
            ]
        );
    }

    #[test]
    fn nothing_that_is_left_out_is_less_than_it_is() {
        assert_eq!(Count::exactly(3).less(3), Count::default());
        assert_eq!(Count::exactly(3).less(5), Count::default());
        assert_eq!(Count::up_to(9, 10).less(2), Count::exactly(7));
        assert_eq!(Count::up_to(10, 10).less(10).to_string(), "at least 0");
    }
}
