//! Handlers that run for a long time, that never yield, and whose pods lose their connections.

use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::{CallState, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;
use futurecall_tests::on_all_stores;
use tokio_util::sync::CancellationToken;

use super::support::{Connections, Until, eager, is, outlast};

/// So long that a busy machine keeps it.
const LEASE: Duration = Duration::from_secs(2);

/// Takes a processor for itself until its gate opens; writes when it starts and when it ends.
struct Burn {
    journal: Journal,
    gate: CancellationToken,
}

impl InvokableFutureCall for Burn {
    type Data = String;

    async fn invoke(&self, _session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        self.journal.write("started");
        while !self.gate.is_cancelled() {
            std::hint::spin_loop();
        }
        self.journal.write("ended");
        Ok(())
    }
}

on_all_stores! {
    /// hexpm #1825: Oban's Lifeline rescued by age, six minutes, what took up to 47, and ran it again every night. Here a
    /// call is rescued when its lease ends, and a pod that lives renews it, however long the handler takes.
    async fn a_handler_longer_than_ten_leases_runs_once(backend: &Backend) {
        let handler = Until::new();
        let start = || {
            let config = eager().lease(LEASE);
            backend.builder().config(config).register_future_call("slow", handler.clone()).start()
        };
        let (one, two) = (start().await.unwrap(), start().await.unwrap());
        let store = backend.store().await;
        let id = one.future_call_with_delay("slow", Some("1"), Duration::ZERO).await.unwrap();
        handler.journal.wait_for(1).await;
        outlast(&*store, id, 10, LEASE).await;
        handler.gate.cancel();
        is(&*store, id, CallState::Succeeded).await;
        one.shutdown().await;
        two.shutdown().await;
        assert_eq!(handler.journal.lines(), ["started 1", "ended 1"]);
    }

    /// DotNetWorkQueue #294, #303: its own scheduler, under load, delayed a heartbeat by 9 s, and the call ran twice.
    /// Here leases are renewed by a thread with a runtime and a connection of its own: a handler may take the only thread
    /// of the application's runtime and never give it back.
    async fn a_handler_that_never_yields_keeps_its_lease(backend: &Backend) {
        let (journal, gate) = (Journal::new(), CancellationToken::new());
        // If this test fails, the handler must not go on.
        let _open = gate.clone().drop_guard();
        let burn = || Burn { journal: journal.clone(), gate: gate.clone() };
        let burner = backend.builder().config(eager().lease(LEASE)).register_future_call("burn", burn());
        let over = gate.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let pod = burner.start().await.unwrap();
                over.cancelled().await;
                pod.shutdown().await
            })
        });
        let scheduler = backend.builder().role(Role::Serverless).start().await.unwrap();
        let id = scheduler.future_call_with_delay("burn", None::<&str>, Duration::ZERO).await.unwrap();
        journal.wait_for(1).await;
        let other = backend.builder().config(eager().lease(LEASE)).register_future_call("burn", burn());
        let other = other.start().await.unwrap();
        let store = backend.store().await;
        outlast(&*store, id, 4, LEASE).await;
        gate.cancel();
        is(&*store, id, CallState::Succeeded).await;
        let summary = tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
        assert_eq!(summary.interrupted, 0);
        other.shutdown().await;
        scheduler.shutdown().await;
        assert_eq!(journal.lines(), ["started", "ended"]);
    }
}

/// `GoodJob` #90: a call was owned by a session-level advisory lock, which a restart of PostgreSQL released while the call
/// ran on: it ran a second time. Here a claim stands in the call's row, and whatever happens to a session, no other pod may
/// have the call before its lease has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_of_the_database_owns_a_call() {
    let backend = Backend::postgres().await;
    let Backend::Postgres(database) = &backend else { unreachable!("it is one") };
    let connections = Connections::new(database);
    let handler = Until::new();
    let lease = Duration::from_secs(3);
    let builder = || {
        let builder = backend.builder().config(eager().lease(lease));
        builder.register_future_call("slow", handler.clone())
    };
    let one = connections.of(builder()).start().await.unwrap();
    let id = one.future_call_with_delay("slow", Some("1"), Duration::ZERO).await.unwrap();
    handler.journal.wait_for(1).await;
    let two = builder().start().await.unwrap();
    let store = backend.store().await;
    for _ in 0..3 {
        assert_eq!(connections.advisory_locks().await, 0);
        assert!(connections.end().await > 0);
        outlast(&*store, id, 1, lease).await;
    }
    handler.gate.cancel();
    is(&*store, id, CallState::Succeeded).await;
    one.shutdown().await;
    two.shutdown().await;
    assert_eq!(handler.journal.lines(), ["started 1", "ended 1"]);
    drop(store);
    backend.drop().await;
}
