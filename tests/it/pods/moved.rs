//! Calls that are rescheduled, and calls that are run again.

use std::time::Duration;

use futurecall_runtime::schedule::Rescheduled;
use futurecall_runtime::{CallId, CallState, Config, Role, ScheduleError};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;

use super::support::{Fail, Note, UntilCancelled};

const HOUR: Duration = Duration::from_hours(1);

on_all_stores! {
    async fn a_call_brought_forward_runs_at_once_on_another_pod(backend: &Backend) {
        let journal = Journal::new();
        // It polls once in ten minutes: what it runs in time, it was notified of.
        let config = Config::new().scan_interval(Duration::from_mins(10));
        let runs = backend.builder().config(config).register_future_call("note", Note(journal.clone()));
        let runs = runs.start().await.unwrap();
        let schedules = backend.builder().role(Role::Serverless).start().await.unwrap();
        let first = schedules.future_call_with_delay("note", Some("first"), Duration::ZERO).await.unwrap();
        assert_eq!(journal.wait_for(1).await, ["first"]);
        let later = schedules.future_call_with_delay("note", Some("later"), HOUR).identifier("x").await.unwrap();
        let calls = schedules.future_calls();
        assert_eq!(calls.reschedule("x", HOUR * 2).await.unwrap(), Rescheduled::new(1, 0));
        assert_eq!(calls.run_now(later).await.unwrap(), Rescheduled::new(1, 0));
        assert_eq!(journal.wait_for(2).await, ["first", "later"]);
        // Its line stands there before its end is stored.
        eventually("the first is over", || async {
            (calls.status(first).await.unwrap() == Some(CallState::Succeeded)).then_some(())
        })
        .await;
        assert_eq!(calls.run_now(first).await.unwrap(), Rescheduled::new(0, 0));
        runs.shutdown().await;
        schedules.shutdown().await;
    }

    async fn a_run_under_way_is_counted_and_left_alone(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register_future_call("wait", UntilCancelled(journal.clone())).start().await.unwrap();
        let id = pod.future_call_with_delay("wait", Some("-"), Duration::ZERO).identifier("x").await.unwrap();
        journal.wait_for(1).await;
        let calls = pod.future_calls();
        assert_eq!(calls.reschedule(String::from("x"), HOUR).await.unwrap(), Rescheduled::new(0, 1));
        assert_eq!(calls.status(id).await.unwrap(), Some(CallState::Running));
        assert_eq!(calls.cancel("x").await.unwrap().running, 1);
        assert_eq!(journal.wait_for(2).await, ["started", "stopped"]);
        pod.shutdown().await;
    }

    async fn bad_input_is_refused_before_anything_is_moved(backend: &Backend) {
        let pod = backend.builder().role(Role::Serverless).start().await.unwrap();
        let id = pod.future_call_with_delay("note", Some("-"), HOUR).identifier("x").await.unwrap();
        let due = pod.inspect().call(id).await.unwrap().unwrap().due;
        let calls = pod.future_calls();
        let refused = calls.reschedule("", HOUR).await.unwrap_err();
        assert!(matches!(refused, ScheduleError::InvalidIdentifier { .. }), "{refused}");
        let refused = calls.reschedule(id, Duration::MAX).await.unwrap_err();
        assert!(matches!(refused, ScheduleError::MomentOutOfRange), "{refused}");
        let too_early = chrono::DateTime::UNIX_EPOCH - chrono::TimeDelta::seconds(1);
        let refused = calls.reschedule("x", too_early).await.unwrap_err();
        assert!(matches!(refused, ScheduleError::MomentOutOfRange), "{refused}");
        assert_eq!(pod.inspect().call(id).await.unwrap().unwrap().due, due);
        pod.shutdown().await;
        let refused = calls.reschedule(id, HOUR).await.unwrap_err();
        assert!(matches!(refused, ScheduleError::Stopped), "{refused}");
        assert!(matches!(calls.run_again(id).await, Err(ScheduleError::Stopped)));
    }

    async fn a_failed_call_is_run_again_by_command(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register_future_call("fail", Fail(journal.clone())).start().await.unwrap();
        let calls = pod.future_calls();
        let of = pod.future_call_with_delay("fail", Some("x"), Duration::ZERO).identifier("x").await.unwrap();
        let failed = async |id: CallId| {
            eventually("it has failed", || async {
                pod.inspect().call(id).await.unwrap().filter(|call| call.state == CallState::Failed)
            })
            .await
        };
        let first = failed(of).await;
        let again = calls.run_again(of).await.unwrap();
        assert_ne!(again, of);
        let second = failed(again).await;
        assert_eq!((second.rerun_of, &second.args, &second.identifier), (Some(of), &first.args, &first.identifier));
        assert_eq!(journal.lines(), ["attempt 1", "attempt 1"]);
        assert_eq!(failed(of).await, first, "the old one stays as it is");

        let unknown = CallId::new();
        let refused = calls.run_again(unknown).await.unwrap_err();
        assert!(matches!(refused, ScheduleError::UnknownCall { id } if id == unknown), "{refused}");
        let waiting = pod.future_call_with_delay("fail", Some("x"), HOUR).await.unwrap();
        let refused = calls.run_again(waiting).await.unwrap_err();
        assert!(matches!(refused, ScheduleError::StillPending { id } if id == waiting), "{refused}");
        pod.register_future_call("note", Note(journal.clone())).unwrap();
        let done = pod.future_call_with_delay("note", Some("done"), Duration::ZERO).await.unwrap();
        eventually("it has succeeded", || async {
            (calls.status(done).await.unwrap() == Some(CallState::Succeeded)).then_some(())
        })
        .await;
        let refused = calls.run_again(done).await.unwrap_err();
        assert!(matches!(refused, ScheduleError::AlreadySucceeded { id } if id == done), "{refused}");
        pod.shutdown().await;
    }
}
