//! The state that all requests share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futurecall_runtime::Pod;
use tokio::sync::Mutex;

use crate::access::{Arguments, Authorizer};
use crate::csrf::Signer;
use crate::live::Live;

/// The state that all requests share.
pub(crate) struct SharedState {
    pub(crate) pod: Pod,
    pub(crate) authorizer: Option<Arc<dyn Authorizer>>,
    pub(crate) loopback_only: bool,
    pub(crate) read_only: bool,
    pub(crate) arguments: Arguments,
    pub(crate) title: String,
    pub(crate) signer: Signer,
    pub(crate) live: Arc<Live>,
    pub(crate) ready: Readiness,
}

/// The readiness check, which queries the database at most once a second.
#[derive(Default)]
pub(crate) struct Readiness {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    const CACHED: Duration = Duration::from_secs(1);
    const TIMEOUT: Duration = Duration::from_secs(2);

    /// Returns whether the database answers within the timeout.
    pub(crate) async fn check(&self, pod: &Pod) -> bool {
        let mut last = self.last.lock().await;
        match *last {
            Some((at, ready)) if at.elapsed() < Self::CACHED => ready,
            _ => {
                let answered = tokio::time::timeout(Self::TIMEOUT, pod.inspect().now()).await;
                let ready = matches!(answered, Ok(Ok(_)));
                *last = Some((Instant::now(), ready));
                ready
            }
        }
    }
}
