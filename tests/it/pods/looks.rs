//! Read-only tools: pods that leave the tables alone, and explanations of a call's state.

use std::time::Duration;

use futurecall_runtime::inspect::{Inspector, Reason};
use futurecall_runtime::{CallId, CallState, Role, StartError};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;

use super::support::{Fail, Never, Note};

const HOUR: Duration = Duration::from_hours(1);

async fn reasons(inspect: &Inspector, id: CallId) -> Vec<Reason> {
    let why = inspect.why(id).await.unwrap().expect("there is such a call");
    assert!(!why.reasons.is_empty() && !why.to_string().is_empty(), "{why:?}");
    why.reasons
}

on_all_stores! {
    async fn a_pod_told_not_to_migrate_says_what_is_missing(backend: &Backend) {
        let tool = || backend.builder().role(Role::Serverless).without_migration();
        match (tool().start().await, backend) {
            // There is nothing to migrate.
            (Ok(pod), Backend::Memory(_)) => {
                pod.shutdown().await;
            }
            (Err(error), _) => {
                assert!(matches!(&error, StartError::NotMigrated { missing } if missing == &["1 (calls)"]), "{error:?}");
                assert!(error.to_string().contains("1 (calls)"), "{error}");
                assert!(tool().start().await.is_err(), "it has made nothing");
            }
            (Ok(_), _) => panic!("it started without its tables"),
        }
        backend.builder().start().await.unwrap().shutdown().await;
        let pod = tool().start().await.unwrap();
        let steps = pod.inspect().migrations().await.unwrap();
        assert!(steps.iter().all(|step| step.applied.is_some()), "{steps:?}");
        assert_eq!(pod.inspect().database(), backend.store().await.kind());
        pod.shutdown().await;
    }

    async fn why_a_call_waits_names_what_it_waits_for(backend: &Backend) {
        let tool = backend.builder().role(Role::Serverless).start().await.unwrap();
        let inspect = tool.inspect();
        assert_eq!(inspect.why(CallId::new()).await.unwrap(), None);
        let later = tool.future_call_with_delay("note", Some("-"), HOUR).await.unwrap();
        let found = reasons(&inspect, later).await;
        assert!(matches!(found[..], [Reason::NotDue { left, .. }, Reason::NoPod] if left <= HOUR), "{found:?}");

        let busy = backend
            .builder()
            .config(Backend::config().concurrency_limit(1))
            .register_future_call("never", Never(Journal::new()))
            .start()
            .await
            .unwrap();
        let found = reasons(&inspect, later).await;
        assert!(matches!(&found[..], [Reason::NotDue { .. }, Reason::NoPodKnowsName { name, pods: 1 }] if name == "note"), "{found:?}");

        let runs = tool.future_call_with_delay("never", Some("-"), Duration::ZERO).await.unwrap();
        let found = eventually("it runs", async || {
            let found = reasons(&inspect, runs).await;
            matches!(found[..], [Reason::Running { pod, .. }] if pod == busy.id()).then_some(found)
        });
        found.await;
        // What goes first in its lane may be claimed ahead for a while; the last one never is.
        let mut last = runs;
        for _ in 0..3 {
            last = tool.future_call_with_delay("never", Some("-"), Duration::ZERO).await.unwrap();
        }
        eventually("it stands behind others", async || {
            let found = reasons(&inspect, last).await;
            matches!(found[..], [Reason::Waiting { ahead: 1..=2, slots: 1, .. }]).then_some(())
        })
        .await;
        tool.shutdown().await;
        busy.shutdown().await;
    }

    async fn why_a_call_is_over_says_what_it_said(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend
            .builder()
            .register_future_call("fail", Fail(journal.clone()))
            .register_future_call("note", Note(journal.clone()))
            .start()
            .await
            .unwrap();
        for (name, state, says) in
            [("fail", CallState::Failed, Some("no such luck")), ("note", CallState::Succeeded, None)]
        {
            let id = pod.future_call_with_delay(name, Some("-"), Duration::ZERO).await.unwrap();
            let why = eventually("it is over", async || {
                let why = pod.inspect().why(id).await.unwrap().unwrap();
                why.state.is_finished().then_some(why)
            })
            .await;
            assert_eq!(why.state, state);
            assert!(
                matches!(&why.reasons[..], [Reason::Finished { at: Some(_), error }] if error.as_deref() == says),
                "{why:?}"
            );
        }
        pod.shutdown().await;
    }
}
