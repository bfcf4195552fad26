//! Operations that share a transaction.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use sqlx::SqlitePool;

use super::{application, call, folder, migrated, request, scheduled, succeeded};
use crate::error::StoreError;
use crate::store::prelude::*;
use crate::store::sqlite::SqliteStore;
use crate::store::{Claim, Due, Inserted, NewCall, Now, Retention};

/// What the writer's connection commits from now on.
#[derive(Clone, Default)]
struct Commits {
    count: Arc<AtomicU64>,
    refused: Arc<AtomicBool>,
}

impl Commits {
    async fn of(store: &SqliteStore) -> Self {
        let commits = Self::default();
        let (hook, ready) = (commits.clone(), Arc::new(AtomicBool::new(false)));
        let is_ready = Arc::clone(&ready);
        let set = store.writer.run("set a hook", move |connection| {
            Box::pin(async move {
                let mut handle = connection.lock_handle().await.expect("the connection works");
                handle.set_commit_hook(move || {
                    if is_ready.load(Ordering::Relaxed) {
                        hook.count.fetch_add(1, Ordering::Relaxed);
                    }
                    !hook.refused.load(Ordering::Relaxed)
                });
                Ok(())
            })
        });
        set.await.expect("set");
        ready.store(true, Ordering::Relaxed);
        commits
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn refuse(&self, refuse: bool) {
        self.refused.store(refuse, Ordering::Relaxed);
    }
}

/// Lets operations begin only when all of them wait.
async fn together<T>(url: &str, mut operations: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let pool: SqlitePool = application(url).await;
    let held = pool.begin_with("BEGIN IMMEDIATE").await.expect("the application takes the lock");
    for operation in &mut operations {
        assert!(operation.as_mut().now_or_never().is_none(), "it waits for the lock");
    }
    held.rollback().await.expect("the lock is free");
    join_all(operations).await
}

fn stored(store: &SqliteStore) -> BoxFuture<'_, Result<(), StoreError>> {
    Box::pin(async {
        let stored = store.insert(Now::Database, &[call("a.b")], false, super::Duration::ZERO).await?;
        assert_eq!(stored, [Inserted::Stored]);
        Ok(())
    })
}

/// Stores a call and then ends otherwise.
fn stores_and<F>(store: &SqliteStore, end: F) -> BoxFuture<'_, Result<(), StoreError>>
where
    F: FnOnce() -> Result<(), StoreError> + Send + 'static,
{
    Box::pin(store.write("try", Now::Database, |mut tx| {
        Box::pin(async move {
            let row = "INSERT INTO futurecall_call (id, name, due_at, args, created_at) \
                       VALUES (randomblob(16), 'a.b', 1, '{}', 1)";
            tx.run(tx.composed(row)).await?;
            end()
        })
    }))
}

#[tokio::test]
async fn what_waits_shares_one_commit() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let commits = Commits::of(&store).await;
    let results = together(&url, (0..20).map(|_| stored(&store)).collect()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!((scheduled(&store).await, commits.count()), (20, 1));
}

#[tokio::test]
async fn a_failing_operation_is_undone_alone() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let commits = Commits::of(&store).await;
    let results = together(
        &url,
        vec![
            stored(&store),
            stores_and(&store, || Err(StoreError::refused("try", "not this one"))),
            stored(&store),
            stores_and(&store, || panic!("as a time zone's arithmetic might")),
            stores_and(&store, || Ok(())),
        ],
    )
    .await;
    let told: Vec<_> = results.iter().map(|result| result.as_ref().err().map(ToString::to_string)).collect();
    let (refused, panicked) = ("could not try: not this one", "could not try: the operation panicked");
    assert_eq!(told, [None, Some(refused.to_owned()), None, Some(panicked.to_owned()), None]);
    assert_eq!((scheduled(&store).await, commits.count()), (3, 1));
}

#[tokio::test]
async fn the_first_operation_fails_alone_as_well() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let fails = stores_and(&store, || Err(StoreError::permanent("try", "no")));
    let results = together(&url, vec![fails, stored(&store), stored(&store)]).await;
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(scheduled(&store).await, 2);
}

#[tokio::test]
async fn a_failed_commit_is_told_to_all() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let commits = Commits::of(&store).await;
    commits.refuse(true);
    let mut operations: Vec<Pin<Box<_>>> = (0..3).map(|_| stored(&store)).collect();
    operations.push(stores_and(&store, || Ok(())));
    let results = together(&url, operations).await;
    for (result, doing) in results.iter().zip(["store calls", "store calls", "store calls", "try"]) {
        let error = result.as_ref().expect_err("nothing was committed").to_string();
        assert!(error.starts_with(&format!("could not {doing}: ")), "{error}");
    }
    assert_eq!((scheduled(&store).await, commits.count()), (0, 1));
    commits.refuse(false);
    stored(&store).await.expect("the writer goes on");
    assert_eq!(scheduled(&store).await, 1);
}

#[tokio::test]
async fn a_transaction_that_sqlite_gives_up_is_undone_for_all_that_were_in_it() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    // As SQLite does by itself when a disk fails.
    let gives_up = store.write("try", Now::Database, |mut tx| {
        Box::pin(async move {
            tx.run(tx.composed("ROLLBACK")).await?;
            Err(StoreError::transient("try", "the disk failed"))
        })
    });
    let results =
        together(&url, vec![stored(&store), stored(&store), Box::pin(gives_up), stored(&store)]).await;
    for undone in &results[..2] {
        let error = undone.as_ref().expect_err("undone");
        assert!(error.is_transient() && !error.outcome_unknown(), "{error}");
    }
    assert!(results[2].as_ref().is_err_and(|error| error.to_string().contains("the disk failed")));
    assert!(results[3].is_ok(), "what came behind it has a transaction of its own: {:?}", results[3]);
    assert_eq!(scheduled(&store).await, 1);
}

#[tokio::test]
async fn who_leaves_while_others_wait_has_left_nothing() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let pool = application(&url).await;
    let held = pool.begin_with("BEGIN IMMEDIATE").await.expect("the application takes the lock");
    let (mut first, mut left, mut last) = (stored(&store), stored(&store), stored(&store));
    for operation in [&mut first, &mut left, &mut last] {
        assert!(operation.as_mut().now_or_never().is_none());
    }
    drop(left);
    held.rollback().await.expect("the lock is free");
    first.await.expect("stored");
    last.await.expect("stored");
    assert_eq!(scheduled(&store).await, 2);
}

#[tokio::test]
async fn a_claim_takes_what_was_stored_in_the_same_transaction() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let calls: Vec<_> =
        (0..3).map(|_| NewCall { due: Due::After(super::Duration::ZERO), ..call("a.b") }).collect();
    let request = request(2);
    let (pod, retention) = (request.pod, Retention::default());
    let insert = async {
        store.insert(Now::Database, &calls, false, super::Duration::ZERO).await.map(|_| Claim::default())
    };
    let claims = together(&url, vec![insert.boxed(), store.claim(Now::Database, &request)]).await;
    let claim = claims.into_iter().next_back().expect("two").expect("claimed");
    assert_eq!(claim.calls.len(), 2);
    let ends: Vec<_> = claim.calls.iter().map(succeeded).collect();
    let second = super::ClaimRequest { claim_no: 2, ..request };
    let finish = async {
        let held = store.finish(Now::Database, pod, &ends, &retention).await?;
        assert!(held.iter().all(|held| held.is_recorded()));
        Ok(Claim::default())
    };
    let claims = together(&url, vec![finish.boxed(), store.claim(Now::Database, &second)]).await;
    assert_eq!(claims.into_iter().next_back().expect("two").expect("claimed").calls.len(), 1);
}

#[cfg(unix)]
/// As where the file system shares no memory: a new file is empty until the first commit, which is no sign that somebody
/// has emptied it.
#[tokio::test]
async fn a_new_file_without_a_log_can_be_begun() {
    let (_folder, url) = folder();
    let store = migrated(&format!("{url}?vfs=unix-dotfile")).await;
    store.insert(Now::Database, &[call("a.b")], false, super::Duration::ZERO).await.expect("stored");
    assert_eq!(store.counts(Now::Database, 9).await.expect("counted").scheduled, 1);
    store.close().await;
}
