//! The crash sweep: a process dies at every operation of a store, before it is sent and after its reply has come, or
//! loses just the reply, or believes so although nothing was done; then another pod takes over, and the result of every
//! call is checked exactly.
//!
//! Nothing is tolerated here: for each boundary there is one right number of starts of each call, and one right end.

use std::collections::HashMap;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::store::{Now, Store};
use futurecall_runtime::{CallState, Pod};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::ledger::{Ledger, What};
use crate::postgres::{Server, ServerOptions};
use crate::run_folder::Folder;
use crate::victim::{Boundary, LEASE, OPERATIONS, Part, VictimOptions, open};
use crate::worker::TortureFutureCall;
use crate::{Result, ledger, worker};

/// How long a successor may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// How many victims run at a time.
const AT_ONCE: usize = 4;

/// The state of a call in the end, and how often it started; `None`: it is in no table.
type Count = (usize, Option<CallState>);

/// Sweeps one database; prints one line, and each count that is wrong.
pub(crate) async fn sweep(sqlite: bool) -> Result<ExitCode> {
    let folder = Arc::new(Folder::new()?);
    let server =
        if sqlite { None } else { Some(Server::start(&folder.database(), ServerOptions::default())?) };
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (number, (operation, boundary)) in boundaries().into_iter().enumerate() {
        let (folder, places) = (Arc::clone(&folder), Arc::clone(&places));
        let url = if sqlite {
            format!("sqlite:{}", folder.database().join(format!("{number}.db")).display())
        } else {
            format!("postgres://futurecall@localhost/postgres?host={}", folder.database().display())
        };
        let orders = VictimOptions {
            url,
            schema: format!("sweep_{number}"),
            ledger: folder.ledger().with_extension(number.to_string()),
            base: Uuid::now_v7().as_u128() & !0xff,
            operation: operation.to_owned(),
            boundary,
        };
        running.spawn(async move {
            let _place = places.acquire_owned().await;
            play(&orders).await.map_err(|error| format!("{operation} {boundary:?}: {error}"))
        });
    }
    let (mut boundaries, mut calls, mut wrong) = (0, 0, Vec::new());
    while let Some(played) = running.join_next().await {
        boundaries += 1;
        calls += Part::ALL.len();
        match played? {
            Ok(found) => wrong.extend(found),
            Err(error) => wrong.push(error),
        }
    }
    drop(server);
    let place = if sqlite { "sqlite" } else { "postgres" };
    println!(
        "sweep {place} operations={} boundaries={boundaries} calls={calls} violations={}",
        OPERATIONS.len(),
        wrong.len()
    );
    for wrong in &wrong {
        eprintln!("  {wrong}");
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the fault occurs. Inside a transaction a lost reply is the end of the transaction, as if nothing had been
/// sent.
fn boundaries() -> Vec<(&'static str, Boundary)> {
    let inside = ["begin", "insert_in", "cancel_in", "complete"];
    let all =
        OPERATIONS.iter().flat_map(|operation| Boundary::value_variants().iter().map(|at| (*operation, *at)));
    all.filter(|(operation, at)| !at.is_survived() || !inside.contains(operation)).collect()
}

/// Runs one victim and its successor. Returns what was wrong.
async fn play(orders: &VictimOptions) -> Result<Vec<String>> {
    let status = victim(orders).await?;
    if orders.boundary.is_survived() != status {
        return Err(format!("the victim {}", if status { "lived" } else { "died" }).into());
    }
    let ledger = Arc::new(Ledger::open(&orders.ledger, 1)?);
    let builder = if orders.url.starts_with("sqlite:") {
        Pod::builder()
    } else {
        Pod::builder().schema(&orders.schema)
    };
    let successor =
        builder.database_url(&orders.url).without_discovery().register(TortureFutureCall).state(ledger);
    let successor = successor.config(worker::config(LEASE)).start().await?;
    let store = open(&orders.url, &orders.schema).await?;
    let began = Instant::now();
    // Until everything is as it should be; later changes are seen when the successor has ended.
    while !wrong(orders, &store).await?.is_empty() && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    successor.shutdown().await;
    wrong(orders, &store).await
}

/// Returns whether it survived to its end.
async fn victim(orders: &VictimOptions) -> Result<bool> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("victim").args(["--url", &orders.url, "--schema", &orders.schema]);
    command.arg("--ledger").arg(&orders.ledger).args(["--base", &orders.base.to_string()]);
    let boundary =
        orders.boundary.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    command.args(["--operation", &orders.operation, "--boundary", &boundary]);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    // A victim ends by its own signal, or normally.
    match output.status.code() {
        None => Ok(false),
        Some(0) => Ok(true),
        Some(code) => Err(format!("the victim ended with {code}: {said}").into()),
    }
}

/// Returns the differences from the expected state.
async fn wrong(orders: &VictimOptions, store: &Arc<dyn Store>) -> Result<Vec<String>> {
    let starts = starts(&orders.ledger)?;
    let mut wrong = Vec::new();
    let mut pending = 0;
    for part in Part::ALL {
        let id = part.id(orders.base);
        let state = store.call(Now::Database, id).await?.map(|call| call.state);
        pending += usize::from(state == Some(CallState::Scheduled));
        let found: Count = (starts.get(&id.as_uuid()).copied().unwrap_or(0), state);
        let expected = expected(part, orders);
        if found != expected {
            wrong.push(format!(
                "{} {:?}: {part:?} is {found:?}, not {expected:?}",
                orders.operation, orders.boundary
            ));
        }
    }
    // The schedule's next run, and no unknown call.
    let page = store.calls(Now::Database, &CallFilter::new().state(CallState::Scheduled)).await?;
    let (schedules, declared) = (store.schedules().await?.len(), usize::from(is_done("declare", orders)));
    if (schedules, page.calls.len()) != (declared, pending + declared) {
        wrong.push(format!(
            "{} {:?}: {schedules} schedules, {} calls pending, {pending} of them ours",
            orders.operation,
            orders.boundary,
            page.calls.len()
        ));
    }
    Ok(wrong)
}

fn starts(path: &Path) -> Result<HashMap<Uuid, usize>> {
    let mut starts = HashMap::new();
    for event in ledger::read(path)?.iter().filter(|event| event.what == What::Start) {
        *starts.entry(event.run.call).or_default() += 1;
    }
    Ok(starts)
}

/// Returns whether the victim reached the operation, whatever happened to it there.
fn came_to(operation: &str, orders: &VictimOptions) -> bool {
    let place = |name: &str| OPERATIONS.iter().position(|operation| *operation == name);
    orders.boundary.is_survived() || place(operation) <= place(&orders.operation)
}

/// Returns whether the operation was done.
fn is_done(operation: &str, orders: &VictimOptions) -> bool {
    came_to(operation, orders) && !(operation == orders.operation && orders.boundary == Boundary::Before)
}

/// Returns how often a call starts, and how it ends, when the victim dies there.
fn expected(part: Part, orders: &VictimOptions) -> Count {
    let done = |operation| is_done(operation, orders);
    // The successor runs it as if it had never been claimed.
    let ran = (1, Some(CallState::Succeeded));
    let pending = (0, Some(CallState::Scheduled));
    let interrupted = |starts| (starts, Some(CallState::Interrupted));
    // Handlers are started once the victim has gone on to the operation after.
    let started = came_to("renew", orders);
    let end = match part {
        Part::StoredIn => return if done("complete") { ran } else { (0, None) },
        Part::Again => return if done("run_again") { ran } else { (0, None) },
        Part::Triggered => return if done("trigger") { ran } else { (0, None) },
        Part::AtOnce if !done("insert_claimed") => return (0, None),
        Part::AtOnce if !done("finish") => return interrupted(usize::from(started)),
        Part::Discarded if done("delete") => (0, None),
        Part::Kept | Part::Completed | Part::Failed | Part::Rerun if !done("claim") => ran,
        Part::Kept if done("finish") => ran,
        Part::Completed if done("complete") => ran,
        Part::Failed if done("finish") => (1, Some(CallState::Failed)),
        Part::Kept | Part::Completed | Part::Failed => interrupted(usize::from(started)),
        Part::Rerun if started && !done("finish") => (2, Some(CallState::Succeeded)),
        Part::KeptReleased if done("claim") && !done("release") => interrupted(0),
        Part::Rerun | Part::RerunReleased | Part::KeptReleased | Part::AtOnce => ran,
        Part::Moved => {
            if done("reschedule") {
                ran
            } else {
                pending
            }
        }
        Part::Cancelled if done("cancel") => (0, Some(CallState::Cancelled)),
        Part::CancelledIn if done("complete") => (0, Some(CallState::Cancelled)),
        Part::Discarded if done("discard") => (0, Some(CallState::Cancelled)),
        Part::Cancelled | Part::CancelledIn | Part::Discarded => pending,
        // Of a name that the successor does not have. The pod that took it did so once all were stored.
        Part::Vanished => {
            if came_to("cancel", orders) {
                interrupted(0)
            } else {
                pending
            }
        }
    };
    if done("insert") { end } else { (0, None) }
}

#[cfg(test)]
mod tests {
    use futurecall_runtime::CallState::{Interrupted, Succeeded};

    use super::expected;
    use crate::victim::{Boundary, OPERATIONS, Part, VictimOptions};

    #[test]
    fn the_counts_differ_from_boundary_to_boundary() {
        let at = |operation: &str, boundary| {
            let (url, schema, ledger) = Default::default();
            let orders =
                VictimOptions { url, schema, ledger, base: 0, operation: operation.to_owned(), boundary };
            [Part::Kept, Part::Rerun].map(|part| expected(part, &orders))
        };
        let at_once = |operation: &str, boundary| {
            let (url, schema, ledger) = Default::default();
            let orders =
                VictimOptions { url, schema, ledger, base: 0, operation: operation.to_owned(), boundary };
            expected(Part::AtOnce, &orders)
        };
        assert_eq!(at_once("insert_claimed", Boundary::Before), (0, None));
        assert_eq!(at_once("insert_claimed", Boundary::After), (0, Some(Interrupted)));
        for boundary in [Boundary::Lost, Boundary::Unsent] {
            assert_eq!(at_once("insert_claimed", boundary), (1, Some(Succeeded)));
        }
        assert_eq!(at_once("finish", Boundary::Before), (1, Some(Interrupted)));
        let nowhere = [(0, None); 2];
        assert_eq!(at("insert", Boundary::Before), nowhere);
        let once = [(1, Some(Succeeded)); 2];
        assert_eq!(at("insert", Boundary::After), once);
        assert_eq!(at("claim", Boundary::Before), once);
        assert_eq!(at("claim", Boundary::After), [(0, Some(Interrupted)), (1, Some(Succeeded))]);
        assert_eq!(at("finish", Boundary::Before), [(1, Some(Interrupted)), (2, Some(Succeeded))]);
        for boundary in [Boundary::Lost, Boundary::Unsent, Boundary::After] {
            assert_eq!(at("finish", boundary), once);
        }
    }

    #[test]
    fn no_operation_of_the_store_is_forgotten() {
        let source = include_str!("../../futurecall-runtime/src/store/traits.rs");
        let name = |line: &'static str| line.trim_start().strip_prefix("async fn ")?.split(['(', '<']).next();
        let mut operations: Vec<&str> = source.lines().filter_map(name).collect();
        // It waits, and performs no operation.
        operations.retain(|operation| *operation != "changed");
        let mut swept = OPERATIONS.to_vec();
        operations.sort_unstable();
        swept.sort_unstable();
        assert_eq!(swept, operations, "the victim goes through every operation of the trait");
    }
}
