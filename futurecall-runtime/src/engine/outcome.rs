//! Maps the end of a run to the outcome of its call.

use std::any::Any;
use std::fmt::{self, Write as _};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Engine;
use super::runner::CallHandler;
use crate::bounded::{self, LONGEST_ERROR};
use crate::error::{CallFailure, Decision, TransactionError, decision_of};
use crate::moment::Moment;
use crate::retry::RetryPolicy;
use crate::store::{ClaimedCall, Outcome};

/// Maximum number of attempts of a call whose error asks for a retry, where its method has no policy.
const DEFAULT_ATTEMPTS: u32 = 25;

/// How a handler ended.
pub(super) enum HandlerEnd {
    Returned(Result<(), CallFailure>),
    Panicked(Box<dyn Any + Send>),
    /// It exceeded its timeout.
    TimedOut(Duration),
    /// Its transaction blocked other writers for longer than the limit.
    Overdue,
    /// The shutdown's grace period was over.
    Abandoned,
}

/// Returns the outcome of a run. Only the database can tell whether the call was cancelled in the meantime.
pub(super) fn of(engine: &Engine, call: &ClaimedCall, handler: &dyn CallHandler, end: HandlerEnd) -> Outcome {
    match end {
        HandlerEnd::Returned(Ok(())) => Outcome::Succeeded,
        HandlerEnd::Returned(Err(failure)) => {
            let decision = match &failure {
                // It would not decode the next time either.
                CallFailure::Arguments(_) => Some(Decision::GiveUp),
                CallFailure::State(_) => None,
                CallFailure::Error(error) => decision_of(&**error),
            };
            let error = storable(|f| write!(f, "{failure}"));
            bounded::drop_quietly(failure);
            // An error after the handler was asked to stop is an interruption, not a failure of the call.
            if decision.is_none()
                && engine.asks_to_stop.load(Ordering::Relaxed)
                && handler.reruns(&engine.config)
            {
                return Outcome::Rerun { error };
            }
            failed(call, handler.retry(), error, decision)
        }
        HandlerEnd::Panicked(panic) => {
            let message = bounded::panicked(panic, LONGEST_ERROR);
            let error = storable(|f| write!(f, "panicked: {message}"));
            failed(call, handler.retry(), error, None)
        }
        HandlerEnd::TimedOut(timeout) => {
            let error = format!("timed out after {}", humantime::format_duration(timeout));
            failed(call, handler.retry(), error, None)
        }
        HandlerEnd::Overdue => {
            let limit = engine.transaction_limit();
            let error = format!("the handler was stopped: {}", TransactionError::TooLong { limit });
            failed(call, handler.retry(), error, None)
        }
        HandlerEnd::Abandoned => {
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

/// Returns `Expired` if the call's start deadline had passed at `now`.
pub(super) fn expired(call: &ClaimedCall, now: Option<Moment>) -> Option<Outcome> {
    let now = now.map_or(call.claimed, |now| now.max(call.claimed));
    // Only the first attempt has a start deadline.
    let expires = call.expires.filter(|expires| call.attempt <= 1 && *expires < now)?;
    Some(Outcome::Expired { error: format!("it could not start before {expires}") })
}

/// Returns the outcome of a failed attempt: whether there is another is decided by its error, or else by the policy.
fn failed(
    call: &ClaimedCall,
    policy: Option<RetryPolicy>,
    error: String,
    decision: Option<Decision>,
) -> Outcome {
    let failures = call.failures.saturating_add(1);
    let after = match decision {
        Some(Decision::GiveUp) => None,
        Some(Decision::RetryIn(after)) => {
            let most = policy.map_or(DEFAULT_ATTEMPTS, |policy| policy.max_attempts());
            (failures < most).then_some(after)
        }
        None => policy.and_then(|policy| {
            // A custom policy function is the user's code, and may panic: then there is no retry.
            let next = || policy.next(failures, super::backoff::chance());
            std::panic::catch_unwind(AssertUnwindSafe(next)).unwrap_or_default()
        }),
    };
    match after {
        Some(after) => Outcome::Retry { error, after },
        None => Outcome::Failed { error },
    }
}

/// Returns an error's text without NUL, which no database can hold, and at most 8,000 characters of it.
fn storable(write: impl FnOnce(&mut bounded::Bounded) -> fmt::Result) -> String {
    bounded::text(LONGEST_ERROR, write).replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CallId;
    use crate::retry::Backoff;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: i64) -> Moment {
        Moment::from_micros(seconds * 1_000_000).unwrap()
    }

    /// Claimed at second 100.
    fn call() -> ClaimedCall {
        ClaimedCall {
            id: CallId::new(),
            claim_no: 1,
            name: "work".to_owned(),
            identifier: None,
            args: "{}".to_owned(),
            format: 1,
            priority: 0,
            due: at(10),
            first_due: at(10),
            expires: None,
            failures: 0,
            claimed: at(100),
            attempt: 1,
            schedule: None,
            traceparent: None,
        }
    }

    #[test]
    fn a_first_attempt_may_start_until_its_time_is_over() {
        let with = |expires, attempt| ClaimedCall { expires: Some(at(expires)), attempt, ..call() };
        let is_expired = |call: &ClaimedCall, now| expired(call, now).is_some();
        assert!(!is_expired(&call(), Some(at(1_000))), "it has no limit");
        assert!(!is_expired(&with(100, 1), None), "in its last moment");
        assert!(is_expired(&with(99, 1), None) && is_expired(&with(99, 1), Some(at(50))));
        assert!(is_expired(&with(100, 1), Some(at(101))), "it waited for its slot");
        assert!(!is_expired(&with(100, 1), Some(at(100))));
        assert!(!is_expired(&with(99, 2), Some(at(1_000))), "that is for the policy to say");
        let Some(Outcome::Expired { error }) = expired(&with(99, 1), None) else { panic!("it has expired") };
        assert!(error.starts_with("it could not start before 1970-01-01T00:01:39"), "{error}");
    }

    #[test]
    fn an_error_that_asks_for_another_attempt_gets_as_many_as_there_are() {
        let policy = RetryPolicy::new(3).backoff(Backoff::Fixed(SECOND));
        let decided = |policy, failures, decision| {
            failed(&ClaimedCall { failures, ..call() }, policy, "no".to_owned(), decision)
        };
        let again = |after| Outcome::Retry { error: "no".to_owned(), after };
        let over = || Outcome::Failed { error: "no".to_owned() };
        let asked = Some(Decision::RetryIn(SECOND * 5));
        assert_eq!(decided(Some(policy), 0, None), again(SECOND));
        assert_eq!(decided(Some(policy), 2, None), over());
        assert_eq!(decided(Some(policy), 1, asked), again(SECOND * 5));
        assert_eq!(decided(Some(policy), 2, asked), over());
        assert_eq!(decided(Some(policy), 0, Some(Decision::GiveUp)), over());
        assert_eq!((decided(None, 0, None), decided(None, 23, asked)), (over(), again(SECOND * 5)));
        assert_eq!(decided(None, 24, asked), over());
    }

    #[test]
    fn errors_are_cut_and_cleaned() {
        assert_eq!(storable(|f| f.write_str("a\0b")), "a\u{fffd}b");
        assert_eq!(storable(|f| f.write_str(&"é".repeat(10_000))).chars().count(), 8_000);
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunStatus {
    Succeeded,
    Failed,
    /// It failed, and is tried again.
    Retried,
    /// It was not started.
    Expired,
    Interrupted,
}
