//! What the check at start has found, and how it says so.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use crate::id::PodId;

/// How many calls: so many, or at least so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    calls: u64,
    at_least: bool,
}

impl Count {
    pub(super) const fn exactly(calls: u64) -> Self {
        Self { calls, at_least: false }
    }

    /// Of a count that stopped at `cap`.
    pub(super) const fn up_to(calls: u64, cap: u64) -> Self {
        Self { calls, at_least: calls >= cap }
    }

    fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.at_least |= other.at_least;
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

/// The pending calls of one name.
#[derive(Debug, Default)]
struct Waiting {
    calls: Count,
    decoded: u64,
    is_unknown: bool,
    /// How many are broken, by reason.
    broken: BTreeMap<String, Count>,
}

/// What was looked at, by name, and what was found.
#[derive(Debug)]
pub(super) struct Found {
    known_elsewhere: HashSet<String>,
    names: BTreeMap<String, Waiting>,
}

impl Found {
    /// Nothing yet. `known_elsewhere`: the names that other live pods have.
    pub(super) const fn new(known_elsewhere: HashSet<String>) -> Self {
        Self { known_elsewhere, names: BTreeMap::new() }
    }

    pub(super) fn is_known_elsewhere(&self, name: &str) -> bool {
        self.known_elsewhere.contains(name)
    }

    /// Adds pending calls of a name.
    pub(super) fn waits(&mut self, name: &str, calls: Count) {
        self.of(name).calls.add(calls);
    }

    /// Adds a call of that name whose arguments were decoded, rightly or in vain.
    pub(super) fn decoded(&mut self, name: &str) {
        let waiting = self.of(name);
        waiting.decoded = waiting.decoded.saturating_add(1);
    }

    /// Adds calls that are broken; `is_unknown`: because this pod has no call of that name.
    pub(super) fn broken_as(&mut self, name: &str, reason: String, is_unknown: bool, calls: Count) {
        let waiting = self.of(name);
        waiting.is_unknown = is_unknown;
        waiting.broken.entry(reason).or_default().add(calls);
    }

    fn of(&mut self, name: &str) -> &mut Waiting {
        if !self.names.contains_key(name) {
            self.names.insert(name.to_owned(), Waiting::default());
        }
        self.names.entry(name.to_owned()).or_default()
    }

    /// The names that this pod has and of which more calls wait than were decoded, and fewer than `enough` were.
    pub(super) fn hardly_decoded(&self, enough: u64) -> Vec<String> {
        let names = self.names.iter().filter(|(_, waiting)| {
            !waiting.is_unknown && waiting.decoded < enough && waiting.left() != Count::default()
        });
        names.map(|(name, _)| name.clone()).collect()
    }

    /// Logs what is broken, and what was looked at and what was not.
    pub(super) fn report(&self, pod: PodId) {
        let (mut calls, mut left, mut decoded) = (Count::default(), Count::default(), 0_u64);
        for (name, waiting) in &self.names {
            calls.add(waiting.calls);
            decoded = decoded.saturating_add(waiting.decoded);
            if !waiting.is_unknown {
                left.add(waiting.left());
            }
            for (reason, broken) in &waiting.broken {
                tracing::warn!(
                    %pod,
                    name,
                    calls = %broken,
                    reason,
                    runs_elsewhere = self.is_known_elsewhere(name),
                    decoded = waiting.decoded,
                    waiting = %waiting.calls,
                    "pending calls cannot be run by this pod"
                );
            }
        }
        let names = self.names.len();
        let names_not_decoded = self.hardly_decoded(1).len();
        if left == Count::default() {
            tracing::info!(
                %pod, names, waiting = %calls, decoded, not_decoded = 0,
                "all pending calls were checked: can this pod run them?"
            );
        } else {
            tracing::info!(
                %pod, names, waiting = %calls, decoded, not_decoded = %left, names_not_decoded,
                "the names of all pending calls were checked, and the arguments of a sample: can this pod run them? (to check \
                 all of them, set check_broken_calls to always)"
            );
        }
    }

    /// What neither this pod nor another live one can run, in words.
    pub(super) fn broken(&self) -> Vec<String> {
        let broken = self
            .names
            .iter()
            .filter(|(name, waiting)| !(waiting.is_unknown && self.is_known_elsewhere(name)));
        broken
            .flat_map(|(name, waiting)| {
                waiting.broken.iter().map(move |(reason, calls)| waiting.told(name, reason, *calls))
            })
            .collect()
    }
}

impl Waiting {
    /// How many were not decoded.
    const fn left(&self) -> Count {
        self.calls.less(self.decoded)
    }

    fn told(&self, name: &str, reason: &str, calls: Count) -> String {
        let noun = if calls == Count::exactly(1) { "call" } else { "calls" };
        let is_sample = !self.is_unknown && self.calls != Count::exactly(self.decoded);
        if is_sample {
            let Self { decoded, calls: waiting, .. } = self;
            return format!(
                "`{name}`, {calls} of {decoded} that were decoded, of {waiting} that wait: {reason}"
            );
        }
        format!("`{name}`, {calls} {noun}: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_live_pod_knows_is_not_broken_and_a_sample_says_that_it_is_one() {
        let mut found = Found::new(HashSet::from(["elsewhere".to_owned(), "here".to_owned()]));
        let many = Count::up_to(10_000, 10_000);
        for name in ["elsewhere", "gone"] {
            found.waits(name, many);
            found.broken_as(name, "no such name".to_owned(), true, many);
        }
        found.waits("here", Count::exactly(7));
        found.decoded("here");
        found.decoded("here");
        found.broken_as("here", "`n` is missing".to_owned(), false, Count::exactly(1));
        assert_eq!(
            found.broken(),
            [
                "`gone`, at least 10000 calls: no such name",
                "`here`, 1 of 2 that were decoded, of 7 that wait: `n` is missing",
            ],
            "arguments are broken here, whoever else knows the name"
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
