//! Repeats statements after transient errors, and keeps track of whether an earlier try may have succeeded.

use std::time::{Duration, Instant};

use super::Engine;
use super::backoff::Backoff;
use crate::error::StoreError;
use crate::store::{CancelTarget, Cancelled, Due, Now, REPEATED, Rescheduled, Result};

/// How long a statement is repeated before its caller gets the error.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The retries of one statement, within a time limit. The last one is sent when the limit is reached.
///
/// The limit uses the monotonic clock: setting the machine's clock does not end the retries.
#[derive(Debug)]
pub(super) struct Retries {
    /// `None` if it is beyond the range of `Instant`.
    until: Option<Instant>,
    waits_for_locks: bool,
    /// Whether to retry errors that a person has to fix, such as missing rights.
    tries_when_denied: bool,
    backoff: Backoff,
    /// The error of an earlier try that may have done the work.
    unknown: Option<StoreError>,
}

impl Retries {
    /// Creates retries with that time limit.
    pub(super) fn within(time: Duration) -> Self {
        let until = crate::clock::instant().checked_add(time);
        Self {
            until,
            waits_for_locks: true,
            tries_when_denied: true,
            backoff: Backoff::default(),
            unknown: None,
        }
    }

    /// Creates retries for a waiting caller: the limit is [`PATIENCE`], and after a lock timeout there is no retry,
    /// because the caller has waited long enough.
    pub(super) fn for_caller() -> Self {
        Self { waits_for_locks: false, ..Self::within(PATIENCE) }
    }

    /// Creates retries for a starting pod: an error that a person has to fix is returned at once.
    fn for_start() -> Self {
        Self { tries_when_denied: false, ..Self::for_caller() }
    }

    /// Records that the statement was sent before, and may have succeeded.
    pub(super) fn may_be_done(mut self, unknown: StoreError) -> Self {
        self.unknown = Some(unknown);
        self
    }

    /// Returns the error of an earlier try that may have done the work.
    pub(super) const fn unknown(&self) -> Option<&StoreError> {
        self.unknown.as_ref()
    }

    /// Takes that error, if no more tries follow.
    pub(super) const fn take_unknown(&mut self) -> Option<StoreError> {
        self.unknown.take()
    }

    /// Waits before the next try. Returns the error to give up with: the one of an earlier try, if that may have done
    /// the work. Gives up at once if the error is permanent.
    pub(super) async fn after(&mut self, error: StoreError) -> Result<()> {
        let wait = self.wait_after(error, crate::clock::instant())?;
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Returns how long to wait after an error that occurred at `now`.
    fn wait_after(&mut self, error: StoreError, now: Instant) -> Result<Duration> {
        let left = self.until.map(|until| until.saturating_duration_since(now));
        let wait = self.backoff.failed();
        let is_worthwhile = error.may_pass()
            && (self.waits_for_locks || !error.is_busy())
            && (self.tries_when_denied || !error.is_denied());
        if !is_worthwhile || left.is_some_and(|left| left.is_zero()) {
            return Err(if error.outcome_unknown() { error } else { self.unknown.take().unwrap_or(error) });
        }
        if self.backoff.may_log() {
            tracing::warn!(%error, "a database operation failed; trying again");
        }
        if error.outcome_unknown() {
            self.unknown = Some(error);
        }
        Ok(left.map_or(wait, |left| wait.min(left)))
    }
}

/// Repeats an idempotent statement until its outcome is known. Gives up on a permanent error, or after [`PATIENCE`].
pub(crate) async fn until_known<T, F>(send: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    repeat(Retries::for_caller(), send).await
}

/// [`until_known`] for a starting pod: an error that a person has to fix is returned at once.
pub(crate) async fn until_known_at_start<T, F>(send: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    repeat(Retries::for_start(), send).await
}

async fn repeat<T, F>(mut retries: Retries, send: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    loop {
        match send().await {
            Ok(answer) => return Ok(answer),
            Err(error) => retries.after(error).await?,
        }
    }
}

impl Engine {
    /// Cancels calls and schedules. The outcome is reported as unknown if the last try found nothing and an earlier
    /// one may have cancelled something. If an earlier try failed after some chunks, the result includes those.
    pub(crate) async fn cancel(&self, target: &CancelTarget) -> Result<Cancelled> {
        if self.forgets_cancelled() {
            self.note_history_gap().await?;
        }
        let mut retries = Retries::for_caller();
        let mut before = Cancelled::default();
        loop {
            let error = match self.store.cancel(Now::Database, target, &self.config.retention).await {
                Ok(answer) => {
                    let all = Cancelled::new(
                        answer.calls.saturating_add(before.calls),
                        answer.schedules.saturating_add(before.schedules),
                        answer.running,
                    );
                    // Running calls are found and flagged by every try.
                    let is_nothing = all.calls == 0 && all.schedules == 0;
                    let unknown = if is_nothing { retries.take_unknown() } else { None };
                    return unknown.map_or(Ok(all), Err);
                }
                Err(error) => error,
            };
            if let Some((calls, schedules)) = error.done_before() {
                before.calls = before.calls.saturating_add(calls);
                before.schedules = before.schedules.saturating_add(schedules);
            }
            if let Err(last) = retries.after(error).await {
                return Err(last.having_done(before.calls, before.schedules));
            }
        }
    }

    /// Reschedules calls. There is no retry after a try that may have moved some: moved calls may have started since,
    /// and the next result would be too low.
    pub(crate) async fn reschedule(&self, target: &CancelTarget, due: Due) -> Result<Rescheduled> {
        let mut retries = Retries::for_caller();
        let soon = self.config.scan_interval;
        loop {
            match self.store.reschedule(Now::Database, target, due, soon).await {
                Err(error) if !error.outcome_unknown() => retries.after(error).await?,
                moved => return moved,
            }
        }
    }

    /// Returns whether calls cancelled by this pod leave no lasting row in the history, and its heartbeat does not
    /// note that.
    pub(crate) fn forgets_cancelled(&self) -> bool {
        !self.runs_calls() && self.config.retention.cancelled < REPEATED
    }

    /// Notes a gap in the history, for as long as the calls that end now may be resent.
    pub(crate) async fn note_history_gap(&self) -> Result<()> {
        until_known(|| self.store.note_history_gap(Now::Database, REPEATED)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> StoreError {
        StoreError::transient("store the call", "no connection")
    }

    #[test]
    fn the_last_try_is_sent_when_the_limit_is_reached() {
        for error in [gone, || StoreError::denied("store the call", "permission denied")] {
            let (mut retries, mut passed, mut tries) = (Retries::for_caller(), Duration::ZERO, 1);
            let began = retries.until.and_then(|until| until.checked_sub(PATIENCE)).unwrap();
            while let Ok(wait) = retries.wait_after(error(), began + passed) {
                assert!(passed < PATIENCE, "one more after the last");
                passed += wait;
                tries += 1;
            }
            assert_eq!((passed, tries), (PATIENCE, 9));
        }
    }

    #[test]
    fn permanent_errors_are_not_retried() {
        let now = crate::clock::instant();
        let refused = || StoreError::refused("store the call", "too large");
        let busy = || StoreError::busy("store the call", "locked");
        for error in [refused, busy, || StoreError::permanent("store the call", "no such operator")] {
            assert!(Retries::for_caller().wait_after(error(), now).is_err());
        }
        let denied = StoreError::denied("store the call", "permission denied");
        assert!(Retries::for_start().wait_after(denied, now).is_err());
        let mut patient = Retries::within(PATIENCE);
        assert!(patient.wait_after(busy(), now).is_ok(), "other retries wait for locks as well");
    }

    #[test]
    fn an_unknown_outcome_of_an_earlier_try_stays_unknown() {
        let now = crate::clock::instant();
        let mut retries = Retries::for_caller();
        assert!(retries.unknown().is_none());
        assert!(retries.wait_after(StoreError::unknown("store the call", "broken"), now).is_ok());
        assert!(retries.wait_after(gone(), now).is_ok());
        assert!(retries.unknown().is_some());
        let error = retries.wait_after(StoreError::refused("store the call", "too large"), now).unwrap_err();
        assert!(error.outcome_unknown(), "{error}");
    }
}
