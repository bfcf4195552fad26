//! At start: which pending calls could this binary not run?

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::config::CheckBrokenCalls;
use crate::engine::Engine;
use crate::error::StoreError;
use crate::id::CallId;
use crate::store::{CallFilter, CallRecord, CallState, Now};

/// With `CheckBrokenCalls::Auto`, this many pending calls or more are not looked through.
const MOST_UNASKED: u64 = 1_000;

/// Reports broken calls, a line a name, and removes them where the settings say so.
pub(super) async fn check(engine: &Engine) -> Result<(), StoreError> {
    let wanted = match engine.config.check_broken_calls {
        CheckBrokenCalls::Never => false,
        CheckBrokenCalls::Always => true,
        CheckBrokenCalls::Auto => {
            engine.store.counts(Now::Database, MOST_UNASKED).await?.scheduled < MOST_UNASKED
        }
    };
    if !wanted {
        return Ok(());
    }
    let known_elsewhere = names_elsewhere(engine).await?;
    let now = engine.store.now().await?;
    let mut filter = CallFilter::new().state(CallState::Scheduled).limit(1_000);
    let mut found: BTreeMap<(String, String), u64> = BTreeMap::new();
    loop {
        let page = engine.store.calls(Now::Database, &filter).await?;
        let mut discard: Vec<(CallId, String)> = Vec::new();
        // A page may have looked through nothing but calls that run.
        let mut kept = if page.calls.is_empty() { page.next } else { None };
        for call in page.calls {
            let before = kept.replace(call.id);
            let Some(reason) = why(engine, &call) else { continue };
            let unknown_here = engine.registry().get(&call.name).is_none();
            // Not what came after the look began: discarding a run of a schedule stores the next one, without end.
            let old = call.created <= now && now.saturating_since(call.created) >= engine.config.broken_grace;
            if engine.config.delete_broken_calls
                && old
                && !(unknown_here && known_elsewhere.contains(&call.name))
            {
                discard.push((call.id, format!("broken: {reason}")));
                kept = before;
            }
            let total = found.entry((call.name, reason)).or_default();
            *total = total.saturating_add(1);
        }
        remove(engine, &discard).await?;
        if page.next.is_none() {
            break;
        }
        // What was removed is no place to go on from: the last one that stays is, or that of the page before.
        filter.after = kept.or(filter.after);
    }
    for ((name, reason), calls) in found {
        let elsewhere = known_elsewhere.contains(&name);
        tracing::warn!(
            name,
            calls,
            reason,
            runs_elsewhere = elsewhere,
            "pending calls cannot be run by this pod"
        );
    }
    Ok(())
}

/// Why this pod could not run that call; `None` if it could.
pub(crate) fn why(engine: &Engine, call: &CallRecord) -> Option<String> {
    let registry = engine.registry();
    let Some(handler) = registry.get(&call.name) else {
        let names = registry.names();
        let near = crate::nearest::nearest(&call.name, names.iter().map(String::as_str));
        return Some(match near {
            Some(near) => format!("this pod has no call of that name (the nearest is `{near}`)"),
            None => "this pod has no call of that name".to_owned(),
        });
    };
    let args = crate::by_name::for_handler(&call.name, &call.args, call.format, handler.by_name);
    // The user's own `Deserialize` may panic: that breaks this call, not the start.
    let check = || {
        args.and_then(|args| handler.arguments.check(&call.name, args)).err().map(|error| error.to_string())
    };
    catch_unwind(AssertUnwindSafe(check))
        .unwrap_or_else(|_| Some("decoding its arguments panicked".to_owned()))
}

async fn names_elsewhere(engine: &Engine) -> Result<HashSet<String>, StoreError> {
    let pods = engine.store.pods(Now::Database, engine.pod_live()).await?;
    Ok(pods.into_iter().filter(|pod| pod.live && pod.id != engine.pod).flat_map(|pod| pod.names).collect())
}

async fn remove(engine: &Engine, calls: &[(CallId, String)]) -> Result<(), StoreError> {
    if calls.is_empty() {
        return Ok(());
    }
    let removed = engine.store.discard(Now::Database, calls, &engine.config.retention).await?;
    tracing::warn!(calls = removed, "broken calls were moved to the history (delete_broken_calls)");
    Ok(())
}
