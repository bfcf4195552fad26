//! Replies that are lost after the database has acted.

use std::time::Duration;

use futurecall_runtime::{CallState, Cancelled, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::proxy::Proxy;

use super::support::{Note, is, record};

/// Pieces of the statements whose replies are lost.
const STORE: &str = "expires_at, created_at)";
const CLAIM: &str = "AS horizon";
const FINISH: &str = "u.said, u.ran_for,";
const CANCEL: &str = "AS settled";

/// DBOS, and every layer over `FoundationDB`: a commit whose result was unknown was tried again, and its increment counted
/// twice. Here a call's id is made by its client and a claim's number by its pod, so that storing, claiming and finishing
/// are repeated or looked up without a double; and a cancellation that cannot be known to have happened says so.
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
    let mut expected = Vec::new();
    for round in 0..3 {
        for (n, statement) in [STORE, CLAIM, FINISH].into_iter().enumerate() {
            let data = format!("{statement} {round}");
            // Of claims the one that has the call: most have none.
            proxy.lose_a_reply_to(statement, if statement == CLAIM { &data } else { "" });
            // Through the pod whose replies are lost, whichever it is: `Ok` is a promise all the same.
            let id = pod.future_call_with_delay("note", Some(&data), Duration::ZERO).await.unwrap();
            lost(round * 4 + n + 1).await;
            is(&*store, id, CallState::Succeeded).await;
            let call = record(&*store, id).await;
            assert_eq!((call.attempt, call.attempts.len()), (1, 1), "{call:?}");
            expected.push(data);
        }
        let id =
            observer.future_call_with_delay("note", Some("never"), Duration::from_hours(1)).await.unwrap();
        proxy.lose_the_reply_to(CANCEL);
        let unknown = pod.future_calls().cancel_call(id).await.unwrap_err();
        assert!(unknown.outcome_unknown() && unknown.is_transient(), "{unknown}");
        assert!(unknown.to_string().contains("may be done"), "{unknown}");
        lost(round * 4 + 4).await;
        // It was done; asked again, it finds nothing to do and says so.
        assert_eq!(record(&*store, id).await.state, CallState::Cancelled);
        assert_eq!(pod.future_calls().cancel_call(id).await.unwrap(), Cancelled::default());
    }
    pod.shutdown().await;
    assert_eq!(journal.lines(), expected, "each once");
    let counts = observer.inspect().counts().await.unwrap();
    assert_eq!((counts.succeeded, counts.cancelled, counts.interrupted), (9, 3, 0));
    observer.shutdown().await;
    drop(store);
    backend.drop().await;
}
