//! Stores on one file hear of each other.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::super::shared_file::{File, Neighbour};
use super::super::wal_watch::Ear;
use super::super::writer_message::Message;
use super::{folder, migrated, store_one};
use crate::id::PodId;
use crate::store::prelude::*;

#[tokio::test]
async fn writers_of_one_file_tell_each_other() {
    let (folder, _) = folder();
    let path = folder.path().join("calls.db");
    std::fs::write(&path, "").expect("written");
    let (one_inbox, mut one_reads) = mpsc::unbounded_channel();
    let (two_inbox, mut two_reads) = mpsc::unbounded_channel();
    let one = Neighbour::new(one_inbox.downgrade());
    let two = Neighbour::new(two_inbox.downgrade());
    let file = File::shared(path.clone(), &one);
    // Another way to write the same path.
    let same = File::shared(folder.path().join(".").join("calls.db"), &two);
    assert!(std::sync::Arc::ptr_eq(&file, &same));
    two.set_listening();
    file.tell_others(&one);
    file.tell_others(&one);
    assert!(matches!(two_reads.try_recv(), Ok(Message::Written)));
    assert!(two_reads.try_recv().is_err(), "told once, as long as it has not read it");
    two.told();
    file.tell_others(&one);
    assert!(matches!(two_reads.try_recv(), Ok(Message::Written)));
    file.tell_others(&two);
    assert!(one_reads.try_recv().is_err(), "the first does not listen");

    let other = File::shared(folder.path().join("other.db"), &one);
    assert!(!std::sync::Arc::ptr_eq(&file, &other));
}

#[tokio::test]
async fn a_write_to_the_log_is_a_reason_to_look() {
    let (folder, _) = folder();
    let log = folder.path().join("calls.db-wal");
    std::fs::write(&log, "").expect("written");
    let mut ear = Ear::new(log.clone());
    ear.due().await;
    ear.looked(false);
    // The kernel, or a look at the file: one of both tells.
    std::fs::write(&log, "frames").expect("written");
    ear.due().await;
    for _ in 0..20 {
        ear.looked(false);
        if ear.due().now_or_never().is_none() {
            break;
        }
    }
    ear.told();
    assert!(ear.due().now_or_never().is_some(), "a neighbour's word is true at once");
    // After news, the next are waited for a little, and then looked for.
    ear.looked(true);
    ear.told();
    ear.due().await;
}

#[tokio::test]
async fn all_who_listen_hear_and_the_writer_itself_does_not() {
    let (_folder, url) = folder();
    let writer = migrated(&url).await;
    let listeners = [migrated(&url).await, migrated(&url).await];
    for round in 0..20 {
        // What is left of the round before.
        for store in [&writer, &listeners[0], &listeners[1]] {
            while store.changed().now_or_never().is_some() {}
        }
        store_one(&writer).await.expect("stored");
        for store in &listeners {
            let heard = tokio::time::timeout(Duration::from_secs(20), store.changed());
            heard.await.unwrap_or_else(|_| panic!("nothing heard in round {round}"));
        }
    }
    writer.find_claim(PodId::new(), 1).await.expect("the writer answers in order");
    assert!(writer.changed().now_or_never().is_none());
}
