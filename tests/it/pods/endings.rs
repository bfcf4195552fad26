//! Unplanned ends: dropped handles, dropped shutdowns, errors that panic.

use std::fmt;
use std::time::Duration;

use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::prelude::*;
use futurecall_runtime::store::Now;
use futurecall_runtime::{CallId, CallState, CheckBrokenCalls, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;
use futurecall_tests::proxy::Proxy;

use super::support::{Never, Note};

const HOUR: Duration = Duration::from_hours(1);

async fn ends_as(backend: &Backend, id: CallId, wanted: CallState) {
    let store = backend.store().await;
    eventually(&format!("call {id} is {wanted:?}"), || async {
        (store.call(Now::Database, id).await.unwrap().unwrap().state == wanted).then_some(())
    })
    .await;
}

/// Writes `started`, and ends when its journal has a second line.
struct UntilTold(Journal);

impl InvokableFutureCall for UntilTold {
    type Data = String;

    async fn invoke(&self, _session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        self.0.write("started");
        self.0.wait_for(2).await;
        Ok(())
    }
}

/// Fails with an error that cannot be shown.
struct FailSilently;

#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Unspeakable {}

impl InvokableFutureCall for FailSilently {
    type Data = String;

    async fn invoke(&self, _session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        Err(Unspeakable.into())
    }
}

/// Ends its own pod.
struct EndThePod(Journal);

impl InvokableFutureCall for EndThePod {
    type Data = String;

    async fn invoke(&self, session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        self.0.write("ending");
        session.pod().shutdown().await;
        Ok(())
    }
}

/// Data that cannot be read without a panic.
#[derive(serde::Serialize)]
struct Cursed;

impl<'de> serde::Deserialize<'de> for Cursed {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("cursed")
    }
}

struct TakeCursed;

impl InvokableFutureCall for TakeCursed {
    type Data = Cursed;

    async fn invoke(&self, _session: &Session, _data: Option<Cursed>) -> Result<(), BoxError> {
        Ok(())
    }
}

on_all_stores! {
    async fn a_run_that_outlives_the_last_handle_is_recorded(backend: &Backend) {
        let journal = Journal::new();
        let observer = backend.builder().role(Role::Serverless).start().await.unwrap();
        let pod = backend.builder().register_future_call("wait", UntilTold(journal.clone())).start().await.unwrap();
        let id = pod.future_call_with_delay("wait", None::<&str>, Duration::ZERO).await.unwrap();
        journal.wait_for(1).await;
        drop(pod);
        // A run that is under way does not keep the pod claiming.
        let later = observer.future_call_with_delay("wait", None::<&str>, Duration::ZERO).await.unwrap();
        journal.write("end");
        ends_as(backend, id, CallState::Succeeded).await;
        eventually("the pod says goodbye", || async {
            observer.inspect().pods().await.unwrap().is_empty().then_some(())
        })
        .await;
        assert_eq!(observer.future_calls().status(later).await.unwrap(), Some(CallState::Scheduled));
        assert_eq!(journal.lines(), ["started", "end"]);
        observer.shutdown().await;
    }

    async fn a_shutdown_goes_on_when_nobody_waits_for_it(backend: &Backend) {
        let journal = Journal::new();
        let config = Backend::config().shutdown_grace(Duration::from_millis(50));
        let start = || {
            backend
                .builder()
                .config(config.clone())
                .register_future_call("never", Never(journal.clone()))
                .register_future_call("end", EndThePod(journal.clone()))
                .start()
        };
        let pod = start().await.unwrap();
        let id = pod.future_call_with_delay("never", None::<&str>, Duration::ZERO).await.unwrap();
        journal.wait_for(1).await;
        assert!(tokio::time::timeout(Duration::from_millis(1), pod.shutdown()).await.is_err());
        drop(pod);
        ends_as(backend, id, CallState::Interrupted).await;

        // Nor does it matter that the one who asked is among those who are abandoned.
        let pod = start().await.unwrap();
        let id = pod.future_call_with_delay("end", None::<&str>, Duration::ZERO).await.unwrap();
        ends_as(backend, id, CallState::Interrupted).await;
        assert_eq!(pod.shutdown().await.interrupted, 1);
        assert_eq!(journal.lines(), ["started", "ending"]);
    }

    async fn an_error_that_panics_when_shown_is_a_failure(backend: &Backend) {
        let pod = backend
            .builder()
            .config(Backend::config().concurrency_limit(1))
            .register_future_call("fail", FailSilently)
            .start()
            .await
            .unwrap();
        let first = pod.future_call_with_delay("fail", None::<&str>, Duration::ZERO).await.unwrap();
        let second = pod.future_call_with_delay("fail", None::<&str>, Duration::ZERO).await.unwrap();
        for id in [first, second] {
            ends_as(backend, id, CallState::Failed).await;
            assert_eq!(pod.inspect().call(id).await.unwrap().unwrap().error.unwrap(), "… (showing it panicked)");
        }
        pod.shutdown().await;
    }

    async fn data_that_panics_when_read_breaks_its_call_and_not_the_start(backend: &Backend) {
        let observer = backend.builder().role(Role::Serverless).start().await.unwrap();
        let id = observer.future_call_with_delay("cursed", Some(&1), HOUR).await.unwrap();
        let pod = backend.builder().register_future_call("cursed", TakeCursed).start().await.unwrap();
        let broken = pod.inspect().call(id).await.unwrap().unwrap().broken.unwrap();
        assert!(broken.contains("panicked"), "{broken}");
        pod.shutdown().await;
        observer.shutdown().await;
    }

    async fn a_pod_that_only_schedules_runs_no_late_registration(backend: &Backend) {
        let journal = Journal::new();
        let idle = backend.builder().config(Backend::config().execution_enabled(false)).start().await.unwrap();
        let serverless = backend.builder().role(Role::Serverless).start().await.unwrap();
        let id = serverless.future_call_with_delay("note", Some("x"), Duration::ZERO).await.unwrap();
        for pod in [idle, serverless] {
            pod.register_future_call("note", Note(journal.clone())).unwrap();
            assert_eq!(pod.run_due().await.unwrap().started, 0);
            assert_eq!(pod.future_calls().status(id).await.unwrap(), Some(CallState::Scheduled));
            pod.shutdown().await;
        }
        assert!(journal.lines().is_empty());
    }
}

/// More than a page of schedules whose call is gone: each run that is discarded brings its successor.
#[tokio::test]
async fn discarding_runs_of_broken_schedules_comes_to_an_end() {
    let backend = Backend::memory();
    let observer = backend.builder().role(Role::Serverless).start().await.unwrap();
    for n in 0..1_001 {
        let every = observer.future_calls().call_recurring().identifier(n).every(HOUR);
        every.of::<super::recurring::TickFutureCall>().tick(n.to_string()).await.unwrap();
    }
    let config = Backend::config().check_broken_calls(CheckBrokenCalls::Always).delete_broken_calls(true);
    let start = backend.builder().config(config).register_future_call("note", Note(Journal::new())).start();
    let pod = tokio::time::timeout(Duration::from_mins(1), start).await.expect("the check ends").unwrap();
    let counts = pod.inspect().counts().await.unwrap();
    assert_eq!((counts.scheduled, counts.cancelled), (1_001, 1_001));
    let gone = CallFilter::new().state(CallState::Cancelled).limit(1);
    let reason = pod.inspect().calls(gone).await.unwrap().calls[0].error.clone().unwrap();
    assert!(reason.contains("broken"), "{reason}");
    pod.shutdown().await;
}

/// The database is slow, and the pod ends meanwhile: what the claim takes must neither run nor be lost with the pod.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_under_way_at_the_shutdown_is_given_back() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let journal = Journal::new();
    let observer = backend.builder().role(Role::Serverless).start().await.unwrap();
    let pod = backend
        .builder()
        .config(Backend::config().scan_interval(Duration::from_millis(100)))
        .register_future_call("note", Note(journal.clone()))
        .start()
        .await
        .unwrap();
    let mut tx = database.pool.begin().await.unwrap();
    let call = observer.future_call_with_delay("note", Some("x"), Duration::ZERO);
    let id = call.in_transaction(&mut tx).await.unwrap();
    let lock = format!("LOCK TABLE \"{}\".call IN ACCESS EXCLUSIVE MODE", database.schema);
    sqlx::query(sqlx::AssertSqlSafe(lock)).execute(&mut *tx).await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock' AND query LIKE '%l.priority IS NOT NULL%'";
    eventually("a claim waits for the lock", || async {
        let count: i64 = sqlx::query_scalar(waiting).fetch_one(&database.pool).await.unwrap();
        (count > 0).then_some(())
    })
    .await;
    let ending = tokio::spawn({
        let pod = pod.clone();
        async move { pod.shutdown().await }
    });
    pod.shutdown_signal().await;
    tx.commit().await.unwrap();
    ending.await.unwrap();
    let call = observer.inspect().call(id).await.unwrap().unwrap();
    assert_eq!((call.state, call.attempt), (CallState::Scheduled, 0));
    assert!(journal.lines().is_empty());
    observer.shutdown().await;
    backend.drop().await;
}

/// A claim that waits for longer than its leases last: what it takes is given back in one go, and runs with the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_outlives_its_leases_is_given_back_at_once() {
    const CALLS: usize = 40;
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let (journal, proxy) = (Journal::new(), Proxy::before(database).await);
    let observer = backend.builder().role(Role::Serverless).start().await.unwrap();
    let config = Backend::config().scan_interval(Duration::from_millis(100)).lease(Duration::from_secs(1));
    let builder = backend.builder().database_url(&proxy.url).config(config);
    let pod = builder.register_future_call("note", Note(journal.clone())).start().await.unwrap();
    let mut tx = database.pool.begin().await.unwrap();
    for _ in 0..CALLS {
        let call = observer.future_call_with_delay("note", Some("x"), Duration::ZERO);
        call.in_transaction(&mut tx).await.unwrap();
    }
    let lock = format!("LOCK TABLE \"{}\".call IN ACCESS EXCLUSIVE MODE", database.schema);
    sqlx::query(sqlx::AssertSqlSafe(lock)).execute(&mut *tx).await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock' AND query LIKE '%l.priority IS NOT NULL%' \
                   AND clock_timestamp() - query_start > interval '1.1 s'";
    eventually("a claim has waited for the lock for longer than a lease", || async {
        let count: i64 = sqlx::query_scalar(waiting).fetch_one(&database.pool).await.unwrap();
        (count > 0).then_some(())
    })
    .await;
    tx.commit().await.unwrap();
    assert_eq!(journal.wait_for(CALLS).await.len(), CALLS);
    let released = proxy.sent("AS released");
    assert!((1..=4).contains(&released), "{released} statements to give {CALLS} calls back");
    pod.shutdown().await;
    observer.shutdown().await;
    backend.drop().await;
}
