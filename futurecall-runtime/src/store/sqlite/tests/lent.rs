//! Inside the application's own transaction.

use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::Row;

use super::{application, call, folder, migrated, scheduled, store_one};
use crate::store::prelude::*;
use crate::store::transaction::TransactionRef;
use crate::store::{CancelTarget, Cancelled, Retention};

const READ: &str = "SELECT * FROM futurecall_call";

#[tokio::test]
async fn the_application_decides_over_what_is_in_its_transaction() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let pool = application(&url).await;
    for keep in [true, false] {
        let mut tx = pool.begin().await.expect("begun");
        let calls = [call("a.b"), call("a.b")];
        store.insert_in(TransactionRef::Sqlite(&mut tx), &calls, Duration::ZERO).await.expect("stored");
        let end = if keep { tx.commit().await } else { tx.rollback().await };
        end.expect("ended");
        assert_eq!(scheduled(&store).await, 2, "kept: {keep}");
    }
    let label = CancelTarget::Identifier("label".to_owned());
    for keep in [false, true] {
        let mut tx = pool.begin().await.expect("begun");
        let lent = TransactionRef::Sqlite(&mut tx);
        let cancelled = store.cancel_in(lent, &label, &Retention::default()).await.expect("cancelled");
        assert_eq!(cancelled, Cancelled::new(2, 0, 0));
        let end = if keep { tx.commit().await } else { tx.rollback().await };
        end.expect("ended");
        assert_eq!(scheduled(&store).await, if keep { 0 } else { 2 }, "kept: {keep}");
    }
}

#[tokio::test]
async fn a_connection_without_a_transaction_is_committed_at_once() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let pool = application(&url).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let lent = TransactionRef::Sqlite(&mut connection);
    store.insert_in(lent, &[call("a.b")], Duration::ZERO).await.expect("stored");
    assert_eq!(scheduled(&store).await, 1);
    let label = CancelTarget::Identifier("label".to_owned());
    let lent = TransactionRef::Sqlite(&mut connection);
    let cancelled = store.cancel_in(lent, &label, &Retention::default()).await.expect("cancelled");
    assert_eq!(cancelled, Cancelled::new(1, 0, 0));
    assert_eq!(scheduled(&store).await, 0);
}

#[tokio::test]
async fn a_cancellation_dropped_midway_leaves_the_transaction_as_it_was() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let pool = application(&url).await;
    for begin in [None, Some("BEGIN IMMEDIATE")] {
        // Each poll lets the cancellation come one step further before it is dropped.
        for steps in 1..20 {
            let mut connection = pool.acquire().await.expect("a connection");
            if let Some(begin) = begin {
                sqlx::query(begin).execute(&mut *connection).await.expect("begun");
            }
            let lent = TransactionRef::Sqlite(&mut connection);
            store.insert_in(lent, &[call("a.b")], Duration::ZERO).await.expect("stored");
            let label = CancelTarget::Identifier("label".to_owned());
            let retention = Retention::default();
            let mut cancelling = store.cancel_in(TransactionRef::Sqlite(&mut connection), &label, &retention);
            let (mut polls, mut done) = (0, false);
            std::future::poll_fn(|context| {
                polls += 1;
                done = polls <= steps && cancelling.poll_unpin(context).is_ready();
                if done || polls > steps { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            drop(cancelling);
            let waiting: i64 = sqlx::query("SELECT count(*) FROM futurecall_call")
                .fetch_one(&mut *connection)
                .await
                .and_then(|row| row.try_get(0))
                .expect("the connection still works");
            let over: i64 = sqlx::query("SELECT count(*) FROM futurecall_finished")
                .fetch_one(&mut *connection)
                .await
                .and_then(|row| row.try_get(0))
                .expect("the connection still works");
            assert!((waiting == 0) == (over > 0), "whole or not at all: {waiting} waiting, {over} over");
            assert!(!done || waiting == 0);
            if begin.is_some() {
                sqlx::query("ROLLBACK")
                    .execute(&mut *connection)
                    .await
                    .expect("their transaction is still open");
            }
            sqlx::query("DELETE FROM futurecall_call").execute(&mut *connection).await.expect("cleared");
            sqlx::query("DELETE FROM futurecall_finished").execute(&mut *connection).await.expect("cleared");
        }
    }
}

#[tokio::test]
async fn a_transaction_that_has_read_conflicts_with_who_wrote_meanwhile() {
    let (_folder, url) = folder();
    let store = migrated(&url).await;
    let pool = application(&url).await;
    let mut tx = pool.begin().await.expect("begun");
    sqlx::query(READ).fetch_all(&mut *tx).await.expect("read");
    store_one(&store).await.expect("somebody else writes");
    let lent = TransactionRef::Sqlite(&mut tx);
    let error = store.insert_in(lent, &[call("a.b")], Duration::ZERO).await.expect_err("too late");
    assert!(error.is_conflict() && !error.is_busy(), "{error:?}");
    tx.rollback().await.expect("their transaction is theirs to end");

    // The same before the other has committed: waiting for it would not help.
    let mut reading = pool.begin().await.expect("begun");
    sqlx::query(READ).fetch_all(&mut *reading).await.expect("read");
    let writing = pool.begin_with("BEGIN IMMEDIATE").await.expect("begun");
    let label = CancelTarget::Identifier("label".to_owned());
    let lent = TransactionRef::Sqlite(&mut reading);
    let error = store.cancel_in(lent, &label, &Retention::default()).await.expect_err("too late");
    assert!(error.is_conflict(), "{error:?}");
    drop(reading);

    // A transaction that has not read waits as long as the application has told SQLite to.
    let mut fresh = pool.begin().await.expect("begun");
    let lent = TransactionRef::Sqlite(&mut fresh);
    let error = store.insert_in(lent, &[call("a.b")], Duration::ZERO).await.expect_err("locked");
    assert!(error.is_busy() && !error.is_conflict(), "{error:?}");
    drop(writing);
}
