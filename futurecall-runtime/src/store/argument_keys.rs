//! The arguments of waiting calls, by their keys: what the check at start asks of a store.

use std::collections::{BTreeMap, BTreeSet};

use super::CallRecord;
use crate::moment::Moment;

/// How many sets of keys of a name are told apart.
pub(crate) const SETS: usize = 50;

/// How many bytes of arguments, as the database stores them, are looked at for each call that a look may take.
pub(crate) const BYTES_A_CALL: u64 = 1_024;

/// Which waiting calls [`pending_keys`](super::PendingStore::pending_keys) looks at.
#[derive(Clone, Debug)]
pub struct KeysLook {
    /// Calls of these names.
    pub names: Vec<String>,
    /// Only calls that are due at this moment or later.
    pub from: Option<Moment>,
    /// At most so many calls of each name, shared equally among its priorities (one of each at least).
    pub calls: u64,
    /// Of each set of keys at most so many calls are returned whole; at least one.
    pub first: usize,
}

/// The sets of keys that were found among the arguments of waiting calls of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingKeys {
    /// The stored name.
    pub name: String,
    /// By the moment of their earliest calls. At most 50; whether there are more is told by the calls that are in none.
    pub sets: Vec<KeySet>,
}

/// Waiting calls of one name whose arguments have the same keys. `Debug` shows how many keys there are.
#[derive(Clone, PartialEq)]
pub struct KeySet {
    /// The form of the arguments, as in [`CallRecord::format`].
    pub format: i16,
    /// The keys of the arguments; of a call that was scheduled by name, those of its data. `None`: they are no object, or
    /// may not be read by this database role. A `\u` in a key is written `/u`.
    pub keys: Option<BTreeSet<String>>,
    /// How many such calls were looked at.
    pub calls: u64,
    /// The earliest of them, by due moment.
    pub first: Vec<CallRecord>,
}

/// An answer that is put together priority by priority.
#[derive(Debug, Default)]
pub(crate) struct Gathered(BTreeMap<String, Sets>);

type Sets = BTreeMap<(i16, Option<BTreeSet<String>>), (u64, Vec<CallRecord>)>;

impl Gathered {
    /// Adds so many calls with these keys, and one of them.
    pub(crate) fn add(&mut self, keys: Option<BTreeSet<String>>, calls: u64, call: CallRecord) {
        let sets = self.0.entry(call.name.clone()).or_default();
        let (count, first) = sets.entry((call.format, keys)).or_default();
        *count = count.saturating_add(calls);
        first.push(call);
    }

    /// The answer, with `first` calls of each set.
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

/// How many calls of a name are looked at in each of so many priorities.
pub(crate) fn share(calls: u64, priorities: usize) -> u64 {
    (calls / u64::try_from(priorities).unwrap_or(u64::MAX).max(1)).max(1)
}
