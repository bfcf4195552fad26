//! Runs finished calls again, and schedules once more.

use super::backoff::Backoff;
use super::enqueue::{PATIENCE, keeps_history};
use super::{Engine, NOW};
use crate::clock::Deadline;
use crate::error::{ScheduleError, StoreError};
use crate::id::{CallId, ScheduleId};
use crate::store::RunAgain;

/// Stores a new call that does the old one's work, trying again while that may help: its id is made once, so that a lost
/// reply never makes two of it.
pub(super) async fn run_again(engine: &Engine, of: CallId) -> Result<CallId, ScheduleError> {
    let id = CallId::new();
    let give_up = Deadline::new(crate::clock::read(), PATIENCE);
    let mut backoff = Backoff::default();
    let mut unknown: Option<StoreError> = None;
    loop {
        let error = match engine.store.run_again(NOW, of, id, unknown.is_some()).await {
            Ok(RunAgain::Stored) => {
                engine.wake();
                return Ok(id);
            }
            Ok(RunAgain::Pending) => return Err(ScheduleError::StillPending { id: of }),
            Ok(RunAgain::Succeeded) => return Err(ScheduleError::HasSucceeded { id: of }),
            // After a lost reply, both it and the new one may have been forgotten since.
            Ok(RunAgain::Unknown) => {
                return Err(match unknown {
                    Some(source) => ScheduleError::OutcomeUnknown { id, source },
                    None => ScheduleError::UnknownCall { id: of },
                });
            }
            Err(error) => error,
        };
        let wait = backoff.failed();
        let is_hopeless =
            !error.is_transient() || error.is_busy() || give_up.left(crate::clock::read()) < wait;
        if error.outcome_unknown() {
            // Without a history the new call may have been stored, run and forgotten by now: repeating could run it twice.
            if is_hopeless || !keeps_history(&engine.config.retention) {
                return Err(ScheduleError::OutcomeUnknown { id, source: error });
            }
            unknown = Some(error);
        } else if is_hopeless {
            return Err(match unknown {
                Some(source) => ScheduleError::OutcomeUnknown { id, source },
                None => error.into(),
            });
        }
        tokio::time::sleep(wait).await;
    }
}

/// Stores one more run of a schedule, call `id`, trying again in the same way. `false`: there is no such schedule.
pub(super) async fn trigger(
    engine: &Engine,
    schedule: ScheduleId,
    id: CallId,
) -> Result<bool, ScheduleError> {
    let give_up = Deadline::new(crate::clock::read(), PATIENCE);
    let mut backoff = Backoff::default();
    let mut unknown: Option<StoreError> = None;
    loop {
        let error = match engine.store.trigger(NOW, schedule, id).await {
            Ok(is_known) => {
                engine.wake();
                return Ok(is_known);
            }
            Err(error) => error,
        };
        let wait = backoff.failed();
        let is_hopeless =
            !error.is_transient() || error.is_busy() || give_up.left(crate::clock::read()) < wait;
        let may_repeat = !error.outcome_unknown() || keeps_history(&engine.config.retention);
        if is_hopeless || !may_repeat {
            return Err(match unknown {
                Some(source) => ScheduleError::OutcomeUnknown { id, source },
                None if error.outcome_unknown() => ScheduleError::OutcomeUnknown { id, source: error },
                None => error.into(),
            });
        }
        if error.outcome_unknown() {
            unknown = Some(error);
        }
        tokio::time::sleep(wait).await;
    }
}
