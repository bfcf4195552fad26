//! The order in which claimed calls start.

use std::collections::HashMap;

use super::ClaimedCall;

/// Sorts calls: lower priority number first; then round-robin among names, in the order of their oldest call; calls
/// of one lane by (due, id).
pub(super) fn in_turns(mut calls: Vec<ClaimedCall>) -> Vec<ClaimedCall> {
    calls.sort_unstable_by_key(|call| (call.due, call.id));
    let Some(first) = calls.first() else { return calls };
    if calls.iter().all(|call| call.priority == first.priority && call.name == first.name) {
        return calls;
    }
    let mut places = Vec::with_capacity(calls.len());
    let mut lanes = HashMap::new();
    for call in &calls {
        let lane = lanes.entry((call.priority, call.name.as_str())).or_insert(((call.due, call.id), 0_usize));
        lane.1 += 1;
        places.push((call.priority, lane.1, lane.0));
    }
    let mut ordered: Vec<_> = places.into_iter().zip(calls).collect();
    ordered.sort_by_key(|(place, _)| *place);
    ordered.into_iter().map(|(_, call)| call).collect()
}
