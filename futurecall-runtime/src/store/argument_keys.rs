//! The keys of waiting calls' arguments, for the check at start.

use std::collections::{BTreeMap, BTreeSet};

use super::CallRecord;
use crate::moment::Moment;

/// Maximum number of distinct sets of keys per name.
pub(crate) const SETS: usize = 50;

/// Bytes of arguments, as the database stores them, that may be read per call of the limit.
pub(crate) const BYTES_A_CALL: u64 = 1_024;

/// The calls that [`pending_keys`](super::PendingStore::pending_keys) reads.
#[derive(Clone, Debug)]
pub struct KeysLook {
    /// Calls of these names.
    pub names: Vec<String>,
    /// Only calls that are due at this time or later.
    pub from: Option<Moment>,
    /// Maximum number of calls of each name, shared equally among its priorities (at least one of each).
    pub calls: u64,
    /// Maximum number of calls returned for each set of keys; at least one.
    pub first: usize,
}

/// The sets of keys found in the arguments of waiting calls of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingKeys {
    /// The stored name.
    pub name: String,
    /// By the due time of their earliest calls. At most 50; there are more if their counts are less than the calls
    /// read.
    pub sets: Vec<KeySet>,
}

/// Waiting calls of one name whose arguments have the same keys. `Debug` shows how many keys there are.
#[derive(Clone, PartialEq)]
pub struct KeySet {
    /// The form of the arguments, as in [`CallRecord::format`].
    pub format: i16,
    /// The keys of the arguments; for a call scheduled by name, those of its data. `None` if they are not an object,
    /// or may not be read by this database role. A `\u` in a key is written `/u`.
    pub keys: Option<BTreeSet<String>>,
    /// Number of such calls that were read.
    pub calls: u64,
    /// The earliest of them, by due time.
    pub first: Vec<CallRecord>,
}

/// A result that is built priority by priority.
#[derive(Debug, Default)]
pub(crate) struct Gathered(BTreeMap<String, Sets>);

type Sets = BTreeMap<(i16, Option<BTreeSet<String>>), (u64, Vec<CallRecord>)>;

impl Gathered {
    /// Adds a number of calls with these keys, and at most one of the calls.
    pub(crate) fn add(&mut self, keys: Option<BTreeSet<String>>, calls: u64, call: CallRecord) {
        let sets = self.0.entry(call.name.clone()).or_default();
        let (count, first) = sets.entry((call.format, keys)).or_default();
        *count = count.saturating_add(calls);
        first.push(call);
    }

    /// Returns the result, with `first` calls of each set.
    pub(crate) fn done(self, first: usize) -> Vec<PendingKeys> {
        let place = |call: &CallRecord| (call.next_attempt.unwrap_or(call.due), call.id);
        let names = self.0.into_iter().map(|(name, sets)| {
            let sets = sets.into_iter().map(|((format, keys), (calls, mut records))| {
                records.sort_by_key(place);
                records.truncate(first.max(1));
                KeySet { format, keys, calls, first: records }
            });
            let mut sets: Vec<_> = sets.collect();
            sets.sort_by_key(|set| set.first.first().map(place));
            sets.truncate(SETS);
            PendingKeys { name, sets }
        });
        names.collect()
    }
}

/// Returns how many calls of a name are read in each of its priorities.
pub(crate) fn share(calls: u64, priorities: usize) -> u64 {
    (calls / u64::try_from(priorities).unwrap_or(u64::MAX).max(1)).max(1)
}
