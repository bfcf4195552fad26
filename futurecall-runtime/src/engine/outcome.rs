//! What the end of a run means for its call: over, or to be tried again.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Engine;
use crate::error::{Decision, TransactionError, decision_of};
use crate::moment::Moment;
use crate::registry::{CallFailure, Handler};
use crate::store::{ClaimedCall, Outcome};

/// How many attempts a call has in all that asks for another itself, where its method has no policy.
const UNASKED: u32 = 25;

/// How a run ended, as the run tells it.
pub(super) enum End {
    Returned(Result<(), CallFailure>),
    Panicked(Box<dyn Any + Send>),
    /// It took longer than it may.
    TimedOut(Duration),
    /// Its transaction was open for longer than everybody else can wait.
    Overdue,
    /// The shutdown was out of patience.
    Abandoned,
}

/// What becomes of the call.
pub(super) fn of(engine: &Engine, call: &ClaimedCall, handler: &Handler, end: End) -> Outcome {
    match end {
        End::Returned(Ok(())) => Outcome::Succeeded,
        End::Returned(Err(failure)) => {
            let decision = match &failure {
                // It would not decode the next time either.
                CallFailure::Arguments(_) => Some(Decision::GiveUp),
                CallFailure::State(_) => None,
                CallFailure::Error(error) => decision_of(&**error),
            };
            let error = storable(&failure.to_string());
            // Asked to stop, and stopped with an error: that is an interruption, not a failure of the call.
            if decision.is_none()
                && engine.asks_to_stop.load(Ordering::Relaxed)
                && handler.reruns(&engine.config)
            {
                tracing::info!(error, "a handler stopped because its pod ends; its call is run again");
                return Outcome::Rerun { error };
            }
            failed(call, handler, error, decision)
        }
        End::Panicked(panic) => {
            let error = storable(&format!("panicked: {}", panic_text(panic.as_ref())));
            failed(call, handler, error, None)
        }
        End::TimedOut(timeout) => {
            let error = format!("timed out after {}", humantime::format_duration(timeout));
            failed(call, handler, error, None)
        }
        End::Overdue => {
            let limit = engine.transaction_limit();
            let error = format!("the handler was stopped: {}", TransactionError::TooLong { limit });
            failed(call, handler, error, None)
        }
        End::Abandoned => {
            let grace = engine.config.shutdown_grace;
            let error = format!("the pod shut down before the handler ended (grace {grace:?})");
            if handler.reruns(&engine.config) {
                Outcome::Rerun { error }
            } else {
                Outcome::Interrupted { error }
            }
        }
    }
}

/// If the time within which the call may start was over by `now`: that it has expired.
pub(super) fn expired(call: &ClaimedCall, now: Option<Moment>) -> Option<Outcome> {
    let now = now.map_or(call.claimed, |now| now.max(call.claimed));
    // An attempt that follows another is bound by the policy alone.
    let expires = call.expires.filter(|expires| call.attempt <= 1 && *expires < now)?;
    Some(Outcome::Expired { error: format!("it could not start before {expires}") })
}

/// The attempt failed: whether there is another, by what its error has decided, or by the policy.
fn failed(call: &ClaimedCall, handler: &Handler, error: String, decision: Option<Decision>) -> Outcome {
    let policy = handler.fate.retry;
    let failures = call.failures.saturating_add(1);
    let after = match decision {
        Some(Decision::GiveUp) => None,
        Some(Decision::RetryIn(after)) => {
            let most = policy.map_or(UNASKED, |policy| policy.max_attempts());
            (failures < most).then_some(after)
        }
        None => policy.and_then(|policy| {
            // The policy's own function is the user's code, and may panic: then there is no answer, and no other attempt.
            let next = || policy.next(failures, super::backoff::chance());
            std::panic::catch_unwind(AssertUnwindSafe(next)).unwrap_or_default()
        }),
    };
    let Some(after) = after else {
        tracing::error!(error, "a call failed");
        return Outcome::Failed { error };
    };
    tracing::warn!(error, ?after, "an attempt failed; the call is tried again");
    Outcome::Retry { error, after }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with a value that is not text")
}

/// An error text as every database can hold it: no NUL, at most 8,000 characters.
fn storable(error: &str) -> String {
    error.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c }).take(8_000).collect()
}

#[cfg(test)]
mod tests {
    use super::storable;

    #[test]
    fn errors_are_cut_and_cleaned() {
        assert_eq!(storable("a\0b"), "a\u{fffd}b");
        assert_eq!(storable(&"é".repeat(10_000)).chars().count(), 8_000);
    }
}
