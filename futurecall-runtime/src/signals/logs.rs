//! Collecting what runs log, in memory, until they end.

use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::Id;
use tracing::{Dispatch, Event, Span, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::bounded;

/// Collects what is logged inside runs, so that pods with [`Config::keep_logs`](crate::Config::keep_logs) keep it with
/// their calls: [`Inspector::logs`](crate::inspect::Inspector::logs) shows it.
///
/// A layer for `tracing_subscriber`, to be added to the application's subscriber. A filter on it decides what is kept; it
/// must let through spans of level `INFO` of the target `futurecall_runtime`. What a handler spawns is part of its run
/// only where it is instrumented with the run's span.
///
/// ```standalone_crate
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
/// use futurecall_runtime::prelude::*;
/// use futurecall_runtime::signals::RunLogs;
/// use futurecall_runtime::{Config, Role};
/// use tracing_subscriber::layer::SubscriberExt;
/// use tracing_subscriber::util::SubscriberInitExt;
///
/// pub struct MailFutureCall;
///
/// #[future_call]
/// impl MailFutureCall {
///     pub async fn send(_session: &Session) {
///         tracing::info!(server = "smtp.example.org", "sent");
///     }
/// }
///
/// tracing_subscriber::registry().with(RunLogs::new()).init(); // beside the application's own layers
/// let config = Config::new().keep_logs(64 * 1024);
/// let pod = Pod::builder().database_url("memory:").config(config).role(Role::Maintenance).start().await?;
/// let id = pod.future_calls().call_now().mail().send().await?;
/// pod.run_due().await?;
/// // What was logged is stored a moment after its run has ended.
/// let mut logs = Vec::new();
/// while logs.is_empty() {
///     logs = pod.inspect().logs(id).await?;
///     tokio::task::yield_now().await;
/// }
/// # pod.shutdown().await;
/// assert!(logs[0].text.contains("sent server=\"smtp.example.org\""));
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct RunLogs {
    runs: Mutex<HashMap<Id, Collected>>,
    /// How many there are, so that what is logged outside of runs costs next to nothing.
    count: AtomicUsize,
}

impl RunLogs {
    /// The layer.
    pub fn new() -> Self {
        Self::default()
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<Id, Collected>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RunLogs {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Some(scope) = context.event_scope(event) else { return };
        // The innermost run: one that calls another pod's handler in this process has its own.
        for span in scope {
            let id = span.id();
            // Put into words without the lock: what is logged may log. (A lock in an `if let` is held until its end.)
            let run = self.runs().get(&id).map(|run| (run.began, run.half));
            let Some((began, most)) = run else { continue };
            let line = line(event, began, most);
            if let Some(run) = self.runs().get_mut(&id) {
                run.push(line);
            }
            return;
        }
    }
}

/// Collects what one run logs, until it is taken or dropped.
#[derive(Debug)]
pub(crate) struct Collecting {
    dispatch: Dispatch,
    id: Id,
}

impl Collecting {
    /// Begins, up to so many bytes. `None`: the subscriber has no layer for it.
    pub(crate) fn begin(span: &Span, limit: usize) -> Option<Self> {
        let begin = |(id, dispatch): (&Id, &Dispatch)| {
            let logs = dispatch.downcast_ref::<RunLogs>()?;
            logs.runs().insert(id.clone(), Collected::new(limit));
            logs.count.fetch_add(1, Ordering::Relaxed);
            Some(Self { dispatch: dispatch.clone(), id: id.clone() })
        };
        span.with_subscriber(begin)?
    }

    /// What was logged, if anything was.
    pub(crate) fn take(self) -> Option<String> {
        self.remove().map(Collected::text).filter(|text| !text.is_empty())
    }

    fn remove(&self) -> Option<Collected> {
        let logs = self.dispatch.downcast_ref::<RunLogs>()?;
        let run = logs.runs().remove(&self.id);
        if run.is_some() {
            logs.count.fetch_sub(1, Ordering::Relaxed);
        }
        run
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The lines of a run: the first ones, and of the rest the last ones.
#[derive(Debug)]
struct Collected {
    began: Instant,
    /// How many bytes each half may have.
    half: usize,
    head: String,
    tail: VecDeque<String>,
    tail_bytes: usize,
    left_out: u64,
}

impl Collected {
    fn new(limit: usize) -> Self {
        let began = crate::clock::instant();
        Self {
            began,
            half: limit / 2,
            head: String::new(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            left_out: 0,
        }
    }

    fn push(&mut self, mut line: String) {
        if line.len() > self.half {
            const CUT: &str = "…\n";
            let end = line.floor_char_boundary(self.half.saturating_sub(CUT.len()));
            line.truncate(end);
            line.push_str(CUT);
        }
        if self.tail.is_empty() && self.left_out == 0 && self.head.len() + line.len() <= self.half {
            self.head.push_str(&line);
            return;
        }
        self.tail_bytes += line.len();
        self.tail.push_back(line);
        while self.tail_bytes > self.half {
            let Some(oldest) = self.tail.pop_front() else { break };
            self.tail_bytes -= oldest.len();
            self.left_out += 1;
        }
    }

    fn text(self) -> String {
        let mut text = self.head;
        if self.left_out > 0 {
            let _ = writeln!(text, "… {} lines left out …", self.left_out);
        }
        text.extend(self.tail);
        text
    }
}

/// `+0.012s INFO target: message field=value`, without characters that databases cannot hold, and not much more than so
/// many characters of it.
fn line(event: &Event<'_>, began: Instant, most: usize) -> String {
    let since: Duration = crate::clock::instant().saturating_duration_since(began);
    let metadata = event.metadata();
    let mut fields = Fields { message: String::new(), rest: String::new(), left: most };
    event.record(&mut fields);
    let Fields { message, rest, .. } = fields;
    let line =
        format!("+{:.3}s {} {}:{message}{rest}", since.as_secs_f64(), metadata.level(), metadata.target());
    line.replace('\0', "\u{fffd}").replace('\n', "\n    ") + "\n"
}

struct Fields {
    message: String,
    rest: String,
    /// How many characters of values are still put into words: one may be huge, or have no end.
    left: usize,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let said = bounded::text(self.left, |f| write!(f, "{value:?}"));
        self.left = self.left.saturating_sub(said.len());
        let _ = match field.name() {
            "message" => write!(self.message, " {said}"),
            name => write!(self.rest, " {name}={said}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Collected;

    fn collected(limit: usize, lines: impl IntoIterator<Item = String>) -> String {
        let mut collected = Collected::new(limit);
        for line in lines {
            collected.push(line);
        }
        collected.text()
    }

    #[test]
    fn of_too_many_lines_the_first_and_the_last_stay() {
        let lines = |count: u32| (1..=count).map(|n| format!("line {n:03}\n"));
        assert_eq!(collected(200, lines(20)), lines(20).collect::<String>());
        let text = collected(200, lines(500));
        assert!(text.starts_with("line 001\n") && text.ends_with("line 500\n"), "{text}");
        assert!(text.contains("line 011\n… 478 lines left out …\nline 490\n"), "{text}");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut() {
        let text = collected(64, ["é".repeat(1_000) + "\n", "next\n".to_owned()]);
        assert!(text.ends_with("é…\nnext\n") && text.len() <= 64, "{text}");
        assert_eq!(collected(1, ["x\n".to_owned()]), "… 1 lines left out …\n");
    }
}
