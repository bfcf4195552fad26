//! What a pod logs about an outcome: what the database has recorded, and only afterwards. Captured by a subscriber of
//! this thread: the pods here run on it as well.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futurecall_runtime::inspect::CallRecord;
use futurecall_runtime::prelude::*;
use futurecall_runtime::signals::RunLogs;
use futurecall_runtime::store::prelude::*;
use futurecall_runtime::store::{CancelTarget, MemoryStore, Now};
use futurecall_runtime::{CallId, CallState, Config, Retention, Role, RunSummary};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futures_util::FutureExt;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);

/// Its handlers write that they have started, and wait for a second line.
struct EndingFutureCall(Journal);

#[future_call]
impl EndingFutureCall {
    pub(crate) async fn well(&self, _session: &Session) {
        self.pass().await;
    }

    pub(crate) async fn badly(&self, _session: &Session) -> Result<(), BoxError> {
        self.pass().await;
        Err("told to".into())
    }

    #[future_call(retry(max_attempts = 3, backoff = fixed("1h")))]
    pub(crate) async fn for_now(&self, _session: &Session) -> Result<(), BoxError> {
        self.pass().await;
        Err("told to".into())
    }
}

impl EndingFutureCall {
    async fn pass(&self) {
        self.0.write("started");
        self.0.wait_for(2).await;
    }
}

/// Hears what the library logs from `INFO` on, and looks up at each line what the store says of the call.
struct Witness {
    store: MemoryStore,
    id: Arc<OnceLock<CallId>>,
    said: Arc<Mutex<Vec<Line>>>,
}

#[derive(Clone, Debug)]
struct Line {
    text: String,
    /// Whether it was logged in the span of a run.
    in_run: bool,
    record: Option<CallRecord>,
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Witness {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let Some(id) = self.id.get().copied() else { return };
        if *metadata.level() > tracing::Level::INFO || !metadata.target().starts_with("futurecall_runtime") {
            return;
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        let in_run = context.event_span(event).is_some_and(|span| span.name() == "future_call");
        let record = self.store.call(Now::Database, id).now_or_never().expect("it waits for nothing");
        self.said.lock().unwrap().push(Line { text: text.0, in_run, record: record.unwrap() });
    }
}

/// What happens to a call before its outcome is recorded, without the pod's knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// The time within which it may start is over.
    Expired,
    Cancelled,
    /// Its lease is over for another pod, which records that it was interrupted.
    Rescued,
}

/// What was logged of one run, what was kept with its call, and what `run_due` has counted.
struct Heard {
    said: Vec<Line>,
    kept: Option<String>,
    summary: RunSummary,
}

impl Heard {
    /// The one line of the run's end: nothing else may be said of it.
    fn only(&self) -> &Line {
        let [line] = &self.said[..] else { panic!("one line, and not {:?}", self.said) };
        line
    }
}

/// Waits until a call that may start within a millisecond has expired.
async fn expired(call: CallId, store: &MemoryStore) -> CallId {
    let stored = store.now().await.unwrap();
    eventually("the call has expired", async || {
        (store.now().await.unwrap().saturating_since(stored) > MILLISECOND).then_some(call)
    })
    .await
}

async fn run(name: &str, meanwhile: Meanwhile) -> Heard {
    let store = MemoryStore::new();
    let (id, said) = (Arc::new(OnceLock::new()), Arc::new(Mutex::new(Vec::new())));
    let witness = Witness { store: store.clone(), id: Arc::clone(&id), said: Arc::clone(&said) };
    let subscriber = tracing_subscriber::registry().with(RunLogs::new()).with(witness);
    let _guard = tracing::subscriber::set_default(subscriber);
    let journal = Journal::new();
    // Leases are renewed seldom enough for the pod to hear of nothing.
    let pod = Backend::Memory(store.clone())
        .builder()
        .config(Config::new().keep_logs(4_096))
        .role(Role::Maintenance)
        .register(EndingFutureCall(journal.clone()))
        .start()
        .await
        .unwrap();
    let scheduling = pod.future_call_with_delay(name, None::<&()>, Duration::ZERO);
    let call = match meanwhile {
        Meanwhile::Expired => expired(scheduling.expires_after(MILLISECOND).await.unwrap(), &store).await,
        _ => scheduling.await.unwrap(),
    };
    id.set(call).unwrap();
    let intervening = async {
        if meanwhile == Meanwhile::Expired {
            return;
        }
        journal.wait_for(1).await;
        let kept = Retention::default();
        match meanwhile {
            Meanwhile::Nothing | Meanwhile::Expired => {}
            Meanwhile::Cancelled => {
                let cancelled = store.cancel(Now::Database, &CancelTarget::Call(call), &kept).await;
                assert_eq!(cancelled.unwrap().running, 1);
            }
            Meanwhile::Rescued => {
                let much_later = store.now().await.unwrap().checked_add(HOUR).unwrap();
                assert_eq!(store.rescue(Now::At(much_later), 10, &kept).await.unwrap().len(), 1);
            }
        }
        journal.write("go on");
    };
    let (summary, ()) = tokio::join!(pod.run_due(), intervening);
    let said = std::mem::take(&mut *said.lock().unwrap());
    pod.shutdown().await;
    let mut logs = store.logs(call).await.unwrap();
    Heard { said, kept: logs.pop().map(|log| log.text), summary: summary.unwrap() }
}

#[tokio::test]
async fn a_line_says_what_was_recorded_after_it_was() {
    use Meanwhile::{Cancelled, Nothing, Rescued};
    for (name, meanwhile, says, state) in [
        ("for_now", Nothing, "an attempt failed; the call is tried again", CallState::Scheduled),
        ("badly", Nothing, "a call failed", CallState::Failed),
        ("for_now", Cancelled, "a call that was cancelled while it ran has ended", CallState::Cancelled),
        ("badly", Cancelled, "a call that was cancelled while it ran has ended", CallState::Cancelled),
        // The rescue lets it run again.
        ("for_now", Rescued, "the outcome of a call was refused", CallState::Scheduled),
        ("badly", Rescued, "the outcome of a call was refused", CallState::Interrupted),
        ("well", Rescued, "the outcome of a call was refused", CallState::Interrupted),
    ] {
        let heard = run(&format!("ending.{name}"), meanwhile).await;
        let (case, line) = (format!("{name}, {meanwhile:?}"), heard.only());
        assert!(line.text.contains(says), "{case}: {line:?}");
        assert_eq!(line.text.contains("told to"), name != "well", "{case}: {line:?}");
        assert_eq!(line.record.as_ref().map(|record| record.state), Some(state), "{case}: {line:?}");
        assert!(line.in_run, "{case}: {line:?}");
        let kept = heard.kept.unwrap_or_default();
        assert!(kept.lines().count() == 1 && kept.contains(says), "{case}: {kept}");
    }
}

#[tokio::test]
async fn a_run_that_ends_well_says_nothing() {
    for meanwhile in [Meanwhile::Nothing, Meanwhile::Cancelled] {
        let heard = run("ending.well", meanwhile).await;
        assert!(heard.said.is_empty() && heard.kept.is_none(), "{:?} {:?}", heard.said, heard.kept);
        assert_eq!(heard.summary.succeeded, 1);
    }
}

#[tokio::test]
async fn a_call_that_expired_says_so_once_it_is_recorded() {
    let heard = run("ending.well", Meanwhile::Expired).await;
    let line = heard.only();
    assert!(line.text.contains("a call has expired") && line.text.contains("ending.well"), "{line:?}");
    assert_eq!(line.record.as_ref().map(|record| record.state), Some(CallState::Expired));
    assert_eq!((heard.summary.expired, heard.summary.started), (1, 0));
}

#[tokio::test]
async fn what_runs_count_is_what_was_recorded() {
    use Meanwhile::{Cancelled, Nothing, Rescued};
    for (name, meanwhile, [failed, retried, interrupted]) in [
        ("for_now", Nothing, [0, 1, 0]),
        ("badly", Nothing, [1, 0, 0]),
        ("for_now", Cancelled, [1, 0, 0]),
        ("for_now", Rescued, [0, 0, 1]),
        ("badly", Rescued, [0, 0, 1]),
    ] {
        let summary = run(&format!("ending.{name}"), meanwhile).await.summary;
        let counted = [summary.failed, summary.retried, summary.interrupted];
        assert_eq!(counted, [failed, retried, interrupted], "{name}, {meanwhile:?}");
        assert_eq!((summary.started, summary.succeeded), (1, 0), "{name}, {meanwhile:?}");
    }
}
