//! What a pod logs and counts of an outcome: what the database has recorded, after it has.

use tracing::Span;

use super::Engine;
use super::logs::Log;
use super::outcome::How;
use super::statistics::Times;
use crate::signals::trace;
use crate::store::{ClaimedCall, Finish, Finished, Outcome};

/// What became of an outcome that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// So says the database.
    As(Finished),
    /// The database refuses it: it has recorded nothing.
    Refused,
    /// The pod ended before the database had recorded it.
    PodEnded,
}

impl Stored {
    pub(super) const RECORDED: Self = Self::As(Finished::Recorded);
}

/// A run's span, and what is logged in it.
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

    /// The end of a run whose call was left to another pod, or has been recorded before: with a last line, or none.
    /// `is_kept`: the call leaves a trace with which the log can be kept.
    pub(super) fn end(self, engine: &Engine, call: &ClaimedCall, is_kept: bool, line: impl FnOnce()) {
        self.span.in_scope(line);
        self.log.end(engine, call.id, self.attempt, is_kept);
    }
}

/// What is needed to log and count an outcome when the database has answered.
#[derive(Debug)]
pub(super) struct Report {
    /// `None`: no handler was started.
    run: Option<RunTrace>,
    times: Times,
    /// It succeeded although its transaction was dropped.
    is_rolled_back: bool,
}

impl Report {
    /// Of a run. `None` for one that succeeded and keeps no log: then there is nothing to log or to count later.
    pub(super) fn of_run(
        run: RunTrace,
        outcome: &Outcome,
        times: Times,
        is_rolled_back: bool,
    ) -> Option<Box<Self>> {
        let is_wanted = *outcome != Outcome::Succeeded || is_rolled_back || run.log.is_collecting();
        is_wanted.then(|| Box::new(Self { run: Some(run), times, is_rolled_back }))
    }

    /// Of a call that no handler was started for.
    pub(super) fn unstarted(times: Times) -> Self {
        Self { run: None, times, is_rolled_back: false }
    }
}

/// Logs and counts what became of an outcome, in the span of its run; returns how the run counts. To be called when the
/// database has answered, or cannot any more.
pub(super) fn tell(
    engine: &Engine,
    name: &str,
    finish: &Finish,
    report: Option<Box<Report>>,
    stored: Stored,
) -> How {
    let how = how(&finish.outcome, stored);
    let Some(report) = report else {
        if stored != Stored::RECORDED {
            measure(engine, name, &finish.outcome, stored);
            log(name, finish, stored);
        }
        return how;
    };
    let Report { run, times, is_rolled_back } = *report;
    measure(engine, name, &finish.outcome, stored);
    if finish.outcome != Outcome::Succeeded {
        engine.count(name, how, times);
    }
    let line = || {
        log(name, finish, stored);
        if is_rolled_back && stored == Stored::RECORDED {
            tracing::warn!(id = %finish.id, name, "a call succeeded whose transaction was dropped without `complete()`: what it wrote there was rolled back");
        }
    };
    let Some(run) = run else {
        line();
        return how;
    };
    run.span.in_scope(line);
    run.log.end(engine, finish.id, run.attempt, leaves_a_trace(engine, &finish.outcome, stored));
    how
}

fn log(name: &str, finish: &Finish, stored: Stored) {
    let (id, error) = (finish.id, finish.outcome.error());
    match stored {
        Stored::As(Finished::Recorded) => log_recorded(name, finish),
        Stored::As(Finished::Cancelled) => {
            tracing::info!(error, "a call that was cancelled while it ran has ended");
        }
        Stored::As(Finished::Lost) => {
            tracing::warn!(%id, name, error, "the outcome of a call was refused: its claim had been lost");
        }
        Stored::Refused => {
            tracing::error!(%id, name, error, "the outcome of a call could not be stored: the database refuses it");
        }
        Stored::PodEnded => {
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

fn measure(engine: &Engine, name: &str, outcome: &Outcome, stored: Stored) {
    match (outcome, stored) {
        (Outcome::Retry { .. } | Outcome::Rerun { .. }, Stored::RECORDED) => engine.call_meter(name).again(),
        (Outcome::Failed { .. }, Stored::RECORDED) => engine.call_meter(name).dead(),
        (_, Stored::As(Finished::Lost)) => engine.call_meter(name).refused(),
        _ => {}
    }
}

/// How a run counts in summaries and statistics.
pub(super) fn how(outcome: &Outcome, stored: Stored) -> How {
    match (outcome, stored) {
        // The handler ended well in any case, and the call had not started in the other.
        (Outcome::Succeeded, _) => How::Succeeded,
        (Outcome::Expired { .. }, _) => How::Expired,
        (_, Stored::As(Finished::Lost) | Stored::Refused | Stored::PodEnded)
        | (Outcome::Interrupted { .. } | Outcome::Rerun { .. }, Stored::As(_)) => How::Interrupted,
        (Outcome::Retry { .. }, Stored::As(Finished::Recorded)) => How::Retried,
        (Outcome::Failed { .. }, Stored::As(_))
        | (Outcome::Retry { .. }, Stored::As(Finished::Cancelled)) => How::Failed,
    }
}

/// Whether something of the call is left with which its log can be kept.
fn leaves_a_trace(engine: &Engine, outcome: &Outcome, stored: Stored) -> bool {
    let retention = &engine.config.retention;
    let kept = match (stored, outcome) {
        (Stored::As(Finished::Cancelled), _) => retention.cancelled,
        (Stored::RECORDED, Outcome::Succeeded) => retention.succeeded,
        (Stored::RECORDED, Outcome::Failed { .. }) => retention.failed,
        (Stored::RECORDED, Outcome::Interrupted { .. }) => retention.interrupted,
        (Stored::RECORDED, Outcome::Expired { .. }) => retention.skipped,
        // The call goes on, or another pod has it.
        _ => return true,
    };
    !kept.is_zero()
}
