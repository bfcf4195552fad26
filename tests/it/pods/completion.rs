//! Runs that complete their calls in a transaction with their own writes.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::inspect::{CallFilter, CallRecord};
use futurecall_runtime::prelude::*;
use futurecall_runtime::store::Now;
use futurecall_runtime::{
    ApplicationPool, CallId, CallState, Config, Retention, TransactionDatabase, TransactionError,
};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::overheard::Overheard;
use futurecall_tests::proxy::Proxy;
use tokio::sync::Semaphore;

use super::support::{Note, UntilCancelled};

const HOUR: Duration = Duration::from_hours(1);

/// What the tests need of each database.
trait Kind: TransactionDatabase {
    type Pool: ApplicationPool + Send + Sync + 'static;

    async fn fresh() -> (Backend, Self::Pool);
    fn insert(connection: &mut Self::Connection) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    async fn count(pool: &Self::Pool) -> i64;
}

const CREATE: &str = "CREATE TABLE account (id bigint)";
const INSERT: &str = "INSERT INTO account VALUES (1)";
const COUNT: &str = "SELECT count(*) FROM account";

impl Kind for sqlx::Sqlite {
    type Pool = sqlx::SqlitePool;

    async fn fresh() -> (Backend, Self::Pool) {
        let backend = Backend::sqlite();
        let Backend::Sqlite(file) = &backend else { unreachable!("it was made so") };
        let pool = file.pool().await;
        sqlx::query(CREATE).execute(&pool).await.unwrap();
        (backend, pool)
    }

    async fn insert(connection: &mut Self::Connection) -> Result<(), sqlx::Error> {
        sqlx::query(INSERT).execute(connection).await.map(drop)
    }

    async fn count(pool: &Self::Pool) -> i64 {
        sqlx::query_scalar(COUNT).fetch_one(pool).await.unwrap()
    }
}

impl Kind for sqlx::Postgres {
    type Pool = sqlx::PgPool;

    async fn fresh() -> (Backend, Self::Pool) {
        let backend = Backend::postgres().await;
        let Backend::Postgres(database) = &backend else { unreachable!("it was made so") };
        let pool = database.pool.clone();
        sqlx::query(CREATE).execute(&pool).await.unwrap();
        (backend, pool)
    }

    async fn insert(connection: &mut Self::Connection) -> Result<(), sqlx::Error> {
        sqlx::query(INSERT).execute(connection).await.map(drop)
    }

    async fn count(pool: &Self::Pool) -> i64 {
        sqlx::query_scalar(COUNT).fetch_one(pool).await.unwrap()
    }
}

/// A pod whose call `book` does in its transaction what its data says.
struct Bench<Db: Kind> {
    backend: Backend,
    pool: Db::Pool,
    pod: Pod,
    journal: Journal,
    gate: Arc<Semaphore>,
}

impl<Db: Kind> Bench<Db> {
    /// With the default lease: what holds a SQLite file for longer than a quarter of it is stopped.
    async fn new() -> Self {
        Self::with(Config::new()).await
    }

    async fn with(config: Config) -> Self {
        let (backend, pool) = Db::fresh().await;
        let (journal, gate) = (Journal::new(), Arc::new(Semaphore::new(0)));
        let book = Book::<Db> { journal: journal.clone(), gate: Arc::clone(&gate), database: PhantomData };
        let builder = Pod::builder().without_discovery().config(config).pool(&pool);
        let builder = match &backend {
            Backend::Postgres(database) => builder.schema(&database.schema),
            _ => builder,
        };
        let pod = builder.register_future_call("book", book).start().await.unwrap();
        Self { backend, pool, pod, journal, gate }
    }

    /// Has the call done, and waits for its end.
    async fn book(&self, how: &str) -> CallRecord {
        let id = self.start(how).await;
        self.end_of(id).await
    }

    async fn start(&self, how: &str) -> CallId {
        self.pod.future_call_with_delay("book", Some(&how), Duration::ZERO).identifier("x").await.unwrap()
    }

    /// The call's row once it is in the history; there is no other row of it.
    async fn end_of(&self, id: CallId) -> CallRecord {
        let record = eventually("the call is over", || async {
            self.pod.inspect().call(id).await.unwrap().filter(|record| record.state.is_finished())
        })
        .await;
        let all = self.pod.inspect().calls(CallFilter::new()).await.unwrap().calls;
        assert_eq!(all.iter().filter(|row| row.id == id).count(), 1, "{all:?}");
        record
    }

    async fn accounts(&self) -> i64 {
        Db::count(&self.pool).await
    }

    /// Another pod takes the call, as if the lease were over.
    async fn take_the_call(&self) {
        let store = self.backend.store().await;
        let much_later = store.now().await.unwrap().checked_add(HOUR).unwrap();
        let rescued = store.rescue(Now::At(much_later), 10, &Retention::default()).await.unwrap();
        assert_eq!(rescued.len(), 1);
    }

    async fn end(self) {
        self.pod.shutdown().await;
        drop(self.pool);
        self.backend.drop().await;
    }
}

struct Book<Db> {
    journal: Journal,
    gate: Arc<Semaphore>,
    database: PhantomData<fn() -> Db>,
}

impl<Db: Kind> Book<Db> {
    async fn pass_the_gate(&self, line: &str) {
        self.journal.write(line);
        self.gate.acquire().await.unwrap().forget();
    }
}

/// Writes `over` when its handler is, in whatever way.
struct Over(Journal);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.write("over");
    }
}

impl<Db: Kind> InvokableFutureCall for Book<Db> {
    type Data = String;

    async fn invoke(&self, session: &Session, how: Option<String>) -> Result<(), BoxError> {
        let how = how.unwrap_or_default();
        let _over = Over(self.journal.clone());
        if how == "too late" {
            self.pass_the_gate("started").await;
        }
        if how == "wrong database" {
            drop(session.transaction::<sqlx::Postgres>().await?);
        }
        let mut tx = session.transaction::<Db>().await?;
        Db::insert(&mut tx).await?;
        match how.as_str() {
            "drop" => return Ok(()),
            "fail" => return Err("no such luck".into()),
            "panic" => panic!("out of cheese"),
            "schedule" => {
                let later = session.pod().future_call_with_delay("note", Some("x"), HOUR);
                later.identifier("later").in_transaction(&mut tx).await?;
            }
            "twice" => {
                let second = session.transaction::<Db>().await.unwrap_err();
                assert!(matches!(second, TransactionError::AlreadyOpen), "{second}");
                drop(tx);
                tx = session.transaction::<Db>().await?;
                Db::insert(&mut tx).await?;
            }
            "deadlock" => {
                session.pod().future_call_with_delay("note", Some("x"), HOUR).await?;
            }
            "wait inside" => self.pass_the_gate("inside").await,
            _ => {}
        }
        let completing = tx.complete();
        if how == "go away" {
            // Whoever stops waiting in the middle has not stopped it.
            let _ = tokio::time::timeout(Duration::ZERO, completing).await;
            return Err("went away".into());
        }
        if let Err(error) = completing.await {
            self.journal.write(format!("{error:?}"));
            return Err(error.into());
        }
        match how.as_str() {
            "fail later" => return Err("after it was complete".into()),
            "panic later" => panic!("after it was complete"),
            "go on" => self.pass_the_gate("complete").await,
            "once more" => {
                let again = session.transaction::<Db>().await.unwrap_err();
                assert!(matches!(again, TransactionError::AlreadyComplete), "{again}");
            }
            _ => {}
        }
        self.journal.write("ended");
        Ok(())
    }
}

async fn writes_and_completion_stand_together<Db: Kind>() {
    let bench = Bench::<Db>::new().await;
    let record = bench.book("schedule").await;
    assert_eq!((record.state, record.attempt), (CallState::Succeeded, 1));
    assert_eq!(record.pod, Some(bench.pod.id()));
    assert!(record.attempts[0].started.is_some() && record.attempts[0].duration.is_some(), "{record:?}");
    assert_eq!(bench.accounts().await, 1);
    let later = bench.pod.inspect().calls(CallFilter::new().identifier("later")).await.unwrap().calls;
    assert_eq!((later.len(), later[0].state), (1, CallState::Scheduled));
    bench.end().await;
}

async fn what_is_not_completed_is_rolled_back<Db: Kind>() {
    let bench = Bench::<Db>::new().await;
    for (how, state) in
        [("drop", CallState::Succeeded), ("fail", CallState::Failed), ("panic", CallState::Failed)]
    {
        assert_eq!(bench.book(how).await.state, state, "{how}");
        assert_eq!(bench.accounts().await, 0, "{how}");
    }
    assert_eq!(bench.book("twice").await.state, CallState::Succeeded);
    assert_eq!(bench.accounts().await, 1, "the first of its transactions was dropped");
    bench.end().await;
}

async fn what_a_handler_does_afterwards_changes_nothing<Db: Kind>() {
    let overheard = Overheard::word("after it was complete");
    let bench = Bench::<Db>::new().await;
    for (done, how) in (1..).zip(["fail later", "panic later", "once more", "go away"]) {
        let record = bench.book(how).await;
        assert_eq!((record.state, record.error), (CallState::Succeeded, None), "{how}");
        assert_eq!(bench.accounts().await, done, "{how}");
    }
    let pods = bench.pod.shutdown().await;
    assert_eq!(pods.interrupted, 0);
    // What it says is logged, but not as the failure of its call.
    let said = overheard.said();
    assert!(!said.iter().any(|line| line.contains("a call failed")), "{said:?}");
    let all_the_same = said.iter().filter(|line| line.contains("the call has succeeded anyway"));
    assert!(all_the_same.count() >= 2, "{said:?}");
    bench.end().await;
}

async fn a_lost_lease_rolls_both_back<Db: Kind>() {
    let bench = Bench::<Db>::new().await;
    let id = bench.start("too late").await;
    bench.journal.wait_for(1).await;
    bench.take_the_call().await;
    bench.gate.add_permits(1);
    // A renewal that hears of it first stops the handler.
    let lines = bench.journal.wait_for(2).await;
    assert!(lines[1] == "over" || lines[1].starts_with("the call's lease was lost"), "{lines:?}");
    let record = bench.end_of(id).await;
    assert_eq!(record.state, CallState::Interrupted);
    assert_eq!(bench.accounts().await, 0);
    bench.end().await;
}

async fn a_cancelled_run_may_complete<Db: Kind>() {
    let bench = Bench::<Db>::new().await;
    let id = bench.start("too late").await;
    bench.journal.wait_for(1).await;
    assert_eq!(bench.pod.future_calls().cancel("x").await.unwrap().running, 1);
    bench.gate.add_permits(1);
    assert_eq!(bench.end_of(id).await.state, CallState::Succeeded);
    assert_eq!(bench.accounts().await, 1);
    bench.end().await;
}

async fn a_run_goes_on_after_its_call_is_complete<Db: Kind>() {
    let bench = Bench::<Db>::new().await;
    let id = bench.start("go on").await;
    bench.journal.wait_for(1).await;
    assert_eq!(bench.end_of(id).await.state, CallState::Succeeded);
    // A heartbeat comes after a renewal, which has no such claim to renew any more.
    bench.pod.register_future_call("note", Note(bench.journal.clone())).unwrap();
    eventually("a renewal has gone by", || async {
        let pods = bench.pod.inspect().pods().await.unwrap();
        pods.iter().any(|pod| pod.names.contains(&"note".to_owned())).then_some(())
    })
    .await;
    bench.gate.add_permits(1);
    assert_eq!(bench.journal.wait_for(2).await[..2], ["complete", "ended"]);
    bench.end().await;
}

async fn many_at_once_take_turns<Db: Kind>() {
    let bench = Bench::<Db>::new().await;
    let calls = (0..40).map(|_| bench.pod.future_call_with_delay("book", Some("plain"), Duration::ZERO));
    let ids = bench.pod.future_calls().schedule_all(calls).await.unwrap();
    for id in ids {
        assert_eq!(bench.end_of(id).await.state, CallState::Succeeded);
    }
    assert_eq!(bench.accounts().await, 40);
    bench.end().await;
}

/// On SQLite everybody waits for the one who writes: whoever keeps them waiting is stopped, and all others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_a_sqlite_file_for_too_long_is_stopped_and_no_lease_is_lost() {
    // A quarter of the lease for each of the three that are stopped: together almost a whole one.
    let bench = Bench::<sqlx::Sqlite>::with(Config::new().lease(Duration::from_secs(6))).await;
    let waits = UntilCancelled(bench.journal.clone());
    bench.pod.register_future_call("wait", waits).unwrap();
    let other = bench.pod.future_call_with_delay("wait", Some("-"), Duration::ZERO).identifier("y");
    let other = other.await.unwrap();
    bench.journal.wait_for(1).await;
    for _ in 0..3 {
        let record = bench.book("wait inside").await;
        assert_eq!(record.state, CallState::Failed);
        let error = record.error.unwrap();
        assert!(error.contains("longer than 1.5s") && error.contains("rolled back"), "{error}");
    }
    assert_eq!(bench.accounts().await, 0);
    // Its lease has been renewed all the while.
    assert_eq!(bench.pod.future_calls().cancel("y").await.unwrap().running, 1);
    assert_eq!(bench.end_of(other).await.state, CallState::Succeeded);
    bench.end().await;
}

/// A handler that schedules without `in_transaction` waits for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_its_own_transaction_is_told_how_not_to() {
    let bench = Bench::<sqlx::Sqlite>::with(Config::new().lease(Duration::from_secs(3))).await;
    let record = bench.book("deadlock").await;
    assert_eq!(record.state, CallState::Failed);
    assert!(record.error.unwrap().contains(".in_transaction(&mut tx)"));
    assert_eq!(bench.accounts().await, 0);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_database_is_named() {
    let bench = Bench::<sqlx::Sqlite>::new().await;
    let record = bench.book("wrong database").await;
    let error = record.error.unwrap();
    assert!(error.contains("session.transaction::<sqlx::Sqlite>()"), "{error}");
    bench.end().await;

    for url in ["memory:", "sqlite::memory:"] {
        let book = Book::<sqlx::Sqlite> {
            journal: Journal::new(),
            gate: Arc::new(Semaphore::new(0)),
            database: PhantomData,
        };
        let builder = Pod::builder().without_discovery().database_url(url);
        let pod = builder.register_future_call("book", book).start().await.unwrap();
        let id = pod.future_call_with_delay("book", Some("plain"), Duration::ZERO).await.unwrap();
        let record = eventually("the call is over", || async {
            pod.inspect().call(id).await.unwrap().filter(|record| record.state.is_finished())
        })
        .await;
        let error = record.error.unwrap();
        assert!(error.contains("no transactions") && error.contains("SQLite file"), "{url}: {error}");
        pod.shutdown().await;
    }
}

/// The server commits, its reply is lost, and the history keeps nothing of it: nobody can know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_that_leaves_no_row_stays_unknown() {
    let (backend, pool) = <sqlx::Postgres as Kind>::fresh().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it was made so") };
    let proxy = Proxy::before(database).await;
    let (journal, gate) = (Journal::new(), Arc::new(Semaphore::new(0)));
    let book = Book::<sqlx::Postgres> { journal: journal.clone(), gate, database: PhantomData };
    let config = Config::new().retention(Retention { succeeded: Duration::ZERO, ..Retention::default() });
    let builder = backend.builder().config(config).database_url(&proxy.url);
    let pod = builder.register_future_call("book", book).start().await.unwrap();
    // The end of the call, whose transaction's COMMIT gets no answer.
    proxy.lose_the_reply_to("u.said, u.ran_for,");
    pod.future_call_with_delay("book", Some("plain"), Duration::ZERO).await.unwrap();
    let said = journal.wait_for(2).await;
    assert!(said[0].contains("was committed is not known"), "{said:?}");
    assert_eq!((proxy.lost(), <sqlx::Postgres as Kind>::count(&pool).await), (1, 1));
    pod.shutdown().await;
    backend.drop().await;
}

/// The server ends the connection in the middle of the COMMIT.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_looked_into() {
    const DIES_AT_COMMIT: &str = "
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON account DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION die()";
    let bench = Bench::<sqlx::Postgres>::new().await;
    sqlx::raw_sql(DIES_AT_COMMIT).execute(&bench.pool).await.unwrap();
    let record = bench.book("plain").await;
    assert_eq!(record.state, CallState::Failed, "the handler heard of it, and failed");
    assert!(record.error.unwrap().contains("rolled back"));
    assert_eq!(bench.accounts().await, 0);
    sqlx::raw_sql("DROP TRIGGER dies ON account").execute(&bench.pool).await.unwrap();
    assert_eq!(bench.book("plain").await.state, CallState::Succeeded);
    assert_eq!(bench.accounts().await, 1);
    bench.end().await;
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name::<sqlx::Sqlite>().await; })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name::<sqlx::Postgres>().await; })*
        }
    };
}

on_both![
    writes_and_completion_stand_together,
    what_is_not_completed_is_rolled_back,
    what_a_handler_does_afterwards_changes_nothing,
    a_lost_lease_rolls_both_back,
    a_cancelled_run_may_complete,
    a_run_goes_on_after_its_call_is_complete,
    many_at_once_take_turns,
];
