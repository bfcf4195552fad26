//! Databases that reject pods for a while: for lack of a right, a login, or by a temporary error.

use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::store::prelude::*;
use futurecall_runtime::store::{Now, PostgresStore};
use futurecall_runtime::{CallState, Role};
use futurecall_tests::database;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::overheard::Overheard;
use futurecall_tests::proxy::Proxy;
use tokio::sync::watch;

use super::support::new_call;
use crate::roles::Roles;

/// Ends when its gate opens.
struct Gated {
    journal: Journal,
    gate: watch::Receiver<bool>,
}

impl InvokableFutureCall for Gated {
    type Data = u32;

    async fn invoke(&self, _session: &Session, data: Option<u32>) -> Result<(), BoxError> {
        self.journal.write(format!("{data:?}"));
        self.gate.clone().wait_for(|is_open| *is_open).await?;
        Ok(())
    }
}

/// Rights that are taken away and given back, as by a migration that goes wrong: three calls that had succeeded were once
/// recorded as interrupted, and scheduling gave up after 44 ms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_missing_for_a_while_cost_no_outcome_and_no_call() {
    let roles = Roles::new().await;
    let (journal, (open, gate)) = (Journal::new(), watch::channel(false));
    let builder = roles.builder("worker");
    let pod = builder
        .register_future_call("gated", Gated { journal: journal.clone(), gate })
        .start()
        .await
        .unwrap();
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(pod.future_call_with_delay("gated", Some(&n), Duration::ZERO).await.unwrap());
    }
    journal.wait_for(3).await;

    let schema = &roles.schema;
    let refusals = Overheard::word(&format!("permission denied for schema {schema}"));
    roles.admin(&format!("REVOKE USAGE ON SCHEMA {schema} FROM {schema}_worker")).await;
    open.send(true).unwrap();
    let scheduling = {
        let pod = pod.clone();
        tokio::spawn(async move { pod.future_call_with_delay("gated", Some(&3), Duration::ZERO).await })
    };
    // Outcomes, the new call, and claims: each has been refused by then, more than once.
    eventually("the pod is turned away", || async { (refusals.said().len() >= 4).then_some(()) }).await;
    roles.admin(&format!("GRANT USAGE ON SCHEMA {schema} TO {schema}_worker")).await;

    ids.push(scheduling.await.unwrap().unwrap());
    for id in ids {
        let state = eventually("the call is over", || async {
            let state = pod.future_calls().status(id).await.unwrap();
            state.filter(|state| !matches!(state, CallState::Scheduled | CallState::Running))
        })
        .await;
        assert_eq!(state, CallState::Succeeded);
    }
    assert_eq!(journal.lines().len(), 4, "each ran once");
    pod.shutdown().await;
    roles.drop().await;
}

/// Whoever asks for something meanwhile waits: nothing is given up in the first seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_while_rights_are_missing_is_done_later() {
    let roles = Roles::new().await;
    let pod = roles.builder("worker").role(Role::Serverless).start().await.unwrap();
    let hour = Duration::from_hours(1);
    let [moved, cancelled] = ["moved", "cancelled"].map(|identifier| {
        pod.future_call_with_delay("elsewhere", None::<&()>, hour).identifier(identifier).into_future()
    });
    let (moved, cancelled) = (moved.await.unwrap(), cancelled.await.unwrap());
    let schema = &roles.schema;
    roles.admin(&format!("REVOKE USAGE ON SCHEMA {schema} FROM {schema}_worker")).await;
    let refusals = Overheard::word(&format!("permission denied for schema {schema}"));
    let (calls, ada) = (pod.future_calls(), pod.future_calls());
    let moving = tokio::spawn(async move { calls.reschedule("moved", hour * 2).await });
    let cancelling = tokio::spawn(async move { ada.cancel("cancelled").await });
    eventually("both are refused", || async {
        (refusals.said().len() >= 2 || moving.is_finished()).then_some(())
    })
    .await;
    roles.admin(&format!("GRANT USAGE ON SCHEMA {schema} TO {schema}_worker")).await;
    let (moving, cancelling) = (moving.await.unwrap().unwrap(), cancelling.await.unwrap().unwrap());
    assert_eq!((moving.calls, moving.running), (1, 0));
    assert_eq!((cancelling.calls, cancelling.running), (1, 0));
    let status = async |id| pod.future_calls().status(id).await.unwrap();
    assert_eq!(
        [status(moved).await, status(cancelled).await],
        [Some(CallState::Scheduled), Some(CallState::Cancelled)]
    );
    pod.shutdown().await;
    roles.drop().await;
}

/// What the server's words mean: whether somebody has to put something right, and whether a pod that runs tries on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_says_of_itself_may_pass() {
    let database = database::postgres().await;
    let proxy = Proxy::before(&database).await;
    let store = PostgresStore::open(&proxy.url, &database.schema).await.unwrap();
    store.migrate().await.unwrap();
    let said = [
        // (code, transient, denied)
        ("28000", false, true),
        ("28P01", false, true),
        ("3D000", false, true),
        ("42501", false, true),
        ("42P01", false, true),
        ("58000", true, false),
        ("58P01", true, false),
        ("XX000", true, false),
        ("25P04", true, false),
        ("25006", true, false),
        ("42703", false, false),
    ];
    for (code, is_transient, is_denied) in said {
        let new = [new_call()];
        proxy.answer_with_an_error("created_at)", "ERROR", code);
        let error = store.insert(Now::Database, &new, false, Duration::ZERO).await.unwrap_err();
        assert_eq!((error.is_transient(), error.is_denied()), (is_transient, is_denied), "{code}: {error}");
        assert!(!error.is_refused() && !error.outcome_unknown(), "{code}: {error}");
    }
    drop(store);
    database.drop().await;
}
