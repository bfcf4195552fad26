//! Something that may befall a run, and costs next to nothing as long as it does not.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Set once, and then for ever. (A `CancellationToken` can have children, for which each has memory and a lock of its own;
/// every run had four of them.)
#[derive(Debug, Default)]
pub(crate) struct Signal {
    is_set: AtomicBool,
    bell: Notify,
}

impl Signal {
    pub(super) fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
        self.bell.notify_waiters();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// Waits until it is set. Cancel-safe.
    pub(crate) async fn wait(&self) {
        // Hears the bell from here on: what is set between the two is not missed.
        let bell = self.bell.notified();
        if !self.is_set() {
            bell.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::Signal;

    #[tokio::test]
    async fn who_waits_hears_and_who_comes_later_does_not_wait() {
        let signal = Signal::default();
        let mut early = Box::pin(signal.wait());
        assert!(early.as_mut().now_or_never().is_none());
        let unpolled = signal.wait();
        signal.set();
        early.await;
        unpolled.await;
        signal.wait().await;
        assert!(signal.is_set());
    }
}
