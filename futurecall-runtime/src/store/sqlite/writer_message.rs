//! What the thread that writes is sent.

use std::time::Instant;

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::store::Result;

pub(super) type Done = oneshot::Sender<Result<()>>;

pub(super) type Task = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<()>> + Send>;

/// What the thread is sent.
pub(super) enum Message {
    Work(Work),
    /// Somebody wants to hear of what others write.
    Listen,
    /// A neighbour has written.
    Written,
    /// Closes the connection and ends the thread.
    Close,
}

/// One operation, and who waits for its end.
pub(super) struct Work {
    pub(super) doing: &'static str,
    pub(super) since: Instant,
    pub(super) task: Task,
    pub(super) done: Done,
}

pub(super) fn gone(doing: &'static str) -> StoreError {
    StoreError::permanent(doing, "the thread that writes to the SQLite database has ended")
}
