//! A look at many pending calls that takes no longer the more there are: all names, and the arguments of some calls.

use std::collections::HashSet;
use std::time::Duration;

use super::found::{Count, Found};
use super::{undecodable, unknown};
use crate::engine::Engine;
use crate::error::StoreError;
use crate::id::CallId;
use crate::store::{CallFilter, CallState, Now};

const DAY: Duration = Duration::from_hours(24);

/// How many calls are taken of all names together, from how far ahead of now on. What waits for long was stored by an older
/// release, and stands behind all that is due soon.
const TAKEN: [(Option<Duration>, usize); 6] = [
    (None, 1_000),
    (Some(Duration::from_hours(1)), 200),
    (Some(DAY), 200),
    (Some(DAY.saturating_mul(7)), 200),
    (Some(DAY.saturating_mul(30)), 200),
    (Some(DAY.saturating_mul(180)), 200),
];

/// A name of which fewer were among them is looked at by itself.
const ENOUGH: u64 = 5;

/// How many names are, at most, and how many calls of each are taken.
const NAMES: usize = 50;
const TAKEN_OF_NAME: usize = 20;

/// Looks at all names, whose calls were counted up to `cap`, and at the arguments of some calls.
pub(super) async fn look(
    engine: &Engine,
    waiting: Vec<(String, u64)>,
    cap: u64,
    known_elsewhere: HashSet<String>,
) -> Result<Found, StoreError> {
    let mut found = Found::new(known_elsewhere);
    for (name, calls) in waiting {
        let calls = Count::up_to(calls, cap);
        found.waits(&name, calls);
        if let Some(reason) = unknown(engine, &name) {
            found.broken_as(&name, reason, true, calls);
        }
    }
    let mut seen = HashSet::new();
    let now = engine.store.now().await?;
    let all = CallFilter::new().state(CallState::Scheduled);
    for (ahead, limit) in TAKEN {
        let mut filter = all.clone().limit(limit);
        if let Some(ahead) = ahead {
            let Ok(from) = now.checked_add(ahead) else { break };
            filter = filter.from(from);
        }
        if !take(engine, &filter, &mut seen, &mut found).await? {
            break;
        }
    }
    for name in found.hardly_decoded(ENOUGH).into_iter().take(NAMES) {
        take(engine, &all.clone().name(name).limit(TAKEN_OF_NAME), &mut seen, &mut found).await?;
    }
    Ok(found)
}

/// Decodes the arguments of a page of calls. Returns whether more follow.
async fn take(
    engine: &Engine,
    filter: &CallFilter,
    seen: &mut HashSet<CallId>,
    found: &mut Found,
) -> Result<bool, StoreError> {
    let page = engine.store.calls(Now::Database, filter).await?;
    for call in page.calls {
        // Calls of unknown names are counted already, all of them.
        if engine.registry().get(&call.name).is_some() && seen.insert(call.id) {
            found.decoded(&call.name);
            if let Some(reason) = undecodable(engine, &call) {
                found.broken_as(&call.name, reason, false, Count::exactly(1));
            }
        }
    }
    Ok(page.next.is_some())
}
