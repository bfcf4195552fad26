//! A one-shot flag that a task can wait for; checking it is one atomic load while it is unset.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A flag that stays set once it is set. (A `CancellationToken` can have children, for which each has an allocation
/// and a lock of its own; every run had four of them.)
#[derive(Debug, Default)]
pub(crate) struct Flag {
    is_set: AtomicBool,
    notify: Notify,
}

impl Flag {
    pub(super) fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// Waits until it is set. Cancel-safe.
    pub(crate) async fn wait(&self) {
        // Registered before the check, so that a `set` between the two is not missed.
        let notified = self.notify.notified();
        if !self.is_set() {
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::Flag;

    #[tokio::test]
    async fn waiters_wake_when_it_is_set_and_later_ones_do_not_wait() {
        let signal = Flag::default();
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
