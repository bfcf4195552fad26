//! The records of handlers themselves, so that a test never has to rely on the store.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// The timeout for events. Reached only if something is wrong.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A list that handlers append to and tests wait on. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    entries: Arc<Mutex<Vec<String>>>,
    changed: Arc<Notify>,
}

impl Journal {
    /// Returns an empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a line.
    pub fn write(&self, line: impl Into<String>) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(line.into());
        self.changed.notify_waiters();
    }

    /// Returns all lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until there are at least that many lines, and returns them all.
    ///
    /// # Panics
    ///
    /// If that takes longer than [`PATIENCE`].
    pub async fn wait_for(&self, count: usize) -> Vec<String> {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let lines = self.lines();
                if lines.len() >= count {
                    return lines;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(lines) => lines,
            Err(elapsed) => panic!("waited for {count} lines ({elapsed}), and got {:?}", self.lines()),
        }
    }
}

/// Polls, without sleeping for a fixed time, until the result is `Some`.
///
/// # Panics
///
/// If that takes longer than [`PATIENCE`]; `what` describes the event.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        loop {
            pace.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(elapsed) => panic!("waited in vain until {what} ({elapsed})"),
    }
}
