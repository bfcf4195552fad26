//! Outcomes that are hard to record: texts that the database cannot represent, endless errors, and calls that were
//! cancelled while they ran.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use futurecall_runtime::inspect::CallRecord;
use futurecall_runtime::prelude::*;
use futurecall_runtime::store::{CancelTarget, Now};
use futurecall_runtime::{CallError, CallId, CallState, Config, Retention};
use futurecall_tests::backend::Backend;
use futurecall_tests::database;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;
use futurecall_tests::overheard::Overheard;
use tokio::sync::Semaphore;

/// Not found by itself: its pods are given their journal.
pub(crate) struct HostileFutureCall {
    journal: Journal,
}

#[future_call(retry(max_attempts = 2, backoff = fixed("1ms")))]
impl HostileFutureCall {
    pub(crate) async fn failing(&self, _session: &Session, text: String) -> Result<(), String> {
        self.journal.write("failing");
        Err(with_emoji(&text))
    }

    pub(crate) async fn giving_up(&self, _session: &Session, text: String) -> Result<(), BoxError> {
        self.journal.write("giving up");
        Err(CallError::give_up(with_emoji(&text)).into())
    }

    #[future_call(retry(max_attempts = 1))]
    pub(crate) async fn panicking(&self, _session: &Session, text: String) {
        self.journal.write("panicking");
        panic!("{}", with_emoji(&text));
    }

    #[future_call(retry(max_attempts = 1))]
    pub(crate) async fn panicking_oddly(&self, _session: &Session) {
        self.journal.write("panicking oddly");
        std::panic::panic_any(DropsBadly);
    }

    #[future_call(retry(max_attempts = 1))]
    pub(crate) async fn of_itself(&self, _session: &Session) -> Result<(), OfItself> {
        self.journal.write("of itself");
        Err(OfItself)
    }

    #[future_call(retry(max_attempts = 1))]
    pub(crate) async fn endless(&self, _session: &Session, heeds: bool) -> Result<(), Endless> {
        self.journal.write("endless");
        Err(Endless { heeds })
    }

    pub(crate) async fn badly_shown(&self, _session: &Session) -> Result<(), BoxError> {
        self.journal.write("badly shown");
        Err(CallError::give_up("never mind").because(PanicsShown).into())
    }

    #[future_call(retry(max_attempts = 5, backoff = fixed("1ms")))]
    pub(crate) async fn stopping_badly(&self, session: &Session, word: String) -> Result<(), String> {
        self.journal.write("started");
        session.cancelled().await;
        Err(word)
    }

    /// Ends when the test says so.
    #[future_call(retry(max_attempts = 5, backoff = fixed("1ms")))]
    pub(crate) async fn hearing_nothing(&self, _session: &Session, word: String) -> Result<(), String> {
        self.journal.write("started");
        self.journal.wait_for(2).await;
        Err(word)
    }
}

/// Its source is itself.
#[derive(Debug)]
pub(crate) struct OfItself;

impl fmt::Display for OfItself {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("round and round")
    }
}

impl Error for OfItself {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

/// Its text has no end.
#[derive(Debug)]
pub(crate) struct Endless {
    /// Whether it stops when the writer refuses more.
    heeds: bool,
}

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        loop {
            let written = f.write_str("and so on ");
            if self.heeds {
                written?;
            }
        }
    }
}

impl Error for Endless {}

/// Showing it panics.
#[derive(Debug)]
struct PanicsShown;

impl fmt::Display for PanicsShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("as far as this")?;
        panic!("not to be shown");
    }
}

impl Error for PanicsShown {}

/// Dropping it panics.
struct DropsBadly;

impl Drop for DropsBadly {
    fn drop(&mut self) {
        panic!("not to be dropped");
    }
}

/// What a handler is to say, as every database can hold it.
const EMOJI: &str = "no luck {emoji} today";

fn with_emoji(text: &str) -> String {
    text.replace("{emoji}", "\u{1f600}")
}

async fn start(backend: &Backend, journal: &Journal) -> Pod {
    let hostile = HostileFutureCall { journal: journal.clone() };
    backend.builder().register(hostile).start().await.unwrap()
}

async fn ended(pod: &Pod, id: CallId) -> CallRecord {
    eventually(&format!("call {id} is over"), || async {
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        (!matches!(call.state, CallState::Scheduled | CallState::Running)).then_some(call)
    })
    .await
}

/// Runs every way to fail with this text; gives the recorded errors.
async fn failures(backend: &Backend, text: &str) -> Vec<String> {
    let journal = Journal::new();
    let pod = start(backend, &journal).await;
    let now = || pod.future_calls().call_now().hostile();
    let calls = [
        now().failing(text.to_owned()).await.unwrap(),
        now().giving_up(text.to_owned()).await.unwrap(),
        now().panicking(text.to_owned()).await.unwrap(),
    ];
    let mut errors = Vec::new();
    for id in calls {
        let call = ended(&pod, id).await;
        assert_eq!(call.state, CallState::Failed, "{:?}", call.error);
        errors.push(call.error.unwrap());
    }
    pod.shutdown().await;
    let mut lines = journal.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["failing", "failing", "giving up", "panicking"]);
    errors
}

on_all_stores! {
    async fn an_error_without_end_is_recorded_and_ends(backend: &Backend) {
        let journal = Journal::new();
        let pod = start(backend, &journal).await;
        let now = || pod.future_calls().call_now().hostile();
        let mut errors = Vec::new();
        for id in [
            now().of_itself().await.unwrap(),
            now().endless(true).await.unwrap(),
            now().endless(false).await.unwrap(),
            now().badly_shown().await.unwrap(),
            now().panicking_oddly().await.unwrap(),
            now().failing("x".repeat(900_000)).await.unwrap(),
        ] {
            let call = ended(&pod, id).await;
            assert_eq!(call.state, CallState::Failed, "{:?}", call.error);
            errors.push(call.error.unwrap());
        }
        assert_eq!(errors[0], "round and round: \u{2026}");
        for endless in [&errors[1], &errors[2], &errors[5]] {
            assert_eq!(endless.chars().count(), 8_000);
        }
        assert_eq!(errors[3], "given up: as far as this\u{2026} (showing it panicked)");
        assert_eq!(errors[4], "panicked: with a value that is not text");
        pod.shutdown().await;
        assert_eq!(journal.lines().iter().filter(|line| *line == "badly shown").count(), 1, "it gave up");
    }

    async fn the_log_of_a_cancelled_run_promises_no_other(backend: &Backend) {
        let word = format!("word{}", CallId::new());
        let overheard = Overheard::word(&word);
        let journal = Journal::new();
        let pod = start(backend, &journal).await;
        let id = pod
            .future_calls()
            .call_now()
            .identifier("mine")
            .hostile()
            .stopping_badly(word.clone())
            .await
            .unwrap();
        journal.wait_for(1).await;
        pod.future_calls().cancel("mine").await.unwrap();
        assert_eq!(ended(&pod, id).await.state, CallState::Cancelled);
        // The line follows the record.
        pod.shutdown().await;
        let said = overheard.said();
        assert!(!said.iter().any(|line| line.contains("tried again")), "{said:?}");
        assert!(said.iter().any(|line| line.contains("cancelled")), "{said:?}");
    }

    /// By a pod or an application that this pod has not heard of.
    async fn the_log_says_what_was_recorded_of_a_run_that_was_cancelled_elsewhere(backend: &Backend) {
        let word = format!("word{}", CallId::new());
        let overheard = Overheard::word(&word);
        let journal = Journal::new();
        let hostile = HostileFutureCall { journal: journal.clone() };
        // Leases are renewed seldom enough for the pod to hear of nothing.
        let pod = backend.builder().config(Config::new()).register(hostile).start().await.unwrap();
        let id = pod.future_calls().call_now().hostile().hearing_nothing(word.clone()).await.unwrap();
        journal.wait_for(1).await;
        let store = backend.store().await;
        let cancelled = store.cancel(Now::Database, &CancelTarget::Call(id), &Retention::default()).await;
        assert_eq!(cancelled.unwrap().running, 1);
        journal.write("go on");
        assert_eq!(ended(&pod, id).await.state, CallState::Cancelled);
        pod.shutdown().await;
        let said = overheard.said();
        assert!(!said.iter().any(|line| line.contains("tried again")), "{said:?}");
        assert!(said.iter().any(|line| line.contains("cancelled")), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_is_recorded_whatever_the_encoding_of_the_database() {
    let Some(database) = database::postgres_in("LATIN1").await else { return };
    let backend = Backend::Postgres(database);
    let shown = "no luck \\u{1f600} today";
    let expected = [shown.to_owned(), format!("given up: {shown}"), format!("panicked: {shown}")];
    assert_eq!(failures(&backend, EMOJI).await, expected);
    let shown = "caf\u{e9}";
    let expected = [shown.to_owned(), format!("given up: {shown}"), format!("panicked: {shown}")];
    assert_eq!(failures(&backend, shown).await, expected, "what can be held is left as it is");
    backend.drop().await;
}

/// Waits until it is let go.
struct Gated(Journal, Arc<Semaphore>);

impl InvokableFutureCall for Gated {
    type Data = String;

    async fn invoke(&self, _session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        self.0.write("started");
        self.1.acquire().await?.forget();
        self.0.write("ends");
        Ok(())
    }
}

/// Outcomes gather while a statement that records others waits; of what has gathered the database refuses one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_is_refused_takes_no_other_with_it() {
    const CALLS: usize = 8;
    const WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%WITH gone%'";

    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it was made above") };
    let finished = format!("{}.finished", database.schema);
    let run = async |sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&database.pool).await.unwrap();
    };
    let (journal, gate) = (Journal::new(), Arc::new(Semaphore::new(0)));
    let gated = Gated(journal.clone(), Arc::clone(&gate));
    let pod = backend.builder().register_future_call("gated", gated).start().await.unwrap();
    run(format!("ALTER TABLE {finished} ADD CONSTRAINT refusal CHECK (identifier <> 'refused')")).await;
    let mut ids = Vec::new();
    for n in 0..CALLS {
        let call = pod.future_call_with_delay("gated", Some("x"), std::time::Duration::ZERO);
        ids.push(call.identifier(if n == CALLS / 2 { "refused" } else { "x" }).await.unwrap());
    }
    journal.wait_for(CALLS).await;

    let mut locked = database.pool.begin().await.unwrap();
    let lock = format!("LOCK TABLE {finished} IN ACCESS EXCLUSIVE MODE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut *locked).await.unwrap();
    gate.add_permits(1);
    eventually("the first outcome waits", || async {
        let waits: bool = sqlx::query_scalar(WAITS).fetch_one(&database.pool).await.unwrap();
        waits.then_some(())
    })
    .await;
    gate.add_permits(CALLS);
    journal.wait_for(2 * CALLS).await;
    locked.commit().await.unwrap();

    let states = eventually("what can be recorded is", || async {
        let mut states = Vec::new();
        for id in &ids {
            states.push(pod.future_calls().status(*id).await.unwrap().unwrap());
        }
        let running = states.iter().filter(|state| **state == CallState::Running).count();
        (running <= 1).then_some(states)
    })
    .await;
    let succeeded = states.iter().filter(|state| **state == CallState::Succeeded).count();
    assert_eq!(succeeded, CALLS - 1, "{states:?}");
    run(format!("ALTER TABLE {finished} DROP CONSTRAINT refusal")).await;
    pod.shutdown().await;
    backend.drop().await;
}
