//! Scheduling and cancelling together with the application's own writes.

use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::schedule::Cancelled;
use futurecall_runtime::store::{Due, Inserted, NewCall, Now};
use futurecall_runtime::{CallId, CallState, InTransaction, Retention, Role, ScheduleError};
use futurecall_tests::backend::Backend;
use futurecall_tests::database;
use futurecall_tests::journal::{Journal, eventually};

use super::support::Note;

const HOUR: Duration = Duration::from_hours(1);

async fn pod(backend: &Backend, journal: &Journal) -> Pod {
    backend.builder().register_future_call("note", Note(journal.clone())).start().await.unwrap()
}

/// Schedules one call that is due at once, two for later, and cancels one of an earlier identifier; nothing is visible
/// before the commit. Gives the ids of the three.
async fn write(pod: &Pod, tx: &mut impl InTransaction) -> Vec<CallId> {
    let now = pod.future_call_with_delay("note", Some("in transaction"), Duration::ZERO);
    let mut ids = vec![now.in_transaction(tx).await.unwrap()];
    let later =
        (0..2).map(|n| pod.future_call_with_delay("note", Some(&n.to_string()), HOUR).identifier("later"));
    ids.extend(pod.future_calls().schedule_all(later).in_transaction(tx).await.unwrap());
    assert_eq!(
        pod.future_calls().cancel("earlier").in_transaction(tx).await.unwrap(),
        Cancelled::new(1, 0, 0)
    );
    let short_lived = pod.future_call_with_delay("note", Some("x"), HOUR).in_transaction(tx).await.unwrap();
    assert_eq!(
        pod.future_calls().cancel(short_lived).in_transaction(tx).await.unwrap(),
        Cancelled::new(1, 0, 0)
    );
    ids
}

async fn states(pod: &Pod, ids: &[CallId]) -> Vec<Option<CallState>> {
    let mut states = Vec::new();
    for id in ids {
        states.push(pod.future_calls().status(*id).await.unwrap());
    }
    states
}

macro_rules! on_database {
    ($name:ident, $backend:expr, $pool:expr, $begin:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let backend = $backend;
            let journal = Journal::new();
            let pod = pod(&backend, &journal).await;
            let pool = $pool(&backend).await;
            sqlx::query("CREATE TABLE account (id bigint)").execute(&pool).await.unwrap();
            let earlier =
                pod.future_call_with_delay("note", Some("x"), HOUR).identifier("earlier").await.unwrap();

            // Rolled back: as if nothing had been said.
            let mut tx = $begin(&pool).await;
            sqlx::query("INSERT INTO account VALUES (1)").execute(&mut *tx).await.unwrap();
            let ids = write(&pod, &mut tx).await;
            tx.rollback().await.unwrap();
            assert_eq!(states(&pod, &ids).await, [None, None, None]);
            assert_eq!(states(&pod, &[earlier]).await, [Some(CallState::Scheduled)]);

            // A refusal does not poison the transaction.
            let mut tx = $begin(&pool).await;
            let bad = pod.future_call_with_delay("note", Some("x"), HOUR).identifier("a\0b");
            assert!(matches!(
                bad.in_transaction(&mut tx).await,
                Err(ScheduleError::InvalidIdentifier { .. })
            ));
            sqlx::query("INSERT INTO account VALUES (2)").execute(&mut *tx).await.unwrap();

            // Committed: the call that is due runs at once, woken by the commit and not by the poll.
            let ids = write(&pod, &mut tx).await;
            assert!(journal.lines().is_empty());
            tx.commit().await.unwrap();
            assert_eq!(journal.wait_for(1).await, ["in transaction"]);
            let later = Some(CallState::Scheduled);
            assert_eq!(states(&pod, &ids[1..]).await, [later, later]);
            assert_eq!(states(&pod, &[earlier]).await, [Some(CallState::Cancelled)]);
            let accounts: i64 =
                sqlx::query_scalar("SELECT count(*) FROM account").fetch_one(&pool).await.unwrap();
            assert_eq!(accounts, 1);
            pod.shutdown().await;
            pool.close().await;
            backend.drop().await;
        }
    };
}

async fn sqlite_pool(backend: &Backend) -> sqlx::SqlitePool {
    let Backend::Sqlite(file) = backend else { unreachable!("called for SQLite alone") };
    file.pool().await
}

async fn sqlite_begin(pool: &sqlx::SqlitePool) -> sqlx::Transaction<'static, sqlx::Sqlite> {
    pool.begin_with("BEGIN IMMEDIATE").await.unwrap()
}

#[expect(clippy::unused_async, reason = "as that of SQLite")]
async fn postgres_pool(backend: &Backend) -> sqlx::PgPool {
    let Backend::Postgres(database) = backend else { unreachable!("called for PostgreSQL alone") };
    database.pool.clone()
}

async fn postgres_begin(pool: &sqlx::PgPool) -> sqlx::Transaction<'static, sqlx::Postgres> {
    pool.begin().await.unwrap()
}

/// What a transaction has stored goes before what its caller stores after it, on a pod with one slot that has nothing else to
/// do: in the order in which it is due.
macro_rules! keeps_its_turn {
    ($name:ident, $backend:expr, $pool:expr, $begin:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let backend = $backend;
            backend.store().await;
            let pool = $pool(&backend).await;
            for _ in 0..10 {
                let journal = Journal::new();
                let builder = backend.builder().config(Backend::config().concurrency_limit(1));
                // New each time: it has heard of nothing yet.
                let pod = builder.register_future_call("note", Note(journal.clone())).start().await.unwrap();
                let note = |line: &str| pod.future_call_with_delay("note", Some(line), Duration::ZERO);
                // Once these have run, it has looked, and its slot is free.
                for line in ["one", "two"] {
                    let id = note(line).await.unwrap();
                    eventually("it is over", || async {
                        (states(&pod, &[id]).await == [Some(CallState::Succeeded)]).then_some(())
                    })
                    .await;
                }
                let mut tx = $begin(&pool).await;
                note("in it").in_transaction(&mut tx).await.unwrap();
                tx.commit().await.unwrap();
                note("after").await.unwrap();
                assert_eq!(journal.wait_for(4).await[2..], ["in it", "after"]);
                pod.shutdown().await;
            }
            pool.close().await;
            backend.drop().await;
        }
    };
}

on_database!(on_sqlite, Backend::sqlite(), sqlite_pool, sqlite_begin);
on_database!(on_postgres, Backend::postgres().await, postgres_pool, postgres_begin);
keeps_its_turn!(keeps_its_turn_on_sqlite, Backend::sqlite(), sqlite_pool, sqlite_begin);
keeps_its_turn!(keeps_its_turn_on_postgres, Backend::postgres().await, postgres_pool, postgres_begin);

#[tokio::test]
async fn the_other_database_is_refused() {
    let sqlite = Backend::sqlite();
    let postgres = Backend::postgres().await;
    let on_sqlite = pod(&sqlite, &Journal::new()).await;
    let on_postgres = pod(&postgres, &Journal::new()).await;
    let call = |pod: &Pod| pod.future_call_with_delay("note", Some("x"), HOUR);

    let mut tx = postgres_pool(&postgres).await.begin().await.unwrap();
    let refused = call(&on_sqlite).in_transaction(&mut tx).await.unwrap_err();
    assert!(matches!(refused, ScheduleError::WrongDatabase), "{refused}");
    call(&on_postgres).in_transaction(&mut tx).await.unwrap();
    tx.rollback().await.unwrap();

    let mut tx = sqlite_begin(&sqlite_pool(&sqlite).await).await;
    let refused = on_postgres.future_calls().cancel("x").in_transaction(&mut tx).await.unwrap_err();
    assert!(matches!(refused, ScheduleError::WrongDatabase), "{refused}");
    call(&on_sqlite).in_transaction(&mut tx).await.unwrap();
    tx.rollback().await.unwrap();
    on_sqlite.shutdown().await;
    on_postgres.shutdown().await;
    postgres.drop().await;
}

#[tokio::test]
async fn an_open_write_transaction_of_ones_own_is_said_to_be_in_the_way() {
    let backend = Backend::sqlite();
    let pod = pod(&backend, &Journal::new()).await;
    let pool = sqlite_pool(&backend).await;
    let mut tx = sqlite_begin(&pool).await;
    sqlx::query("CREATE TABLE account (id bigint)").execute(&mut *tx).await.unwrap();
    let refused = pod.future_call_with_delay("note", Some("x"), HOUR).await.unwrap_err();
    assert!(matches!(refused, ScheduleError::Busy(_)), "{refused}");
    assert!(refused.to_string().contains(".in_transaction(&mut tx)"), "{refused}");
    tx.rollback().await.unwrap();
    assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 0);
    pod.future_call_with_delay("note", Some("x"), HOUR).await.unwrap();
    pod.shutdown().await;
}

#[tokio::test]
async fn a_read_transaction_that_cannot_write_says_how_to_begin() {
    let backend = Backend::sqlite();
    let pod = pod(&backend, &Journal::new()).await;
    let pool = sqlite_pool(&backend).await;
    let mut tx = pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM futurecall_call").fetch_one(&mut *tx).await.unwrap();
    pod.future_call_with_delay("note", Some("in between"), HOUR).await.unwrap();
    let refused =
        pod.future_call_with_delay("note", Some("x"), HOUR).in_transaction(&mut tx).await.unwrap_err();
    assert!(matches!(refused, ScheduleError::TransactionConflict(_)), "{refused}");
    assert!(refused.to_string().contains("BEGIN IMMEDIATE"), "{refused}");
    tx.rollback().await.unwrap();
    pod.shutdown().await;
}

#[tokio::test]
async fn the_applications_own_pool_gives_the_database_and_no_connection() {
    let file = database::sqlite();
    let pool = sqlx::sqlite::SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&file.path).create_if_missing(true))
        .await
        .unwrap();
    let held = pool.acquire().await.unwrap();
    let pod = Pod::builder().pool(&pool).table_prefix("own_").without_discovery().start().await.unwrap();
    pod.future_call_with_delay("note", Some("x"), HOUR).await.unwrap();
    drop(held);
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM own_call").fetch_one(&pool).await.unwrap();
    assert_eq!(stored, 1);
    pod.shutdown().await;

    let postgres = database::postgres().await;
    let held = postgres.pool.acquire().await.unwrap();
    let pod = Pod::builder().pool(&postgres.pool).schema("own").connections(1).without_discovery();
    let pod = pod.start().await.unwrap();
    pod.future_call_with_delay("note", Some("x"), HOUR).await.unwrap();
    drop(held);
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM own.call").fetch_one(&postgres.pool).await.unwrap();
    assert_eq!(stored, 1);
    pod.shutdown().await;
    postgres.drop().await;
}

#[tokio::test]
async fn a_memory_pool_of_the_application_cannot_be_shared() {
    // The second names it as SQLite does, each of whose connections has one of its own then.
    let named = sqlx::sqlite::SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(":memory:"))
        .await
        .unwrap();
    for pool in [sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap(), named] {
        let refused = Pod::builder().pool(&pool).without_discovery().start().await.unwrap_err();
        assert!(refused.to_string().contains("memory"), "{refused}");
    }
    assert!(!std::path::Path::new(":memory:").exists(), "no file was made of the name");
    let pod = Pod::builder().database_url("sqlite::memory:").without_discovery().start().await.unwrap();
    pod.future_call_with_delay("note", Some("x"), HOUR).await.unwrap();
    assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 1);
    pod.shutdown().await;
}

macro_rules! forgets_what_it_cancels {
    ($name:ident, $backend:expr, $pool:expr, $begin:expr) => {
        /// Such a pod says that the history has a gap, which on SQLite nobody can beside the application's transaction.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let backend = $backend;
            let retention = Retention { cancelled: Duration::ZERO, ..Retention::default() };
            let config = Backend::config().retention(retention);
            let pod = backend.builder().role(Role::Serverless).config(config).start().await.unwrap();
            let store = backend.store().await;
            let repeat = async || {
                let call = NewCall {
                    id: CallId::new(),
                    name: "elsewhere.run".to_owned(),
                    identifier: None,
                    args: "{}".to_owned(),
                    format: 2,
                    priority: 0,
                    due: Due::After(HOUR),
                    expires_after: None,
                    traceparent: None,
                };
                store.insert(Now::Database, &[call], true, Duration::ZERO).await.unwrap()
            };
            assert_eq!(repeat().await, [Inserted::Stored]);
            let call = pod.future_call_with_delay("elsewhere.run", Some("x"), HOUR).identifier("x");
            let id = call.await.unwrap();
            let pool = $pool(&backend).await;
            let mut tx = $begin(&pool).await;
            let cancelled = pod.future_calls().cancel("x").in_transaction(&mut tx).await.unwrap();
            assert_eq!(cancelled, Cancelled::new(1, 0, 0));
            tx.commit().await.unwrap();
            assert_eq!(pod.future_calls().status(id).await.unwrap(), None);
            assert_eq!(repeat().await, [Inserted::Unknown]);
            pod.shutdown().await;
            pool.close().await;
            backend.drop().await;
        }
    };
}

forgets_what_it_cancels!(
    a_pod_that_keeps_no_cancelled_call_cancels_in_a_transaction_of_sqlite,
    Backend::sqlite(),
    sqlite_pool,
    sqlite_begin
);
forgets_what_it_cancels!(
    a_pod_that_keeps_no_cancelled_call_cancels_in_a_transaction_of_postgres,
    Backend::postgres().await,
    postgres_pool,
    postgres_begin
);
