//! The notifications of a store about a call that is due again: after the commit, and to itself as well as to others. A
//! claim that begins each lane where the last one ended (without `sweep`) finds only calls that it was notified of.

use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::store::{ClaimRequest, Now, OnVanish, PostgresStore, Store};
use futurecall_runtime::{CallId, PodId};

use super::lab::{Lab, Running, run};
use super::operations::{Cast, Op, Side, Way};
use super::states::State;

/// Operations that make a claimed call due, and wait for its row.
const TELLING: [Op; 3] = [Op::Release, Op::Retry, Op::Rerun];

/// The timeout of a notification.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_itself_is_told_after_the_commit() {
    for op in TELLING {
        let mut lab = Lab::new(State::Held, &[]).await;
        let (cast, target) = (lab.cast, lab.target);
        let store = store(&lab, "first").await;
        assert_eq!(claimed(&*store, &cast, true).await, []);
        let mut lock = lab.lock_the_call().await;
        let way = Way { store: Arc::clone(&store), pool: None };
        let running = Running::start(way, op, cast, target, Side::First);
        lab.ended_or_waits(&running, "first").await;
        assert!(!running.is_finished(), "{op:?} waits for the row");
        assert_eq!(claimed(&*store, &cast, false).await, [], "{op:?} is not over");
        run(&mut lock, "COMMIT").await;
        drop(lock);
        running.ended().await;
        assert_eq!(claimed(&*store, &cast, false).await, [target], "{op:?} was not told");
        store.close().await;
        lab.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_told_after_the_commit() {
    for op in TELLING {
        let mut lab = Lab::new(State::Held, &[]).await;
        let (cast, target) = (lab.cast, lab.target);
        let (store, other) = (store(&lab, "first").await, store(&lab, "other").await);
        assert_eq!(claimed(&*other, &cast, true).await, []);
        // It listens from its first question on.
        while !other.hears() {
            let _ = tokio::time::timeout(Duration::from_millis(10), other.changed()).await;
        }
        let mut lock = lab.lock_the_call().await;
        let way = Way { store: Arc::clone(&store), pool: None };
        let running = Running::start(way, op, cast, target, Side::First);
        lab.ended_or_waits(&running, "first").await;
        assert_eq!(claimed(&*other, &cast, false).await, [], "{op:?} is not over");
        let hearing = tokio::spawn({
            let other = Arc::clone(&other);
            async move {
                loop {
                    other.changed().await;
                    let calls = claimed(&*other, &cast, false).await;
                    if !calls.is_empty() {
                        return calls;
                    }
                }
            }
        });
        run(&mut lock, "COMMIT").await;
        drop(lock);
        running.ended().await;
        let heard = tokio::time::timeout(PATIENCE, hearing).await;
        let heard = heard.unwrap_or_else(|_| panic!("nobody was told of {op:?} after its commit"));
        assert_eq!(heard.expect("no claim panics"), [target]);
        store.close().await;
        other.close().await;
        lab.end().await;
    }
}

async fn store(lab: &Lab, application: &str) -> Arc<dyn Store> {
    let url = lab.url(application);
    Arc::new(PostgresStore::open_with(&url, lab.schema(), 3).await.expect("a store"))
}

async fn claimed(store: &dyn Store, cast: &Cast, sweep: bool) -> Vec<CallId> {
    let request = ClaimRequest { sweep, ..Cast::request(PodId::new(), 21, OnVanish::Keep) };
    let claim = store.claim(Now::At(cast.now), &request).await.expect("a claim");
    claim.calls.iter().map(|call| call.id).collect()
}
