//! Files that are removed under a running pod.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::{CallId, CallState, PodBuilder, ScheduleError};
use futurecall_tests::backend::Backend;
use futurecall_tests::database::{self, TestFile};
use futurecall_tests::journal::eventually;

const HOUR: Duration = Duration::from_hours(1);

fn builder(file: &TestFile) -> PodBuilder {
    Pod::builder().without_discovery().config(Backend::config()).database_url(&file.url)
}

async fn schedule(pod: &Pod) -> Result<CallId, ScheduleError> {
    pod.future_call_with_delay("later", Some("-"), HOUR).await
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Whatever is asked of the pod says what became of its file.
async fn says(pod: &Pod, what: &str) {
    let error = schedule(pod).await.unwrap_err();
    assert!(matches!(error, ScheduleError::FileReplaced(_)), "{error:?}");
    assert!(error.to_string().contains(what) && !error.is_transient(), "{error}");
    let error = pod.future_calls().cancel("nobody").await.unwrap_err();
    assert!(matches!(error, ScheduleError::FileReplaced(_)), "{error:?}");
}

/// Its health says so, too, once the answer before is a second old.
async fn is_not_ready(pod: &Pod, what: &str) {
    eventually(&format!("the pod's health says `{what}`"), || async {
        let health = pod.health().await;
        (!health.ready && health.reasons.iter().any(|reason| reason.contains(what))).then_some(())
    })
    .await;
    let error = pod.inspect().counts().await.unwrap_err();
    assert!(error.is_replaced() && error.to_string().contains(what), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_deleted_under_a_pod_takes_no_more_calls() {
    let file = database::sqlite();
    let application = file.pool().await;
    let pod = builder(&file).start().await.unwrap();
    schedule(&pod).await.unwrap();
    // The application has the log open as well.
    sqlx::query("SELECT count(*) FROM futurecall_call").execute(&application).await.unwrap();
    for ending in ["", "-wal", "-shm"] {
        std::fs::remove_file(beside(&file.path, ending)).unwrap();
    }
    says(&pod, "was deleted").await;
    is_not_ready(&pod, "was deleted").await;
    // The application's own transaction would be as much in vain.
    let mut transaction = application.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let pending = pod.future_call_with_delay("later", Some("-"), HOUR).in_transaction(&mut transaction).await;
    assert!(matches!(pending, Err(ScheduleError::FileReplaced(_))), "{pending:?}");
    drop(transaction);
    pod.shutdown().await;
    assert!(!file.path.exists(), "nothing was made in its place");

    let pod = builder(&file).start().await.unwrap();
    schedule(&pod).await.unwrap();
    pod.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_replaced_under_a_pod_takes_no_more_calls_until_it_is_back() {
    let file = database::sqlite();
    let pod = builder(&file).start().await.unwrap();
    let first = schedule(&pod).await.unwrap();
    for ending in ["", "-wal", "-shm"] {
        std::fs::rename(beside(&file.path, ending), beside(&file.path, &format!(".old{ending}"))).unwrap();
    }
    builder(&file).start().await.unwrap().shutdown().await;
    says(&pod, "was replaced").await;
    is_not_ready(&pod, "was replaced").await;

    for ending in ["", "-wal", "-shm"] {
        std::fs::rename(beside(&file.path, &format!(".old{ending}")), beside(&file.path, ending)).unwrap();
    }
    let second = schedule(&pod).await.unwrap();
    pod.shutdown().await;
    let pod = builder(&file).start().await.unwrap();
    for id in [first, second] {
        assert_eq!(pod.future_calls().status(id).await.unwrap(), Some(CallState::Scheduled));
    }
    pod.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_ends_leaves_the_log_of_the_file_in_its_place_alone() {
    let file = database::sqlite();
    let old = builder(&file).start().await.unwrap();
    schedule(&old).await.unwrap();
    for ending in ["", "-wal", "-shm"] {
        std::fs::remove_file(beside(&file.path, ending)).unwrap();
    }
    let new = builder(&file).start().await.unwrap();
    let id = schedule(&new).await.unwrap();
    says(&old, "was replaced").await;
    old.shutdown().await;
    assert!(beside(&file.path, "-wal").exists(), "the log of the new file");
    assert_eq!(new.future_calls().status(id).await.unwrap(), Some(CallState::Scheduled));
    schedule(&new).await.unwrap();
    new.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_deleted_under_a_pod_is_saved_by_its_shutdown() {
    let file = database::sqlite();
    let pod = builder(&file).start().await.unwrap();
    let id = schedule(&pod).await.unwrap();
    std::fs::remove_file(beside(&file.path, "-wal")).unwrap();
    says(&pod, "the log").await;
    pod.shutdown().await;
    let pod = builder(&file).start().await.unwrap();
    assert_eq!(pod.future_calls().status(id).await.unwrap(), Some(CallState::Scheduled));
    pod.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_emptied_under_a_pod_takes_no_more_calls() {
    let file = database::sqlite();
    let pod = builder(&file).start().await.unwrap();
    schedule(&pod).await.unwrap();
    std::fs::File::create(&file.path).unwrap();
    says(&pod, "was emptied").await;
    pod.shutdown().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_leads_elsewhere_is_another_file() {
    let (file, other) = (database::sqlite(), database::sqlite());
    let link = file.path.with_file_name("link.db");
    std::os::unix::fs::symlink(&file.path, &link).unwrap();
    let pod = builder(&file).database_url(format!("sqlite://{}", link.display())).start().await.unwrap();
    schedule(&pod).await.unwrap();
    builder(&other).start().await.unwrap().shutdown().await;
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&other.path, &link).unwrap();
    says(&pod, "was replaced").await;
    pod.shutdown().await;
}
