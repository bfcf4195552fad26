//! The check at start for pending calls that this binary cannot run.

mod findings;
mod sample;

use self::findings::{Broken, Count, Found};
use super::Pod;
use crate::config::{CheckBrokenCalls, Config};
use crate::engine::readers::Readers;
use crate::id::CallId;
use crate::store::{CallFilter, CallRecord, CallState, Now, PendingName, Result};

/// Fewer pending calls than this are decoded one by one, whatever the setting.
const FEW: u64 = 1_000;

/// Counts of pending calls of a name need not be exact from this number on.
const MANY: u64 = 100;

/// Limit of the total count of pending calls of such names; at least [`MANY`] of each.
const COUNTED: u64 = 50_000;

/// Limit of the count of pending calls of a name.
const COUNTED_OF_NAME: u64 = 10_000;

/// Returns whether the check changes nothing with these settings, and refuses no start.
pub(super) fn only_reports(config: &Config) -> bool {
    config.check_broken_calls != CheckBrokenCalls::Refuse && !config.delete_broken_calls
}

/// Logs broken calls, a line for each name and reason, and discards them if the settings say so. Returns those that
/// must fail the start: none, unless the settings say so.
pub(super) async fn check(pod: &Pod) -> Result<Vec<String>> {
    let engine = pod.engine();
    let check = engine.config.check_broken_calls;
    if check == CheckBrokenCalls::Never {
        return Ok(Vec::new());
    }
    let (waiting, cap) = waiting(pod).await?;
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let calls = waiting.iter().fold(0, |sum: u64, name| sum.saturating_add(name.calls));
    let readers = Readers::of(engine).await?;
    let found = if check == CheckBrokenCalls::Always || calls < FEW {
        each(pod, &readers).await?
    } else {
        sample::look(pod, &readers, waiting, cap).await?
    };
    found.report(engine.pod);
    Ok(if check == CheckBrokenCalls::Refuse { found.broken() } else { Vec::new() })
}

/// Returns the names of pending calls with the number of each, counted up to the returned cap.
async fn waiting(pod: &Pod) -> Result<(Vec<PendingName>, u64)> {
    let engine = pod.engine();
    let waiting = engine.store.pending_names(Now::Database, MANY).await?;
    let many = waiting.iter().filter(|name| name.calls >= MANY).count();
    // Fewer than `FEW` calls in all: then fewer than ten names have as many, and each is counted further than `FEW`.
    let cap = COUNTED.checked_div(many as u64).map_or(MANY, |cap| cap.clamp(MANY, COUNTED_OF_NAME));
    if cap == MANY {
        return Ok((waiting, cap));
    }
    Ok((engine.store.pending_names(Now::Database, cap).await?, cap))
}

/// Checks every pending call.
async fn each(pod: &Pod, readers: &Readers) -> Result<Found> {
    let engine = pod.engine();
    let now = engine.store.now().await?;
    let mut filter = CallFilter::new().state(CallState::Scheduled).limit(1_000);
    let mut found = Found::default();
    loop {
        let page = engine.store.calls(Now::Database, &filter).await?;
        let mut discard: Vec<(CallId, String)> = Vec::new();
        // A page may have scanned only running calls.
        let mut kept = if page.calls.is_empty() { page.next } else { None };
        for call in page.calls {
            let before = kept.replace(call.id);
            found.waits(&call.name, Count::exactly(1));
            let unknown = unknown(pod, &call.name);
            let is_unknown = unknown.is_some();
            if !is_unknown {
                found.decoded(&call.name);
            }
            let Some(reason) = unknown.or_else(|| undecodable(pod, &call)) else { continue };
            let runs_elsewhere = may_run_elsewhere(pod, readers, &call.name, &call.declined);
            // Only calls stored before the check began: discarding a run of a schedule stores the next one,
            // endlessly.
            let old = call.created <= now && now.saturating_since(call.created) >= engine.config.broken_grace;
            if engine.config.delete_broken_calls && old && !runs_elsewhere {
                discard.push((call.id, format!("broken: {reason}")));
                kept = before;
            }
            found.broken_as(&call.name, Broken { reason, is_unknown, runs_elsewhere }, Count::exactly(1));
        }
        remove(pod, &discard).await?;
        if page.next.is_none() {
            return Ok(found);
        }
        // A discarded call is no position to continue from: use the last one that stays, or that of the page before.
        filter.after = kept.or(filter.after);
    }
}

/// Returns why this pod cannot run that call; `None` if it can.
pub(crate) fn why(pod: &Pod, call: &CallRecord) -> Option<String> {
    unknown(pod, &call.name).or_else(|| undecodable(pod, call))
}

/// Returns whether another live pod may be able to run a call that this one cannot.
fn may_run_elsewhere(pod: &Pod, readers: &Readers, name: &str, declined: &[i64]) -> bool {
    let own = pod.engine().runner.hashes().get(name).copied();
    readers.may_read(name, own, declined)
}

/// Returns why this pod cannot run any call of that name; `None` if it has a handler.
fn unknown(pod: &Pod, name: &str) -> Option<String> {
    let registry = pod.registry();
    if registry.get(name).is_some() {
        return None;
    }
    let names = registry.names();
    let near = crate::nearest::nearest(name, names.iter().map(String::as_str));
    Some(match near {
        Some(near) => format!("this pod has no call of that name (the nearest is `{near}`)"),
        None => "this pod has no call of that name".to_owned(),
    })
}

/// Returns why this pod cannot decode the arguments of that call; `None` if it can, or has no handler for its name.
fn undecodable(pod: &Pod, call: &CallRecord) -> Option<String> {
    let handler = pod.registry().get(&call.name)?;
    let args = crate::args::by_name::for_handler(&call.name, &call.args, call.format, handler.by_name);
    args.and_then(|args| handler.arguments.check(&call.name, args)).err().map(|error| error.to_string())
}

async fn remove(pod: &Pod, calls: &[(CallId, String)]) -> Result<()> {
    let engine = pod.engine();
    if calls.is_empty() {
        return Ok(());
    }
    let removed = engine.store.discard(Now::Database, calls, &engine.config.retention).await?;
    tracing::warn!(calls = removed, "broken calls were moved to the history (delete_broken_calls)");
    Ok(())
}
