//! What waits, by name and by the keys of its arguments.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde_json::value::RawValue;

use super::MemoryStore;
use super::inspect::pending_record;
use super::rows::{Call, refuse_nul};
use crate::args::by_name;
use crate::store::argument_keys::{BYTES_A_CALL, Gathered, KeysLook, PendingKeys, share};
use crate::store::{Now, PendingName, PendingStore, Result};

#[async_trait]
impl PendingStore for MemoryStore {
    async fn pending_names(&self, _now: Now, cap: u64) -> Result<Vec<PendingName>> {
        let state = self.state();
        let count = |lanes: &BTreeMap<_, BTreeSet<_>>| {
            lanes.values().map(|lane| lane.len() as u64).sum::<u64>().min(cap)
        };
        Ok(state.waiting.iter().map(|(name, lanes)| PendingName::new(name.clone(), count(lanes))).collect())
    }

    async fn pending_keys(&self, _now: Now, look: &KeysLook) -> Result<Vec<PendingKeys>> {
        let state = self.state();
        refuse_nul("look at the keys of arguments", look.names.iter().map(String::as_str))?;
        let mut found = Gathered::default();
        let names: BTreeSet<&String> = look.names.iter().collect();
        for lanes in names.into_iter().filter_map(|name| state.waiting.get(name)) {
            let most = share(look.calls, lanes.len());
            for lane in lanes.values() {
                let due = lane.iter().filter(|(due, _)| look.from.is_none_or(|from| from <= *due));
                let calls = due.filter_map(|(_, id)| state.call(*id));
                let mut before = 0_u64;
                for call in calls.take(usize::try_from(most).unwrap_or(usize::MAX)) {
                    if before >= most.saturating_mul(BYTES_A_CALL) {
                        break;
                    }
                    before = before.saturating_add(call.args.len() as u64);
                    found.add(keys(call), 1, pending_record(call));
                }
            }
        }
        Ok(found.done(look.first))
    }
}

/// The keys of the arguments, or of the data of a call by name; `None` where they are no object.
fn keys(call: &Call) -> Option<BTreeSet<String>> {
    let args = call.args.replace("\\u", "/u");
    let mut args = args.as_str();
    if call.format == by_name::FORMAT {
        let data: BTreeMap<String, &RawValue> = serde_json::from_str(args).ok()?;
        args = data.get(by_name::KEY).map_or("{}", |data| data.get());
    }
    let keys: BTreeMap<String, &RawValue> = serde_json::from_str(args).ok()?;
    Some(keys.into_keys().collect())
}
