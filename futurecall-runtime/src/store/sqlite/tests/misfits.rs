//! A row that cannot be read is an error, and never a missing row.

use crate::error::StoreError;
use crate::id::{ActionId, CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::store::{CallState, ClaimRequest, NewLog, Now, Outcome, Retention, SqliteStore};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::recurring::Rule;
use crate::store::{ActionFilter, CallFilter, Finish, NewAction, NewSchedule, PodBeat, ScheduleOrigin, Span};

/// What reads rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Claim,
    FindClaim,
    Pending,
    History,
    One,
    Rescue,
    Schedules,
    Pods,
    Statistics,
    Actions,
    Logs,
    Paused,
}

use Ask::{
    Actions, Claim, FindClaim, History, Logs, One, Paused, Pending, Pods, Rescue, Schedules, Statistics,
};

/// The table, the column, what is planted there, and what reads it. Tables are STRICT, so that a value of another kind
/// does not get in; one that is out of range, no text or no JSON does.
const PLANTED: &[(&str, &str, &str, &[Ask])] = &[
    ("call", "id", "x'00'", &[Pending]),
    ("call", "name", NO_TEXT, &[FindClaim, Pending, Rescue]),
    ("call", "args", NO_TEXT, &[Claim, FindClaim, Pending]),
    ("call", "identifier", NO_TEXT, &[Claim, FindClaim, Pending]),
    ("call", "traceparent", NO_TEXT, &[Claim, FindClaim]),
    ("call", "format", HUGE, &[Claim, FindClaim, Pending]),
    ("call", "priority", HUGE, &[FindClaim, Pending]),
    ("call", "due_at", "-1", &[Claim, FindClaim, Pending]),
    ("call", "first_due_at", HUGE, &[Claim, FindClaim, Pending]),
    ("call", "expires_at", HUGE, &[Claim, FindClaim, Pending]),
    ("call", "failures", HUGE, &[Claim, FindClaim]),
    ("call", "attempt", HUGE, &[FindClaim, Pending]),
    ("call", "schedule_id", "x'00'", &[FindClaim, Pending]),
    ("call", "rerun_of", "x'00'", &[Pending]),
    ("call", "created_at", HUGE, &[Pending]),
    ("call", "claimed_at", HUGE, &[FindClaim]),
    ("call", "error", NO_TEXT, &[Pending]),
    ("finished", "name", NO_TEXT, &[One]),
    ("finished", "args", NO_TEXT, &[History, One]),
    ("finished", "identifier", NO_TEXT, &[History, One]),
    ("finished", "format", HUGE, &[History, One]),
    ("finished", "priority", HUGE, &[History, One]),
    ("finished", "due_at", HUGE, &[History, One]),
    ("finished", "schedule_id", "x'00'", &[History, One]),
    ("finished", "rerun_of", "x'00'", &[History, One]),
    ("finished", "created_at", HUGE, &[History, One]),
    ("finished", "attempt", HUGE, &[History, One]),
    ("finished", "pod", "x'00'", &[History, One]),
    ("finished", "started_at", HUGE, &[History, One]),
    ("finished", "finished_at", HUGE, &[One]),
    ("finished", "error", NO_TEXT, &[History, One]),
    ("schedule", "id", "x'00'", &[Schedules]),
    ("schedule", "name", NO_TEXT, &[Schedules]),
    ("schedule", "identifier", NO_TEXT, &[Schedules]),
    ("schedule", "args", NO_TEXT, &[Schedules]),
    ("schedule", "declared", NO_TEXT, &[Schedules]),
    ("schedule", "effective", NO_TEXT, &[Schedules]),
    ("schedule", "anchor", HUGE, &[Schedules]),
    ("schedule", "origin", HUGE, &[Schedules]),
    ("schedule", "state", HUGE, &[Schedules]),
    ("schedule", "reason", NO_TEXT, &[Schedules]),
    ("schedule", "created_at", HUGE, &[Schedules]),
    ("pod", "id", "x'00'", &[Pods]),
    ("pod", "label", NO_TEXT, &[Pods]),
    ("pod", "role", NO_TEXT, &[Pods]),
    ("pod", "version", NO_TEXT, &[Pods]),
    ("pod", "names", "'no JSON'", &[Pods]),
    ("pod", "redacted", "'no JSON'", &[Pods]),
    ("pod", "slots", HUGE, &[Pods]),
    ("pod", "running", "-1", &[Pods]),
    ("pod", "started_at", HUGE, &[Pods]),
    ("pod", "beat_at", HUGE, &[Pods]),
    ("statistics", "start", HUGE, &[Statistics]),
    ("statistics", "name", NO_TEXT, &[Statistics]),
    ("statistics", "succeeded", "-1", &[Statistics]),
    ("statistics", "durations", NO_TEXT, &[Statistics]),
    ("action", "id", "x'00'", &[Actions]),
    ("action", "at", HUGE, &[Actions]),
    ("action", "actor", NO_TEXT, &[Actions]),
    ("action", "target", NO_TEXT, &[Actions]),
    ("action", "call_id", "x'00'", &[Actions]),
    ("action", "outcome", NO_TEXT, &[Actions]),
    ("log", "attempt", HUGE, &[Logs]),
    ("log", "text", NO_TEXT, &[Logs]),
    ("log", "at", HUGE, &[Logs]),
    ("paused_name", "name", NO_TEXT, &[Paused]),
    ("paused_name", "since", HUGE, &[Paused]),
    ("paused_name", "reason", NO_TEXT, &[Paused]),
];

/// A text that is none.
const NO_TEXT: &str = "CAST(x'ff' AS TEXT)";
/// Too much for a moment as for any small number.
const HUGE: &str = "9000000000000000000";

/// A database with a row of each kind, and what was stored there.
struct Seed {
    _folder: TempDir,
    path: PathBuf,
    pod: PodId,
    finished: CallId,
}

/// What the file of a URL is called.
fn url_of(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

async fn seed() -> Seed {
    let (folder, url) = folder();
    let store = migrated(&url).await;
    let (pod, over) = (PodId::new(), call("a.b"));
    let claimed = ClaimRequest { pod, ..request(1) };
    store.insert(Now::Database, std::slice::from_ref(&over), false, Duration::ZERO).await.expect("stored");
    assert_eq!(store.claim(Now::Database, &claimed).await.expect("claimed").calls.len(), 1);
    let ended = Finish {
        id: over.id,
        claim_no: 1,
        outcome: Outcome::Failed { error: "no".to_owned() },
        started_after: Some(Duration::ZERO),
        ran_for: Duration::ZERO,
    };
    let ended = store.finish(Now::Database, pod, &[ended], &Retention::default()).await.expect("ended");
    assert!(ended[0].is_recorded());
    store.insert(Now::Database, &[call("a.b")], false, Duration::ZERO).await.expect("stored");
    let rule = Rule::every(Duration::from_hours(1)).expect("a rule");
    let schedule = NewSchedule {
        id: ScheduleId::new(),
        key: "x".to_owned(),
        former_keys: Vec::new(),
        name: "elsewhere.run".to_owned(),
        identifier: Some("y".to_owned()),
        args: "{}".to_owned(),
        format: 1,
        priority: 0,
        rule,
        origin: ScheduleOrigin::Code,
    };
    store.declare(Now::Database, &[schedule]).await.expect("declared");
    store.execute_seed(pod, over.id).await;
    store.close().await;
    let path = folder.path().join("calls.db");
    Seed { _folder: folder, path, pod, finished: over.id }
}

impl SqliteStore {
    async fn execute_seed(&self, pod: PodId, over: CallId) {
        let beat = PodBeat {
            id: pod,
            label: "here".to_owned(),
            role: "monolith".to_owned(),
            version: "0".to_owned(),
            names: Vec::new(),
            shapes: std::collections::BTreeMap::new(),
            schedules: Vec::new(),
            redacted: std::collections::BTreeMap::new(),
            slots: 1,
            running: 0,
        };
        self.beat(Now::Database, &beat).await.expect("written");
        let action = NewAction {
            id: ActionId::new(),
            actor: "ada".to_owned(),
            verb: "delete".to_owned(),
            target: "x".to_owned(),
            call: Some(over),
            schedule: None,
        };
        self.note_action(Now::Database, &action).await.expect("written");
        let log = NewLog { id: over, attempt: 1, text: "x".to_owned() };
        self.keep_logs(Now::Database, &[log]).await.expect("written");
        self.pause_name(Now::Database, "elsewhere.run", "ada", "x").await.expect("written");
        let mut counted = super::super::super::Statistics::new("a.b".to_owned(), Span::Minute, Moment::MIN);
        counted.succeeded = 1;
        self.put_statistics(pod, &[counted]).await.expect("written");
    }
}

/// How many rows come back.
async fn ask(store: &SqliteStore, seed: &Seed, ask: Ask) -> Result<usize, StoreError> {
    let now = Now::Database;
    let long_ago = Duration::from_hours(1);
    Ok(match ask {
        Claim => store.claim(now, &ClaimRequest { claim_no: 8, ..request(9) }).await?.calls.len(),
        FindClaim => store.find_claim(seed.pod, 7).await?.len(),
        Rescue => store.rescue(now, 9, &Retention::default()).await?.len(),
        Pending => store.calls(now, &CallFilter::new().state(CallState::Running)).await?.calls.len(),
        History => store.calls(now, &CallFilter::new().state(CallState::Failed)).await?.calls.len(),
        One => usize::from(store.call(now, seed.finished).await?.is_some()),
        Schedules => store.schedules().await?.len(),
        Pods => store.pods(now, long_ago).await?.len(),
        Statistics => store.statistics(Span::Minute, Moment::MIN, None).await?.len(),
        Actions => store.actions(&ActionFilter::new()).await?.len(),
        Logs => store.logs(seed.finished).await?.len(),
        Paused => store.paused_names().await?.len(),
    })
}

/// Puts the call into the state that is asked for, and the value into its column.
async fn plant(path: &Path, seed: &Seed, of: Ask, planted: Option<(&str, &str, &str)>) {
    let mut connection = SqliteConnection::connect(&url_of(path)).await.expect("opens");
    let mut run = async |text: String| {
        sqlx::query(AssertSqlSafe(text)).execute(&mut connection).await.expect("planted");
    };
    run("PRAGMA ignore_check_constraints = ON".to_owned()).await;
    let lease = if of == Rescue { "1" } else { "253402300799999999" };
    if matches!(of, FindClaim | Pending | Rescue) {
        run(format!(
            "UPDATE futurecall_call SET claimed_by = x'{}', claim_no = 7, lease_until = {lease}, claimed_at = 1 \
             WHERE name = 'a.b'",
            seed.pod.as_uuid().simple()
        ))
        .await;
    }
    if let Some((table, column, value)) = planted {
        let which = if table == "call" { " WHERE name = 'a.b'" } else { "" };
        run(format!("UPDATE futurecall_{table} SET {column} = {value}{which}")).await;
    }
    connection.close().await.expect("closed");
}

#[tokio::test]
async fn a_value_that_cannot_stand_in_its_column_is_an_error_and_no_missing_row() {
    let seed = seed().await;
    let mut wrong = Vec::new();
    let mut number = 0;
    let mut copy = || {
        number += 1;
        let copy = seed.path.with_file_name(format!("{number}.db"));
        std::fs::copy(&seed.path, &copy).expect("copied");
        copy
    };
    let all =
        [Claim, FindClaim, Pending, History, One, Rescue, Schedules, Pods, Statistics, Actions, Logs, Paused];
    for of in all {
        let copy = copy();
        plant(&copy, &seed, of, None).await;
        let store = SqliteStore::open(&url_of(&copy), PREFIX).await.expect("opens");
        let found = ask(&store, &seed, of).await.expect("sound");
        assert_eq!(found, 1, "{of:?} finds its row");
        store.close().await;
    }
    for &(table, column, value, asked) in PLANTED {
        for &of in asked {
            let copy = copy();
            plant(&copy, &seed, of, Some((table, column, value))).await;
            let store = SqliteStore::open(&url_of(&copy), PREFIX).await.expect("opens");
            match ask(&store, &seed, of).await {
                Err(error) if error.to_string().contains("cannot stand there") => {
                    assert!(!error.is_transient(), "{error}");
                    // Some columns of a call are read through an expression, which has no table.
                    let named = format!("`futurecall_{table}.{column}`");
                    assert!(table == "call" || error.to_string().contains(&named), "{named}: {error}");
                }
                other => wrong.push(format!("{table}.{column} {of:?}: {other:?}")),
            }
            if of == Claim {
                // Nothing is left claimed by who could not read it.
                let claimed = "SELECT count(*) FROM futurecall_call WHERE claimed_by IS NOT NULL";
                let pool = application(&url_of(&copy)).await;
                let held: i64 = sqlx::query_scalar(claimed).fetch_one(&pool).await.expect("counted");
                assert_eq!(held, 0, "{table}.{column}");
                pool.close().await;
            }
            store.close().await;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
