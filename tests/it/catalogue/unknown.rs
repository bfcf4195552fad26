//! Replies that are lost after the database has acted.

use std::time::Duration;

use futurecall_runtime::schedule::Cancelled;
use futurecall_runtime::store::prelude::*;
use futurecall_runtime::store::{Inserted, Now, PostgresStore};
use futurecall_runtime::{CallState, Retention, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::database::{self, TestDatabase};
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;
use futurecall_tests::proxy::Proxy;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};

use super::support::{Note, is, new_call, record};
use crate::pods::support::Never;

/// Pieces of the statements whose replies are lost.
const STORE: &str = "created_at)";
const STORE_CLAIMED: &str = "RETURNING due_at, claimed_at";
const CLAIM: &str = "AS horizon";
const FINISH: &str = "u.said, u.ran_for,";
const CANCEL: &str = "AS settled";

/// DBOS, and every layer over `FoundationDB`: a commit whose result was unknown was tried again, and its increment counted
/// twice. Here a call's id is made by its client and a claim's number by its pod, so that storing, claiming and finishing
/// are repeated or looked up without a double; and of a cancellation the server is asked what became of its transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_commit_doubles_nothing() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let proxy = Proxy::before(database).await;
    let journal = Journal::new();
    let builder = backend.builder().database_url(&proxy.url);
    let pod = builder.register_future_call("note", Note(journal.clone())).start().await.unwrap();
    let observer = backend.builder().role(Role::Serverless).start().await.unwrap();
    let store = backend.store().await;
    let lost = |count: usize| {
        let proxy = &proxy;
        async move {
            eventually("the reply is lost", || async { (proxy.lost() >= count).then_some(()) }).await;
        }
    };
    let (soon, mut expected) = (Duration::from_millis(20), Vec::new());
    for round in 0..3 {
        // A call that is due at once its pod stores as its own, once it has nothing else to do.
        proxy.lose_the_reply_to(STORE_CLAIMED);
        eventually("a call is stored as claimed", || async {
            let id = pod.future_call_with_delay("note", Some("at once"), Duration::ZERO).await.unwrap();
            is(&*store, id, CallState::Succeeded).await;
            (proxy.lost() > round * 5).then_some(())
        })
        .await;
        for (n, statement) in [STORE, CLAIM, FINISH].into_iter().enumerate() {
            let data = format!("{statement} {round}");
            // Of claims the one that has the call: most have none.
            proxy.lose_a_reply_to(statement, if statement == CLAIM { &data } else { "" });
            // Through the pod whose replies are lost, whichever it is: `Ok` is a promise all the same.
            let id = pod.future_call_with_delay("note", Some(&data), soon).await.unwrap();
            lost(round * 5 + n + 2).await;
            is(&*store, id, CallState::Succeeded).await;
            let call = record(&*store, id).await;
            assert_eq!((call.attempt, call.attempts.len()), (1, 1), "{call:?}");
            expected.push(data);
        }
        let id =
            observer.future_call_with_delay("note", Some("never"), Duration::from_hours(1)).await.unwrap();
        proxy.lose_the_reply_to(CANCEL);
        // The server is asked what became of it.
        assert_eq!(pod.future_calls().cancel_call(id).await.unwrap(), Cancelled::new(1, 0, 0));
        lost(round * 5 + 5).await;
        // It was done; asked again, it finds nothing to do and says so.
        assert_eq!(record(&*store, id).await.state, CallState::Cancelled);
        assert_eq!(pod.future_calls().cancel_call(id).await.unwrap(), Cancelled::default());
    }
    pod.shutdown().await;
    let counts = observer.inspect().counts().await.unwrap();
    let (lines, at_once): (Vec<_>, Vec<_>) = journal.lines().into_iter().partition(|line| line != "at once");
    assert_eq!(lines, expected, "each once");
    let succeeded = (lines.len() + at_once.len()) as u64;
    assert_eq!((counts.succeeded, counts.cancelled, counts.interrupted), (succeeded, 3, 0));
    observer.shutdown().await;
    drop(store);
    backend.drop().await;
}

/// A claim that the server holds up until a gate opens. The gate is a lock of the test's own transaction, which a trigger
/// asks for before the row is claimed of a call with the identifier `late`.
struct Gate<'d> {
    database: &'d TestDatabase,
    key: i32,
    lock: Transaction<'static, Postgres>,
}

impl<'d> Gate<'d> {
    async fn shut(database: &'d TestDatabase) -> Self {
        let key: i32 = i32::from_be_bytes(uuid::Uuid::new_v4().as_bytes()[..4].try_into().unwrap());
        let schema = &database.schema;
        let trigger = format!(
            "CREATE FUNCTION {schema}.wait() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7, {key}); RETURN NEW; END $$;
             CREATE TRIGGER late BEFORE UPDATE ON {schema}.call FOR EACH ROW
                 WHEN (OLD.claimed_by IS NULL AND NEW.claimed_by IS NOT NULL AND NEW.identifier = 'late')
                 EXECUTE FUNCTION {schema}.wait()"
        );
        sqlx::raw_sql(AssertSqlSafe(trigger)).execute(&database.pool).await.unwrap();
        let mut lock = database.pool.begin().await.unwrap();
        sqlx::query("SELECT pg_advisory_xact_lock(7, $1)").bind(key).execute(&mut *lock).await.unwrap();
        Self { database, key, lock }
    }

    /// Waits until a claim stands before it.
    async fn holds_up_a_claim(&self) {
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $1::oid";
        eventually("a claim is held up", || async {
            // An oid has no sign.
            let key = i64::from(u32::from_be_bytes(self.key.to_be_bytes()));
            let query = sqlx::query_scalar::<_, i64>(waiting).bind(key);
            (query.fetch_one(&self.database.pool).await.unwrap() > 0).then_some(())
        })
        .await;
    }

    async fn open(self) {
        self.lock.rollback().await.unwrap();
    }
}

/// The other side of it: the connection breaks, the statement runs on, and the pod looks for what it took before there is
/// anything to be seen. When it comes through at last, its calls stand under a claim that nobody knows of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_commits_late_is_given_back() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let proxy = Proxy::before(database).await;
    let journal = Journal::new();
    // Long enough for what happens until the gate opens: a claim whose lease ends before it commits is beyond help.
    let config = Backend::config().lease(Duration::from_secs(20));
    let builder = backend.builder().config(config).database_url(&proxy.url);
    let pod = builder.register_future_call("note", Note(journal.clone())).start().await.unwrap();
    let observer = backend.builder().role(Role::Serverless).start().await.unwrap();
    let store = backend.store().await;
    let gate = Gate::shut(database).await;
    let late = observer.future_call_with_delay("note", Some("late"), Duration::ZERO).identifier("late");
    let late = late.await.unwrap();
    gate.holds_up_a_claim().await;
    proxy.shut();
    proxy.open();
    // The pod claims again, so it has looked.
    observer.future_call_with_delay("note", Some("sign"), Duration::ZERO).await.unwrap();
    assert_eq!(journal.wait_for(1).await, ["sign"]);
    assert_eq!(record(&*store, late).await.attempt, 0, "nobody sees it yet");
    gate.open().await;
    let call = eventually("it is over", || async {
        let call = record(&*store, late).await;
        call.state.is_finished().then_some(call)
    })
    .await;
    assert_eq!((call.state, call.attempt, call.attempts.len()), (CallState::Succeeded, 1, 1), "{call:?}");
    assert_eq!(journal.lines(), ["sign", "late"], "each once");
    pod.shutdown().await;
    observer.shutdown().await;
    drop(store);
    backend.drop().await;
}

/// `in_transaction` also takes a connection: without a transaction, each statement commits by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_lost_on_a_lent_connection_leaves_the_outcome_unknown() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let proxy = Proxy::before(database).await;
    let pod = backend.builder().role(Role::Serverless).start().await.unwrap();
    let hour = Duration::from_hours(1);
    let call = || pod.future_call_with_delay("elsewhere", None::<&()>, hour);

    let mut plain = PgConnection::connect(&proxy.url).await.unwrap();
    proxy.lose_the_reply_to("HAVING min(due_at)");
    let stored = call();
    let id = stored.id();
    let error = stored.in_transaction(&mut plain).await.unwrap_err();
    assert_eq!(pod.future_calls().status(id).await.unwrap(), Some(CallState::Scheduled));
    assert!(error.outcome_unknown(), "{error}");

    let mut plain = PgConnection::connect(&proxy.url).await.unwrap();
    proxy.lose_the_reply_to(CANCEL);
    let error = pod.future_calls().cancel(id).in_transaction(&mut plain).await.unwrap_err();
    assert_eq!(pod.future_calls().status(id).await.unwrap(), Some(CallState::Cancelled));
    assert!(error.outcome_unknown(), "{error}");

    // In a transaction, what was not committed is not done.
    let mut connection = PgConnection::connect(&proxy.url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let stored = call();
    let id = stored.id();
    proxy.shut();
    let error = stored.in_transaction(&mut transaction).await.unwrap_err();
    assert!(!error.outcome_unknown(), "{error}");
    assert_eq!(pod.future_calls().status(id).await.unwrap(), None);
    pod.shutdown().await;
    backend.drop().await;
}

/// The reply to a cancellation is lost, and what became of it cannot be asked. The next try finds nothing but what runs, and
/// cannot tell how many calls the first one has cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_that_cannot_be_counted_is_unknown() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let (proxy, journal) = (Proxy::before(database).await, Journal::new());
    let config = Backend::config().shutdown_grace(Duration::ZERO);
    let builder = backend.builder().config(config).register_future_call("never", Never(journal.clone()));
    let pod = builder.start().await.unwrap();
    let canceller = backend.builder().database_url(&proxy.url).role(Role::Serverless).start().await.unwrap();
    for delay in [Duration::ZERO, Duration::from_hours(1)] {
        pod.future_call_with_delay("never", None::<&str>, delay).identifier("both").await.unwrap();
    }
    journal.wait_for(1).await;
    proxy.change("pg_xact_status(", "nowhere.pg_xact_status(");
    proxy.lose_the_reply_to(CANCEL);
    let error = canceller.future_calls().cancel("both").await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(canceller.inspect().counts().await.unwrap().cancelled, 1);
    canceller.shutdown().await;
    pod.shutdown().await;
    backend.drop().await;
}

/// A server that has crashed may give the number of a transaction that it lost to another one, and answer for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashed_is_not_asked_what_became_of_a_cancellation() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let proxy = Proxy::before(database).await;
    let pod = backend.builder().database_url(&proxy.url).role(Role::Serverless).start().await.unwrap();
    let calls = pod.future_calls();
    // Its statistics were reset, as after a crash.
    proxy.change("pg_stat_get_bgwriter_stat_reset_time()", "clock_timestamp()");
    let store = |name: &'static str| pod.future_call_with_delay(name, None::<&str>, Duration::from_hours(1));
    store("done").identifier("done").await.unwrap();
    proxy.lose_the_reply_to(CANCEL);
    let error = calls.cancel("done").await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(pod.inspect().counts().await.unwrap().cancelled, 1);
    // Without a lost reply nobody asks.
    store("heard").identifier("heard").await.unwrap();
    assert_eq!(calls.cancel("heard").await.unwrap().calls, 1);
    pod.shutdown().await;
    backend.drop().await;
}

on_all_stores! {
    /// It writes no heartbeat that could say so.
    async fn a_pod_that_only_schedules_says_that_it_keeps_no_cancelled_call(backend: &Backend) {
        let retention = Retention { cancelled: Duration::ZERO, ..Retention::default() };
        let builder = backend.builder().role(Role::Serverless).config(Backend::config().retention(retention));
        let (pod, store) = (builder.start().await.unwrap(), backend.store().await);
        let repeat = async || {
            store.insert(Now::Database, &[new_call()], true, Duration::ZERO).await.unwrap()
        };
        assert_eq!(repeat().await, [Inserted::Stored]);
        pod.future_calls().cancel("anything").await.unwrap();
        assert_eq!(repeat().await, [Inserted::Unknown]);
        pod.shutdown().await;
    }
}

/// A server that is short of something (disk, memory) while it ends a session has perhaps committed before: it writes to its
/// log first. Where it only refuses the statement, and the session goes on, nothing was done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_the_session_for_want_of_space_may_have_committed() {
    let database = database::postgres().await;
    let proxy = Proxy::before(&database).await;
    let store = PostgresStore::open(&proxy.url, &database.schema).await.unwrap();
    store.migrate().await.unwrap();
    let soon = Duration::from_secs(5);
    let said = [
        ("FATAL", "53100", true),
        ("PANIC", "53100", true),
        ("FATAL", "53200", true),
        ("ERROR", "53100", false),
        ("FATAL", "40001", false),
    ];
    for (n, (severity, code, unknown)) in (1..).zip(said) {
        let new = [new_call()];
        proxy.answer_with_an_error(STORE, severity, code);
        let error = store.insert(Now::Database, &new, false, soon).await.unwrap_err();
        assert!(error.is_transient(), "{severity} {code}: {error}");
        assert_eq!(error.outcome_unknown(), unknown, "{severity} {code}: {error}");
        assert_eq!(proxy.lost(), n);
        // The repetition finds it.
        assert_eq!(store.insert(Now::Database, &new, true, soon).await.unwrap(), [Inserted::Stored]);
        assert_eq!(store.counts(Now::Database, 100).await.unwrap().scheduled, n as u64);
    }
    drop(store);
    database.drop().await;
}
