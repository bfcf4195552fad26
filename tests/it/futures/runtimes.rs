//! Pods that are used outside of the runtime on which they were started, and after that runtime's end.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use futurecall_runtime::operate::Selection;
use futurecall_runtime::store::Now;
use futurecall_runtime::{CallId, CallState, Pod, Role, ScheduleError, StartError};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;

use super::handlers::{NOTE, Note};
use super::kept::{block_on, on_a_plain_thread, soon};
use super::stage::{ELSEWHERE, declare};
use crate::pods::support::Never;

const HOUR: Duration = Duration::from_hours(1);

fn note(pod: &Pod) -> futurecall_runtime::PendingCall {
    pod.future_call_with_delay(NOTE, None::<&CallId>, Duration::ZERO)
}

/// Returns whether that is the error of a pod whose runtime has ended.
fn has_ended<T>(result: &Result<T, ScheduleError>) -> bool {
    matches!(result, Err(ScheduleError::RuntimeEnded))
}

/// Starts a pod on its own runtime, which ends on request.
async fn on_another_runtime(builder: futurecall_runtime::PodBuilder) -> (Pod, mpsc::Sender<()>) {
    let (tell, told) = tokio::sync::oneshot::channel();
    let (end, ends) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        tell.send(runtime.block_on(builder.start()).unwrap()).unwrap();
        let _ = ends.recv();
        drop(runtime);
    });
    (soon("a start", told).await.unwrap(), end)
}

on_all_stores! {
    async fn a_thread_without_tokio_can_use_a_pod(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register_future_call(NOTE, Note(journal.clone())).start().await.unwrap();
        let there = pod.clone();
        on_a_plain_thread(move || block_on(use_all_over(&there))).await;
        assert_eq!(journal.wait_for(4).await.len(), 4);
        let there = pod.clone();
        let summary = on_a_plain_thread(move || block_on(there.shutdown())).await;
        assert_eq!(summary.interrupted, 0);
        let stopped = on_a_plain_thread(move || block_on(note(&pod).into_future())).await;
        assert!(matches!(stopped, Err(ScheduleError::Stopped)), "{stopped:?}");
    }

    async fn another_runtime_can_use_a_pod(backend: &Backend) {
        let journal = Journal::new();
        let builder = backend.builder().register_future_call(NOTE, Note(journal.clone()));
        let (pod, end) = on_another_runtime(builder).await;
        use_all_over(&pod).await;
        assert_eq!(journal.wait_for(4).await.len(), 4);
        // One that ends before the pod does.
        let there = pod.clone();
        on_a_plain_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(use_all_over(&there));
        })
        .await;
        assert_eq!(journal.wait_for(8).await.len(), 8);
        soon("a shutdown", pod.shutdown()).await;
        drop(end);
    }

    async fn a_pod_says_that_its_runtime_has_ended(backend: &Backend) {
        let journal = Journal::new();
        let builder = backend.builder().register_future_call("never", Never(journal.clone()));
        let (pod, end) = on_another_runtime(builder).await;
        let stored = pod.future_call_with_delay(ELSEWHERE, None::<&()>, HOUR).await.unwrap();
        let run = pod.future_call_with_delay("never", Some("x"), Duration::ZERO).await.unwrap();
        journal.wait_for(1).await;
        assert!(pod.health().await.ready);
        drop(end);

        let health = eventually("it is not live", async || {
            Some(soon("the health", pod.health()).await).filter(|health| !health.live)
        })
        .await;
        assert!(!health.ready && health.reasons[0].contains("runtime"), "{health:?}");
        nothing_hangs(&pod, stored).await;
        let there = pod.clone();
        on_a_plain_thread(move || block_on(nothing_hangs(&there, stored))).await;

        if !matches!(backend, Backend::Memory(_)) {
            // Nobody renews the lease of a handler that is gone.
            let other = backend.builder().start().await.unwrap();
            eventually("its lease has ended", async || {
                let call = other.inspect().call(run).await.unwrap()?;
                (call.state == CallState::Interrupted).then_some(())
            })
            .await;
            assert_eq!(other.future_calls().status(stored).await.unwrap(), Some(CallState::Scheduled));
            other.shutdown().await;
        }
    }
}

/// Uses everything once, and stores four calls to be run.
async fn use_all_over(pod: &Pod) {
    let (calls, inspect, operator) = (pod.future_calls(), pod.inspect(), pod.operate("elsewhere"));
    note(pod).await.unwrap();
    calls.schedule_all([note(pod), note(pod)]).await.unwrap();
    pod.run_due().await.unwrap();
    let id = pod.future_call_with_delay(ELSEWHERE, None::<&()>, HOUR).identifier("x").await.unwrap();
    assert_eq!(calls.reschedule("x", HOUR * 2).await.unwrap().calls, 1);
    assert_eq!(calls.cancel("x").await.unwrap().calls, 1);
    let again = calls.run_again(id).await.unwrap();
    assert_eq!(operator.cancel(Selection::call(again)).await.unwrap().done, 1);
    declare(pod, "elsewhere").await.unwrap();
    assert!(inspect.counts().await.unwrap().scheduled > 0);
    assert!(inspect.why(id).await.unwrap().is_some());
    assert!(pod.health().await.ready);
    let mut signal = pin!(pod.shutdown_signal());
    let polled = poll_fn(|context| Poll::Ready(signal.as_mut().poll(context))).await;
    assert!(polled.is_pending());
    // Together, so that the second is gathered.
    let (one, other) = (note(pod).into_future(), pod.inspect());
    let (stored, looked) = futures_util::join!(one, other.pods());
    assert!(stored.is_ok() && looked.is_ok());
}

/// Checks that every public method of a pod whose runtime has ended is an error.
async fn nothing_hangs(pod: &Pod, id: CallId) {
    let (calls, inspect) = (pod.future_calls(), pod.inspect());
    assert!(has_ended(&note(pod).await));
    assert!(has_ended(&calls.schedule_all([note(pod)]).await));
    assert!(has_ended(&calls.cancel_call(id).await) && has_ended(&calls.run_now(id).await));
    assert!(has_ended(&calls.run_again(id).await) && has_ended(&declare(pod, "x").await));
    let looked = inspect.call(id).await;
    assert!(looked.is_err_and(|error| error.to_string().contains("runtime") && !error.outcome_unknown()));
    assert!(calls.status(id).await.is_err() && pod.run_due().await.is_err());
    assert!(pod.operate("x").cancel(Selection::call(id)).await.is_err());
    assert_eq!(pod.shutdown().await.finished, 0);
    pod.shutdown_signal().await;
    assert!(!pod.health().await.live);
}

#[tokio::test]
async fn a_pod_is_started_on_a_runtime() {
    for backend in [Backend::memory(), Backend::sqlite()] {
        let builder = backend.builder().role(Role::Serverless);
        let refused = on_a_plain_thread(move || block_on(builder.start())).await;
        assert!(matches!(refused, Err(StartError::NoRuntime)), "{refused:?}");
    }
}

/// Calls that have gathered are on their way to the database when the pod's runtime ends. The server executes the
/// statement anyway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_its_way_when_the_runtime_ends_may_be_stored() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let (pod, end) = on_another_runtime(backend.builder().role(Role::Serverless)).await;
    let call = || pod.future_call_with_delay(ELSEWHERE, None::<&()>, HOUR);
    // From here on the statement is prepared, and waits for locks when it is carried out alone.
    call().await.unwrap();

    let lock = async || {
        let mut transaction = database.pool.begin().await.unwrap();
        let sql = format!("LOCK TABLE {}.call IN SHARE MODE", database.schema);
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *transaction).await.unwrap();
        transaction
    };
    let waiting = async |count: i64| {
        const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("they wait", || async {
            let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&database.pool).await.unwrap();
            (waiting == count).then_some(())
        })
        .await;
    };
    let first = lock().await;
    let alone = tokio::spawn(call().into_future());
    waiting(1).await;
    let gathered = call();
    let id = gathered.id();
    let gathered = tokio::spawn(gathered.into_future());
    // Behind the one that is alone, and before the one that has gathered.
    let again = async {
        waiting(2).await;
        first.rollback().await.unwrap();
    };
    let (second, ()) = futures_util::join!(lock(), again);
    alone.await.unwrap().unwrap();
    waiting(1).await;
    drop(end);
    let error = soon("an answer", gathered).await.unwrap().unwrap_err();
    second.rollback().await.unwrap();

    let store = backend.store().await;
    eventually("it is stored", || async { store.call(Now::Database, id).await.unwrap() }).await;
    assert!(error.outcome_unknown(), "{error}");
    drop(store);
    backend.drop().await;
}
