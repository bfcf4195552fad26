//! Pods that are gone, or seem to be, and the outcome of their calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::store::{Now, PodBeat};
use futurecall_runtime::{CallId, CallState, Moment, Retention, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;
use tokio_util::sync::CancellationToken;

use super::support::{Ledger, Note, Process, eager, is, record, vanish_with};

/// Holds a thread until it may go on, so that nobody can stop it, and counts how many of its kind run at once.
#[derive(Clone, Default)]
struct Unstoppable {
    started: Journal,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    /// How many runs may still end.
    permits: Arc<AtomicUsize>,
    /// All may.
    over: CancellationToken,
}

impl Unstoppable {
    fn may_end(&self) -> bool {
        let take = |permits: usize| permits.checked_sub(1);
        self.over.is_cancelled()
            || self.permits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }
}

impl InvokableFutureCall for Unstoppable {
    type Data = String;

    async fn invoke(&self, session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.started.write(session.call().id.to_string());
        // The thread's other tasks move to another one.
        tokio::task::block_in_place(|| {
            while !self.may_end() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Counts how many of its kind run at once. With data it waits for ever, so that only its pod can end it; without, it takes
/// a moment.
#[derive(Clone, Default)]
struct Counted {
    started: Journal,
    dropped: Journal,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// A run of it, until it is dropped.
struct Counting<'c>(&'c Counted);

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.dropped.write("dropped");
    }
}

impl InvokableFutureCall for Counted {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let _counting = Counting(self);
        self.started.write("started");
        match data {
            Some(_) => std::future::pending().await,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        Ok(())
    }
}

on_all_stores! {
    /// The other half of it: a handler that can be stopped is stopped when its lease is lost, and its slot is free again
    /// once. Were it freed twice, as many more would run at once from then on.
    async fn a_handler_that_is_stopped_frees_its_slot_once(backend: &Backend) {
        let handler = Counted::default();
        let config = Backend::config().concurrency_limit(1);
        let builder = backend.builder().config(config).register_future_call("work", handler.clone());
        let pod = builder.start().await.unwrap();
        let store = backend.store().await;
        for round in 1..=2 {
            let id = pod.future_call_with_delay("work", Some("waits"), Duration::ZERO).await.unwrap();
            handler.started.wait_for(round).await;
            let rescued = store.rescue(Now::At(Moment::MAX), 100, &Retention::default()).await.unwrap();
            assert_eq!(rescued.iter().map(|call| call.id).collect::<Vec<_>>(), [id]);
            // The pod hears of it with its next renewal.
            handler.dropped.wait_for(round).await;
        }
        let mut ids = Vec::new();
        for _ in 0..8 {
            ids.push(pod.future_call_with_delay("work", None::<&str>, Duration::ZERO).await.unwrap());
        }
        for id in ids {
            is(&*store, id, CallState::Succeeded).await;
        }
        assert_eq!(handler.most.load(Ordering::SeqCst), 1, "the limit holds");
        pod.shutdown().await;
    }

    /// Solid Queue #589, #761: a process whose heartbeat was late was pruned while it lived, so that its job both finished
    /// and failed, and a job limited to one ran eleven times at once. Here every write after a claim is fenced, and a slot
    /// belongs to the task that runs: who takes a pod for dead can neither double an outcome nor free a slot.
    async fn a_pod_wrongly_taken_for_dead_changes_nothing_and_frees_its_slot_once(backend: &Backend) {
        const ROUNDS: usize = 4;
        let handler = Unstoppable::default();
        // If this test fails, nothing must hold its threads.
        let over = handler.over.clone().drop_guard();
        let config = Backend::config().concurrency_limit(1);
        let builder = backend.builder().config(config).register_future_call("work", handler.clone());
        let pod = builder.start().await.unwrap();
        let store = backend.store().await;
        let (mut ids, mut taken) = (Vec::new(), BTreeSet::new());
        for round in 1..=ROUNDS {
            for _ in 0..3 {
                ids.push(pod.future_call_with_delay("work", None::<&str>, Duration::ZERO).await.unwrap());
            }
            let running: CallId = handler.started.wait_for(round).await[round - 1].parse().unwrap();
            // Whoever judges by a clock that runs far ahead takes every pod for dead.
            let rescued = store.rescue(Now::At(Moment::MAX), 100, &Retention::default()).await.unwrap();
            taken.extend(rescued.iter().map(|call| call.id));
            assert!(taken.contains(&running), "{running} was running: {rescued:?}");
            handler.permits.fetch_add(1, Ordering::SeqCst);
        }
        drop(over);
        eventually("all calls have ended", || async {
            let counts = store.counts(Now::Database, u64::MAX).await.unwrap();
            (counts.scheduled + counts.running == 0).then_some(())
        })
        .await;
        pod.shutdown().await;
        for id in &ids {
            let call = record(&*store, *id).await;
            let expected = if taken.contains(id) { CallState::Interrupted } else { CallState::Succeeded };
            assert_eq!((call.state, call.attempts.len()), (expected, 1), "{call:?}");
        }
        let counts = store.counts(Now::Database, u64::MAX).await.unwrap();
        let ended = (counts.succeeded + counts.interrupted, counts.failed);
        assert_eq!(ended, (ids.len() as u64, 0), "one row a call");
        let started = handler.started.lines();
        assert_eq!(started.iter().collect::<BTreeSet<_>>().len(), started.len(), "none twice: {started:?}");
        assert_eq!(handler.most.load(Ordering::SeqCst), 1, "the limit holds");
    }

    /// procrastinate #1518: once the worker's row was pruned, its jobs were invisible to the rescue; and a new worker of
    /// the same name hid that the old one was dead. Here a rescue reads the rows of calls alone.
    async fn a_rescue_needs_no_row_of_a_pod(backend: &Backend) {
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..2 {
            ids.push(scheduler.future_call_with_delay("note", Some("x"), Duration::ZERO).await.unwrap());
        }
        let store = backend.store().await;
        let pod = backend.builder().register_future_call("other", Note(Journal::new())).start().await.unwrap();
        let namesake = eventually("the pod says who it is", || async {
            scheduler.inspect().pods().await.unwrap().into_iter().find(|found| found.id == pod.id())
        })
        .await;
        // The one left no row at all, the other one whose heartbeat is fresh and whose label is that of a pod that lives.
        vanish_with(&*store, "note", 1).await;
        let masked = vanish_with(&*store, "note", 1).await;
        let beat = PodBeat {
            id: masked,
            label: namesake.label.clone(),
            role: namesake.role.clone(),
            version: namesake.version.clone(),
            names: vec!["note".to_owned()],
            shapes: BTreeMap::new(),
            schedules: Vec::new(),
redacted: BTreeMap::new(),
            slots: 1,
            running: 1,
        };
        store.beat(Now::Database, &beat).await.unwrap();
        for id in ids {
            is(&*store, id, CallState::Interrupted).await;
            // And nor does the one who rescues need a row.
            store.leave(pod.id()).await.unwrap();
        }
        pod.shutdown().await;
        scheduler.shutdown().await;
    }

    /// River #1258: 5,133 jobs stood as running for up to 91 days, because nothing that ran looked at them. Here every pod
    /// looks for claims whose lease has ended, whatever the name, so that each call is scheduled, or runs under a lease that
    /// ends, or is over; until then `inspect` counts it.
    async fn no_call_runs_for_ever(backend: &Backend) {
        const CALLS: u64 = 2_500;
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let calls = (0..CALLS).map(|_| scheduler.future_call_with_delay("nobody.knows", Some("x"), Duration::ZERO));
        let ids = scheduler.future_calls().schedule_all(calls.collect::<Vec<_>>()).await.unwrap();
        let store = backend.store().await;
        vanish_with(&*store, "nobody.knows", ids.len()).await;
        // One was told to stop, which nobody heard.
        assert_eq!(scheduler.future_calls().cancel_call(ids[0]).await.unwrap().calls, 0);
        let counts = scheduler.inspect().counts().await.unwrap();
        assert_eq!((counts.scheduled, counts.running), (0, CALLS));
        let pod = backend.builder().config(eager()).register_future_call("note", Note(Journal::new()));
        let pod = pod.start().await.unwrap();
        eventually("nothing runs any more", || async {
            (scheduler.inspect().counts().await.unwrap().running == 0).then_some(())
        })
        .await;
        let counts = scheduler.inspect().counts().await.unwrap();
        assert_eq!((counts.scheduled, counts.interrupted, counts.cancelled), (0, CALLS - 1, 1));
        pod.shutdown().await;
        scheduler.shutdown().await;
    }
}

/// Oban #862: the node's name was its identity, a restart had the same name, and what its predecessor had left was never
/// rescued: its owner seemed to live. Here a pod's id is made anew by every process, and a rescue looks at leases alone.
async fn a_restart_finds_its_orphans(backend: &Backend, url: &str, schema: &str) {
    let ledger = Ledger::new();
    let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
    let orphan = scheduler.future_call_with_delay("hang", Some(&1), Duration::ZERO).await.unwrap();
    let first = Process::start(url, schema, &ledger, "web-1").await;
    ledger.wait_for("H 1 ", 1).await;
    let store = backend.store().await;
    let dead = record(&*store, orphan).await.pod;
    first.kill().await;
    let second = Process::start(url, schema, &ledger, "web-1").await;
    is(&*store, orphan, CallState::Interrupted).await;
    let live = scheduler.future_call_with_delay("ledger", Some(&2), Duration::ZERO).await.unwrap();
    is(&*store, live, CallState::Succeeded).await;
    let live = record(&*store, live).await.pod;
    assert!(dead.is_some() && live.is_some() && dead != live, "{dead:?} {live:?}");
    let pods = scheduler.inspect().pods().await.unwrap();
    assert!(pods.iter().all(|pod| pod.label.starts_with("web-1:")), "{pods:?}");
    assert!(second.end().await.success());
    assert_eq!((ledger.count("H 1 "), ledger.count("S 2 ")), (1, 1));
    scheduler.shutdown().await;
}

mod a_restart_under_the_same_host_name_finds_its_orphans {
    use super::*;

    #[tokio::test]
    async fn on_sqlite() {
        let backend = Backend::sqlite();
        let Backend::Sqlite(file) = &backend else { unreachable!("it is one") };
        a_restart_finds_its_orphans(&backend, &file.url, "futurecall").await;
        backend.drop().await;
    }

    #[tokio::test]
    async fn on_postgres() {
        let backend = Backend::postgres().await;
        let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
        a_restart_finds_its_orphans(&backend, &database.url, &database.schema).await;
        backend.drop().await;
    }
}
