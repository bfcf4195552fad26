//! What it takes to claim from many names.

use crate::store::{Finish, NewCall, Now, Retention};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::*;

#[tokio::test]
async fn one_call_each_of_many_names_takes_a_statement_for_a_thousand() {
    const NAMES: usize = 10_000;
    let (home, store) = Home::migrated().await;
    let names: Vec<String> = (0..NAMES).map(|number| format!("name {number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let calls: Vec<NewCall> = names.iter().map(|name| call(name)).collect();
    store.insert(Now::Database, &calls, false, SOON).await.unwrap();

    let mut request = request(&names, 1_000);
    let (before, mut taken) = (store.link.sent.load(Ordering::Relaxed), BTreeSet::new());
    loop {
        let claim = store.claim(Now::Database, &request).await.unwrap();
        if claim.calls.is_empty() {
            break;
        }
        let ends: Vec<Finish> = claim.calls.iter().map(succeeded).collect();
        taken.extend(claim.calls.iter().map(|call| call.id));
        store.finish(Now::Database, request.pod, &ends, &Retention::default()).await.unwrap();
        (request.sweep, request.claim_no) = (false, request.claim_no + 1);
    }
    assert_eq!(taken.len(), NAMES);
    // A claim and its outcomes for each thousand; the survey, and looks that find nothing more.
    let sent = store.link.sent.load(Ordering::Relaxed) - before;
    assert!(sent <= 2 * NAMES / 1_000 + 4, "{sent} statements");
    home.remove().await;
}
