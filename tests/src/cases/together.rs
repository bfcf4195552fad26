//! Everything at once, on two handles: nothing deadlocks, nothing is lost, nothing happens twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futurecall_runtime::store::{
    CallFilter, CallState, CancelTarget, ClaimedCall, Finished, Lease, NewCall, Now, Outcome, ScheduleState,
    Store,
};
use futurecall_runtime::{CallId, StoreError};
use futures_util::future::join_all;

use crate::make::{
    FORGET, KEEP, LEASE, Pod, SOON, at, call, every, failed, finish, held, identifier, labelled, schedule,
};
use crate::suite::{Fixture, cases};
use futurecall_testbed::rng::Rng;

cases![
    everything_at_once_loses_nothing,
    a_cancellation_in_an_open_transaction_holds_once_committed,
    a_call_stored_in_an_open_transaction_runs_once_committed,
    schedules_are_declared_cancelled_and_claimed_at_once,
];

/// What the tasks of a case were told, apart from what the store says afterwards.
#[derive(Default)]
struct Ledger {
    stored: Mutex<Vec<CallId>>,
    finished: Mutex<BTreeMap<CallId, u32>>,
}

/// The same again until it succeeds: what a pod does when its database asks it to.
async fn until_done<T, F: Future<Output = Result<T, StoreError>>>(mut operation: impl FnMut() -> F) -> T {
    for _ in 0..100 {
        match operation().await {
            Ok(done) => return done,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    panic!("a hundred refusals")
}

async fn everything_at_once_loses_nothing(fixture: &Fixture) {
    let ledger = Arc::new(Ledger::default());
    let tasks = (0..10).map(|task: u64| {
        let store = Arc::clone(if task.is_multiple_of(2) { &fixture.store } else { &fixture.other });
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move {
            match task % 5 {
                0 | 1 => producer(&store, &ledger, task).await,
                2 | 3 => worker(&store, &ledger, task).await,
                _ => caretaker(&store, task).await,
            }
        })
    });
    for task in join_all(tasks).await {
        task.expect("a task ends");
    }
    // What is left is run by a last pod, when every lease is over.
    fixture.rescue_all().await;
    let last = fixture.pod();
    for claimed in last.claim(at(1_000), &["a", "b"], 10_000).await {
        assert!(last.finish(at(1_000), &claimed, Outcome::Succeeded).await);
        *ledger.finished.lock().unwrap().entry(claimed.id).or_default() += 1;
    }
    let stored = ledger.stored.lock().unwrap().clone();
    let finished = ledger.finished.lock().unwrap().clone();
    let history: BTreeMap<_, _> =
        fixture.list(CallFilter::new()).await.into_iter().map(|call| (call.id, call.state)).collect();
    assert_eq!(history.len(), stored.len(), "every call is over, and stands in the history once");
    for id in stored {
        let told = finished.get(&id).copied().unwrap_or(0);
        match history.get(&id) {
            Some(CallState::Succeeded | CallState::Failed) => assert_eq!(told, 1, "{id} finished once"),
            // Cancelled before it ran, or while it ran and then failed.
            Some(CallState::Cancelled) => assert!(told <= 1, "{id} finished {told} times"),
            other => panic!("{id} is {other:?}"),
        }
    }
}

async fn producer(store: &Arc<dyn Store>, ledger: &Ledger, seed: u64) {
    let mut dice = Rng::new(seed);
    for _ in 0..30 {
        let calls: Vec<_> = (0..=dice.below(6))
            .map(|_| {
                let name = if dice.below(2) == 0 { "a" } else { "b" };
                NewCall { priority: dice.small(3), ..labelled(name, &format!("label {}", dice.below(12))) }
            })
            .collect();
        until_done(|| store.insert(Now::At(at(0)), &calls, true, SOON)).await;
        ledger.stored.lock().unwrap().extend(calls.iter().map(|call| call.id));
        let target = identifier(&format!("label {}", dice.below(12)));
        if dice.below(3) == 0 {
            until_done(|| store.cancel(Now::At(at(1)), &target, &KEEP)).await;
        } else if let Some(one) = calls.first().filter(|_| dice.below(3) == 0) {
            let target = CancelTarget::Call(one.id);
            until_done(|| store.cancel(Now::At(at(1)), &target, &KEEP)).await;
        }
    }
}

async fn worker(store: &Arc<dyn Store>, ledger: &Ledger, seed: u64) {
    let mut dice = Rng::new(seed);
    let pod = Pod::on(store).rerunning();
    for _ in 0..40 {
        let request = pod.request(&["a", "b"], 1 + dice.below(8));
        let claimed = until_done(|| store.claim(Now::At(at(2)), &request)).await.calls;
        let all: Vec<_> = claimed.iter().map(held).collect();
        let renewed = until_done(|| store.renew(Now::At(at(3)), pod.id, &all, LEASE)).await;
        assert!(renewed.iter().all(|renewed| renewed.lease != Lease::Lost), "nobody takes a live claim");
        let (back, rest): (Vec<ClaimedCall>, Vec<_>) = claimed.into_iter().partition(|_| dice.below(5) == 0);
        let back: Vec<_> = back.iter().map(held).collect();
        let released = until_done(|| store.release(Now::At(at(4)), pod.id, &back, None)).await;
        assert_eq!(released, back.len() as u64);
        // Some are forgotten, as by a pod that vanishes.
        let mut ends = Vec::new();
        for call in rest {
            match dice.below(8) {
                0 => {}
                1 | 2 => ends.push(finish(&call, failed("no"))),
                _ => ends.push(finish(&call, Outcome::Succeeded)),
            }
        }
        let results = until_done(|| store.finish(Now::At(at(5)), pod.id, &ends, &KEEP)).await;
        let mut finished = ledger.finished.lock().unwrap();
        for (end, done) in ends.iter().zip(results) {
            assert!(done.is_recorded(), "nobody takes a live claim");
            *finished.entry(end.id).or_default() += 1;
        }
    }
}

/// Housekeeping that finds nothing to do, but reads and locks all the same.
async fn caretaker(store: &Arc<dyn Store>, seed: u64) {
    let mut dice = Rng::new(seed);
    for _ in 0..40 {
        match dice.below(4) {
            0 => assert_eq!(until_done(|| store.rescue(Now::At(at(6)), 100, &KEEP)).await, []),
            1 => assert_eq!(until_done(|| store.prune(Now::At(at(6)), &KEEP, 100)).await, 0),
            2 => {
                let counts = until_done(|| store.counts(Now::At(at(6)), u64::MAX)).await;
                assert_eq!(counts.scheduled, counts.due);
            }
            _ => {
                let filter = CallFilter::new().state(CallState::Running);
                until_done(|| store.calls(Now::At(at(6)), &filter)).await;
            }
        }
    }
}

async fn a_cancellation_in_an_open_transaction_holds_once_committed(fixture: &Fixture) {
    for commits in [true, false] {
        let given = labelled("work", &format!("commits: {commits}"));
        fixture.add(std::slice::from_ref(&given)).await;
        let Some(mut transaction) = fixture.database.begin().await else { return };
        let target = identifier(given.identifier.as_deref().expect("a label"));
        let cancelled = fixture.store.cancel_in(transaction.lend().lend(), &target, &KEEP).await.unwrap();
        assert_eq!(cancelled.calls, 1);
        // The claim passes the call over, or waits for the transaction: both are right.
        let pod = fixture.other_pod();
        let claiming = tokio::spawn(async move { pod.claim(at(1), &["work"], 10).await });
        tokio::task::yield_now().await;
        if commits {
            transaction.commit().await;
        } else {
            transaction.rollback().await;
        }
        let mut claimed = claiming.await.expect("the claimer");
        claimed.extend(fixture.pod().claim(at(1), &["work"], 10).await);
        assert_eq!(claimed.len(), usize::from(!commits), "commits: {commits}");
        let expected = if commits { CallState::Cancelled } else { CallState::Running };
        assert_eq!(fixture.state(given.id).await, expected);
    }
}

async fn a_call_stored_in_an_open_transaction_runs_once_committed(fixture: &Fixture) {
    let Some(mut transaction) = fixture.database.begin().await else { return };
    let given = call("work");
    fixture.store.insert_in(transaction.lend().lend(), std::slice::from_ref(&given), SOON).await.unwrap();
    assert_eq!(fixture.list(CallFilter::new()).await, [], "nobody sees it before the commit");
    transaction.commit().await;
    assert_eq!(fixture.other_pod().claim_one(at(1), "work").await.id, given.id);
}

async fn schedules_are_declared_cancelled_and_claimed_at_once(fixture: &Fixture) {
    let tasks = (0..6).map(|task: u64| {
        let store = Arc::clone(if task.is_multiple_of(2) { &fixture.store } else { &fixture.other });
        tokio::spawn(async move {
            let mut dice = Rng::new(task);
            let pod = Pod::on(&store);
            for turn in 1..=25 {
                let now = Now::At(at(turn * 20));
                let key = format!("key {}", dice.below(3));
                match dice.below(4) {
                    0 => {
                        let given = [schedule(&key, every(60 + 30 * dice.below(2) as u64))];
                        until_done(|| store.declare(now, &given)).await;
                    }
                    1 => {
                        let target = identifier(&key);
                        until_done(|| store.cancel(now, &target, &KEEP)).await;
                    }
                    _ => {
                        let request = pod.request(&["work"], 5);
                        for claimed in until_done(|| store.claim(now, &request)).await.calls {
                            let end = [finish(&claimed, Outcome::Succeeded)];
                            let done = until_done(|| store.finish(now, pod.id, &end, &FORGET)).await;
                            assert_eq!(done, [Finished::Recorded]);
                        }
                    }
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.expect("a task ends");
    }
    let pending = fixture.listed(CallState::Scheduled).await;
    for record in fixture.store.schedules().await.unwrap() {
        let mine: Vec<_> = pending.iter().filter(|call| call.schedule == Some(record.id)).collect();
        let expected = usize::from(record.state == ScheduleState::Active);
        assert_eq!(mine.len(), expected, "an active schedule has one pending call, an ended one none");
        assert_eq!(record.next, mine.first().map(|call| call.due));
    }
    assert_eq!(fixture.listed(CallState::Running).await, []);
}

impl Fixture {
    async fn rescue_all(&self) {
        let much_later = at(900);
        loop {
            let rescued = self.store.rescue(Now::At(much_later), 50, &KEEP).await.expect("a rescue");
            if rescued.is_empty() {
                break;
            }
        }
        let next = self.pod().ask(much_later, &["a", "b"], 0).await.next;
        assert!(next.is_none_or(|next| next == Duration::ZERO), "all of it is due");
    }
}
