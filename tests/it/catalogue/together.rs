//! Concurrency: maintenance under load, pods that come and go, types that share a store.

use std::collections::BTreeMap;
use std::time::Duration;

use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::prelude::*;
use futurecall_runtime::store::{LivePod, Now, Store};
use futurecall_runtime::{CallState, Retention, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;

use tokio_util::sync::CancellationToken;

use super::support::{Note, eager};

pub(crate) struct InvoiceFutureCall;

#[future_call]
impl InvoiceFutureCall {
    pub(crate) async fn send(_session: &Session, number: u32, #[future_call(state)] journal: &Journal) {
        journal.write(format!("invoice {number}"));
    }
}

pub(crate) struct GreetingFutureCall;

#[future_call]
impl GreetingFutureCall {
    pub(crate) async fn send(_session: &Session, name: String, #[future_call(state)] journal: &Journal) {
        journal.write(format!("greeting {name}"));
    }
}

const IDENTIFIERS: usize = 6;

/// What an application does all day: stores, cancels, declares.
async fn load(pod: &Pod, journal: &Journal) {
    let calls = || pod.future_calls();
    for round in 0..40 {
        let label = |n: usize| format!("label {}", n % IDENTIFIERS);
        let some = (0..20).map(|n| calls().call_now().identifier(label(n)).invoice().send(1));
        calls().schedule_all(some.collect::<Vec<_>>()).await.unwrap();
        let every = calls().call_recurring().identifier(label(round)).every(Duration::from_millis(50));
        every.invoice().send(2).await.unwrap();
        calls().cancel(label(round + 3)).await.unwrap();
        // The pods keep up.
        journal.wait_for(round).await;
    }
}

/// What every pod does for all, all the time.
async fn maintain(store: &dyn Store, over: &CancellationToken) {
    let soon_gone = Duration::from_millis(1);
    let retention = Retention {
        succeeded: soon_gone,
        failed: soon_gone,
        interrupted: soon_gone,
        cancelled: soon_gone,
        skipped: soon_gone,
    };
    while !over.is_cancelled() {
        store.rescue(Now::Database, 100, &retention).await.unwrap();
        store.prune(Now::Database, &retention, 100).await.unwrap();
        store.end_undeclared(Now::Database, &LivePod::default(), Duration::from_hours(1)).await.unwrap();
        let page = store.calls(Now::Database, &CallFilter::new().limit(10)).await.unwrap().calls;
        let broken: Vec<_> = page.iter().map(|call| (call.id, "discarded".to_owned())).collect();
        store.discard(Now::Database, &broken, &retention).await.unwrap();
        store.counts(Now::Database, u64::MAX).await.unwrap();
        tokio::task::yield_now().await;
    }
}

async fn deadlocks(backend: &Backend) -> i64 {
    let Backend::Postgres(database) = backend else { return 0 };
    let query =
        "SELECT coalesce(sum(deadlocks), 0)::bigint FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query_scalar(query).fetch_one(&database.pool).await.unwrap()
}

on_all_stores! {
    /// River #1059, Oban #1030: statements of maintenance deadlocked with those of workers, or piled up behind their locks.
    /// Here everybody locks schedules first, then calls, in the order of their ids, and maintenance passes by what is
    /// locked: no operation of anybody fails, and PostgreSQL counts no deadlock.
    async fn maintenance_under_load_meets_no_deadlock(backend: &Backend) {
        let journal = Journal::new();
        let deadlocks_before = deadlocks(backend).await;
        let start = || backend.builder().config(eager()).register(InvoiceFutureCall).state(journal.clone()).start();
        let (one, two) = (start().await.unwrap(), start().await.unwrap());
        let stores = [backend.store().await, backend.store().await];
        let over = CancellationToken::new();
        let loading = async {
            let _over = over.clone().drop_guard();
            tokio::join!(load(&one, &journal), load(&two, &journal));
        };
        tokio::join!(maintain(&*stores[0], &over), maintain(&*stores[1], &over), loading);
        for n in 0..IDENTIFIERS {
            one.future_calls().cancel(format!("label {n}")).await.unwrap();
        }
        eventually("nothing is pending", || async {
            let counts = one.inspect().counts().await.unwrap();
            (counts.scheduled + counts.running == 0).then_some(())
        })
        .await;
        assert_eq!(one.inspect().counts().await.unwrap().failed, 0);
        one.shutdown().await;
        two.shutdown().await;
        drop(stores);
        assert_eq!(deadlocks(backend).await, deadlocks_before);
    }

    /// Sidekiq 8.1.3: a shutdown with two capsules pushed back what was being run, and it ran twice. Here a pod gives back
    /// what has not started, under its own claim, and waits for what has.
    async fn a_storm_of_shutdowns_runs_nothing_twice(backend: &Backend) {
        const ROUNDS: usize = 12;
        const A_ROUND: usize = 50;
        let journal = Journal::new();
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let calls: Vec<_> = (0..ROUNDS * A_ROUND * 2)
            .map(|n| scheduler.future_call_with_delay("note", Some(&n.to_string()), Duration::ZERO))
            .collect();
        let ids = scheduler.future_calls().schedule_all(calls).await.unwrap();
        let start = || async {
            let config = eager().concurrency_limit(8);
            backend.builder().config(config).register_future_call("note", Slow(journal.clone())).start().await.unwrap()
        };
        for round in 1..=ROUNDS {
            let (one, two) = tokio::join!(start(), start());
            journal.wait_for(round * A_ROUND).await;
            // Both at once, in the midst of it, and each asked twice.
            let again = one.clone();
            let (one, two, again) = tokio::join!(one.shutdown(), two.shutdown(), again.shutdown());
            assert_eq!((one.interrupted, two.interrupted), (0, 0), "their grace is long");
            assert_eq!(one, again);
        }
        let last = start().await;
        eventually("all calls have ended", || async {
            let counts = scheduler.inspect().counts().await.unwrap();
            (counts.scheduled + counts.running == 0).then_some(())
        })
        .await;
        last.shutdown().await;
        let counts = scheduler.inspect().counts().await.unwrap();
        assert_eq!((counts.succeeded, counts.interrupted), (ids.len() as u64, 0));
        let mut runs = BTreeMap::<String, u32>::new();
        journal.lines().into_iter().for_each(|line| *runs.entry(line).or_default() += 1);
        let twice: Vec<_> = runs.iter().filter(|(_, times)| **times > 1).collect();
        assert!(runs.len() == ids.len() && twice.is_empty(), "{} ran, more than once: {twice:?}", runs.len());
        scheduler.shutdown().await;
    }

    /// apalis-sqlite #75: a fetcher that two types shared decoded the rows of one as the other. Here a claim asks for names,
    /// a row carries its name, and arguments are stored by parameter.
    async fn two_types_of_calls_in_one_store_stay_apart(backend: &Backend) {
        const CALLS: u32 = 200;
        let journals = [Journal::new(), Journal::new()];
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        for n in 0..CALLS {
            let calls = scheduler.future_calls();
            // Numbers for the one read as texts for the other, and the methods have one name.
            calls.call_now().identifier(n).invoice().send(n).await.unwrap();
            calls.call_now().identifier(n).greeting().send(n.to_string()).await.unwrap();
        }
        let invoices = backend.builder().config(eager()).register(InvoiceFutureCall).state(journals[0].clone());
        let invoices = invoices.start().await.unwrap();
        let both = backend.builder().config(eager()).register(InvoiceFutureCall).register(GreetingFutureCall);
        let both = both.state(journals[1].clone()).start().await.unwrap();
        eventually("all calls have ended", || async {
            let counts = scheduler.inspect().counts().await.unwrap();
            (counts.scheduled + counts.running == 0).then_some(())
        })
        .await;
        invoices.shutdown().await;
        both.shutdown().await;
        let failed = scheduler.inspect().calls(CallFilter::new().state(CallState::Failed)).await.unwrap().calls;
        assert!(failed.is_empty(), "{failed:?}");
        let [invoices, both] = journals.map(|journal| journal.lines());
        assert!(invoices.iter().all(|line| line.starts_with("invoice ")), "{invoices:?}");
        let mut all: Vec<_> = invoices.into_iter().chain(both).collect();
        all.sort_unstable();
        let mut expected: Vec<_> =
            (0..CALLS).flat_map(|n| [format!("invoice {n}"), format!("greeting {n}")]).collect();
        expected.sort_unstable();
        assert_eq!(all, expected);
        scheduler.shutdown().await;
    }
}

/// Writes its line, and ends a few turns of the runtime later.
struct Slow(Journal);

impl InvokableFutureCall for Slow {
    type Data = String;

    async fn invoke(&self, session: &Session, data: Option<String>) -> Result<(), BoxError> {
        Note(self.0.clone()).invoke(session, data).await?;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
