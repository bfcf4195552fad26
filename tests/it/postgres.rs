//! The conformance suite on the PostgreSQL store.

use std::sync::Arc;

use async_trait::async_trait;
use futurecall_runtime::store::PostgresStore;
use futurecall_runtime::store::prelude::*;
use futurecall_runtime::{CallId, PodId};
use futurecall_tests::database::{TestDatabase, postgres_in};
use futurecall_tests::{Database, Fixture, Harness, Transaction};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::task::JoinHandle;

use crate::transactions;

pub(crate) struct Postgres;

#[async_trait]
impl Harness for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    /// A schema of its own; the two handles have nothing in common but the schema, as two processes.
    async fn fresh(&self) -> Fixture {
        let url = std::env::var("DATABASE_URL").expect("run scripts/test, or set DATABASE_URL");
        let schema = format!("suite_{}", uuid::Uuid::new_v4().simple());
        let store = PostgresStore::open(&url, &schema).await.expect("a store");
        let other = PostgresStore::open(&url, &schema).await.expect("a second store");
        Fixture { store: Arc::new(store), other: Arc::new(other), database: Box::new(Schema { url, schema }) }
    }
}

struct Schema {
    url: String,
    schema: String,
}

#[async_trait]
impl Database for Schema {
    async fn begin(&self) -> Option<Box<dyn Transaction>> {
        transactions::postgres().await
    }

    async fn begin_foreign(&self) -> Option<Box<dyn Transaction>> {
        Some(transactions::sqlite_in_memory().await)
    }

    async fn write(&self, sql: &str) -> bool {
        let mut connection = PgConnection::connect(&self.url).await.expect("a connection");
        let sql = sql.replace("{}", &format!("{}.", self.schema));
        connection.execute(AssertSqlSafe(sql)).await.expect("it is written");
        connection.close().await.expect("the connection closes");
        true
    }

    async fn remove(&self) {
        let mut connection = PgConnection::connect(&self.url).await.expect("a connection");
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        connection.execute(AssertSqlSafe(drop)).await.expect("the schema goes");
        connection.close().await.expect("the connection closes");
    }
}

futurecall_tests::conformance!(Postgres);

/// In a database whose encoding cannot hold every text.
mod latin1 {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use futurecall_runtime::store::PostgresStore;
    use futurecall_tests::database::{self, TestDatabase};
    use futurecall_tests::{Database, Fixture, Harness, Transaction};

    use super::{Postgres, transactions};

    struct Latin1;

    #[async_trait]
    impl Harness for Latin1 {
        fn name(&self) -> &'static str {
            "postgres in LATIN1"
        }

        async fn fresh(&self) -> Fixture {
            let Some(database) = database::postgres_in("LATIN1").await else { return Postgres.fresh().await };
            let store = PostgresStore::open(&database.url, "suite").await.expect("a store");
            let other = PostgresStore::open(&database.url, "suite").await.expect("a second store");
            let database = Box::new(Own(database.url.clone(), Mutex::new(Some(database))));
            Fixture { store: Arc::new(store), other: Arc::new(other), database }
        }
    }

    struct Own(String, Mutex<Option<TestDatabase>>);

    #[async_trait]
    impl Database for Own {
        async fn begin(&self) -> Option<Box<dyn Transaction>> {
            Some(transactions::postgres_at(&self.0).await)
        }

        async fn begin_foreign(&self) -> Option<Box<dyn Transaction>> {
            Some(transactions::sqlite_in_memory().await)
        }

        async fn write(&self, _sql: &str) -> bool {
            false
        }

        async fn remove(&self) {
            let database = self.1.lock().expect("nobody panicked").take();
            if let Some(database) = database {
                database.drop().await;
            }
        }
    }

    futurecall_tests::conformance!(
        Latin1; completion: Completion, retry: Retry, history: History, operate: Operate, signals: Signals,
        undeclared: Undeclared,
    );
}

/// Set on the role or the database that the pods use, and not in the server's own file.
#[tokio::test]
async fn a_pod_warns_of_commits_that_are_confirmed_too_early() {
    use futurecall_runtime::{Pod, Role};
    use futurecall_tests::overheard::Overheard;

    let Some(database) = postgres_in("UTF8").await else { return };
    let name: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(&database.pool)
        .await
        .expect("a name");
    let warnings = async |role: Role| {
        let overheard = Overheard::word("synchronous_commit is off");
        let builder = Pod::builder().without_discovery().role(role).database_url(&database.url);
        builder.start().await.expect("the pod starts").shutdown().await;
        overheard.said()
    };
    assert_eq!(warnings(Role::Maintenance).await, [""; 0], "it is on");
    for place in [format!("ROLE CURRENT_USER IN DATABASE {name}"), format!("DATABASE {name}")] {
        let alter = async |to: &str| {
            let sql = AssertSqlSafe(format!("ALTER {place} {to}"));
            sqlx::raw_sql(sql).execute(&database.pool).await.expect("the server does it");
        };
        alter("SET synchronous_commit = off").await;
        for role in [Role::Maintenance, Role::Serverless] {
            let said = warnings(role).await;
            assert_eq!(said.len(), 1, "{place}: {said:?}");
            assert!(said[0].contains("RESET synchronous_commit"), "{place}: {said:?}");
        }
        alter("RESET synchronous_commit").await;
        assert_eq!(warnings(Role::Maintenance).await, [""; 0], "{place}: it is on again");
    }
    database.drop().await;
}

/// What an application's open transaction has locked is passed by, so that all other leases go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_waits_for_nobody() {
    use futurecall_runtime::store::{Held, Lease, Now};

    let Some(claims) = Claims::new(2).await else { return };
    let Claims { database, store, pod, ids } = claims;
    let mut application = database.pool.begin().await.expect("a transaction");
    let cancelled = sqlx::query("UPDATE suite.call SET cancel_requested = true WHERE id = $1");
    cancelled.bind(ids[0].as_uuid()).execute(&mut *application).await.expect("a cancellation");

    let held: Vec<Held> = ids.iter().map(|id| Held { id: *id, claim_no: 1, started: true }).collect();
    let lease = std::time::Duration::from_mins(2);
    let renewing = tokio::spawn(async move { store.renew(Now::Database, pod, &held, lease).await });
    let waits = wait_or_end(&database, &renewing).await;
    application.rollback().await.expect("the rollback");
    assert!(!waits, "it waits for a lock");
    let renewed = renewing.await.expect("no panic").expect("an answer");
    assert_eq!(renewed.iter().map(|one| one.lease).collect::<Vec<_>>(), [Lease::Kept, Lease::Held]);
    database.drop().await;
}

/// The reply to a COMMIT was lost, and the server still works at the transaction: who asks waits for its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_a_completion_is_said_once_it_has_ended() {
    use futurecall_runtime::store::Completed;

    let Some(claims) = Claims::new(1).await else { return };
    let Claims { database, store, pod, ids } = claims;
    let id = ids[0];
    let mut completion = database.pool.begin().await.expect("a transaction");
    let ended = sqlx::query("DELETE FROM suite.call WHERE id = $1").bind(id.as_uuid());
    ended.execute(&mut *completion).await.expect("the call's end");

    let asking = tokio::spawn(async move { store.completed(pod, id, 1).await });
    wait_or_end(&database, &asking).await;
    completion.commit().await.expect("the commit");
    // It left no row in the history. That it is held, and may be completed once more, was never true.
    assert_eq!(asking.await.expect("no panic").expect("an answer"), Completed::Lost);
    database.drop().await;
}

/// Calls that a pod has claimed, each with the number 1.
struct Claims {
    database: TestDatabase,
    store: PostgresStore,
    pod: PodId,
    ids: Vec<CallId>,
}

impl Claims {
    async fn new(count: usize) -> Option<Self> {
        use futurecall_runtime::store::Store;

        const CLAIMED: &str = "INSERT INTO suite.call (id, name, due_at, args, created_at, attempt, claimed_by, claim_no, \
            claimed_at, lease_until) VALUES ($1, 'work', now(), '{}', now(), 1, $2, 1, now(), now() + interval '1 minute')";

        let database = postgres_in("UTF8").await?;
        let store = PostgresStore::open(&database.url, "suite").await.expect("a store");
        store.migrate().await.expect("tables");
        let pod = PodId::new();
        let mut ids: Vec<CallId> = (0..count).map(|_| CallId::new()).collect();
        ids.sort();
        for id in &ids {
            let claimed = sqlx::query(CLAIMED).bind(id.as_uuid()).bind(pod.as_uuid());
            claimed.execute(&database.pool).await.expect("a claimed call");
        }
        Some(Self { database, store, pod, ids })
    }
}

/// Waits until a statement that locks rows waits for a lock, or the task has ended. Says whether one waits.
async fn wait_or_end<T>(database: &TestDatabase, task: &JoinHandle<T>) -> bool {
    const WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'";
    loop {
        let waits = sqlx::query_scalar(WAITS).fetch_one(&database.pool).await.expect("a look");
        if waits || task.is_finished() {
            return waits;
        }
    }
}
