//! Pods that vanish, pods that are busy, and calls that this binary cannot run.

use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::store::{ClaimRequest, Now, OnVanish};
use futurecall_runtime::{CallState, CheckBrokenCalls, PodId, Retention, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;

use super::support::Note;

const HOUR: Duration = Duration::from_hours(1);

/// Runs for several leases, blocking its thread, as a careless handler does.
struct Blocking(Journal);

impl InvokableFutureCall for Blocking {
    type Data = u64;

    async fn invoke(&self, _session: &Session, millis: Option<u64>) -> Result<(), BoxError> {
        self.0.write("started");
        std::thread::sleep(Duration::from_millis(millis.unwrap_or(0)));
        self.0.write("ended");
        Ok(())
    }
}

on_all_stores! {
    async fn a_stale_claim_is_found_and_a_live_one_left_alone(backend: &Backend) {
        let store = backend.store().await;
        let journal = Journal::new();
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let ids = [0, 1].map(|_| scheduler.future_call_with_delay("note", Some("x"), Duration::ZERO));
        let [stale, live] = ids.map(|call| (call.id(), call));
        let (stale, live) = (stale.1.await.unwrap(), live.1.await.unwrap());
        let vanished = PodId::new();
        for (claim_no, lease) in [(1, Duration::from_millis(1)), (2, HOUR)] {
            let request = ClaimRequest {
                pod: vanished,
                claim_no,
                names: vec![("note".to_owned(), OnVanish::Keep)],
                shapes: std::sync::Arc::default(),
                limit: 1,
                lease,
                until: None,
                ahead: Duration::ZERO,
                sweep: true,
                retention: Retention::default(),
            };
            let claimed = store.claim(Now::Database, &request).await.unwrap().calls;
            assert_eq!(claimed.len(), 1);
            assert_eq!(claimed[0].id, if claim_no == 1 { stale } else { live });
        }
        let pod = backend.builder().register_future_call("note", Note(journal.clone())).start().await.unwrap();
        eventually("the stale claim is recorded", || async {
            (pod.future_calls().status(stale).await.unwrap() == Some(CallState::Interrupted)).then_some(())
        })
        .await;
        let call = pod.inspect().call(stale).await.unwrap().unwrap();
        let error = call.error.unwrap();
        assert!(error.contains(&vanished.to_string()) && error.contains("not proven"), "{error}");
        assert_eq!(pod.future_calls().status(live).await.unwrap(), Some(CallState::Running));
        pod.shutdown().await;
        scheduler.shutdown().await;
        assert!(journal.lines().is_empty(), "nothing is run again behind the user's back");
    }

    async fn a_handler_longer_than_its_lease_runs_once_even_if_it_blocks(backend: &Backend) {
        let journal = Journal::new();
        let config = || Backend::config().lease(Duration::from_millis(600));
        let blocking = || Blocking(journal.clone());
        let one = backend.builder().config(config()).register_future_call("block", blocking()).start().await.unwrap();
        let two = backend.builder().config(config()).register_future_call("block", blocking()).start().await.unwrap();
        let id = one.future_call_with_delay("block", Some(&3_000_u64), Duration::ZERO).await.unwrap();
        assert_eq!(journal.wait_for(2).await, ["started", "ended"]);
        eventually("it has succeeded", || async {
            (one.future_calls().status(id).await.unwrap() == Some(CallState::Succeeded)).then_some(())
        })
        .await;
        one.shutdown().await;
        two.shutdown().await;
        assert_eq!(journal.lines(), ["started", "ended"]);
    }

    async fn broken_calls_are_reported_and_removed_only_when_asked(backend: &Backend) {
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let unknown = scheduler.future_call_with_delay("gone", Some("x"), HOUR).await.unwrap();
        let undecodable = scheduler.future_call_with_delay("note", Some(&7), HOUR).await.unwrap();
        let elsewhere = scheduler.future_call_with_delay("elsewhere", Some("x"), HOUR).await.unwrap();
        let good = scheduler.future_call_with_delay("note", Some("x"), HOUR).await.unwrap();
        let note = || Note(Journal::new());
        let other = backend.builder().register_future_call("elsewhere", note()).start().await.unwrap();

        let start = |check: CheckBrokenCalls, delete: bool, grace: Duration| {
            let config = Backend::config().check_broken_calls(check).delete_broken_calls(delete).broken_grace(grace);
            backend.builder().config(config).register_future_call("note", note()).start()
        };
        let state = |id| {
            let calls = scheduler.future_calls();
            async move { calls.status(id).await.unwrap().unwrap() }
        };
        // Reported, not removed; not even looked at; younger than the grace.
        for (check, delete, grace) in [
            (CheckBrokenCalls::Auto, false, Duration::ZERO),
            (CheckBrokenCalls::Never, true, Duration::ZERO),
            (CheckBrokenCalls::Always, true, HOUR),
        ] {
            start(check, delete, grace).await.unwrap().shutdown().await;
            for id in [unknown, undecodable, elsewhere, good] {
                assert_eq!(state(id).await, CallState::Scheduled);
            }
        }
        let pod = start(CheckBrokenCalls::Auto, true, Duration::ZERO).await.unwrap();
        assert_eq!(state(unknown).await, CallState::Cancelled);
        assert_eq!(state(undecodable).await, CallState::Cancelled);
        assert_eq!(state(elsewhere).await, CallState::Scheduled, "a live pod knows it");
        assert_eq!(state(good).await, CallState::Scheduled);
        let reason = pod.inspect().call(undecodable).await.unwrap().unwrap().error.unwrap();
        assert!(reason.contains("broken") && reason.contains("`data`"), "{reason}");
        pod.shutdown().await;
        other.shutdown().await;
        scheduler.shutdown().await;
    }

    async fn from_a_thousand_pending_calls_on_nothing_is_removed_unless_all_are_looked_at(backend: &Backend) {
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let calls = (0..1_000).map(|_| scheduler.future_call_with_delay("gone", Some("x"), HOUR));
        scheduler.future_calls().schedule_all(calls.collect::<Vec<_>>()).await.unwrap();
        let start = |check| {
            let config = Backend::config().check_broken_calls(check).delete_broken_calls(true);
            backend.builder().config(config).register_future_call("note", Note(Journal::new())).start()
        };
        start(CheckBrokenCalls::Auto).await.unwrap().shutdown().await;
        assert_eq!(scheduler.inspect().counts().await.unwrap().scheduled, 1_000);
        start(CheckBrokenCalls::Always).await.unwrap().shutdown().await;
        assert_eq!(scheduler.inspect().counts().await.unwrap().scheduled, 0);
        scheduler.shutdown().await;
    }
}

/// Never ends, and writes when it is stopped.
struct Endless(Journal);

struct Stopped<'a>(&'a Journal);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.write("stopped");
    }
}

impl InvokableFutureCall for Endless {
    type Data = String;

    async fn invoke(&self, _session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        let _stopped = Stopped(&self.0);
        self.0.write("started");
        std::future::pending().await
    }
}

on_all_stores! {
    async fn a_handler_whose_claim_was_taken_is_stopped_by_the_next_renewal(backend: &Backend) {
        let journal = Journal::new();
        let config = Backend::config().lease(HOUR);
        let builder = backend.builder().config(config).register_future_call("endless", Endless(journal.clone()));
        let pod = builder.start().await.unwrap();
        pod.future_call_with_delay("endless", Some("x"), Duration::ZERO).await.unwrap();
        assert_eq!(journal.wait_for(1).await, ["started"]);
        let store = backend.store().await;
        let later = store.now().await.unwrap().checked_add(2 * HOUR).unwrap();
        assert_eq!(store.rescue(Now::At(later), 10, &Retention::default()).await.unwrap().len(), 1);
        // The lease itself would last for an hour; it is renewed every ten seconds.
        assert_eq!(journal.wait_for(2).await, ["started", "stopped"]);
        pod.shutdown().await;
    }
}
