use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::BoxError;

/// An error with which a handler decides itself what becomes of its call.
///
/// A plain error follows the method's `retry(…)`, or ends the call where it has none. This one overrules that, wherever
/// it stands: returned itself, boxed, as `anyhow::Error`, or as the source of another error.
///
/// ```
/// use std::time::Duration;
/// use futurecall_runtime::{BoxError, CallError};
///
/// async fn deliver(status: u16) -> Result<(), BoxError> {
///     match status {
///         200 => Ok(()),
///         // Not worth another try, whatever the policy says.
///         410 => Err(CallError::give_up("the mailbox is gone").into()),
///         // Worth one, when the server says so.
///         429 => Err(CallError::retry_in(Duration::from_secs(30)).into()),
///         _ => Err("no answer".into()),
///     }
/// }
/// # let run = |status| tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(deliver(status));
/// assert_eq!(run(410).unwrap_err().to_string(), "given up");
/// assert_eq!(run(429).unwrap_err().to_string(), "to be tried again in 30s");
/// ```
#[derive(thiserror::Error)]
pub struct CallError {
    #[source]
    decided: Decided,
}

/// What the handler decided about its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    RetryIn(Duration),
    GiveUp,
}

/// The source of every [`CallError`]: error types that take an error over may hide it, but not what it comes from.
#[derive(Debug)]
struct Decided {
    decision: Decision,
    because: Option<BoxError>,
}

impl CallError {
    /// Tries the call again that long from now, whatever the policy's backoff says.
    ///
    /// The attempt counts as a failed one: it is the last where `max_attempts` is reached, or 25 where the method has no
    /// `retry(…)`.
    pub fn retry_in(after: Duration) -> Self {
        Self { decided: Decided { decision: Decision::RetryIn(after), because: None } }
    }

    /// Ends the call as failed, whatever the policy says.
    pub fn give_up(because: impl Into<BoxError>) -> Self {
        Self { decided: Decided { decision: Decision::GiveUp, because: Some(because.into()) } }
    }

    /// Says why, for who looks at the attempt.
    #[must_use]
    pub fn because(mut self, error: impl Into<BoxError>) -> Self {
        self.decided.because = Some(error.into());
        self
    }
}

/// What an error, or whatever it comes from, has decided.
pub(crate) fn decision_of(error: &(dyn Error + 'static)) -> Option<Decision> {
    // An error's source may lead back to it.
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .take(crate::bounded::DEEPEST)
        .find_map(|error| error.downcast_ref::<Decided>())
        .map(|decided| decided.decision)
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decided.decision {
            Decision::GiveUp => f.write_str("given up"),
            Decision::RetryIn(after) => {
                write!(f, "to be tried again in {}", humantime::format_duration(after))
            }
        }
    }
}

crate::words::debug_in_words!(CallError);

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.because {
            Some(because) => because.fmt(f),
            None => f.write_str("the handler asked for it"),
        }
    }
}

impl Error for Decided {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.because.as_ref().and_then(|because| because.source())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Wrapped(CallError);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("could not deliver")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_decision_is_found_wherever_it_stands() {
        let second = Duration::from_secs(1);
        let boxed: BoxError = CallError::retry_in(second).into();
        assert_eq!(decision_of(&*boxed), Some(Decision::RetryIn(second)));
        let wrapped: BoxError = Wrapped(CallError::give_up("no such user")).into();
        assert_eq!(decision_of(&*wrapped), Some(Decision::GiveUp));
        let twice: BoxError = CallError::give_up(CallError::retry_in(second)).into();
        assert_eq!(decision_of(&*twice), Some(Decision::GiveUp), "the outer one counts");
        let plain: BoxError = "plain".into();
        assert_eq!(decision_of(&*plain), None);
    }

    #[test]
    fn the_reason_stands_in_the_chain() {
        let error = CallError::retry_in(Duration::from_millis(1_500)).because("status 429");
        assert_eq!(error.to_string(), "to be tried again in 1s 500ms");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("status 429"));
    }
}
