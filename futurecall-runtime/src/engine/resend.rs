//! Sends a statement again after an error that may pass, and keeps account of whether it may have been done.

use std::time::{Duration, Instant};

use super::Engine;
use super::backoff::Backoff;
use crate::error::StoreError;
use crate::store::{CancelTarget, Cancelled, Due, Now, REPEATED, Rescheduled, Result};

/// For how long a statement is sent again before its caller gets the error.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The tries of one statement, within a limit of time. The last one is sent when the limit is reached.
///
/// The limit is counted by the monotonic clock: nobody loses patience because the machine's clock was set.
#[derive(Debug)]
pub(super) struct Retries {
    /// `None`: later than this machine's clock can count.
    until: Option<Instant>,
    waits_for_locks: bool,
    /// Whether errors that a person has to mend are worth another try.
    tries_when_denied: bool,
    backoff: Backoff,
    /// The error of an earlier try that may have done the work.
    unknown: Option<StoreError>,
}

impl Retries {
    /// Begins, with that long to go.
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

    /// Begins, for a caller who waits: [`PATIENCE`] is the limit, and a lock that was waited for in vain is not waited for
    /// again, for that has taken long already.
    pub(super) fn for_caller() -> Self {
        Self { waits_for_locks: false, ..Self::within(PATIENCE) }
    }

    /// Begins, for a pod that starts: an error that a person has to mend is given up on at once.
    fn for_start() -> Self {
        Self { tries_when_denied: false, ..Self::for_caller() }
    }

    /// The statement has been sent once already, and may have been done.
    pub(super) fn may_be_done(mut self, unknown: StoreError) -> Self {
        self.unknown = Some(unknown);
        self
    }

    /// Returns the error of an earlier try that may have done the work.
    pub(super) const fn unknown(&self) -> Option<&StoreError> {
        self.unknown.as_ref()
    }

    /// Takes that error, where no more tries follow.
    pub(super) const fn take_unknown(&mut self) -> Option<StoreError> {
        self.unknown.take()
    }

    /// Waits until the statement is to be sent again. Returns the error to give up with: that of an earlier try, where the
    /// work may have been done by that. Gives up at once where the error cannot pass.
    pub(super) async fn after(&mut self, error: StoreError) -> Result<()> {
        let wait = self.wait_after(error, crate::clock::instant())?;
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// How long to wait after that error, which came at `now`.
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
            tracing::warn!(%error, "the database could not do it; trying again");
        }
        if error.outcome_unknown() {
            self.unknown = Some(error);
        }
        Ok(left.map_or(wait, |left| wait.min(left)))
    }
}

/// Sends an idempotent statement until its outcome is known: what it does the second time is nothing, or the same. Gives up
/// when the error cannot pass, or after [`PATIENCE`].
pub(crate) async fn until_known<T, F>(send: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    repeat(Retries::for_caller(), send).await
}

/// The same while a pod starts: an error that a person has to mend is reported at once.
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
    /// Cancels. The error says that the outcome is unknown where an earlier try may have cancelled what the last one did not
    /// find any more. Where an earlier try failed after some chunks, the answer counts those too.
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
                    // What runs is found, and told so, by every try.
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

    /// Moves calls. Where a try may have moved some, none follows: calls that have been moved may have started since, and the
    /// next would count less.
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

    /// Returns whether what this pod cancels leaves no lasting row in the history, and no heartbeat of it says so.
    pub(crate) fn forgets_cancelled(&self) -> bool {
        !self.runs_calls() && self.config.retention.cancelled < REPEATED
    }

    /// Notes that the history has a gap, for as long as what ends now may be repeated.
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
    fn the_last_try_is_sent_when_patience_ends() {
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
    fn what_cannot_pass_is_not_tried_again() {
        let now = crate::clock::instant();
        let refused = || StoreError::refused("store the call", "too large");
        let busy = || StoreError::busy("store the call", "locked");
        for error in [refused, busy, || StoreError::permanent("store the call", "no such operator")] {
            assert!(Retries::for_caller().wait_after(error(), now).is_err());
        }
        let denied = StoreError::denied("store the call", "permission denied");
        assert!(Retries::for_start().wait_after(denied, now).is_err());
        let mut patient = Retries::within(PATIENCE);
        assert!(patient.wait_after(busy(), now).is_ok(), "who has time waits for locks as well");
    }

    #[test]
    fn what_an_earlier_try_may_have_done_stays_unknown() {
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
