//! What is SQLite's alone; everything else is the conformance suite's.

use crate::error::StoreError;
use crate::id::{CallId, PodId};
use crate::store::transaction::TransactionRef;
use crate::store::{
    CallFilter, ClaimRequest, ClaimedCall, Finish, Inserted, NewCall, Now, Retention, SqliteStore,
};
use std::error::Error as _;
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, SqlitePool};
use tempfile::TempDir;

use super::connect::{Source, Tables};
use crate::store::prelude::*;
use crate::store::{Due, OnVanish, Outcome};

mod chunks;
mod heard;
mod lent;
mod misfits;
mod plans;
mod shared;

const PREFIX: &str = "futurecall_";

/// A folder for one database file, and its URL.
fn folder() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let url = format!("sqlite:{}", folder.path().join("calls.db").display());
    (folder, url)
}

async fn migrated(url: &str) -> SqliteStore {
    let store = SqliteStore::open(url, PREFIX).await.expect("the file can be opened");
    store.migrate().await.expect("the tables can be made");
    store
}

/// A store that gives up on a lock quickly.
async fn impatient(url: &str) -> SqliteStore {
    let source =
        Source { patience: Duration::from_millis(50), ..Source::from_url(url, 4).expect("a sound URL") };
    SqliteStore::start(source, Tables::new(PREFIX).expect("a sound prefix"))
        .await
        .expect("the file can be opened")
}

/// The application's pool on the same file.
async fn application(url: &str) -> SqlitePool {
    let options =
        url.parse::<SqliteConnectOptions>().expect("a sound URL").busy_timeout(Duration::from_millis(200));
    SqlitePoolOptions::new().max_connections(2).connect_with(options).await.expect("the file can be opened")
}

fn call(name: &str) -> NewCall {
    NewCall {
        id: CallId::new(),
        name: name.to_owned(),
        identifier: Some("label".to_owned()),
        args: "{}".to_owned(),
        format: 1,
        priority: 0,
        due: Due::After(Duration::ZERO),
        expires_after: None,
        traceparent: None,
    }
}

fn request(limit: usize) -> ClaimRequest {
    ClaimRequest {
        pod: PodId::new(),
        claim_no: 1,
        names: vec![("a.b".to_owned(), OnVanish::Keep)],
        shapes: std::sync::Arc::default(),
        limit,
        lease: Duration::from_secs(30),
        until: None,
        ahead: Duration::ZERO,
        sweep: true,
        retention: Retention::default(),
    }
}

async fn store_one(store: &SqliteStore) -> Result<Vec<Inserted>, StoreError> {
    store.insert(Now::Database, &[call("a.b")], false, Duration::ZERO).await
}

async fn scheduled(store: &SqliteStore) -> u64 {
    store.counts(Now::Database, u64::MAX).await.expect("the file can be read").scheduled
}

#[test]
fn a_prefix_is_the_beginning_of_a_name() {
    for sound in ["futurecall_", "_", "a", "a1_", &"a".repeat(48)] {
        assert!(Tables::new(sound).is_ok(), "{sound:?} is sound");
    }
    for unsound in ["", "1a", "A", "a-b", "a b", "a;", "\"", "ä", "a.b", "sqlite_x", &"a".repeat(49)] {
        let error = Tables::new(unsound).expect_err("refused").to_string();
        assert!(error.contains("table_prefix `"), "{unsound:?}: {error}");
    }
}

#[tokio::test]
async fn two_prefixes_share_a_file() {
    let (_folder, url) = folder();
    let one = migrated(&url).await;
    let two = SqliteStore::open(&url, "other_").await.expect("opens");
    two.migrate().await.expect("migrates");
    store_one(&one).await.expect("stored");
    assert_eq!((scheduled(&one).await, scheduled(&two).await), (1, 0));
}

#[tokio::test]
async fn handles_that_migrate_at_once_all_find_the_tables() {
    let (_folder, url) = folder();
    let starts = (0..6).map(|_| async {
        let store = SqliteStore::open(&url, PREFIX).await?;
        store.migrate().await?;
        store.migrate().await?;
        Ok::<_, StoreError>(store)
    });
    let stores = futures_util::future::try_join_all(starts).await.expect("all start");
    store_one(&stores[0]).await.expect("stored");
    assert_eq!(scheduled(&stores[5]).await, 1);
}

#[tokio::test]
async fn a_database_migrated_by_hand_is_accepted_and_a_newer_one_is_not() {
    let (_folder, url) = folder();
    let mut by_hand = SqliteConnection::connect(&format!("{url}?mode=rwc")).await.expect("opens");
    let script = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/0001_calls.sql"));
    sqlx::raw_sql(script).execute(&mut by_hand).await.expect("the file runs as it stands");
    let store = migrated(&url).await;
    store_one(&store).await.expect("stored");
    sqlx::query("INSERT INTO futurecall_migration VALUES (99, 'from the future', 0)")
        .execute(&mut by_hand)
        .await
        .expect("written");
    let error = store.migrate().await.expect_err("refused");
    assert!(!error.is_transient() && error.to_string().contains("version 99"), "{error}");
}

#[tokio::test]
async fn a_database_without_tables_says_so() {
    let (_folder, url) = folder();
    let store = SqliteStore::open(&url, PREFIX).await.expect("opens");
    let error = store_one(&store).await.expect_err("there are no tables");
    assert!(!error.is_transient() && error.to_string().contains("not yet migrated"), "{error}");
    let pool = application(&url).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let lent = TransactionRef::Sqlite(&mut connection);
    let error = store.insert_in(lent, &[call("a.b")], Duration::ZERO).await.expect_err("there are no tables");
    assert!(!error.is_transient() && error.to_string().contains("is not the pod's"), "{error}");
}

#[tokio::test]
async fn memory_is_one_connection_that_handles_share() {
    for url in ["sqlite::memory:", ":memory:", "sqlite://?mode=memory"] {
        let store = migrated(url).await;
        let other = store.separate().await.expect("shares");
        store_one(&store).await.expect("stored");
        assert_eq!(other.counts(Now::Database, u64::MAX).await.expect("read").scheduled, 1, "{url}");
        assert!(store.changed().now_or_never().is_none(), "nobody else can change it");
        let stranger = migrated(url).await;
        assert_eq!(scheduled(&stranger).await, 0, "{url}");
    }
}

#[tokio::test]
async fn a_pool_lends_its_file_but_not_its_memory() {
    let (_folder, url) = folder();
    let file = application(&format!("{url}?mode=rwc")).await;
    let store = SqliteStore::from_pool(&file, PREFIX, 2).await.expect("opens");
    store.migrate().await.expect("migrates");
    store_one(&store).await.expect("stored");
    let rows = sqlx::query("SELECT * FROM futurecall_call").fetch_all(&file).await.expect("the same file");
    assert_eq!(rows.len(), 1);
    for url in ["sqlite::memory:", "sqlite://?mode=memory&cache=private"] {
        let memory = SqlitePool::connect(url).await.expect("opens");
        let error = SqliteStore::from_pool(&memory, PREFIX, 2).await.expect_err("refused");
        assert!(error.to_string().contains("lives in memory"), "{error}");
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_opened_names_the_file() {
    let error = SqliteStore::open("sqlite:/no/such/folder/x.db", PREFIX).await.expect_err("no folder");
    assert!(!error.is_transient() && error.to_string().contains("/no/such/folder/x.db"), "{error}");
    let error = SqliteStore::open("postgres://localhost/x", PREFIX).await.expect_err("not SQLite");
    assert!(error.to_string().contains("`sqlite:`"), "{error}");
}

#[tokio::test]
async fn a_lock_held_by_the_application_is_waited_for_and_then_busy() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let hurried = impatient(&url).await;
    let pool = application(&url).await;
    let mut held = pool.begin_with("BEGIN IMMEDIATE").await.expect("the application takes the lock");
    let error = store_one(&hurried).await.expect_err("locked");
    assert!(error.is_busy() && error.is_transient() && !error.outcome_unknown(), "{error}");
    assert!(error.source().is_some_and(|source| source.to_string().contains("locked")), "{error:?}");
    // Reading goes on beside it.
    assert_eq!(scheduled(&hurried).await, 0);
    let waiting = store_one(&store);
    tokio::pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none(), "it waits");
    sqlx::query("CREATE TABLE theirs (x)").execute(&mut *held).await.expect("they write");
    held.commit().await.expect("they commit");
    assert_eq!(waiting.await.expect("stored after them"), [Inserted::Stored]);
    assert_eq!(store_one(&hurried).await.expect("free again"), [Inserted::Stored]);
}

#[tokio::test]
async fn what_is_dropped_before_its_turn_leaves_nothing() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let pool = application(&url).await;
    let held = pool.begin_with("BEGIN IMMEDIATE").await.expect("the application takes the lock");
    let first = store_one(&store);
    tokio::pin!(first);
    assert!(first.as_mut().now_or_never().is_none());
    assert!(store_one(&store).now_or_never().is_none(), "queued behind the first, and dropped");
    held.rollback().await.expect("they give up");
    first.await.expect("stored");
    store_one(&store).await.expect("stored");
    assert_eq!(scheduled(&store).await, 2);
}

#[tokio::test]
async fn handles_on_one_file_take_each_call_once() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let calls: Vec<_> = (0..300).map(|_| call("a.b")).collect();
    store.insert(Now::Database, &calls, false, Duration::ZERO).await.expect("stored");
    let pods = (0..3).map(|_| async {
        let store = SqliteStore::open(&url, PREFIX).await?;
        let (mut request, mut taken) = (request(7), Vec::new());
        loop {
            let claim = store.claim(Now::Database, &request).await?;
            if claim.calls.is_empty() {
                return Ok::<_, StoreError>(taken);
            }
            request.claim_no += 1;
            let finished: Vec<_> = claim.calls.iter().map(succeeded).collect();
            let held = store.finish(Now::Database, request.pod, &finished, &Retention::default()).await?;
            assert!(held.iter().all(|held| held.is_recorded()));
            taken.extend(claim.calls.into_iter().map(|call| call.id));
        }
    });
    let mut taken: Vec<_> = futures_util::future::try_join_all(pods)
        .await
        .expect("no pod sees a lock")
        .into_iter()
        .flatten()
        .collect();
    taken.sort_unstable();
    let mut all: Vec<_> = calls.iter().map(|call| call.id).collect();
    all.sort_unstable();
    assert_eq!(taken, all);
}

fn succeeded(call: &ClaimedCall) -> Finish {
    Finish {
        id: call.id,
        claim_no: call.claim_no,
        outcome: Outcome::Succeeded,
        started_after: Some(Duration::ZERO),
        ran_for: Duration::from_millis(1),
    }
}

#[tokio::test]
async fn others_are_heard_and_own_commits_are_not() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let other = SqliteStore::open(&url, PREFIX).await.expect("opens");
    let pool = application(&url).await;
    store_one(&store).await.expect("stored");
    let mut waiting = std::pin::pin!(store.changed());
    assert!(waiting.as_mut().now_or_never().is_none());
    store_one(&store).await.expect("stored");
    // It has looked at least once since then when the writer has answered it before this.
    store.find_claim(PodId::new(), 1).await.expect("the writer answers in order");
    assert!(waiting.as_mut().now_or_never().is_none(), "own commits are not heard");
    store_one(&other).await.expect("stored");
    tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("another handle is heard");
    let mut tx = pool.begin().await.expect("begun");
    store.insert_in(TransactionRef::Sqlite(&mut tx), &[call("a.b")], Duration::ZERO).await.expect("stored");
    tx.commit().await.expect("committed");
    tokio::time::timeout(Duration::from_secs(5), store.changed()).await.expect("the application is heard");
}

#[tokio::test]
async fn a_panic_is_one_operations_failure() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let broken: Result<(), _> = store
        .write("break", Now::Database, |_| Box::pin(async { panic!("as a time zone's arithmetic might") }))
        .await;
    assert!(broken.expect_err("it panicked").to_string().contains("panicked"));
    // The transaction is not left open: the file can be locked by others, and written to.
    let other = impatient(&url).await;
    store_one(&other).await.expect("the lock is free");
    store_one(&store).await.expect("the writer lives");
    assert_eq!(scheduled(&store).await, 2);
}

#[tokio::test]
async fn a_blocked_runtime_does_not_keep_the_lock() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let other = impatient(&url).await;
    let mut storing = std::pin::pin!(store_one(&store));
    assert!(storing.as_mut().now_or_never().is_none(), "on its way");
    // This runtime has one thread, and now it waits for another runtime's.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(store_one(&other))
    });
    thread.join().expect("the thread ends").expect("the lock is free");
    storing.await.expect("stored");
    assert_eq!(scheduled(&store).await, 2);
}

#[tokio::test]
async fn a_handle_on_another_runtime_has_its_own_connections() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    store_one(&store).await.expect("stored");
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let other = runtime.block_on(store.separate()).expect("opens");
        drop(store);
        runtime.block_on(other.claim(Now::Database, &request(1))).expect("claims").calls.len()
    });
    assert_eq!(thread.join().expect("the thread ends"), 1);
}

#[tokio::test]
async fn a_file_is_left_durable_and_in_wal_mode() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let pragma = |name: &'static str| {
        store.write("look", Now::Database, move |mut tx| {
            Box::pin(async move { super::settings::first(&tx.one(tx.composed(name)).await?) })
        })
    };
    assert_eq!(pragma("PRAGMA journal_mode").await.expect("read"), "wal");
    assert_eq!(pragma("PRAGMA synchronous").await.expect("read"), "2");
}

#[tokio::test]
async fn rows_that_nobody_could_read_cannot_be_written() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let pool = application(&url).await;
    for (id, priority, due) in
        [("x'00'", "0", "1"), ("randomblob(16)", "99999", "1"), ("randomblob(16)", "0", "-1")]
    {
        let insert = format!(
            "INSERT INTO futurecall_call (id, name, priority, due_at, args, created_at) \
             VALUES ({id}, 'a.b', {priority}, {due}, '{{}}', 0)"
        );
        let refused = sqlx::query(AssertSqlSafe(insert)).execute(&pool).await.expect_err("refused");
        assert!(refused.to_string().contains("CHECK"), "{refused}");
    }
    // A rule that slips through all the same is passed over; what else does is an error.
    sqlx::query("INSERT INTO futurecall_schedule VALUES (randomblob(16), 'k', 'a.b', NULL, '{}', 1, 0, 'x', 'x', 0, 0, 0, NULL, 0, NULL, 0, 0)")
        .execute(&pool)
        .await
        .expect("written");
    sqlx::query(
        "INSERT INTO futurecall_call (id, name, due_at, args, created_at, schedule_id) \
         SELECT randomblob(16), 'a.b', 1, '{}', -5, id FROM futurecall_schedule",
    )
    .execute(&pool)
    .await
    .expect("written");
    assert_eq!(store.schedules().await.expect("read"), []);
    let claimed = store.claim(Now::Database, &request(5)).await.expect("claimed");
    assert_eq!(
        (claimed.calls.len(), claimed.next),
        (0, None),
        "a run whose rule cannot be read is left alone"
    );
    let error = store.calls(Now::Database, &CallFilter::new()).await.expect_err("a moment before 1970");
    assert!(error.to_string().contains("`futurecall_call.created_at`"), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_transient_and_leaves_nothing_half_done() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let pages = |text: &'static str| {
        store.write("bound the file", Now::Database, move |mut tx| {
            Box::pin(async move { tx.rows(tx.composed(text)).await.map(drop) })
        })
    };
    pages("PRAGMA max_page_count = 40").await.expect("bounded");
    let large = |_| NewCall { args: format!("\"{}\"", "x".repeat(100_000)), ..call("a.b") };
    let calls: Vec<_> = (0..10).map(large).collect();
    let error = store.insert(Now::Database, &calls, false, Duration::ZERO).await.expect_err("no room");
    assert!(error.is_transient() && !error.outcome_unknown() && !error.is_busy(), "{error:?}");
    assert_eq!(scheduled(&store).await, 0);
    pages("PRAGMA max_page_count = 4000").await.expect("room again");
    store.insert(Now::Database, &calls, false, Duration::ZERO).await.expect("stored");
    assert_eq!(scheduled(&store).await, 10);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_a_permanent_error() {
    let (folder, url) = folder();
    std::fs::write(
        folder.path().join("calls.db"),
        "not a database, and long enough to be sure of it".repeat(20),
    )
    .expect("written");
    let error = SqliteStore::open(&url, PREFIX).await.expect_err("not a database");
    assert!(!error.is_transient() && error.to_string().contains("calls.db"), "{error}");
}

#[tokio::test]
async fn a_migrated_database_is_not_locked_to_see_that_it_is() {
    let (_folder, url) = folder();
    let _store = migrated(&url).await;
    let pool = application(&url).await;
    let _held = pool.begin_with("BEGIN IMMEDIATE").await.expect("the application takes the lock");
    impatient(&url).await.migrate().await.expect("nothing to do");
}
