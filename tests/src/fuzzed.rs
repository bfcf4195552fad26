//! The bodies of the fuzz targets. The same functions run over the seed corpus as plain tests: `fuzz/` only passes
//! libFuzzer's inputs to them.
//!
//! Nothing here may panic except the assertions: whatever a text or a stored row contains, the worst outcome is an
//! error.

use std::time::Duration;

use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::recurring::Rule;
use futurecall_runtime::signals::Traceparent;
use futurecall_runtime::store::{Due, MemoryStore, NewCall, Now, Store};
use futurecall_runtime::{
    CallId, CallState, Config, Moment, Pod, PodId, Retention, Role, ScheduleId, serde_json,
};

mod arguments;
mod rows;

/// A fuzz target: its name, which is also that of its corpus' folder, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 6] = [
    ("cron", cron),
    ("durations", durations),
    ("names", names),
    ("arguments", arguments::arguments),
    ("rows", rows::rows),
    ("traceparents", traceparents),
];

/// Runs the target of that name on one input.
///
/// # Panics
///
/// If the product misbehaves, or there is no such target.
pub fn run(target: &str, input: &[u8]) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of that name");
    run(input);
}

const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"];

/// Reads a cron expression or a stored rule: an accepted one gives times in order for ever, and comes back from its
/// stored form.
fn cron(input: &[u8]) {
    let Some((choice, text)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let zone = ZONES[usize::from(*choice) % ZONES.len()];
    let from = Moment::from_micros(i64::from(*choice) * 7_654_321_012_345).expect("within the range");
    let stored = serde_json::from_str::<Rule>(&text).ok();
    for rule in Rule::cron(&text, zone).ok().into_iter().chain(stored) {
        let _ = rule.describe();
        if rule.validate().is_err() {
            let _ = (rule.first(from), rule.advance(from, from, from), rule.upcoming(from, from, 3));
            continue;
        }
        let mut last = from;
        for next in rule.upcoming(from, from, 5) {
            assert!(next > last, "{rule:?}: {next} after {last}");
            let advance = rule.advance(from, last, next);
            assert!(
                advance.is_ok_and(|advance| advance.next.is_none_or(|then| then > next)),
                "{rule:?} at {next}"
            );
            last = next;
        }
        let text = serde_json::to_string(&rule).expect("a rule can be written");
        assert_eq!(serde_json::from_str::<Rule>(&text).expect("and read"), rule);
    }
}

/// Reads settings as in the environment: a name and a value on the two sides of the first `=`.
fn durations(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut settings = Vec::new();
    for line in text.lines() {
        let (name, value) = line.split_once('=').unwrap_or(("LEASE", line));
        settings.push((format!("FUTURECALL_{name}"), value.to_owned()));
    }
    if let Err(error) = Config::from_vars(settings) {
        assert!(!error.to_string().is_empty());
    }
}

/// Reads names, identifiers, ids, and names of schemas and tables.
fn names(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    ids(&text);
    let is_plain = text.len() <= 48
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && text.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
        && !text.starts_with("pg_")
        && !text.starts_with("sqlite_");
    let is_label = !text.is_empty() && text.chars().count() <= 255 && !text.chars().any(char::is_control);
    on_runtime(async {
        let builder = || Pod::builder().database_url("memory:").role(Role::Serverless);
        for builder in [builder().schema(&*text), builder().table_prefix(&*text)] {
            let pod = builder.start().await;
            assert!(pod.is_ok() || !is_plain, "{text:?} is refused");
            assert!(
                pod.is_err() || is_plain || text.starts_with("pg_") || text.starts_with("sqlite_"),
                "{text:?}"
            );
        }
        let pod = builder().start().await.expect("a pod");
        let hour = Duration::from_hours(1);
        let named = pod.future_call_with_delay(&text, None::<&()>, hour).await;
        assert_eq!(named.is_ok(), is_label, "{text:?} as a name: {named:?}");
        let labelled = pod.future_call_with_delay("work", None::<&()>, hour).identifier(&text).await;
        assert_eq!(labelled.is_ok(), is_label, "{text:?} as an identifier: {labelled:?}");
        if let Ok(id) = labelled {
            let page = pod.inspect().calls(CallFilter::new().identifier(&text)).await.expect("a page");
            assert_eq!(page.calls.iter().map(|call| call.id).collect::<Vec<_>>(), [id]);
        }
        let stored = pod.inspect().counts().await.expect("counts").scheduled;
        assert_eq!(stored, if is_label { 2 } else { 0 }, "what is refused is not stored");
        if let Ok(cancelled) = pod.future_calls().cancel(&text).await {
            assert_eq!(cancelled.calls, u64::from(is_label));
        }
        pod.shutdown().await;
    });
}

/// Reads the contexts of traces: a valid one comes back, in the form of version 00.
fn traceparents(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(parent) = text.parse::<Traceparent>() else { return };
    let shown = parent.to_string();
    assert_eq!(shown.parse(), Ok(parent));
    assert!(shown.len() == 55 && text.get(2..55) == shown.get(2..), "{text:?} became {shown}");
    assert!(!text.starts_with("00") || *text == shown, "{text:?} became {shown}");
}

fn ids(text: &str) {
    if let Ok(id) = text.parse::<CallId>() {
        assert_eq!(id.to_string().parse::<CallId>().as_ref(), Ok(&id));
    }
    if let Ok(id) = text.parse::<ScheduleId>() {
        assert_eq!(id.to_string().parse::<ScheduleId>().as_ref(), Ok(&id));
    }
    if let Ok(id) = text.parse::<PodId>() {
        assert_eq!(id.to_string().parse::<PodId>().as_ref(), Ok(&id));
    }
    if let Some(state) = CallState::from_word(text) {
        assert_eq!(state.as_str(), text);
    }
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
}

fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}
