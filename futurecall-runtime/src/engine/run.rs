//! One claimed call, from the last look at its lease to its outcome on its way to the database.

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

use super::leases::Signals;
use super::outcome::{self, End, How};
use super::ready_queue::InHand;
use super::report::{self, Report, RunTrace, Stored};
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

/// Whether the current task runs a handler of that pod, and so keeps one of its slots.
pub(super) fn is_in_handler_of(pod: PodId) -> bool {
    IN_HANDLER_OF.try_with(|of| *of == pod).unwrap_or(false)
}

/// How a run ended, for summaries. `how: None`: the handler never started.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) how: Option<How>,
    /// No slot came free for it, and it was given back.
    pub(super) is_released: bool,
}

/// Gives every call that is ready a slot, as long as there are slots.
pub(super) fn dispatch(engine: &Arc<Engine>) {
    for _ in 0..engine.ready.due() {
        if engine.stop.is_cancelled() {
            return;
        }
        let Ok(permit) = Arc::clone(&engine.slots).try_acquire_owned() else { return };
        engine.runs.spawn(engine.process.task(slot(Arc::clone(engine), permit)));
    }
}

/// A slot: runs one call after the other until none is ready.
async fn slot(engine: Arc<Engine>, permit: OwnedSemaphorePermit) {
    while !engine.stop.is_cancelled() && engine.slot_seekers.load(Ordering::SeqCst) == 0 {
        let Some(in_hand) = engine.ready.pop() else { break };
        engine.wake_if_wanting();
        run(&engine, in_hand, None).await;
        // Handlers that never wait must not keep the thread from everything else.
        tokio::task::coop::consume_budget().await;
    }
    free(&engine, permit);
}

/// Frees a slot, and gives it to whatever became ready meanwhile.
fn free(engine: &Arc<Engine>, permit: OwnedSemaphorePermit) {
    drop(permit);
    if engine.slot_seekers.load(Ordering::SeqCst) == 0 {
        dispatch(engine);
    }
    engine.wake_if_wanting();
}

/// Runs one call in a slot that is waited for, apart from those that are ready; returns when its outcome is stored. Where no
/// slot comes free within a lease, the call is given back: whoever waits for it may be what keeps the slots.
pub(super) async fn run_in_turn(engine: &Arc<Engine>, in_hand: InHand) -> Ended {
    engine.slot_seekers.fetch_add(1, Ordering::SeqCst);
    let permit = tokio::select! {
        biased;
        () = engine.stop.cancelled() => Some(None),
        permit = Arc::clone(&engine.slots).acquire_owned() => Some(permit.ok()),
        () = tokio::time::sleep(engine.config.lease) => None,
    };
    engine.slot_seekers.fetch_sub(1, Ordering::SeqCst);
    let Some(permit) = permit else {
        let held = Held { id: in_hand.call.id, claim_no: in_hand.call.claim_no, started: false };
        release::release(engine, &[held]).await;
        dispatch(engine);
        return Ended { name: in_hand.call.name, how: None, is_released: true };
    };
    let (stored, is_stored) = oneshot::channel();
    let mut ended = run(engine, in_hand, Some(stored)).await;
    if let Some(permit) = permit {
        free(engine, permit);
    } else {
        dispatch(engine);
    }
    // Nothing is stored of a call that did not start.
    if let Ok(how) = is_stored.await {
        ended.how = Some(how);
    }
    ended
}

/// Runs one call whose claim stands in `engine.held`, and hands its outcome in to be stored.
async fn run(engine: &Arc<Engine>, in_hand: InHand, stored: Option<oneshot::Sender<How>>) -> Ended {
    let InHand { call, deadline } = in_hand;
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
        // The pod stops, the call was cancelled while it waited, or the lease is all but over: another pod may have the
        // call by the time the handler would act.
        release::release_one(engine, Held { id, claim_no, started: false }).await;
        engine.wake();
        return Ended { name: call.name, ..Ended::default() };
    };
    let lateness = database.unwrap_or(call.claimed).saturating_since(call.due);
    let mut start = Start { engine, handler: &*handler, lateness, is_counted: false };
    let started_after = engine.config.lease.saturating_sub(deadline.left(now));
    let completion = Completion::new(id, claim_no, now.monotonic, started_after);
    let run = RunTrace::begin(engine, &call);
    // Dropping a handler and showing its error are the user's code as well, and may panic.
    let attempt = attempt(engine, &call, &mut start, &signals, &completion, run.span());
    let (ending, result) = AssertUnwindSafe(attempt).catch_unwind().await.unwrap_or_else(|panic| {
        let outcome = outcome::of(engine, &call, &*handler, End::Panicked(panic));
        (Ending::Panic, Attempt::Ended(outcome))
    });
    trace::ended(run.span(), ending);
    let outcome = match result {
        Attempt::Ended(outcome) => Some(outcome),
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
        engine.count(&call.name, How::Succeeded, times);
        return completed(engine, call, run, outcome.as_ref(), stored.is_some());
    }
    handler.meter().finished(ending, Some(ran_for));
    let Some(outcome) = outcome else { return lost(engine, call, run, times) };
    let has_succeeded = outcome == Outcome::Succeeded;
    if has_succeeded {
        engine.count(&call.name, How::Succeeded, times);
    }
    let report = Report::of_run(run, &outcome, times, has_succeeded && completion.was_dropped());
    hand_in(engine, call, outcome, times, report, stored)
}

/// Hands an outcome in to be stored. What is logged and counted of it follows when it is.
fn hand_in(
    engine: &Arc<Engine>,
    call: ClaimedCall,
    outcome: Outcome,
    times: Times,
    report: Option<Box<Report>>,
    stored: Option<oneshot::Sender<How>>,
) -> Ended {
    let Times { started_after, ran_for, .. } = times;
    let name = if stored.is_some() { call.name.clone() } else { String::new() };
    // Whoever waits until it is stored hears how it really counts.
    let how = report::how(&outcome, Stored::RECORDED);
    let outcome = finish::Outcome {
        finish: Finish { id: call.id, claim_no: call.claim_no, outcome, started_after, ran_for },
        name: call.name,
        is_of_schedule: call.schedule.is_some(),
        report,
        stored,
        token: engine.runs.token(),
    };
    engine.finisher.send(engine, outcome);
    Ended { name, how: Some(how), is_released: false }
}

/// The end of a run whose lease was lost.
fn lost(engine: &Engine, call: ClaimedCall, run: RunTrace, times: Times) -> Ended {
    engine.count(&call.name, How::Interrupted, times);
    run.end(engine, &call, true, || {
        tracing::warn!("the call's lease was lost; its handler is stopped, and its outcome dropped");
    });
    engine.held.remove(std::iter::once((call.id, call.claim_no)));
    if call.schedule.is_some() {
        engine.sweep_now();
    }
    Ended { name: call.name, how: Some(How::Interrupted), is_released: false }
}

/// The end of a run that could not read its arguments: they are left to another pod.
async fn leave_to_others(
    engine: &Engine,
    call: ClaimedCall,
    run: RunTrace,
    shape: i64,
    error: &CallFailure,
) -> Ended {
    let held = Held { id: call.id, claim_no: call.claim_no, started: false };
    if release::decline(engine, held, shape).await {
        let _in_span = run.span().enter();
        tracing::info!(%error, "the call is of another release: it is left to a pod that can read its arguments");
    }
    engine.wake();
    Ended { name: call.name, ..Ended::default() }
}

/// The end of a run that has completed its call by itself: the database has its outcome already.
fn completed(
    engine: &Engine,
    call: ClaimedCall,
    run: RunTrace,
    outcome: Option<&Outcome>,
    is_counted: bool,
) -> Ended {
    let is_kept = !engine.config.retention.succeeded.is_zero();
    run.end(engine, &call, is_kept, || {
        if outcome != Some(&Outcome::Succeeded) {
            let error = outcome.and_then(Outcome::error);
            tracing::warn!(id = %call.id, name = call.name, error, "a handler did not end well after it had completed its call: the call has succeeded all the same");
        }
    });
    engine.held.remove(std::iter::once((call.id, call.claim_no)));
    if call.schedule.is_some() {
        engine.sweep_now();
    }
    engine.wake_if_wanting();
    Ended {
        name: if is_counted { call.name } else { String::new() },
        how: Some(How::Succeeded),
        is_released: false,
    }
}

/// How much of a lease must be left for a handler to start: a hundredth, for clocks that drift.
pub(super) fn margin(engine: &Engine) -> Duration {
    engine.config.lease / 100
}

/// A start that is counted once it is known that the call is not declined.
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

/// What one attempt has led to.
enum Attempt {
    Ended(Outcome),
    /// The lease was lost, and there is nothing to report.
    Lost,
    /// The arguments could not be read under this shape, and a live pod of another one may be able to.
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
    signals: &Arc<Signals>,
    completion: &Arc<Completion>,
    span: &Span,
) -> (Ending, Attempt) {
    let handler = start.handler;
    let run = handler.run(Run { engine, call, signals, completion });
    let run = IN_HANDLER_OF.scope(engine.pod, run);
    let mut run = pin!(AssertUnwindSafe(run).catch_unwind().instrument(span.clone()));
    // The arguments are decoded when the run is polled first.
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
        result = run => result.map_or_else(End::Panicked, End::Returned),
        () = completion.overdue.wait() => End::Overdue,
        timeout = timeout => End::TimedOut(timeout),
        () = signals.abandoned.wait() => End::Abandoned,
    };
    let end = match end {
        End::Returned(Err(error @ CallFailure::Arguments(_))) => {
            if let Some(shape) = decline::declining_shape(engine, call).await {
                return (Ending::Declined, Attempt::Declined { shape, error });
            }
            End::Returned(Err(error))
        }
        end => end,
    };
    let _in_span = span.enter();
    let ending = ending(engine, signals, &end);
    (ending, Attempt::Ended(outcome::of(engine, call, handler, end)))
}

/// The end in one word, for metrics and traces.
fn ending(engine: &Engine, signals: &Signals, end: &End) -> Ending {
    match end {
        End::Returned(Ok(())) => Ending::Ok,
        End::Returned(Err(_)) if signals.cancelled.is_set() => {
            if engine.asks_to_stop.load(Ordering::Relaxed) { Ending::Interrupted } else { Ending::Cancelled }
        }
        End::Returned(Err(_)) => Ending::Error,
        End::Panicked(_) => Ending::Panic,
        End::TimedOut(_) | End::Overdue => Ending::TimedOut,
        End::Abandoned => Ending::Interrupted,
    }
}
