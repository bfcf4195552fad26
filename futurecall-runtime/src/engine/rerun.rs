//! Runs finished calls again, and triggers schedules.

use super::enqueue::unknowable;
use super::resend::Retries;
use super::{Engine, NOW};
use crate::error::{ScheduleError, StoreError};
use crate::id::{CallId, ScheduleId};
use crate::store::{Inserted, RunAgain};

/// Stores a new call that repeats a finished one, retrying transient errors. Its id is generated once, so that a lost
/// reply never creates two calls.
pub(super) async fn run_again(engine: &Engine, of: CallId) -> Result<CallId, ScheduleError> {
    let id = CallId::new();
    let mut retries = Retries::for_caller();
    loop {
        let error = match engine.store.run_again(NOW, of, id, retries.unknown().is_some()).await {
            Ok(RunAgain::Stored) => {
                engine.wake();
                return Ok(id);
            }
            Ok(RunAgain::Pending) => return Err(ScheduleError::StillPending { id: of }),
            Ok(RunAgain::Succeeded) => return Err(ScheduleError::AlreadySucceeded { id: of }),
            // After a lost reply, both calls may have been deleted from the history since.
            Ok(RunAgain::Unknown) => {
                return Err(match retries.take_unknown() {
                    Some(source) => ScheduleError::OutcomeUnknown { id, source },
                    None => ScheduleError::UnknownCall { id: of },
                });
            }
            Err(error) => error,
        };
        after(&mut retries, id, error).await?;
    }
}

/// Stores one more run of a schedule, call `id`, with the same retries. Returns `false` if there is no such schedule.
pub(super) async fn trigger(
    engine: &Engine,
    schedule: ScheduleId,
    id: CallId,
) -> Result<bool, ScheduleError> {
    let mut retries = Retries::for_caller();
    loop {
        match engine.store.trigger(NOW, schedule, id, retries.unknown().is_some()).await {
            Ok(Some(Inserted::Unknown)) => return Err(unknowable(id)),
            Ok(stored) => {
                engine.wake();
                return Ok(stored.is_some());
            }
            Err(error) => after(&mut retries, id, error).await?,
        }
    }
}

/// Waits before the call `id` is sent again, or returns the final error.
async fn after(retries: &mut Retries, id: CallId, error: StoreError) -> Result<(), ScheduleError> {
    retries.after(error).await.map_err(|error| {
        if error.outcome_unknown() {
            ScheduleError::OutcomeUnknown { id, source: error }
        } else {
            error.into()
        }
    })
}
