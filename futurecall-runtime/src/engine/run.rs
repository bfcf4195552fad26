//! Runs one claimed call, from the last check of its lease until its outcome is queued to be stored.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{Instrument, Span};

use super::leases::RunSignals;
use super::outcome::{self, HandlerEnd, RunStatus};
use super::ready_queue::ReadyCall;
use super::report::{self, FinishResult, Report, RunTrace};
use super::runner::{CallHandler, Run};
use super::statistics::Times;
use super::{Completion, Engine, decline, finish, release};
use crate::error::CallFailure;
use crate::id::PodId;
use crate::signals::{Ending, trace};
use crate::store::{ClaimedCall, Finish, Held, Outcome};

tokio::task_local! {
    /// The pod whose handler this task runs.
    static IN_HANDLER_OF: PodId;
}

/// Returns whether the current task runs a handler of that pod, and so occupies one of its slots.
pub(super) fn is_in_handler_of(pod: PodId) -> bool {
    IN_HANDLER_OF.try_with(|of| *of == pod).unwrap_or(false)
}

/// The result of a run, for summaries. `status` is `None` if the handler never started.
#[derive(Debug, Default)]
pub(super) struct RunResult {
    pub(super) name: String,
    pub(super) status: Option<RunStatus>,
    /// Whether no slot became free for the call, and it was given back.
    pub(super) is_released: bool,
}

/// Assigns the ready calls to free slots.
pub(super) fn dispatch(engine: &Arc<Engine>) {
    for _ in 0..engine.ready.due() {
        if engine.stop.is_cancelled() {
            return;
        }
        let Ok(permit) = Arc::clone(&engine.slots).try_acquire_owned() else { return };
        engine.runs.spawn(engine.process.task(slot(Arc::clone(engine), permit)));
    }
}

/// A slot: runs one ready call after the other until there are none.
async fn slot(engine: Arc<Engine>, permit: OwnedSemaphorePermit) {
    while !engine.stop.is_cancelled() && engine.slot_seekers.load(Ordering::SeqCst) == 0 {
        let Some(ready_call) = engine.ready.pop() else { break };
        engine.wake_if_wanting();
        run(&engine, ready_call, None).await;
        // Yields, so that handlers that never wait do not block the thread.
        tokio::task::coop::consume_budget().await;
    }
    free(&engine, permit);
}

/// Frees a slot, and assigns it to a call that became ready in the meantime.
fn free(engine: &Arc<Engine>, permit: OwnedSemaphorePermit) {
    drop(permit);
    if engine.slot_seekers.load(Ordering::SeqCst) == 0 {
        dispatch(engine);
    }
    engine.wake_if_wanting();
}

/// Waits for a slot, runs one call in it, and returns when its outcome is stored. If no slot becomes free within a
/// lease, the call is given back: whoever waits for it may be what occupies the slots.
pub(super) async fn run_in_turn(engine: &Arc<Engine>, ready_call: ReadyCall) -> RunResult {
    engine.slot_seekers.fetch_add(1, Ordering::SeqCst);
    let permit = tokio::select! {
        biased;
        () = engine.stop.cancelled() => Some(None),
        permit = Arc::clone(&engine.slots).acquire_owned() => Some(permit.ok()),
        () = tokio::time::sleep(engine.config.lease) => None,
    };
    engine.slot_seekers.fetch_sub(1, Ordering::SeqCst);
    let Some(permit) = permit else {
        let held = Held { id: ready_call.call.id, claim_no: ready_call.call.claim_no, started: false };
        release::release(engine, &[held]).await;
        dispatch(engine);
        return RunResult { name: ready_call.call.name, status: None, is_released: true };
    };
    let (stored, is_stored) = oneshot::channel();
    let mut ended = run(engine, ready_call, Some(stored)).await;
    if let Some(permit) = permit {
        free(engine, permit);
    } else {
        dispatch(engine);
    }
    // Nothing is stored for a call that did not start.
    if let Ok(status) = is_stored.await {
        ended.status = Some(status);
    }
    ended
}

/// Runs one call whose claim is in `engine.held`, and queues its outcome to be stored.
async fn run(
    engine: &Arc<Engine>,
    ready_call: ReadyCall,
    stored: Option<oneshot::Sender<RunStatus>>,
) -> RunResult {
    let ReadyCall { call, deadline } = ready_call;
    let (id, claim_no) = (call.id, call.claim_no);
    let handler = engine.runner.handler(&call.name);
    let now = crate::clock::read();
    let database = engine.clock.at_least(now.monotonic);
    if let Some(outcome) = outcome::expired(&call, database) {
        engine.call_meter(&call.name).finished(Ending::Expired, None);
        let times = Times::of(&call, None, Duration::ZERO);
        return hand_in(engine, call, outcome, times, Some(Box::new(Report::unstarted(times))), stored);
    }
    let signals = if handler.is_some() && !engine.stop.is_cancelled() {
        engine.held.start(id, claim_no, now, margin(engine))
    } else {
        None
    };
    let (Some(handler), Some(signals)) = (handler, signals) else {
        // The pod is stopping, the call was cancelled while it waited, or the lease is about to end: another pod may
        // have the call by the time the handler would act.
        release::release_one(engine, Held { id, claim_no, started: false }).await;
        engine.wake();
        return RunResult { name: call.name, ..RunResult::default() };
    };
    let lateness = database.unwrap_or(call.claimed).saturating_since(call.due);
    let mut start = Start { engine, handler: &*handler, lateness, is_counted: false };
    let started_after = engine.config.lease.saturating_sub(deadline.left(now));
    let completion = Completion::new(id, claim_no, now.monotonic, started_after);
    let run = RunTrace::begin(engine, &call);
    // Dropping a handler and formatting its error run the user's code as well, and may panic.
    let attempt = attempt(engine, &call, &mut start, &signals, &completion, run.span());
    let (ending, result) = AssertUnwindSafe(attempt).catch_unwind().await.unwrap_or_else(|panic| {
        let outcome = outcome::of(engine, &call, &*handler, HandlerEnd::Panicked(panic));
        (Ending::Panic, Attempt::Finished(outcome))
    });
    trace::ended(run.span(), ending);
    let outcome = match result {
        Attempt::Finished(outcome) => Some(outcome),
        Attempt::Lost => None,
        Attempt::Declined { shape, error } => {
            handler.meter().finished(ending, None);
            return leave_to_others(engine, call, run, shape, &error).await;
        }
    };
    start.count();
    let ran_for = crate::clock::instant().saturating_duration_since(now.monotonic);
    let times = Times::of(&call, Some(started_after), ran_for);
    if completion.settled().await {
        handler.meter().finished(Ending::Ok, Some(ran_for));
        engine.count(&call.name, RunStatus::Succeeded, times);
        return completed(engine, call, run, outcome.as_ref(), stored.is_some());
    }
    handler.meter().finished(ending, Some(ran_for));
    let Some(outcome) = outcome else { return lost(engine, call, run, times) };
    let has_succeeded = outcome == Outcome::Succeeded;
    if has_succeeded {
        engine.count(&call.name, RunStatus::Succeeded, times);
    }
    let report = Report::of_run(run, &outcome, times, has_succeeded && completion.was_dropped());
    hand_in(engine, call, outcome, times, report, stored)
}

/// Queues an outcome to be stored. It is logged and counted after that.
fn hand_in(
    engine: &Arc<Engine>,
    call: ClaimedCall,
    outcome: Outcome,
    times: Times,
    report: Option<Box<Report>>,
    stored: Option<oneshot::Sender<RunStatus>>,
) -> RunResult {
    let Times { started_after, ran_for, .. } = times;
    let name = if stored.is_some() { call.name.clone() } else { String::new() };
    // Provisional; a caller that waits until the outcome is stored gets the final status.
    let status = report::status_of(&outcome, FinishResult::RECORDED);
    let outcome = finish::Outcome {
        finish: Finish { id: call.id, claim_no: call.claim_no, outcome, started_after, ran_for },
        name: call.name,
        is_of_schedule: call.schedule.is_some(),
        report,
        stored,
        token: engine.runs.token(),
    };
    engine.finisher.send(engine, outcome);
    RunResult { name, status: Some(status), is_released: false }
}

/// Ends a run whose lease was lost.
fn lost(engine: &Engine, call: ClaimedCall, run: RunTrace, times: Times) -> RunResult {
    engine.count(&call.name, RunStatus::Interrupted, times);
    run.end(engine, &call, true, || {
        tracing::warn!("the call's lease was lost; its handler is stopped, and its outcome dropped");
    });
    engine.held.remove(std::iter::once((call.id, call.claim_no)));
    if call.schedule.is_some() {
        engine.sweep_now();
    }
    RunResult { name: call.name, status: Some(RunStatus::Interrupted), is_released: false }
}

/// Ends a run that could not decode its arguments, and leaves the call to another pod.
async fn leave_to_others(
    engine: &Engine,
    call: ClaimedCall,
    run: RunTrace,
    shape: i64,
    error: &CallFailure,
) -> RunResult {
    let held = Held { id: call.id, claim_no: call.claim_no, started: false };
    if release::decline(engine, held, shape).await {
        let _in_span = run.span().enter();
        tracing::info!(%error, "the call is of another release: it is left to a pod that can decode its arguments");
    }
    engine.wake();
    RunResult { name: call.name, ..RunResult::default() }
}

/// Ends a run whose handler has completed the call: the database has its outcome already.
fn completed(
    engine: &Engine,
    call: ClaimedCall,
    run: RunTrace,
    outcome: Option<&Outcome>,
    is_counted: bool,
) -> RunResult {
    let is_kept = !engine.config.retention.succeeded.is_zero();
    run.end(engine, &call, is_kept, || {
        if outcome != Some(&Outcome::Succeeded) {
            let error = outcome.and_then(Outcome::error);
            tracing::warn!(id = %call.id, name = call.name, error, "a handler failed after it had completed its call: the call has succeeded anyway");
        }
    });
    engine.held.remove(std::iter::once((call.id, call.claim_no)));
    if call.schedule.is_some() {
        engine.sweep_now();
    }
    engine.wake_if_wanting();
    RunResult {
        name: if is_counted { call.name } else { String::new() },
        status: Some(RunStatus::Succeeded),
        is_released: false,
    }
}

/// Returns how much of a lease must be left for a handler to start: a hundredth, for clock drift.
pub(super) fn margin(engine: &Engine) -> Duration {
    engine.config.lease / 100
}

/// A start that is counted once it is certain that the call is not declined.
struct Start<'a> {
    engine: &'a Engine,
    handler: &'a dyn CallHandler,
    lateness: Duration,
    is_counted: bool,
}

impl Start<'_> {
    fn count(&mut self) {
        if !self.is_counted {
            self.is_counted = true;
            self.engine.started.fetch_add(1, Ordering::Relaxed);
            self.handler.meter().started(self.lateness);
        }
    }
}

/// The result of one attempt.
enum Attempt {
    Finished(Outcome),
    /// The lease was lost, and there is nothing to report.
    Lost,
    /// The arguments could not be decoded under this shape, and a live pod with another one may be able to.
    Declined {
        shape: i64,
        error: CallFailure,
    },
}

/// Runs the handler until it ends or is stopped.
async fn attempt(
    engine: &Arc<Engine>,
    call: &ClaimedCall,
    start: &mut Start<'_>,
    signals: &Arc<RunSignals>,
    completion: &Arc<Completion>,
    span: &Span,
) -> (Ending, Attempt) {
    let handler = start.handler;
    let run = handler.run(Run { engine, call, signals, completion });
    let run = IN_HANDLER_OF.scope(engine.pod, run);
    let mut run = pin!(AssertUnwindSafe(run).catch_unwind().instrument(span.clone()));
    // The arguments are decoded on the first poll.
    let run = poll_fn(|context| {
        let polled = run.as_mut().poll(context);
        if !matches!(polled, Poll::Ready(Ok(Err(CallFailure::Arguments(_))))) {
            start.count();
        }
        polled
    });
    let timeout = async {
        match handler.timeout() {
            Some(timeout) => {
                tokio::time::sleep(timeout).await;
                timeout
            }
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        biased;
        () = signals.lost.wait() => return (Ending::LeaseLost, Attempt::Lost),
        result = run => result.map_or_else(HandlerEnd::Panicked, HandlerEnd::Returned),
        () = completion.overdue.wait() => HandlerEnd::Overdue,
        timeout = timeout => HandlerEnd::TimedOut(timeout),
        () = signals.abandoned.wait() => HandlerEnd::Abandoned,
    };
    let end = match end {
        HandlerEnd::Returned(Err(error @ CallFailure::Arguments(_))) => {
            if let Some(shape) = decline::declining_shape(engine, call).await {
                return (Ending::Declined, Attempt::Declined { shape, error });
            }
            HandlerEnd::Returned(Err(error))
        }
        end => end,
    };
    let _in_span = span.enter();
    let ending = ending(engine, signals, &end);
    (ending, Attempt::Finished(outcome::of(engine, call, handler, end)))
}

/// Returns the ending as metrics and traces record it.
fn ending(engine: &Engine, signals: &RunSignals, end: &HandlerEnd) -> Ending {
    match end {
        HandlerEnd::Returned(Ok(())) => Ending::Ok,
        HandlerEnd::Returned(Err(_)) if signals.cancelled.is_set() => {
            if engine.asks_to_stop.load(Ordering::Relaxed) { Ending::Interrupted } else { Ending::Cancelled }
        }
        HandlerEnd::Returned(Err(_)) => Ending::Error,
        HandlerEnd::Panicked(_) => Ending::Panic,
        HandlerEnd::TimedOut(_) | HandlerEnd::Overdue => Ending::TimedOut,
        HandlerEnd::Abandoned => Ending::Interrupted,
    }
}
