//! An application's transaction that cancels a running call, and stays open for longer than a lease.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futurecall_runtime::prelude::*;
use futurecall_runtime::schedule::Cancelled;
use futurecall_runtime::{CallState, OnInterrupt};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};

/// It is given up a tenth of it before its end.
const LEASE: Duration = Duration::from_secs(3);

/// When the first attempt was stopped.
type At = Arc<Mutex<Option<SystemTime>>>;

/// Its first attempt never ends, and writes when it is stopped; the second ends at once.
struct Stuck(Journal, At);

struct Stopped(Journal, At);

impl Drop for Stopped {
    fn drop(&mut self) {
        *self.1.lock().unwrap() = Some(SystemTime::now());
        self.0.write("stopped");
    }
}

impl InvokableFutureCall for Stuck {
    type Data = String;

    async fn invoke(&self, session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        let stopped = Stopped(self.0.clone(), Arc::clone(&self.1));
        self.0.write(format!("attempt {}", session.call().attempt));
        if session.call().attempt == 1 {
            std::future::pending::<()>().await;
        }
        drop(stopped);
        Ok(())
    }
}

macro_rules! on_database {
    ($name:ident, $backend:expr, $database:ident, $pool:expr, $begin:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for rerun in [false, true] {
                let backend = $backend;
                let (journal, stopped) = (Journal::new(), At::default());
                let policy = if rerun { OnInterrupt::Rerun } else { OnInterrupt::Keep };
                let start = || {
                    let config = Backend::config().lease(LEASE).on_interrupt(policy);
                    let stuck = Stuck(journal.clone(), Arc::clone(&stopped));
                    backend.builder().config(config).register_future_call("stuck", stuck).start()
                };
                let (pod, other) = (start().await.unwrap(), start().await.unwrap());
                let call = pod.future_call_with_delay("stuck", Some("x"), Duration::ZERO).identifier("x");
                let id = call.await.unwrap();
                assert_eq!(journal.wait_for(1).await, ["attempt 1"]);

                let Backend::$database(database) = &backend else { unreachable!("it was made above") };
                let pool = $pool(database).await;
                let mut tx = $begin(&pool).await;
                let cancelled = pod.future_calls().cancel("x").in_transaction(&mut tx).await.unwrap();
                assert_eq!(cancelled, Cancelled::new(0, 0, 1));
                // The lease cannot be renewed while the transaction is open, and ends.
                assert_eq!(journal.wait_for(2).await, ["attempt 1", "stopped"]);
                let ends = pod.inspect().call(id).await.unwrap().unwrap().lease_until.unwrap();
                let stopped = stopped.lock().unwrap().take().unwrap().duration_since(UNIX_EPOCH).unwrap();
                let left = i128::from(ends.as_micros()) - i128::try_from(stopped.as_micros()).unwrap();
                assert!(left > 0, "the handler was stopped {left} µs before the end of its lease");
                tx.rollback().await.unwrap();

                let end = if rerun { CallState::Succeeded } else { CallState::Interrupted };
                eventually("the call has ended", || async {
                    (pod.future_calls().status(id).await.unwrap() == Some(end)).then_some(())
                })
                .await;
                pool.close().await;
                pod.shutdown().await;
                other.shutdown().await;
                // One handler at a time, and none but by the policy.
                let again = if rerun { &["attempt 2", "stopped"][..] } else { &[] };
                assert_eq!(journal.lines(), [&["attempt 1", "stopped"], again].concat());
                backend.drop().await;
            }
        }
    };
}

on_database!(
    a_cancellation_held_open_for_a_lease_stops_the_handler_on_sqlite,
    Backend::sqlite(),
    Sqlite,
    futurecall_tests::database::TestFile::pool,
    begin_sqlite
);

on_database!(
    a_cancellation_held_open_for_a_lease_stops_the_handler_on_postgres,
    Backend::postgres().await,
    Postgres,
    postgres_pool,
    begin_postgres
);

async fn begin_sqlite(pool: &sqlx::SqlitePool) -> sqlx::Transaction<'static, sqlx::Sqlite> {
    pool.begin_with("BEGIN IMMEDIATE").await.unwrap()
}

#[expect(clippy::unused_async, reason = "as that of SQLite")]
async fn postgres_pool(database: &futurecall_tests::database::TestDatabase) -> sqlx::PgPool {
    database.pool.clone()
}

async fn begin_postgres(pool: &sqlx::PgPool) -> sqlx::Transaction<'static, sqlx::Postgres> {
    pool.begin().await.unwrap()
}
