//! Checks of a simulation that has ended.

use std::time::Duration;

use futurecall_model::replay::replay;
use futurecall_model::state::Row;
use futurecall_runtime::store::prelude::*;
use futurecall_runtime::store::{CallState, MemoryStore, Now};

use super::world::World;

/// How long before its due time a call may be claimed, within a quarter of a lease. (The server checks that no claim
/// brings a call that is further ahead than requested.)
const AHEAD: Duration = Duration::from_millis(200);

/// Replays the trace in the model, and checks the final state of the store.
pub(crate) async fn check(world: &World, store: &MemoryStore) {
    let lines = world.shared().lines.clone();
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let lease = world.settings.lease;
    match replay(&lines, micros(lease), micros(AHEAD.min(lease / 4))) {
        Err(refusal) => world.violated(refusal.to_string()),
        Ok(end) => {
            for (number, call) in end.calls.iter().enumerate() {
                if !matches!(call.row, Row::Over(..) | Row::Forgotten) {
                    world.violated(format!("c{number} is stuck: {call:?}"));
                }
            }
        }
    }
    let (named, refused, pruned) = {
        let shared = world.shared();
        (shared.calls.clone(), shared.refused.clone(), shared.pruned.clone())
    };
    for (id, name) in named.into_iter().filter(|(id, _)| !pruned.contains(id)) {
        let state = store.call(Now::At(world.now()), id).await.ok().flatten().map(|record| record.state);
        if state.is_none_or(|state| matches!(state, CallState::Scheduled | CallState::Running)) {
            world.violated(format!("{name} is not over, but {state:?}"));
        }
        if refused.contains(&id) {
            world.violated(format!("{name} was refused, and is stored all the same"));
        }
    }
    let unknown = world.shared().lines.iter().filter(|line| is_of_unknown(line)).count();
    if unknown > 0 {
        world.violated(format!("{unknown} lines are about calls that were never stored"));
    }
}

fn is_of_unknown(line: &futurecall_model::line::Line) -> bool {
    matches!(&line.what, futurecall_model::line::What::Told { call, .. } if call == "unknown")
}
