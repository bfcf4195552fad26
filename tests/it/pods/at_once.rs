//! The fast path: calls that are due when they are stored, on an idle pod.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::CallState;
use futurecall_runtime::prelude::*;
use futurecall_runtime::store::{Counts, MemoryStore};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;
use futures_util::FutureExt;
use tokio::sync::Semaphore;

use super::support::Note;

const CALLS: usize = 50;

async fn idle_pod(backend: &Backend, journal: &Journal) -> Pod {
    let pod = backend.builder().register_future_call("note", Note(journal.clone())).start().await.unwrap();
    // Once it has run something, it has looked for what is due.
    pod.future_call_with_delay("note", Some("first"), Duration::ZERO).await.unwrap();
    journal.wait_for(1).await;
    pod
}

/// By another pod; says how everything has ended.
async fn run_what_is_left(backend: &Backend, journal: &Journal) -> Counts {
    let other = backend.builder().register_future_call("note", Note(journal.clone())).start().await.unwrap();
    let counts = eventually("everything has come to its end", || async {
        let counts = other.inspect().counts().await.unwrap();
        (counts.scheduled + counts.running == 0).then_some(counts)
    })
    .await;
    other.shutdown().await;
    counts
}

on_all_stores! {
    async fn calls_one_after_the_other_run_once_each(backend: &Backend) {
        let journal = Journal::new();
        let pod = idle_pod(backend, &journal).await;
        for number in 0..CALLS {
            let id = pod.future_call_with_delay("note", Some(&number.to_string()), Duration::ZERO).await.unwrap();
            journal.wait_for(number + 2).await;
            eventually("it has succeeded", || async {
                (pod.future_calls().status(id).await.unwrap() == Some(CallState::Succeeded)).then_some(())
            })
            .await;
        }
        pod.shutdown().await;
        let expected: Vec<_> = (0..CALLS).map(|number| number.to_string()).collect();
        assert_eq!(journal.lines()[1..], expected);
    }

    async fn a_caller_that_goes_away_leaves_no_call_half_stored(backend: &Backend) {
        let journal = Journal::new();
        let pod = idle_pod(backend, &journal).await;
        for number in 0..CALLS {
            let scheduling = pod.future_call_with_delay("note", Some(&number.to_string()), Duration::ZERO);
            let mut scheduling = std::pin::pin!(scheduling.into_future());
            // As far as it gets by itself, and a little further.
            for _ in 0..number % 5 {
                if scheduling.as_mut().now_or_never().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        pod.future_call_with_delay("note", Some("last"), Duration::ZERO).await.unwrap();
        eventually("the last has run", || async {
            journal.lines().iter().any(|line| line == "last").then_some(())
        })
        .await;
        // What is still on its way is stored by then, or never.
        pod.shutdown().await;
        let counts = run_what_is_left(backend, &journal).await;
        let lines = journal.lines();
        let distinct: BTreeSet<&String> = lines.iter().collect();
        assert_eq!(distinct.len(), lines.len(), "none twice");
        assert_eq!((counts.succeeded, counts.interrupted), (lines.len() as u64, 0));
    }

    async fn what_is_paused_waits(backend: &Backend) {
        let journal = Journal::new();
        let note = || Note(journal.clone());
        let builder = backend.builder().register_future_call("note", note()).register_future_call("other", note());
        let pod = builder.start().await.unwrap();
        let ada = pod.operate("ada");
        assert!(ada.pause_name("note", "").await.unwrap());
        for number in 0..10 {
            // Once it has run something, it has looked, and has nothing else to do.
            pod.future_call_with_delay("other", Some("other"), Duration::ZERO).await.unwrap();
            journal.wait_for(number + 1).await;
            let id = pod.future_call_with_delay("note", Some("note"), Duration::ZERO).await.unwrap();
            assert_eq!(pod.future_calls().status(id).await.unwrap(), Some(CallState::Scheduled));
        }
        assert!(ada.resume_name("note").await.unwrap());
        let lines = journal.wait_for(20).await;
        assert_eq!(lines.iter().filter(|line| *line == "note").count(), 10);
        pod.shutdown().await;
    }

    async fn a_pod_that_ends_meanwhile_loses_and_interrupts_nothing(backend: &Backend) {
        let journal = Journal::new();
        let pod = idle_pod(backend, &journal).await;
        let producer = pod.clone();
        let scheduling = tokio::spawn(async move {
            let mut stored = 0;
            // Until the pod refuses.
            while producer.future_call_with_delay("note", Some("work"), Duration::ZERO).await.is_ok() {
                stored += 1;
            }
            stored
        });
        journal.wait_for(10).await;
        let summary = pod.shutdown().await;
        let stored: u64 = scheduling.await.unwrap();
        assert_eq!(summary.interrupted, 0);
        let counts = run_what_is_left(backend, &journal).await;
        assert_eq!((counts.succeeded, counts.interrupted), (stored + 1, 0));
        assert_eq!(journal.lines().len() as u64, stored + 1);
    }
}

/// Ends when it is let, and writes that down.
struct Ends(Journal, Arc<Semaphore>);

impl InvokableFutureCall for Ends {
    type Data = String;

    async fn invoke(&self, _session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        self.1.acquire().await?.forget();
        self.0.write("ended");
        Ok(())
    }
}

/// What runs a handler may not depend on a runtime that ends with the caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_whose_runtime_ends_leaves_the_call_to_the_pod() {
    let (journal, backend) = (Journal::new(), Backend::Memory(MemoryStore::new()));
    let may_end = Arc::new(Semaphore::new(1));
    let ends = Ends(journal.clone(), Arc::clone(&may_end));
    let pod = backend.builder().register_future_call("ends", ends).start().await.unwrap();
    pod.future_call_with_delay("ends", None::<&str>, Duration::ZERO).await.unwrap();
    journal.wait_for(1).await;
    for number in 0..20 {
        let pod = pod.clone();
        let caller = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let call = pod.future_call_with_delay("ends", None::<&str>, Duration::ZERO);
            runtime.block_on(call.into_future()).unwrap();
        });
        tokio::task::spawn_blocking(move || caller.join().unwrap()).await.unwrap();
        may_end.add_permits(1);
        journal.wait_for(number + 2).await;
    }
    pod.shutdown().await;
}
