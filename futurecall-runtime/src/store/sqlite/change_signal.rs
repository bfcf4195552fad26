//! From the writer's thread to who waits: somebody else has written.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct News {
    rung: AtomicU64,
    heard: AtomicU64,
    bell: Notify,
}

impl News {
    pub(super) fn ring(&self) {
        self.rung.fetch_add(1, Ordering::AcqRel);
        self.bell.notify_waiters();
    }

    /// Waits for news since this was last answered. Cancel-safe.
    pub(super) async fn heard(&self) {
        loop {
            let bell = self.bell.notified();
            tokio::pin!(bell);
            // Registered before the number is read: news between the two are not missed.
            bell.as_mut().enable();
            let rung = self.rung.load(Ordering::Acquire);
            if self.heard.swap(rung, Ordering::AcqRel) != rung {
                return;
            }
            bell.await;
        }
    }
}
