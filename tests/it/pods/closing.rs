//! The state after a shutdown: closed connections, and on SQLite one file that contains everything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::store::prelude::*;
use futurecall_runtime::store::{Now, SqliteStore};
use futurecall_runtime::{CallId, CallState, Role, ScheduleError, StartError};
use futurecall_tests::backend::Backend;
use futurecall_tests::database::{self, TestFile};
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;
use sqlx::Sqlite;

use super::support::{Never, Note};

const HOUR: Duration = Duration::from_hours(1);

/// The names of what stands in the file's folder.
fn folder(file: &TestFile) -> Vec<String> {
    let folder = file.path.parent().unwrap();
    let names = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// The state of a call in a copy of the file alone, as a backup would have it.
async fn state_in_copy(file: &Path, id: CallId) -> Option<CallState> {
    let folder = tempfile::tempdir().unwrap();
    let copy: PathBuf = folder.path().join("copy.db");
    std::fs::copy(file, &copy).unwrap();
    let store = SqliteStore::open(&format!("sqlite://{}", copy.display()), "futurecall_").await.unwrap();
    if store.migrations().await.unwrap().iter().any(|step| step.applied.is_none()) {
        return None;
    }
    let call = store.call(Now::Database, id).await.unwrap();
    store.close().await;
    call.map(|call| call.state)
}

fn builder(file: &TestFile) -> futurecall_runtime::PodBuilder {
    Pod::builder().without_discovery().config(Backend::config()).database_url(&file.url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_leaves_the_file_whole_and_nothing_beside_it() {
    let file = database::sqlite();
    for role in [Role::Monolith, Role::Serverless, Role::Maintenance] {
        let pod = builder(&file).role(role).start().await.unwrap();
        let id = pod.future_call_with_delay("later", Some("-"), HOUR).await.unwrap();
        // The reading connections are open, too.
        assert!(pod.inspect().call(id).await.unwrap().is_some());
        pod.shutdown().await;
        assert_eq!(folder(&file), ["calls.db"], "{role:?}");
        assert_eq!(state_in_copy(&file.path, id).await, Some(CallState::Scheduled), "{role:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_beside_others_on_the_file_leaves_it_whole() {
    let file = database::sqlite();
    let application = file.pool().await;
    let first = builder(&file).start().await.unwrap();
    let second = Pod::builder().without_discovery().pool(&application).start().await.unwrap();
    // The application has read, so that its connection is one of those that the log stays for.
    sqlx::query("SELECT count(*) FROM futurecall_call").execute(&application).await.unwrap();
    let id = first.future_call_with_delay("later", Some("-"), HOUR).await.unwrap();
    first.shutdown().await;
    assert_eq!(state_in_copy(&file.path, id).await, Some(CallState::Scheduled));

    let other = second.future_call_with_delay("later", Some("-"), HOUR).await.unwrap();
    assert_eq!(second.future_calls().status(id).await.unwrap(), Some(CallState::Scheduled));
    second.shutdown().await;
    assert_eq!(state_in_copy(&file.path, other).await, Some(CallState::Scheduled));
    application.close().await;
    assert_eq!(folder(&file), ["calls.db"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_start_and_a_dropped_pod_leave_nothing_beside_the_file() {
    let file = database::sqlite();
    let failed = builder(&file).without_migration().start().await;
    assert!(matches!(failed, Err(StartError::NotMigrated { .. })), "{failed:?}");
    assert_eq!(folder(&file), ["calls.db"]);

    drop(builder(&file).start().await.unwrap());
    eventually("the dropped pod has closed its connections", || async {
        (folder(&file) == ["calls.db"]).then_some(())
    })
    .await;
}

/// Writes `open` when its transaction is, and never ends.
struct Hold(Journal);

impl InvokableFutureCall for Hold {
    type Data = String;

    async fn invoke(&self, session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        let transaction = session.transaction::<Sqlite>().await?;
        self.0.write("open");
        std::future::pending::<()>().await;
        transaction.complete().await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_a_transaction_that_its_handler_keeps_open() {
    let (file, journal) = (database::sqlite(), Journal::new());
    let config = Backend::config().shutdown_grace(Duration::from_millis(10));
    let pod = builder(&file)
        .config(config)
        .register_future_call("hold", Hold(journal.clone()))
        .start()
        .await
        .unwrap();
    let id = pod.future_call_with_delay("hold", Some("-"), Duration::ZERO).await.unwrap();
    journal.wait_for(1).await;
    pod.shutdown().await;
    assert_eq!(folder(&file), ["calls.db"]);
    // Failed where its own time limit came first, because the pod's last claim waited for it.
    let state = state_in_copy(&file.path, id).await;
    assert!(matches!(state, Some(CallState::Failed | CallState::Interrupted)), "{state:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_closes_its_connections_to_the_server() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it was made so") };
    let separator = if database.url.contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}application_name=closing", database.url);
    let pod = backend.builder().database_url(url).start().await.unwrap();
    let id = pod.future_call_with_delay("later", Some("-"), HOUR).await.unwrap();
    assert!(pod.inspect().call(id).await.unwrap().is_some());
    let open = async || -> i64 {
        let open = "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'closing'";
        sqlx::query_scalar(open).fetch_one(&database.pool).await.unwrap()
    };
    // One of the pool, one for leases, one that listens.
    eventually("the pod has its connections", || async { (open().await >= 3).then_some(()) }).await;
    pod.shutdown().await;
    // The server is told before the shutdown returns; its processes take a moment to end.
    eventually("all connections are closed", || async { (open().await == 0).then_some(()) }).await;
    backend.drop().await;
}

on_all_stores! {
    async fn a_pod_that_was_shut_down_says_so_to_whoever_goes_on_using_it(backend: &Backend) {
        let pod = backend.builder().register_future_call("note", Note(Journal::new())).start().await.unwrap();
        let id = pod.future_call_with_delay("later", Some("-"), HOUR).await.unwrap();
        let (one, other) = (pod.clone(), pod.clone());
        let (first, second) = tokio::join!(one.shutdown(), other.shutdown());
        assert_eq!(first, second);

        let scheduled = pod.future_call_with_delay("later", Some("-"), HOUR).await;
        assert!(matches!(scheduled, Err(ScheduleError::Stopped)), "{scheduled:?}");
        let cancelled = pod.future_calls().cancel("nobody").await;
        assert!(matches!(cancelled, Err(ScheduleError::Stopped)), "{cancelled:?}");
        let status = pod.future_calls().status(id).await;
        assert!(matches!(status, Err(ScheduleError::Stopped)), "{status:?}");
        let error = pod.inspect().call(id).await.unwrap_err();
        assert!(error.is_closed() && !error.is_transient(), "{error:?}");
        let text = "could not look at the calls: the pod has been shut down, and its connections are closed: \
                    start another pod";
        assert_eq!(error.to_string(), text);
        assert!(pod.run_due().await.unwrap_err().is_closed());
        let health = pod.health().await;
        assert!(!health.ready && health.live, "{health:?}");
        assert_eq!(pod.shutdown().await, first);

        // Another pod goes on where this one ended.
        let another = backend.builder().start().await.unwrap();
        assert_eq!(another.future_calls().status(id).await.unwrap(), Some(CallState::Scheduled));
        another.shutdown().await;
    }

    async fn handlers_that_do_not_end_do_not_keep_the_connections(backend: &Backend) {
        let journal = Journal::new();
        let config = Backend::config().shutdown_grace(Duration::from_millis(10));
        let never = Never(journal.clone());
        let pod = backend.builder().config(config).register_future_call("never", never).start().await.unwrap();
        let id = pod.future_call_with_delay("never", Some("-"), Duration::ZERO).await.unwrap();
        journal.wait_for(1).await;
        assert_eq!(pod.shutdown().await.interrupted, 1);
        if let Backend::Sqlite(file) = backend {
            assert_eq!(folder(file), ["calls.db"]);
        }
        let store = backend.store().await;
        assert_eq!(store.call(Now::Database, id).await.unwrap().unwrap().state, CallState::Interrupted);
        store.close().await;
    }
}
