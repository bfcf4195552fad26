//! Logs and counts outcomes once the database has recorded them.

use tracing::Span;

use super::Engine;
use super::logs::Log;
use super::outcome::RunStatus;
use super::statistics::Times;
use crate::signals::trace;
use crate::store::{ClaimedCall, Finish, Finished, Outcome};

/// What happened to an outcome that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FinishResult {
    /// The database's answer.
    As(Finished),
    /// The database refused the outcome and has recorded nothing.
    Refused,
    /// The pod ended before the database had recorded it.
    PodEnded,
}

impl FinishResult {
    pub(super) const RECORDED: Self = Self::As(Finished::Recorded);
}

/// A run's span, and the log collected in it.
#[derive(Debug)]
pub(super) struct RunTrace {
    span: Span,
    log: Log,
    attempt: u32,
}

impl RunTrace {
    pub(super) fn begin(engine: &Engine, call: &ClaimedCall) -> Self {
        let span = trace::run_span(call);
        let log = Log::begin(engine, &span);
        Self { span, log, attempt: call.attempt }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Ends a run whose outcome is not stored from here: its call was left to another pod, or is recorded already.
    /// Runs `line` in the span, which may log a last event. `is_kept`: a row of the call remains with which the log
    /// can be kept.
    pub(super) fn end(self, engine: &Engine, call: &ClaimedCall, is_kept: bool, line: impl FnOnce()) {
        self.span.in_scope(line);
        self.log.end(engine, call.id, self.attempt, is_kept);
    }
}

/// What is needed to log and count an outcome once the database has answered.
#[derive(Debug)]
pub(super) struct Report {
    /// `None`: no handler was started.
    run: Option<RunTrace>,
    times: Times,
    /// Whether the run succeeded although its transaction was dropped.
    is_rolled_back: bool,
}

impl Report {
    /// Creates the report of a run; `None` for one that succeeded and keeps no log: then there is nothing to log or
    /// count later.
    pub(super) fn of_run(
        run: RunTrace,
        outcome: &Outcome,
        times: Times,
        is_rolled_back: bool,
    ) -> Option<Box<Self>> {
        let is_wanted = *outcome != Outcome::Succeeded || is_rolled_back || run.log.is_collecting();
        is_wanted.then(|| Box::new(Self { run: Some(run), times, is_rolled_back }))
    }

    /// Creates the report of a call for which no handler was started.
    pub(super) fn unstarted(times: Times) -> Self {
        Self { run: None, times, is_rolled_back: false }
    }
}

/// Logs and counts an outcome in the span of its run, and returns the run's status. To be called once the database
/// has answered, or cannot any more.
pub(super) fn report(
    engine: &Engine,
    name: &str,
    finish: &Finish,
    report: Option<Box<Report>>,
    stored: FinishResult,
) -> RunStatus {
    let status = status_of(&finish.outcome, stored);
    let Some(report) = report else {
        if stored != FinishResult::RECORDED {
            measure(engine, name, &finish.outcome, stored);
            log(name, finish, stored);
        }
        return status;
    };
    let Report { run, times, is_rolled_back } = *report;
    measure(engine, name, &finish.outcome, stored);
    if finish.outcome != Outcome::Succeeded {
        engine.count(name, status, times);
    }
    let line = || {
        log(name, finish, stored);
        if is_rolled_back && stored == FinishResult::RECORDED {
            tracing::warn!(id = %finish.id, name, "a call succeeded whose transaction was dropped without `complete()`: what it wrote there was rolled back");
        }
    };
    let Some(run) = run else {
        line();
        return status;
    };
    run.span.in_scope(line);
    run.log.end(engine, finish.id, run.attempt, keeps_a_row(engine, &finish.outcome, stored));
    status
}

fn log(name: &str, finish: &Finish, stored: FinishResult) {
    let (id, error) = (finish.id, finish.outcome.error());
    match stored {
        FinishResult::As(Finished::Recorded) => log_recorded(name, finish),
        FinishResult::As(Finished::Cancelled) => {
            tracing::info!(error, "a call that was cancelled while it ran has ended");
        }
        FinishResult::As(Finished::Lost) => {
            tracing::warn!(%id, name, error, "the outcome of a call was refused: its claim had been lost");
        }
        FinishResult::Refused => {
            tracing::error!(%id, name, error, "the outcome of a call could not be stored: the database refuses it");
        }
        FinishResult::PodEnded => {
            tracing::warn!(%id, name, error, "the outcome of a call was not stored before its pod ended: it is treated as interrupted once its lease is over");
        }
    }
}

fn log_recorded(name: &str, finish: &Finish) {
    match &finish.outcome {
        Outcome::Succeeded => {}
        Outcome::Failed { error } => tracing::error!(error, "a call failed"),
        Outcome::Retry { error, after } => {
            tracing::warn!(error, ?after, "an attempt failed; the call is tried again");
        }
        Outcome::Rerun { error } => {
            tracing::info!(error, "an attempt was stopped because its pod ends; its call is run again");
        }
        Outcome::Interrupted { error } => tracing::warn!(error, "a call was interrupted"),
        Outcome::Expired { error } => tracing::info!(id = %finish.id, name, error, "a call has expired"),
    }
}

fn measure(engine: &Engine, name: &str, outcome: &Outcome, stored: FinishResult) {
    match (outcome, stored) {
        (Outcome::Retry { .. } | Outcome::Rerun { .. }, FinishResult::RECORDED) => {
            engine.call_meter(name).again();
        }
        (Outcome::Failed { .. }, FinishResult::RECORDED) => engine.call_meter(name).dead(),
        (_, FinishResult::As(Finished::Lost)) => engine.call_meter(name).refused(),
        _ => {}
    }
}

/// Returns the status with which a run is counted in summaries and statistics.
pub(super) fn status_of(outcome: &Outcome, stored: FinishResult) -> RunStatus {
    match (outcome, stored) {
        // A success counts in any case; for an expired call no handler was started.
        (Outcome::Succeeded, _) => RunStatus::Succeeded,
        (Outcome::Expired { .. }, _) => RunStatus::Expired,
        (_, FinishResult::As(Finished::Lost) | FinishResult::Refused | FinishResult::PodEnded)
        | (Outcome::Interrupted { .. } | Outcome::Rerun { .. }, FinishResult::As(_)) => {
            RunStatus::Interrupted
        }
        (Outcome::Retry { .. }, FinishResult::As(Finished::Recorded)) => RunStatus::Retried,
        (Outcome::Failed { .. }, FinishResult::As(_))
        | (Outcome::Retry { .. }, FinishResult::As(Finished::Cancelled)) => RunStatus::Failed,
    }
}

/// Returns whether a row of the call remains with which its log can be kept.
fn keeps_a_row(engine: &Engine, outcome: &Outcome, stored: FinishResult) -> bool {
    let retention = &engine.config.retention;
    let kept = match (stored, outcome) {
        (FinishResult::As(Finished::Cancelled), _) => retention.cancelled,
        (FinishResult::RECORDED, Outcome::Succeeded) => retention.succeeded,
        (FinishResult::RECORDED, Outcome::Failed { .. }) => retention.failed,
        (FinishResult::RECORDED, Outcome::Interrupted { .. }) => retention.interrupted,
        (FinishResult::RECORDED, Outcome::Expired { .. }) => retention.skipped,
        // The call goes on, or another pod has it.
        _ => return true,
    };
    !kept.is_zero()
}
