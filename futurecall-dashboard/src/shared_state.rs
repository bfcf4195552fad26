//! What all requests share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futurecall_runtime::Pod;
use tokio::sync::Mutex;

use crate::access::{Arguments, Authorizer};
use crate::csrf::Seal;
use crate::live::Live;

/// Everything that answers share.
pub(crate) struct Desk {
    pub(crate) pod: Pod,
    pub(crate) authorizer: Option<Arc<dyn Authorizer>>,
    pub(crate) loopback_only: bool,
    pub(crate) read_only: bool,
    pub(crate) arguments: Arguments,
    pub(crate) title: String,
    pub(crate) seal: Seal,
    pub(crate) live: Arc<Live>,
    pub(crate) ready: Readiness,
}

/// Whether the database answers; asked at most once a second, however many ask.
#[derive(Default)]
pub(crate) struct Readiness {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    const KEPT: Duration = Duration::from_secs(1);
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Returns whether the database answers.
    pub(crate) async fn check(&self, pod: &Pod) -> bool {
        let mut last = self.last.lock().await;
        match *last {
            Some((at, ready)) if at.elapsed() < Self::KEPT => ready,
            _ => {
                let answered = tokio::time::timeout(Self::PATIENCE, pod.inspect().now()).await;
                let ready = matches!(answered, Ok(Ok(_)));
                *last = Some((Instant::now(), ready));
                ready
            }
        }
    }
}
