//! Shared code of the catalogue.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futurecall_runtime::PodBuilder;
use futurecall_runtime::inspect::CallRecord;
use futurecall_runtime::prelude::*;
use futurecall_runtime::store::{ClaimRequest, Due, NewCall, Now, OnVanish, Store};
use futurecall_runtime::{CallId, CallState, PodId, Retention};
use futurecall_tests::backend::Backend;
use futurecall_tests::database::TestDatabase;
use futurecall_tests::journal::{Journal, eventually};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// Writes `started` and its data, waits until its gate opens, and writes `ended` and its data.
#[derive(Clone)]
pub(super) struct Until {
    pub(super) journal: Journal,
    pub(super) gate: CancellationToken,
}

impl Until {
    pub(super) fn new() -> Self {
        Self { journal: Journal::new(), gate: CancellationToken::new() }
    }
}

impl InvokableFutureCall for Until {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        let data = data.unwrap_or_default();
        self.journal.write(format!("started {data}"));
        self.gate.cancelled().await;
        self.journal.write(format!("ended {data}"));
        Ok(())
    }
}

/// Writes a line a run: its data.
#[derive(Clone)]
pub(super) struct Note(pub(super) Journal);

impl InvokableFutureCall for Note {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        self.0.write(data.unwrap_or_default());
        Ok(())
    }
}

/// Returns a call that is due in an hour.
pub(super) fn new_call() -> NewCall {
    NewCall {
        id: CallId::new(),
        name: "work".to_owned(),
        identifier: None,
        args: "{}".to_owned(),
        format: 1,
        priority: 0,
        due: Due::After(Duration::from_hours(1)),
        expires_after: None,
        traceparent: None,
    }
}

/// Returns the call, which must exist.
pub(super) async fn record(store: &dyn Store, id: CallId) -> CallRecord {
    store.call(Now::Database, id).await.unwrap().expect("the call is pending or in the history")
}

/// Waits until the call is in that state.
pub(super) async fn is(store: &dyn Store, id: CallId, wanted: CallState) {
    eventually(&format!("call {id} is {wanted:?}"), || async {
        (record(store, id).await.state == wanted).then_some(())
    })
    .await;
}

/// Waits until the lease of a running call has been renewed for that many more leases: its handler runs at least that
/// long.
pub(super) async fn outlast(store: &dyn Store, id: CallId, leases: u32, lease: Duration) {
    let first = record(store, id).await.lease_until.expect("it runs");
    let wanted = first.checked_add(lease * leases).unwrap();
    eventually(&format!("call {id} has been held for {leases} leases"), || async {
        let now = record(store, id).await;
        assert_eq!(now.state, CallState::Running, "{now:?}");
        (now.lease_until >= Some(wanted)).then_some(())
    })
    .await;
}

/// Claims calls of a name for a pod that vanishes.
pub(super) async fn vanish_with(store: &dyn Store, name: &str, calls: usize) -> PodId {
    let pod = PodId::new();
    let mut left = calls;
    for claim_no in 1.. {
        let request = ClaimRequest {
            pod,
            claim_no,
            names: vec![(name.to_owned(), OnVanish::Keep)],
            shapes: std::sync::Arc::default(),
            limit: left,
            lease: Duration::from_millis(1),
            until: None,
            ahead: Duration::ZERO,
            sweep: true,
            retention: Retention::default(),
        };
        let claimed = store.claim(Now::Database, &request).await.unwrap().calls.len();
        assert!(claimed > 0, "{left} more of {calls} calls of `{name}` should be due");
        left -= claimed;
        if left == 0 {
            break;
        }
    }
    pod
}

/// Returns settings of pods that claim all the time, so that one that would steal a call does so soon.
pub(super) fn eager() -> futurecall_runtime::Config {
    Backend::config().scan_interval(Duration::from_millis(100))
}

/// The connections of one pod to PostgreSQL, distinct from those of all other pods and tests.
pub(super) struct Connections<'b> {
    database: &'b TestDatabase,
    name: String,
}

impl<'b> Connections<'b> {
    /// Returns those of a pod that is yet to start.
    pub(super) fn new(database: &'b TestDatabase) -> Self {
        Self { database, name: format!("pod_{}", uuid::Uuid::new_v4().simple()) }
    }

    /// Returns the builder with the database URL that marks the pod's connections as these.
    pub(super) fn of(&self, builder: PodBuilder) -> PodBuilder {
        let separator = if self.database.url.contains('?') { '&' } else { '?' };
        builder.database_url(format!("{}{separator}application_name={}", self.database.url, self.name))
    }

    /// Makes the server end them all; returns how many there were.
    pub(super) async fn end(&self) -> i64 {
        self.count("pg_terminate_backend(a.pid)").await
    }

    /// Makes the server end those that listen; returns how many there were.
    pub(super) async fn deafen(&self) -> i64 {
        self.count("CASE WHEN a.query LIKE 'LISTEN %' THEN pg_terminate_backend(a.pid) END").await
    }

    /// Returns how many of them listen.
    pub(super) async fn listening(&self) -> i64 {
        self.count("a.query LIKE 'LISTEN %'").await
    }

    /// Returns how many of them hold advisory locks.
    pub(super) async fn advisory_locks(&self) -> i64 {
        self.count("EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND l.locktype = 'advisory')").await
    }

    async fn count(&self, condition: &str) -> i64 {
        // Materialized, so that nothing is ended before it is known to be this pod's.
        let text = format!(
            "WITH mine AS MATERIALIZED (SELECT a.pid, a.query FROM pg_stat_activity AS a \
                 WHERE a.datname = current_database() AND a.application_name = $1) \
             SELECT count(*) FROM mine AS a WHERE {condition}"
        );
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(text)).bind(&self.name);
        query.fetch_one(&self.database.pool).await.unwrap()
    }
}

/// A pod in a separate process, with its log and its ledger.
pub(super) struct Process {
    child: Child,
    /// Its warnings, line by line.
    pub(super) log: Journal,
}

/// The file to which processes write their runs.
pub(super) struct Ledger {
    path: PathBuf,
    _folder: TempDir,
}

impl Ledger {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("ledger"), _folder: folder }
    }

    /// Returns how many lines have that prefix.
    pub(super) fn count(&self, start: &str) -> usize {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(start)).count()
    }

    /// Waits until there are at least that many lines with that prefix.
    pub(super) async fn wait_for(&self, start: &str, count: usize) {
        eventually(&format!("{count} lines begin with `{start}`"), || async {
            (self.count(start) >= count).then_some(())
        })
        .await;
    }
}

impl Process {
    /// Starts one on a host of that name.
    pub(super) async fn start(url: &str, schema: &str, ledger: &Ledger, host: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pod"))
            .args([url, schema])
            .arg(&ledger.path)
            .arg("1")
            .env("HOSTNAME", host)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Journal::new();
        let (mut errors, lines) = (BufReader::new(child.stderr.take().unwrap()).lines(), log.clone());
        tokio::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                lines.write(line);
            }
        });
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = said.next_line().await.unwrap();
        assert_eq!(ready.as_deref(), Some("ready"), "{:?}", log.lines());
        Self { child, log }
    }

    /// Kills it, like `kill -9`.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Fails if it has ended.
    pub(super) fn assert_lives(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "{:?}", self.log.lines());
    }

    /// Shuts it down, and waits for that.
    pub(super) async fn end(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.child.wait().await.unwrap()
    }
}
