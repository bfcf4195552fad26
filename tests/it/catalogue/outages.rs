//! Connections and databases that fail, and recover.

use std::time::{Duration, Instant};

use futurecall_runtime::prelude::*;
use futurecall_runtime::{CallState, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;
use futurecall_tests::overheard::Overheard;
use futurecall_tests::proxy::Proxy;
use tokio_util::sync::CancellationToken;

use super::support::{Connections, Ledger, Note, Process, is, record};

const HOUR: Duration = Duration::from_hours(1);

/// Writes `started`, waits until its call is cancelled, and writes `stopped`.
struct UntilCancelled(Journal);

impl InvokableFutureCall for UntilCancelled {
    type Data = String;

    async fn invoke(&self, session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        self.0.write("started");
        session.cancelled().await;
        self.0.write("stopped");
        Ok(())
    }
}

on_all_stores! {
    /// River #1358: a cancellation was told by NOTIFY alone, and lost while the listener reconnected. Here it stands on the
    /// call's row, and the pod that runs the call reads it with every renewal of its lease.
    async fn a_cancellation_is_heard_without_notifications(backend: &Backend) {
        let journal = Journal::new();
        let builder = backend.builder().register_future_call("wait", UntilCancelled(journal.clone()));
        let connections = match backend {
            Backend::Postgres(database) => Some(Connections::new(database)),
            _ => None,
        };
        let builder = match &connections {
            Some(connections) => connections.of(builder),
            None => builder,
        };
        let pod = builder.start().await.unwrap();
        let id = pod.future_call_with_delay("wait", None::<&str>, Duration::ZERO).await.unwrap();
        journal.wait_for(1).await;
        let store = backend.store().await;
        let canceller = backend.builder().role(Role::Serverless).start().await.unwrap();
        // Whenever it listens again, its connection is ended again.
        let deaf = CancellationToken::new();
        let deafening = async {
            while let (Some(connections), false) = (&connections, deaf.is_cancelled()) {
                connections.deafen().await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let cancelling = async {
            if let Some(connections) = &connections {
                eventually("it does not listen", || async { (connections.listening().await == 0).then_some(()) }).await;
            }
            assert_eq!(canceller.future_calls().cancel_call(id).await.unwrap().running, 1);
            assert_eq!(journal.wait_for(2).await, ["started", "stopped"]);
            is(&*store, id, CallState::Succeeded).await;
            deaf.cancel();
        };
        tokio::join!(deafening, cancelling);
        pod.shutdown().await;
        canceller.shutdown().await;
    }
}

/// How late calls start that another pod stores, one after the other: the median of some.
async fn usual_lateness(scheduler: &Pod, backend: &Backend) -> Duration {
    let store = backend.store().await;
    let mut late = Vec::new();
    for _ in 0..15 {
        let id = scheduler.future_call_with_delay("note", Some("measured"), Duration::ZERO).await.unwrap();
        is(&*store, id, CallState::Succeeded).await;
        let call = record(&*store, id).await;
        late.push(call.attempts[0].started.unwrap().saturating_since(call.due));
    }
    late.sort_unstable();
    late[late.len() / 2]
}

/// Hangfire.PostgreSql #410, matrix-authentication-service #2625: a lost connection, of LISTEN or of the pool, stopped the
/// workers for good. Here every task tries again, and LISTEN takes up where it was: with a poll an hour away, each call
/// starts because its pod was told of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_lost_connections_later_calls_start_as_promptly_as_before() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let connections = Connections::new(database);
    let journal = Journal::new();
    let builder = connections.of(backend.builder().config(Backend::config().scan_interval(HOUR)));
    let pod = builder.register_future_call("note", Note(journal.clone())).start().await.unwrap();
    let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
    let before = usual_lateness(&scheduler, &backend).await;
    let measured = journal.lines().len();
    for round in 1..=10 {
        eventually("its connections are ended", || async { (connections.end().await > 0).then_some(()) })
            .await;
        scheduler.future_call_with_delay("note", Some(&round.to_string()), Duration::ZERO).await.unwrap();
        journal.wait_for(measured + round).await;
    }
    let rounds: Vec<_> = (1..=10).map(|round| round.to_string()).collect();
    assert_eq!(journal.lines()[measured..], rounds, "each once");
    let after = usual_lateness(&scheduler, &backend).await;
    // Well below the idle poll, which would find the calls as well.
    let bound = before.saturating_mul(5).max(Duration::from_secs(4));
    assert!(after <= bound, "{before:?} late before, {after:?} after");
    let found = scheduler.inspect().pods().await.unwrap();
    assert!(found.iter().any(|found| found.id == pod.id() && found.live), "{found:?}");
    pod.shutdown().await;
    scheduler.shutdown().await;
    backend.drop().await;
}

/// A firewall, or a host that is gone, says nothing of a connection that it has forgotten, and the operating system waits for a
/// quarter of an hour or for ever. A connection that stood idle is asked whether it lives, and given up when it does not say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_that_a_network_has_forgotten_are_given_up() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let (proxy, journal) = (Proxy::before(database).await, Journal::new());
    let builder = backend.builder().database_url(&proxy.url);
    let pod = builder.register_future_call("note", Note(journal.clone())).start().await.unwrap();
    let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
    let mut lines = 0;
    for n in ["before", "after"] {
        scheduler.future_call_with_delay("note", Some(n), Duration::ZERO).await.unwrap();
        lines += 1;
        journal.wait_for(lines).await;
        pod.future_call_with_delay("note", Some(n), Duration::ZERO).await.unwrap();
        lines += 1;
        journal.wait_for(lines).await;
        idle(database).await;
        proxy.silence();
    }
    pod.shutdown().await;
    scheduler.shutdown().await;
    backend.drop().await;
}

/// Waits until no statement of a pod is under way.
async fn idle(database: &futurecall_tests::database::TestDatabase) {
    const BUSY: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name = 'futurecall' AND (state <> 'idle' OR state_change > clock_timestamp() - interval '200 ms')";
    eventually("all connections are idle", || async {
        let busy: i64 = sqlx::query_scalar(BUSY).fetch_one(&database.pool).await.unwrap();
        (busy == 0).then_some(())
    })
    .await;
}

/// What a session may do is decided when it begins: those that began while the database was read-only stay so when it is not
/// any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_began_while_the_database_was_read_only_are_given_up() {
    const END: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'futurecall'";

    let Some(database) = futurecall_tests::database::postgres_in("UTF8").await else { return };
    let name: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&database.pool).await.unwrap();
    let alter = async |to: &str| {
        let sql = format!("ALTER DATABASE {name} {to}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&database.pool).await.unwrap();
    };
    let journal = Journal::new();
    let builder = Pod::builder().without_discovery().database_url(&database.url);
    let pod = builder.register_future_call("note", Note(journal.clone())).start().await.unwrap();
    let refusals = Overheard::word("read-only transaction");
    alter("SET default_transaction_read_only = on").await;
    sqlx::query(END).execute(&database.pool).await.unwrap();
    eventually("it is refused", || async { (refusals.said().len() >= 2).then_some(()) }).await;
    alter("RESET default_transaction_read_only").await;
    pod.future_call_with_delay("note", Some("stored"), Duration::ZERO).await.unwrap();
    assert_eq!(journal.wait_for(1).await, ["stored"]);
    pod.shutdown().await;
    database.drop().await;
}

/// Oban 2.23: in a long outage a loop of retries crashed and restarted everything around it, and filled the log. Here a
/// task that cannot reach the database waits longer and longer, says so once a second at most, and goes on when it can.
/// (That five minutes of waits are few is tested beside the waits themselves.)
#[tokio::test]
async fn a_long_outage_fills_no_log() {
    // Claims, leases, rescues, history, outcomes, calls to be stored.
    const TASKS: u64 = 6;
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let (ledger, proxy) = (Ledger::new(), Proxy::before(database).await);
    let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
    let mut process = Process::start(&proxy.url, &database.schema, &ledger, "web-1").await;
    let schedule = |n: u64| scheduler.future_call_with_delay("ledger", Some(&n), Duration::ZERO);
    schedule(1).await.unwrap();
    ledger.wait_for("S 1 ", 1).await;
    assert_eq!(process.log.lines(), [""; 0]);

    let began = Instant::now();
    proxy.shut();
    eventually("it has tried many times", || async { (proxy.refused() >= 60).then_some(()) }).await;
    let (lines, seconds) = (process.log.lines(), began.elapsed().as_secs());
    process.assert_lives();
    assert!(!lines.is_empty(), "an outage is no secret");
    let most = usize::try_from(TASKS * (seconds + 2)).unwrap();
    assert!(lines.len() <= most, "{} lines in {seconds} s: {lines:?}", lines.len());
    assert!(!lines.iter().any(|line| line.contains("panicked")), "{lines:?}");

    proxy.open();
    schedule(2).await.unwrap();
    ledger.wait_for("S 2 ", 1).await;
    process.assert_lives();
    assert!(process.end().await.success());
    assert_eq!((ledger.count("S 1 "), ledger.count("S 2 ")), (1, 1));
    scheduler.shutdown().await;
    backend.drop().await;
}

/// pg-boss, in a sweep of its audit: the process ended when its pool died. Here an outage is a delay.
mod an_outage_ends_no_process {
    use super::*;

    #[tokio::test]
    async fn on_postgres() {
        let backend = Backend::postgres().await;
        let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
        let (ledger, proxy) = (Ledger::new(), Proxy::before(database).await);
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let mut process = Process::start(&proxy.url, &database.schema, &ledger, "web-1").await;
        // A handler is under way at the first outage.
        scheduler.future_call_with_delay("hang", Some(&0), Duration::ZERO).await.unwrap();
        ledger.wait_for("H 0 ", 1).await;
        for n in 1..=3_u64 {
            let refused = proxy.refused();
            proxy.shut();
            eventually("no connection is left", || async { (proxy.refused() >= refused + 10).then_some(()) })
                .await;
            process.assert_lives();
            scheduler.future_call_with_delay("ledger", Some(&n), Duration::ZERO).await.unwrap();
            proxy.open();
            ledger.wait_for("S ", usize::try_from(n).unwrap()).await;
        }
        process.kill().await;
        for n in 1..=3 {
            assert_eq!(ledger.count(&format!("S {n} ")), 1);
        }
        scheduler.shutdown().await;
        backend.drop().await;
    }

    /// Here the outage is a file that somebody else holds locked.
    #[tokio::test]
    async fn on_sqlite() {
        let backend = Backend::sqlite();
        let Backend::Sqlite(file) = &backend else { unreachable!("it is one") };
        let ledger = Ledger::new();
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let mut process = Process::start(&file.url, "futurecall", &ledger, "web-1").await;
        scheduler.future_call_with_delay("hang", Some(&0), Duration::ZERO).await.unwrap();
        ledger.wait_for("H 0 ", 1).await;
        let pool = file.pool().await;
        for n in 1..=2_u64 {
            scheduler.future_call_with_delay("hang", Some(&n), Duration::ZERO).await.unwrap();
            ledger.wait_for(&format!("H {n} "), 1).await;
            let said = process.log.lines().len();
            let lock = pool.begin_with("BEGIN EXCLUSIVE").await.unwrap();
            // Its lease cannot be renewed.
            process.log.wait_for(said + 1).await;
            process.assert_lives();
            lock.rollback().await.unwrap();
            scheduler.future_call_with_delay("ledger", Some(&n), Duration::ZERO).await.unwrap();
            ledger.wait_for(&format!("S {n} "), 1).await;
        }
        process.kill().await;
        scheduler.shutdown().await;
        assert_eq!((ledger.count("S 1 "), ledger.count("S 2 ")), (1, 1));
    }
}
