//! Running, failing, cancelling, shutting down.

use std::time::Duration;

use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::prelude::*;
use futurecall_runtime::schedule::Cancelled;
use futurecall_runtime::{CallState, Config, Role, ScheduleError};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;

use super::support::{Fail, Never, Note, Panic, UntilCancelled};

const HOUR: Duration = Duration::from_hours(1);

/// Runs what is due, which is one call, while it keeps a slot itself.
struct RunsDue {
    journal: Journal,
    pods: tokio::sync::watch::Receiver<Option<Pod>>,
}

impl InvokableFutureCall for RunsDue {
    type Data = ();

    async fn invoke(&self, _session: &Session, _data: Option<()>) -> Result<(), BoxError> {
        let pod = self.pods.borrow().clone().ok_or("the test gives it")?;
        pod.future_call_with_delay("note", Some("inner"), Duration::ZERO).await?;
        match pod.run_due().await {
            Ok(_) => self.journal.write("it ran"),
            Err(error) => self.journal.write(error.to_string()),
        }
        let summary = tokio::spawn(async move { pod.run_due().await }).await??;
        self.journal.write(format!("released {}, started {}", summary.released, summary.started));
        Ok(())
    }
}

async fn state_of(pod: &Pod, id: futurecall_runtime::CallId, wanted: CallState) {
    eventually(&format!("call {id} is {wanted:?}"), || async {
        (pod.future_calls().status(id).await.unwrap() == Some(wanted)).then_some(())
    })
    .await;
}

on_all_stores! {
    async fn a_call_that_is_due_runs_once_and_leaves(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register_future_call("note", Note(journal.clone())).start().await.unwrap();
        let id = pod.future_call_with_delay("note", Some("one"), Duration::ZERO).await.unwrap();
        assert_eq!(journal.wait_for(1).await, ["one"]);
        state_of(&pod, id, CallState::Succeeded).await;
        assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 0);
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        assert_eq!((call.attempt, call.attempts.len()), (1, 1));
        assert!(call.attempts[0].started.unwrap() >= call.due);
        pod.shutdown().await;
        assert_eq!(journal.lines(), ["one"]);
    }

    async fn a_delay_wakes_the_pod_at_its_moment(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register_future_call("note", Note(journal.clone())).start().await.unwrap();
        let id = pod.future_call_with_delay("note", Some("later"), Duration::from_millis(700)).await.unwrap();
        journal.wait_for(1).await;
        state_of(&pod, id, CallState::Succeeded).await;
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        let late = call.attempts[0].started.unwrap().saturating_since(call.due);
        // Far below the fallback poll of 5 s: the pod woke for this call.
        assert!(late < Duration::from_secs(2), "{late:?} late");
        pod.shutdown().await;
    }

    async fn a_handler_cannot_wait_for_what_needs_its_slot(backend: &Backend) {
        let (journal, (give, pods)) = (Journal::new(), tokio::sync::watch::channel(None));
        let config = Backend::config().concurrency_limit(1).lease(Duration::from_secs(1));
        let pod = backend
            .builder()
            .config(config)
            .role(Role::Maintenance)
            .register_future_call("note", Note(journal.clone()))
            .register_future_call("inner", RunsDue { journal: journal.clone(), pods })
            .start()
            .await
            .unwrap();
        give.send(Some(pod.clone())).unwrap();
        let outer = pod.future_call_with_delay("inner", Some(&()), Duration::ZERO).await.unwrap();
        let summary = pod.run_due().await.unwrap();
        let lines = journal.wait_for(2).await;
        assert!(lines[0].contains("call_now()"), "{lines:?}");
        assert_eq!(lines[1], "released 1, started 0", "in a task of its own, it is given back after a lease");
        assert_eq!((summary.started, summary.released), (1, 0));
        assert_eq!(pod.future_calls().status(outer).await.unwrap(), Some(CallState::Succeeded));
        assert_eq!(pod.run_due().await.unwrap().succeeded, 1, "the inner one is still due");
        assert_eq!(journal.wait_for(3).await[2], "inner");
        give.send(None).unwrap();
        pod.shutdown().await;
    }

    async fn what_is_not_due_stays(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend
            .builder()
            .role(Role::Maintenance)
            .register_future_call("note", Note(journal.clone()))
            .start()
            .await
            .unwrap();
        let later = pod.future_call_with_delay("note", Some("later"), HOUR).await.unwrap();
        pod.future_call_with_delay("note", Some("now"), Duration::ZERO).await.unwrap();
        let summary = pod.run_due().await.unwrap();
        assert_eq!((summary.started, summary.succeeded), (1, 1));
        assert_eq!(journal.lines(), ["now"]);
        assert_eq!(pod.future_calls().status(later).await.unwrap(), Some(CallState::Scheduled));
        pod.shutdown().await;
    }

    async fn with_one_slot_the_oldest_goes_first(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend
            .builder()
            .role(Role::Maintenance)
            .config(Backend::config().concurrency_limit(1))
            .register_future_call("note", Note(journal.clone()))
            .start()
            .await
            .unwrap();
        let now = std::time::SystemTime::now();
        for (age, text) in [(10, "third"), (30, "first"), (20, "second"), (5, "fourth")] {
            let due = now - Duration::from_secs(age);
            pod.future_call_at_time("note", Some(text), due).await.unwrap();
        }
        assert_eq!(pod.run_due().await.unwrap().succeeded, 4);
        assert_eq!(journal.lines(), ["first", "second", "third", "fourth"]);
        pod.shutdown().await;
    }

    async fn errors_and_panics_are_recorded_and_not_retried(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend
            .builder()
            .role(Role::Maintenance)
            .register_future_call("fail", Fail(journal.clone()))
            .register_future_call("panic", Panic(journal.clone()))
            .start()
            .await
            .unwrap();
        let failed = pod.future_call_with_delay("fail", None::<&str>, Duration::ZERO).await.unwrap();
        let panicked = pod.future_call_with_delay("panic", None::<&str>, Duration::ZERO).await.unwrap();
        let summary = pod.run_due().await.unwrap();
        assert_eq!((summary.started, summary.failed, summary.succeeded), (2, 2, 0));
        let error = pod.inspect().call(failed).await.unwrap().unwrap().error.unwrap();
        assert_eq!(error, "no such luck");
        let error = pod.inspect().call(panicked).await.unwrap().unwrap().error.unwrap();
        assert_eq!(error, "panicked: out of cheese");
        assert_eq!(pod.run_due().await.unwrap().started, 0);
        pod.shutdown().await;
    }

    async fn cancelling_tells_the_truth(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend
            .builder()
            .register_future_call("wait", UntilCancelled(journal.clone()))
            .start()
            .await
            .unwrap();
        for _ in 0..3 {
            pod.future_call_with_delay("wait", None::<&str>, HOUR).identifier("mine").await.unwrap();
        }
        let other = pod.future_call_with_delay("wait", None::<&str>, HOUR).identifier("other").await.unwrap();
        let running = pod.future_call_with_delay("wait", None::<&str>, Duration::ZERO).identifier("mine").await.unwrap();
        journal.wait_for(1).await;
        let cancelled = pod.future_calls().cancel("mine").await.unwrap();
        assert_eq!(cancelled, Cancelled::new(3, 0, 1));
        assert_eq!(journal.wait_for(2).await, ["started", "stopped"]);
        state_of(&pod, running, CallState::Succeeded).await;
        assert_eq!(pod.future_calls().cancel("mine").await.unwrap(), Cancelled::default());
        assert_eq!(pod.future_calls().status(other).await.unwrap(), Some(CallState::Scheduled));
        assert_eq!(pod.future_calls().cancel_call(other).await.unwrap(), Cancelled::new(1, 0, 0));
        assert_eq!(pod.future_calls().status(other).await.unwrap(), Some(CallState::Cancelled));
        pod.shutdown().await;
    }

    async fn a_name_registered_late_starts_being_run(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register_future_call("other", Note(Journal::new())).start().await.unwrap();
        let id = pod.future_call_with_delay("late", Some("at last"), Duration::ZERO).await.unwrap();
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        assert_eq!(call.state, CallState::Scheduled);
        assert!(call.broken.unwrap().contains("no call of that name"));
        pod.register_future_call("late", Note(journal.clone())).unwrap();
        assert_eq!(journal.wait_for(1).await, ["at last"]);
        assert!(pod.register_future_call("late", Note(journal.clone())).is_err());
        pod.shutdown().await;
    }

    async fn with_nothing_registered_nothing_is_touched(backend: &Backend) {
        let pod = backend.builder().role(Role::Maintenance).start().await.unwrap();
        let id = pod.future_call_with_delay("unknown", Some(&7), Duration::ZERO).await.unwrap();
        assert_eq!(pod.run_due().await.unwrap().started, 0);
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        assert_eq!((call.state, call.attempt), (CallState::Scheduled, 0));
        pod.shutdown().await;
    }

    async fn a_shutdown_lets_running_calls_finish_and_ends_scheduling(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend
            .builder()
            .config(Backend::config().shutdown_grace(Duration::from_millis(50)))
            .register_future_call("wait", UntilCancelled(journal.clone()))
            .register_future_call("never", Never(journal.clone()))
            .start()
            .await
            .unwrap();
        let polite = pod.future_call_with_delay("wait", None::<&str>, Duration::ZERO).await.unwrap();
        let stubborn = pod.future_call_with_delay("never", None::<&str>, Duration::ZERO).await.unwrap();
        journal.wait_for(2).await;
        let summary = pod.shutdown().await;
        assert_eq!((summary.running, summary.finished, summary.interrupted), (2, 1, 1));
        assert_eq!(pod.shutdown().await, summary);
        let refused = pod.future_call_with_delay("wait", None::<&str>, HOUR).await.unwrap_err();
        assert!(matches!(refused, ScheduleError::Stopped), "{refused}");
        assert!(matches!(pod.future_calls().cancel("x").await, Err(ScheduleError::Stopped)));
        let store = backend.store().await;
        let state = |id| {
            let store = &store;
            async move { store.call(futurecall_runtime::store::Now::Database, id).await.unwrap().unwrap().state }
        };
        assert_eq!(state(polite).await, CallState::Succeeded);
        assert_eq!(state(stubborn).await, CallState::Interrupted);
    }

    async fn a_serverless_pod_schedules_and_runs_nothing(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend
            .builder()
            .role(Role::Serverless)
            .register_future_call("note", Note(journal.clone()))
            .start()
            .await
            .unwrap();
        pod.future_call_with_delay("note", Some("x"), Duration::ZERO).await.unwrap();
        assert_eq!(pod.run_due().await.unwrap().started, 0);
        assert!(pod.inspect().pods().await.unwrap().is_empty());
        pod.shutdown().await;
        assert!(journal.lines().is_empty());

        let runner = backend.builder().register_future_call("note", Note(journal.clone())).start().await.unwrap();
        assert_eq!(journal.wait_for(1).await, ["x"]);
        assert_eq!(runner.inspect().pods().await.unwrap().len(), 1);
        runner.shutdown().await;
    }

    async fn many_calls_go_in_one_go(backend: &Backend) {
        let pod = backend.builder().role(Role::Serverless).start().await.unwrap();
        let call = |n: u32| pod.future_call_with_delay("note", Some(&n), HOUR).identifier("bulk");
        let all = pod.future_calls().schedule_all((0..100_000).map(call));
        let ids = all.ids();
        assert_eq!(all.await.unwrap(), ids);
        assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 100_000);
        let page = pod.inspect().calls(CallFilter::new().identifier("bulk").limit(10)).await.unwrap();
        assert_eq!(page.calls.len(), 10);
        let mixed = [call(1), call(2).identifier("bad\nidentifier")];
        assert!(matches!(pod.future_calls().schedule_all(mixed).await, Err(ScheduleError::InvalidIdentifier { .. })));
        assert_eq!(pod.inspect().counts().await.unwrap().scheduled, 100_000);
        assert_eq!(pod.future_calls().cancel("bulk").await.unwrap(), Cancelled::new(100_000, 0, 0));
        pod.shutdown().await;
    }
}

#[tokio::test]
async fn dropping_the_last_handle_stops_claiming() {
    let backend = Backend::memory();
    let journal = Journal::new();
    let pod = backend.builder().register_future_call("note", Note(journal.clone())).start().await.unwrap();
    drop(pod);
    let observer = backend.builder().role(Role::Serverless).start().await.unwrap();
    observer.future_call_with_delay("note", Some("x"), Duration::ZERO).await.unwrap();
    let successor = backend
        .builder()
        .config(Config::new())
        .register_future_call("note", Note(journal.clone()))
        .start()
        .await
        .unwrap();
    journal.wait_for(1).await;
    successor.shutdown().await;
    assert_eq!(journal.lines(), ["x"]);
}
