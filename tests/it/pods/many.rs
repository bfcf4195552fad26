//! Several pods and several processes share the work: nothing missing, nothing twice, by the handlers' own records.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::{CallState, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::support::Note;

const CALLS: u64 = 10_000;
/// How many calls are quick before the gate closes.
const QUICK: u64 = 2_000;

/// Writes a line per run, and ends once the other pod has run something as well.
struct NoteTogether {
    mine: Journal,
    other: Journal,
}

impl InvokableFutureCall for NoteTogether {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        self.mine.write(data.unwrap_or_default());
        self.other.wait_for(1).await;
        Ok(())
    }
}

/// Lets so many through, and the others when it is opened.
#[derive(Clone)]
struct Gate {
    quick: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Gate {
    fn new(quick: u64) -> Self {
        let quick = usize::try_from(quick).expect("a small number");
        Self { quick: Arc::new(Semaphore::new(quick)), others: Arc::new(Semaphore::new(0)) }
    }

    async fn pass(&self) {
        match self.quick.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(_) => drop(self.others.acquire().await),
        }
    }

    async fn closed(&self) {
        eventually("the quick ones are through", || async {
            (self.quick.available_permits() == 0).then_some(())
        })
        .await;
    }

    fn open(&self) {
        self.others.close();
    }
}

/// Writes a line per run, and passes the gate.
struct NoteUntil {
    journal: Journal,
    gate: Gate,
}

impl InvokableFutureCall for NoteUntil {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        self.journal.write(data.unwrap_or_default());
        self.gate.pass().await;
        Ok(())
    }
}

async fn schedule(backend: &Backend, name: &str) {
    let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
    let calls: Vec<_> = (0..CALLS)
        .map(|n| match name {
            "note" => scheduler.future_call_with_delay(name, Some(&n.to_string()), Duration::ZERO),
            _ => scheduler.future_call_with_delay(name, Some(&n), Duration::ZERO),
        })
        .collect();
    scheduler.future_calls().schedule_all(calls).await.unwrap();
    scheduler.shutdown().await;
}

fn assert_each_once(numbers: impl Iterator<Item = u64>) {
    let mut count = BTreeMap::<u64, u32>::new();
    numbers.for_each(|n| *count.entry(n).or_default() += 1);
    let missing = (0..CALLS).filter(|n| !count.contains_key(n)).count();
    let twice: Vec<_> = count.iter().filter(|(_, times)| **times > 1).collect();
    assert!(missing == 0 && twice.is_empty(), "{missing} missing, more than once: {twice:?}");
    assert_eq!(count.len() as u64, CALLS);
}

on_all_stores! {
    async fn two_pods_share_ten_thousand_calls(backend: &Backend) {
        schedule(backend, "note").await;
        let journals = [Journal::new(), Journal::new()];
        let pod = |mine: &Journal, other: &Journal| {
            let handler = NoteTogether { mine: mine.clone(), other: other.clone() };
            backend.builder().register_future_call("note", handler).start()
        };
        let (one, two) = tokio::join!(pod(&journals[0], &journals[1]), pod(&journals[1], &journals[0]));
        let (one, two) = (one.unwrap(), two.unwrap());
        eventually("all calls have left", || async {
            (one.inspect().counts().await.unwrap().succeeded >= CALLS).then_some(())
        })
        .await;
        tokio::join!(one.shutdown(), two.shutdown());
        let shares = journals.map(|journal| journal.lines());
        assert!(shares.iter().all(|share| !share.is_empty()), "one pod did it all");
        assert_each_once(shares.iter().flatten().map(|line| line.parse().unwrap()));
    }

    async fn what_finds_no_slot_is_given_back(backend: &Backend) {
        schedule(backend, "note").await;
        let journals = [Journal::new(), Journal::new()];
        let gate = Gate::new(QUICK);
        let handler = NoteUntil { journal: journals[0].clone(), gate: gate.clone() };
        let config = Backend::config().concurrency_limit(4);
        let one = backend.builder().config(config).register_future_call("note", handler).start().await.unwrap();
        // Until then it was quick, and claimed ahead accordingly; from now on its slots are taken.
        gate.closed().await;
        let two = backend
            .builder()
            .register_future_call("note", Note(journals[1].clone()))
            .start()
            .await
            .unwrap();
        let held = QUICK + 4;
        eventually("the other pod has run all but what the first one holds", || async {
            (journals[1].lines().len() as u64 >= CALLS - held).then_some(())
        })
        .await;
        gate.open();
        eventually("all calls have left", || async {
            (one.inspect().counts().await.unwrap().succeeded >= CALLS).then_some(())
        })
        .await;
        tokio::join!(one.shutdown(), two.shutdown());
        let shares = journals.map(|journal| journal.lines());
        assert!(shares[0].len() as u64 <= held, "{} ran on the pod whose slots were taken", shares[0].len());
        assert_each_once(shares.iter().flatten().map(|line| line.parse().unwrap()));
    }

    /// A handler may take all of the grace; calls that have not started are not kept from other pods for as long.
    async fn a_shutdown_gives_back_what_has_not_started(backend: &Backend) {
        const SLOTS: usize = 4;
        schedule(backend, "note").await;
        let journals = [Journal::new(), Journal::new()];
        let gate = Gate::new(QUICK);
        let handler = NoteUntil { journal: journals[0].clone(), gate: gate.clone() };
        let config = Backend::config().concurrency_limit(SLOTS);
        let one = backend.builder().config(config).register_future_call("note", handler).start().await.unwrap();
        // It was quick, and claimed ahead accordingly. It ends before it gives back what finds no slot.
        gate.closed().await;
        let ending = tokio::spawn(async move { one.shutdown().await });
        let two = backend
            .builder()
            .register_future_call("note", Note(journals[1].clone()))
            .start()
            .await
            .unwrap();
        eventually("the other pod has run all but what is running", || async {
            let lines = journals.iter().map(|journal| journal.lines().len() as u64).sum::<u64>();
            (lines >= CALLS - SLOTS as u64).then_some(())
        })
        .await;
        assert!(!ending.is_finished(), "its handlers wait for the gate");
        gate.open();
        let summary = ending.await.unwrap();
        assert_eq!((summary.running, summary.interrupted), (summary.finished, 0));
        two.shutdown().await;
        assert_each_once(journals.iter().flat_map(Journal::lines).map(|line| line.parse().unwrap()));
    }
}

/// A pod in a process of its own, which scans as rarely as `scan` says.
async fn process(url: &str, schema: &str, ledger: &Path, scan: Option<&str>) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pod"))
        .args([url, schema])
        .arg(ledger)
        .args(scan)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
    child
}

async fn two_processes(backend: &Backend, url: &str, schema: &str) {
    schedule(backend, "ledger").await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let (mut one, mut two) =
        tokio::join!(process(url, schema, &ledger, None), process(url, schema, &ledger, None));
    let read = || std::fs::read_to_string(&ledger).unwrap_or_default();
    eventually("all lines are written", || async { (read().lines().count() as u64 >= CALLS).then_some(()) })
        .await;
    for child in [&mut one, &mut two] {
        drop(child.stdin.take());
        assert!(child.wait().await.unwrap().success());
    }
    let text = read();
    let runs: Vec<(u64, &str)> = text
        .lines()
        .map(|line| {
            let mut words = line.split(' ').skip(1);
            (words.next().unwrap().parse().unwrap(), words.next().unwrap())
        })
        .collect();
    let mut processes: Vec<&str> = runs.iter().map(|(_, process)| *process).collect();
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 2, "one process did it all");
    assert_each_once(runs.iter().map(|(n, _)| *n));
}

#[tokio::test]
async fn two_processes_share_one_sqlite_file() {
    let backend = Backend::sqlite();
    let Backend::Sqlite(file) = &backend else { unreachable!("made so above") };
    two_processes(&backend, &file.url, "futurecall").await;
    backend.drop().await;
}

#[tokio::test]
async fn two_processes_share_one_postgres() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("made so above") };
    two_processes(&backend, &database.url, &database.schema).await;
    backend.drop().await;
}

/// A call that takes down whatever process runs it: two of them, as its budget is.
async fn deadly(backend: &Backend, url: &str, schema: &str) {
    let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
    let id = scheduler.future_call_with_delay("deadly", Some(&1), Duration::ZERO).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let process = || {
        Command::new(env!("CARGO_BIN_EXE_pod"))
            .args([url, schema])
            .arg(&ledger)
            .args(["5", "2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    for _ in 0..2 {
        let mut child = process();
        // Its input stays open: only the call ends it.
        let input = child.stdin.take();
        assert_eq!(child.wait().await.unwrap().code(), Some(9));
        drop(input);
    }
    let mut child = process();
    let call = eventually("the call is over", || async {
        scheduler.inspect().call(id).await.unwrap().filter(|call| call.state.is_finished())
    })
    .await;
    assert_eq!((call.state, call.attempt, call.attempts.len()), (CallState::Failed, 2, 2));
    let error = call.error.unwrap();
    assert!(error.starts_with("2 of its pods vanished, so it is not run again"), "{error}");
    assert_ne!(call.attempts[0].pod, call.attempts[1].pod);
    drop(child.stdin.take());
    assert!(child.wait().await.unwrap().success());
    assert_eq!(std::fs::read_to_string(&ledger).unwrap(), "D\nD\n");
    scheduler.shutdown().await;
}

#[tokio::test]
async fn a_call_that_kills_its_processes_ends_failed_on_sqlite() {
    let backend = Backend::sqlite();
    let Backend::Sqlite(file) = &backend else { unreachable!("made so above") };
    deadly(&backend, &file.url, "futurecall").await;
    backend.drop().await;
}

#[tokio::test]
async fn a_call_that_kills_its_processes_ends_failed_on_postgres() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("made so above") };
    deadly(&backend, &database.url, &database.schema).await;
    backend.drop().await;
}

/// The other process would scan an hour later: it can only have heard.
#[tokio::test]
async fn a_process_hears_what_another_stores_in_a_sqlite_file() {
    let backend = Backend::sqlite();
    let Backend::Sqlite(file) = &backend else { unreachable!("made so above") };
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let mut child = process(&file.url, "futurecall", &ledger, Some("3600")).await;
    let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
    for n in 1..=20_u64 {
        scheduler.future_call_with_delay("ledger", Some(&n), Duration::ZERO).await.unwrap();
        eventually("the call runs", || async {
            let lines = std::fs::read_to_string(&ledger).unwrap_or_default().lines().count();
            (lines as u64 >= n).then_some(())
        })
        .await;
    }
    drop(child.stdin.take());
    assert!(child.wait().await.unwrap().success());
    scheduler.shutdown().await;
    backend.drop().await;
}
