//! Bulk operations leave the file's lock to others between their chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::tx::run;
use super::{PREFIX, SqliteStore, call, folder, migrated, request};
use crate::error::StoreError;
use crate::id::CallId;
use crate::store::columns::Columns as _;
use crate::store::prelude::*;
use crate::store::{
    CancelTarget, Cancelled, ClaimRequest, Due, Held, Lease, NewCall, Now, Rescheduled, Retention,
};
use std::time::Duration;

const MANY: u64 = 20_000;
const DAY: Duration = Duration::from_hours(24);

/// Stores many calls of one identifier that are due tomorrow.
async fn fill(store: &SqliteStore) {
    let rows = "INSERT INTO futurecall_call (id, name, due_at, identifier, args, created_at) \
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
                SELECT randomblob(16), 'a.b', ?1, 'label', '{}', ?2 FROM n";
    let fill = store.write("fill", Now::Database, move |mut tx| {
        Box::pin(async move {
            let (now, due) = (tx.now, tx.now.checked_add(DAY).expect("within the range"));
            tx.run(tx.composed(rows).bind(due.as_micros()).bind(now.as_micros())).await
        })
    });
    assert_eq!(fill.await.expect("filled"), MANY);
}

async fn ids(store: &SqliteStore) -> Vec<CallId> {
    let read = run!(store.read, "look", Now::Database, |tx| {
        let rows = tx.rows(tx.composed("SELECT id FROM futurecall_call")).await?;
        rows.iter().map(|row| row.get("id")).collect()
    });
    read.await.expect("read")
}

/// What others saw and did while the operation was under way.
struct Meanwhile<T> {
    result: Result<T, StoreError>,
    /// In how many looks the operation was done to some of the calls and not to all.
    halfway: usize,
    /// Calls of the same identifier that were stored when it was halfway.
    late: Vec<CallId>,
}

/// Runs the operation and, until it ends, renews a lease through a handle of its own, looks, and stores calls of the
/// same identifier.
async fn with_others<T, F>(url: &str, work: F, left: &'static str) -> Meanwhile<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let others = SqliteStore::open(url, PREFIX).await.expect("opens");
    let running = NewCall { identifier: None, name: "other".to_owned(), ..call("other") };
    others.insert(Now::Database, &[running], false, Duration::ZERO).await.expect("stored");
    let names = vec![("other".to_owned(), crate::store::OnVanish::Keep)];
    let request = ClaimRequest { names, ..request(1) };
    let claimed = others.claim(Now::Database, &request).await.expect("claimed").calls;
    let held = [Held { id: claimed[0].id, claim_no: 1, started: true }];

    let (mut halfway, mut late) = (0, Vec::new());
    let operation = tokio::spawn(work);
    while !operation.is_finished() {
        let renewed = others.renew(Now::Database, request.pod, &held, request.lease).await.expect("renewed");
        assert_eq!(renewed[0].lease, Lease::Held);
        let before = count(&others, left).await;
        if before == 0 || before >= MANY {
            continue;
        }
        halfway += 1;
        let new = NewCall { due: Due::After(DAY), ..call("a.b") };
        late.push(new.id);
        others.insert(Now::Database, &[new], false, Duration::ZERO).await.expect("stored");
    }
    Meanwhile { result: operation.await.expect("a task"), halfway, late }
}

async fn count(store: &SqliteStore, sql: &'static str) -> u64 {
    let read = run!(store.read, "count", Now::Database, |tx| tx.one(tx.composed(sql)).await?.get("left"));
    read.await.expect("read")
}

/// Calls that were there before, by when they were created.
const LEFT: &str = "SELECT count(*) AS left FROM futurecall_call WHERE identifier = 'label'";
const UNMOVED: &str = "SELECT count(*) AS left FROM futurecall_call WHERE identifier = 'label' AND due_at < created_at + 90000000000";

fn by_identifier() -> CancelTarget {
    CancelTarget::Identifier("label".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_write_while_many_calls_are_cancelled() {
    for by_id in [false, true] {
        let (_folder, url) = folder();
        let store = Arc::new(migrated(&url).await);
        fill(&store).await;
        let target = if by_id { CancelTarget::Calls(ids(&store).await) } else { by_identifier() };
        let cancelling = {
            let store = Arc::clone(&store);
            async move { store.cancel(Now::Database, &target, &Retention::default()).await }
        };
        let meanwhile = with_others(&url, cancelling, LEFT).await;
        assert_eq!(meanwhile.result.expect("cancelled"), Cancelled::new(MANY, 0, 0), "by id: {by_id}");
        assert!(meanwhile.halfway >= 3, "by id: {by_id}: others wrote {} times meanwhile", meanwhile.halfway);
        let mut left = ids(&store).await;
        left.retain(|id| meanwhile.late.contains(id));
        assert_eq!(left.len(), meanwhile.late.len(), "by id: {by_id}: what came later is left alone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_write_while_many_calls_are_moved() {
    for by_id in [false, true] {
        let (_folder, url) = folder();
        let store = Arc::new(migrated(&url).await);
        fill(&store).await;
        let target = if by_id { CancelTarget::Calls(ids(&store).await) } else { by_identifier() };
        let moving = {
            let store = Arc::clone(&store);
            async move { store.reschedule(Now::Database, &target, Due::After(DAY * 2), Duration::ZERO).await }
        };
        let meanwhile = with_others(&url, moving, UNMOVED).await;
        assert_eq!(meanwhile.result.expect("moved"), Rescheduled::new(MANY, 0), "by id: {by_id}");
        assert!(meanwhile.halfway >= 3, "by id: {by_id}: others wrote {} times meanwhile", meanwhile.halfway);
        let unmoved = count(&store, UNMOVED).await;
        assert_eq!(unmoved, meanwhile.late.len() as u64, "by id: {by_id}: what came later is left alone");
    }
}

#[tokio::test]
async fn a_cancellation_that_fails_midway_says_how_far_it_came() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    fill(&store).await;
    let script = |text: &'static str| {
        store.write("change the tables", Now::Database, move |mut tx| {
            Box::pin(async move { tx.script(text).await })
        })
    };
    let full = "CREATE TRIGGER full BEFORE INSERT ON futurecall_finished \
                WHEN (SELECT count(*) FROM futurecall_finished) >= 6500 BEGIN SELECT RAISE(ABORT, 'no room'); END";
    script(full).await.expect("made");
    let retention = Retention::default();
    let error = store.cancel(Now::Database, &by_identifier(), &retention).await.expect_err("no room");
    let text = error.to_string();
    assert!(error.outcome_unknown() && text.contains("6000 calls were done"), "{text}");
    assert!(text.contains("repeating it does the rest") && text.contains("no room"), "{text}");
    assert_eq!(count(&store, LEFT).await, MANY - 6_000, "the chunk that failed was undone whole");
    script("DROP TRIGGER full").await.expect("dropped");
    let cancelled = store.cancel(Now::Database, &by_identifier(), &retention).await.expect("cancelled");
    assert_eq!(cancelled, Cancelled::new(MANY - 6_000, 0, 0));
}

/// Another process hears of no turn: it tries for the file's lock again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_gets_the_lock_between_long_transactions() {
    use sqlx::{Connection, SqliteConnection};

    let (_folder, url) = folder();
    let store = Arc::new(migrated(&url).await);
    let slow = || {
        store.write("take long", Now::Database, |_| {
            Box::pin(async {
                std::thread::sleep(Duration::from_millis(120));
                Ok(())
            })
        })
    };
    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().expect("a sound URL");
    let mut stranger =
        SqliteConnection::connect_with(&options.busy_timeout(Duration::ZERO)).await.expect("opens");
    let done = AtomicUsize::new(0);
    let mut operations = Box::pin(async {
        while done.fetch_add(1, Ordering::Relaxed) < 50 {
            slow().await.expect("done");
        }
    });
    let stranger = async {
        loop {
            if sqlx::query("BEGIN IMMEDIATE").execute(&mut stranger).await.is_ok() {
                return;
            }
            tokio::time::sleep(super::super::writer_thread::PAUSE).await;
        }
    };
    // Each gap is longer than the time between two tries.
    tokio::select! {
        biased;
        () = stranger => {}
        () = &mut operations => panic!("it never got the lock"),
    }
    let done = done.load(Ordering::Relaxed);
    assert!(done <= 5, "it got the lock after {done} operations");
}
