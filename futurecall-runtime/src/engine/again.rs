//! Statements that may be sent twice: tried again after an outcome that nobody knows.

use super::Engine;
use super::backoff::Backoff;
use super::enqueue::PATIENCE;
use crate::clock::Deadline;
use crate::error::StoreError;
use crate::store::{CancelTarget, Cancelled, Now};

/// What became of a statement that may have been sent more than once.
struct Repeated<T> {
    /// The last answer.
    answer: T,
    /// Why an earlier try may have done the work that the answer no longer counts.
    unknown: Option<StoreError>,
}

/// Sends a statement until its outcome is known, that cannot be, or patience is over. The statement must be idempotent: what
/// it does the second time is nothing, or the same.
async fn repeated<T, F>(send: impl Fn() -> F) -> Result<Repeated<T>, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let give_up = Deadline::new(crate::clock::read(), PATIENCE);
    let mut backoff = Backoff::default();
    let mut unknown: Option<StoreError> = None;
    loop {
        let error = match send().await {
            Ok(answer) => return Ok(Repeated { answer, unknown }),
            Err(error) => error,
        };
        let wait = backoff.failed();
        let is_hopeless =
            !error.is_transient() || error.is_busy() || give_up.left(crate::clock::read()) < wait;
        if is_hopeless {
            return Err(if error.outcome_unknown() { error } else { unknown.unwrap_or(error) });
        }
        if backoff.may_log() {
            tracing::warn!(%error, "a statement is sent again");
        }
        if error.outcome_unknown() {
            unknown = Some(error);
        }
        tokio::time::sleep(wait).await;
    }
}

/// The same, where the last answer is all that is wanted.
pub(crate) async fn until_known<T, F>(send: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    repeated(send).await.map(|repeated| repeated.answer)
}

impl Engine {
    /// Cancels. The error says that the outcome is unknown where an earlier try may have cancelled what the last one did not
    /// find any more.
    pub(crate) async fn cancel(&self, target: &CancelTarget) -> Result<Cancelled, StoreError> {
        let retention = &self.config.retention;
        let Repeated { answer, unknown } =
            repeated(|| self.store.cancel(Now::Database, target, retention)).await?;
        match unknown {
            Some(unknown) if answer == Cancelled::default() => Err(unknown),
            _ => Ok(answer),
        }
    }
}
