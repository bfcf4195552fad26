//! Bulk operations do not block other work.

use std::collections::BTreeSet;
use std::time::Duration;

use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::operate::{ActionFilter, Selection};
use futurecall_runtime::schedule::Cancelled;
use futurecall_runtime::{CallState, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};

use super::support::UntilCancelled;

const CALLS: u64 = 100_000;

/// Calls of one identifier that are due in an hour.
const FILL: &str = "INSERT INTO futurecall_call (id, name, due_at, identifier, args, created_at) \
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000), \
    clock(now) AS (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)) \
    SELECT randomblob(16), 'note', now + 3600000000, 'many', '{}', now FROM n, clock";

/// Whether some of them are cancelled and others not yet, and when the lease of the running call ends.
const LOOK: &str = "SELECT EXISTS (SELECT 1 FROM futurecall_finished WHERE identifier = 'many') \
        AND EXISTS (SELECT 1 FROM futurecall_call WHERE identifier = 'many'), \
    (SELECT max(lease_until) FROM futurecall_call WHERE claimed_by IS NOT NULL)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_renewed_while_very_many_calls_are_cancelled_on_sqlite() {
    let backend = Backend::sqlite();
    let Backend::Sqlite(file) = &backend else { unreachable!("it was made above") };
    let journal = Journal::new();
    let config = Backend::config().lease(Duration::from_secs(3));
    let runs = UntilCancelled(journal.clone());
    let pod = backend.builder().config(config).register_future_call("runs", runs).start().await.unwrap();
    let other = backend.builder().role(Role::Serverless).start().await.unwrap();
    let pool = file.pool().await;
    sqlx::query(FILL).execute(&pool).await.unwrap();
    let running = pod.future_call_with_delay("runs", Some("x"), Duration::ZERO).await.unwrap();
    assert_eq!(journal.wait_for(1).await, ["started"]);

    let cancelling = tokio::spawn(other.future_calls().cancel("many").into_future());
    // Ends of the lease, as they stood when some of the calls were cancelled and others not yet.
    let mut leases = BTreeSet::new();
    while !cancelling.is_finished() {
        let (halfway, lease): (bool, Option<i64>) = sqlx::query_as(LOOK).fetch_one(&pool).await.unwrap();
        if halfway {
            leases.insert(lease);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(cancelling.await.unwrap().unwrap(), Cancelled::new(CALLS, 0, 0));
    assert!(leases.len() > 1, "the lease was renewed meanwhile: {leases:?}");
    assert_eq!(journal.lines(), ["started"], "the handler goes on");
    assert_eq!(pod.future_calls().status(running).await.unwrap(), Some(CallState::Running));
    pool.close().await;
    assert_eq!(other.future_calls().cancel_call(running).await.unwrap(), Cancelled::new(0, 0, 1));
    assert_eq!(journal.wait_for(2).await, ["started", "stopped"]);
    other.shutdown().await;
    pod.shutdown().await;
    backend.drop().await;
}

/// Thirty thousand calls that are due one after the other, of an identifier and without.
const FILL_IN_A_ROW: &str = "INSERT INTO futurecall_call (id, name, due_at, identifier, args, created_at) \
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000), \
    clock(now) AS (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)) \
    SELECT randomblob(16), 'note', now + 3600000000 + i * 1000000, 'many', '{}', now FROM n, clock";

/// An action goes through all calls that match, a page after the other, and the call at the end of a page may be moved
/// before the next one is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_meets_all_calls_although_one_is_moved_meanwhile() {
    const DAY: Duration = Duration::from_hours(24);
    let backend = Backend::sqlite();
    let Backend::Sqlite(file) = &backend else { unreachable!("it was made above") };
    let pod = backend.builder().role(Role::Serverless).start().await.unwrap();
    let other = backend.builder().role(Role::Serverless).start().await.unwrap();
    let pool = file.pool().await;
    sqlx::query(FILL_IN_A_ROW).execute(&pool).await.unwrap();
    let scheduled = CallFilter::new().state(CallState::Scheduled).limit(10_000);
    let last = pod.inspect().calls(scheduled.clone()).await.unwrap().next.unwrap();
    let ada = pod.operate("ada");
    let acting = tokio::spawn(async move { ada.cancel(Selection::Matching(scheduled)).await });
    eventually("the action is on record, and the first page being read", || async {
        let actions = other.inspect().actions(&ActionFilter::new()).await.unwrap();
        (!actions.is_empty()).then_some(())
    })
    .await;
    other.future_calls().reschedule(last, DAY).await.unwrap();
    let acted = acting.await.unwrap().unwrap();
    assert_eq!((acted.done, acted.passed_over), (30_000, 0));
    assert_eq!(other.inspect().counts().await.unwrap().scheduled, 0);
    pool.close().await;
    other.shutdown().await;
    pod.shutdown().await;
}

/// Somebody locks the file for longer than is waited for, as soon as some of the calls are cancelled, and once more when
/// it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_that_fails_says_how_many_all_its_tries_have_cancelled() {
    let backend = Backend::sqlite();
    let Backend::Sqlite(file) = &backend else { unreachable!("it was made above") };
    let pod = backend.builder().role(Role::Serverless).start().await.unwrap();
    let pool = file.pool().await;
    sqlx::query(FILL_IN_A_ROW).execute(&pool).await.unwrap();
    let left = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM futurecall_call").fetch_one(&pool).await.unwrap()
    };
    let cancelling = tokio::spawn(pod.future_calls().cancel("many").into_future());
    for _ in 0..2 {
        let before = left().await;
        eventually("some are cancelled", || async { (left().await < before).then_some(()) }).await;
        // SQLite would look for the lock ever less often, and miss the moments between two chunks.
        let mut locker = pool.acquire().await.unwrap();
        sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *locker).await.unwrap();
        while sqlx::query("BEGIN IMMEDIATE").execute(&mut *locker).await.is_err() {}
        tokio::time::sleep(Duration::from_millis(5_400)).await;
        sqlx::query("ROLLBACK").execute(&mut *locker).await.unwrap();
    }
    let error = cancelling.await.unwrap().expect_err("it has lost patience");
    let done = 30_000 - left().await;
    assert!(
        error.outcome_unknown() && error.to_string().contains(&format!(": {done} calls were done")),
        "{error}"
    );
    pool.close().await;
    pod.shutdown().await;
}
