//! What the entries of the catalogue share.

use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::store::{ClaimRequest, Now, OnVanish, Store};
use futurecall_runtime::{CallId, CallRecord, CallState, PodId, Retention};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use tokio_util::sync::CancellationToken;

/// Writes `started` and its data, waits until its gate opens, and writes `ended` and its data.
#[derive(Clone)]
pub(super) struct Until {
    pub(super) journal: Journal,
    pub(super) gate: CancellationToken,
}

impl Until {
    pub(super) fn new() -> Self {
        Self { journal: Journal::new(), gate: CancellationToken::new() }
    }
}

impl InvokableFutureCall for Until {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        let data = data.unwrap_or_default();
        self.journal.write(format!("started {data}"));
        self.gate.cancelled().await;
        self.journal.write(format!("ended {data}"));
        Ok(())
    }
}

/// Writes a line a run: its data.
#[derive(Clone)]
pub(super) struct Note(pub(super) Journal);

impl InvokableFutureCall for Note {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        self.0.write(data.unwrap_or_default());
        Ok(())
    }
}

/// The call, which exists.
pub(super) async fn record(store: &dyn Store, id: CallId) -> CallRecord {
    store.call(Now::Database, id).await.unwrap().expect("the call is pending or in the history")
}

/// Waits until the call is in that state.
pub(super) async fn is(store: &dyn Store, id: CallId, wanted: CallState) {
    eventually(&format!("call {id} is {wanted:?}"), || async {
        (record(store, id).await.state == wanted).then_some(())
    })
    .await;
}

/// Waits until the lease of a running call has been renewed for so many more leases: so long its handler runs at least.
pub(super) async fn outlast(store: &dyn Store, id: CallId, leases: u32, lease: Duration) {
    let first = record(store, id).await.lease_until.expect("it runs");
    let wanted = first.checked_add(lease * leases).unwrap();
    eventually(&format!("call {id} has been held for {leases} leases"), || async {
        let now = record(store, id).await;
        assert_eq!(now.state, CallState::Running, "{now:?}");
        (now.lease_until >= Some(wanted)).then_some(())
    })
    .await;
}

/// Claims calls of a name for a pod that is never heard of again.
pub(super) async fn vanish_with(store: &dyn Store, name: &str, calls: usize) -> PodId {
    let pod = PodId::new();
    let mut left = calls;
    for claim_no in 1.. {
        let request = ClaimRequest {
            pod,
            claim_no,
            names: vec![(name.to_owned(), OnVanish::Keep)],
            limit: left,
            lease: Duration::from_millis(1),
            until: None,
            ahead: Duration::ZERO,
            sweep: true,
            retention: Retention::default(),
        };
        let claimed = store.claim(Now::Database, &request).await.unwrap().calls.len();
        assert!(claimed > 0, "{left} more of {calls} calls of `{name}` should be due");
        left -= claimed;
        if left == 0 {
            break;
        }
    }
    pod
}

/// Pods that look for calls all the time, so that one who would steal does so soon.
pub(super) fn eager() -> futurecall_runtime::Config {
    Backend::config().scan_interval(Duration::from_millis(100))
}
