//! A check of many pending calls at bounded cost: all names, and the arguments of some calls of each set of keys.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use super::findings::{Broken, Count, Found};
use super::{may_run_elsewhere, undecodable, unknown};
use crate::engine::readers::Readers;
use crate::id::CallId;
use crate::pod::Pod;
use crate::store::{CallRecord, KeySet, KeysLook, Now, PendingKeys, PendingName, Result};

const DAY: Duration = Duration::from_hours(24);

/// Number of earliest calls, over all names, whose argument keys are read; and the bounds for each name.
const READ: u64 = 10_000;
const READ_OF_NAME: (u64, u64) = (20, 10_000);

/// How far ahead further keys are read, for names with more calls: calls that were stored long ago by an older
/// release may be due after all that is due soon.
const AHEAD: [Duration; 5] =
    [Duration::from_hours(1), DAY, DAY.saturating_mul(7), DAY.saturating_mul(30), DAY.saturating_mul(180)];

/// Number of calls read at each of these points, over all names; and the bounds for each name.
const READ_AHEAD: u64 = 1_000;
const READ_AHEAD_OF_NAME: (u64, u64) = (5, 1_000);

/// Number of calls decoded of each set of keys: a share of this for each name, and a minimum.
const DECODED: usize = 1_000;
const DECODED_OF_SET: usize = 5;

/// Checks all names, whose calls were counted up to `cap`, and the arguments of some calls.
pub(super) async fn look(pod: &Pod, readers: &Readers, waiting: Vec<PendingName>, cap: u64) -> Result<Found> {
    let mut found = Found::of_sample();
    let mut known = BTreeMap::new();
    for PendingName { name, calls } in waiting {
        let count = Count::up_to(calls, cap);
        found.waits(&name, count);
        match unknown(pod, &name) {
            None => drop(known.insert(name, calls)),
            Some(reason) => {
                let runs_elsewhere = may_run_elsewhere(pod, readers, &name, &[]);
                found.broken_as(&name, Broken { reason, is_unknown: true, runs_elsewhere }, count);
            }
        }
    }
    let mut sample = Sample { pod, readers, found, seen: HashSet::new(), sets: BTreeMap::new() };
    let left = sample.earliest(known, cap).await?;
    sample.ahead(left).await?;
    Ok(sample.done())
}

/// The state of the check.
struct Sample<'a> {
    pod: &'a Pod,
    readers: &'a Readers,
    found: Found,
    /// The calls that were decoded.
    seen: HashSet<CallId>,
    sets: BTreeMap<Key, Set>,
}

/// Name, form, and keys.
type Key = (String, i16, Option<BTreeSet<String>>);

/// Calls of one name whose arguments have the same keys.
#[derive(Default)]
struct Set {
    /// Number of such calls.
    calls: Count,
    /// Number of calls whose keys were read, without those ahead.
    read: u64,
    broken: BTreeSet<Broken>,
}

impl Sample<'_> {
    /// Reads the keys of the earliest calls of these names. Returns the names that have more calls, with how many.
    async fn earliest(
        &mut self,
        mut names: BTreeMap<String, u64>,
        cap: u64,
    ) -> Result<BTreeMap<String, u64>> {
        let calls = share(READ, names.values().copied(), READ_OF_NAME);
        for PendingKeys { name, sets } in self.keys(&names, None, calls).await? {
            let read = sets.iter().fold(0, |sum: u64, set| sum.saturating_add(set.calls));
            let waiting = names.get(&name).copied().unwrap_or(0);
            let is_all = waiting < cap && read >= waiting;
            for set in sets {
                let read = set.calls;
                let calls = if is_all { Count::exactly(read) } else { Count::at_least(read) };
                self.take(&name, set, calls).read = read;
            }
            if is_all {
                names.remove(&name);
            }
        }
        Ok(names)
    }

    /// Reads the keys of a few calls far ahead.
    async fn ahead(&mut self, names: BTreeMap<String, u64>) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let now = self.pod.engine().store.now().await?;
        let calls = share(READ_AHEAD, names.values().copied(), READ_AHEAD_OF_NAME);
        for ahead in AHEAD {
            let Ok(from) = now.checked_add(ahead) else { break };
            let found = self.keys(&names, Some(from), calls).await?;
            if found.is_empty() {
                break;
            }
            for PendingKeys { name, sets } in found {
                for set in sets {
                    let calls = Count::at_least(set.calls);
                    self.take(&name, set, calls);
                }
            }
        }
        Ok(())
    }

    async fn keys(
        &self,
        names: &BTreeMap<String, u64>,
        from: Option<crate::Moment>,
        calls: u64,
    ) -> Result<Vec<PendingKeys>> {
        let first = (DECODED / names.len().max(1)).max(DECODED_OF_SET);
        let look = KeysLook { names: names.keys().cloned().collect(), from, calls, first };
        if names.is_empty() {
            Ok(Vec::new())
        } else {
            self.pod.engine().store.pending_keys(Now::Database, &look).await
        }
    }

    /// Decodes the arguments of some of the `calls` with the same keys.
    fn take(&mut self, name: &str, set: KeySet, calls: Count) -> &mut Set {
        let broken: Vec<_> = set.first.iter().filter_map(|call| self.decode(call)).collect();
        let known = self.sets.entry((name.to_owned(), set.format, set.keys)).or_default();
        known.calls.raise(calls);
        known.broken.extend(broken);
        known
    }

    /// Decodes the arguments of a call, unless that was done before. Returns why they cannot be decoded.
    fn decode(&mut self, call: &CallRecord) -> Option<Broken> {
        if !self.seen.insert(call.id) {
            return None;
        }
        self.found.decoded(&call.name);
        let reason = undecodable(self.pod, call)?;
        let runs_elsewhere = may_run_elsewhere(self.pod, self.readers, &call.name, &call.declined);
        let broken = Broken { reason, is_unknown: false, runs_elsewhere };
        self.found.broken_as(&call.name, broken.clone(), Count::exactly(1));
        Some(broken)
    }

    fn done(mut self) -> Found {
        for ((name, ..), set) in self.sets {
            self.found.set_of_keys(&name, set.read);
            for broken in set.broken {
                self.found.same_keys(&name, broken, set.calls);
            }
        }
        self.found
    }
}

/// Returns how many of each may be taken, so that together they are at most `total`, within these bounds.
fn share(total: u64, each: impl Iterator<Item = u64>, (least, most): (u64, u64)) -> u64 {
    let mut each: Vec<u64> = each.collect();
    each.sort_unstable();
    let (mut total, mut left) = (total, each.len() as u64);
    for one in each {
        let fair = total / left.max(1);
        if one > fair {
            return fair.clamp(least, most);
        }
        (total, left) = (total - one, left.saturating_sub(1));
    }
    most
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn names_with_few_calls_leave_more_to_the_others() {
        let share = |each: &[u64]| share(1_000, each.iter().copied(), (20, 700));
        assert_eq!(share(&[]), 700);
        assert_eq!(share(&[10_000]), 700);
        assert_eq!(share(&[100, 200, 300]), 700, "all of them");
        assert_eq!(share(&[10_000, 100, 10_000]), 450);
        assert_eq!(share(&[500; 100]), 20);
    }
}
