//! One claimed call, from the last look at its lease to its outcome on its way to the database.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::Instrument;

use super::held::Signals;
use super::logs::Log;
use super::outcome::{self, End};
use super::ready::InHand;
use super::{Completion, Engine, claim, decline, finish};
use crate::id::PodId;
use crate::pod::Pod;
use crate::registry::{CallFailure, Handler};
use crate::session::{CallInfo, Session};
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Succeeded,
    Failed,
    /// It failed, and is tried again.
    Retried,
    /// It was not started.
    Expired,
    Interrupted,
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
        claim::release(engine, &[held]).await;
        dispatch(engine);
        return Ended { name: in_hand.call.name, how: None, is_released: true };
    };
    let (stored, is_stored) = oneshot::channel();
    let ended = run(engine, in_hand, Some(stored)).await;
    if let Some(permit) = permit {
        free(engine, permit);
    } else {
        dispatch(engine);
    }
    // Nothing is stored of a call that did not start.
    let _ = is_stored.await;
    ended
}

/// Runs one call whose claim stands in `engine.held`, and hands its outcome in to be stored.
async fn run(engine: &Arc<Engine>, in_hand: InHand, stored: Option<oneshot::Sender<()>>) -> Ended {
    let InHand { call, deadline } = in_hand;
    let (id, claim_no) = (call.id, call.claim_no);
    let handler = engine.registry().get(&call.name).cloned();
    let now = crate::clock::read();
    let database = engine.clock.at_least(now.monotonic);
    if let Some(outcome) = outcome::expired(&call, database) {
        engine.call_meter(&call.name).finished(Ending::Expired, None);
        return report(engine, call, outcome, None, Duration::ZERO, stored);
    }
    let signals = if handler.is_some() && !engine.stop.is_cancelled() {
        engine.held.start(id, claim_no, now, margin(engine))
    } else {
        None
    };
    let (Some(handler), Some(signals)) = (handler, signals) else {
        // The pod stops, the call was cancelled while it waited, or the lease is all but over: another pod may have the
        // call by the time the handler would act.
        claim::release(engine, &[Held { id, claim_no, started: false }]).await;
        engine.wake();
        return Ended { name: call.name, ..Ended::default() };
    };
    engine.started.fetch_add(1, Ordering::Relaxed);
    handler.meter.started(database.unwrap_or(call.claimed).saturating_since(call.due));
    let started_after = engine.config.lease.saturating_sub(deadline.left(now));
    let completion = Completion::new(id, claim_no, now.monotonic, started_after);
    // Dropping a handler and showing its error are the user's code as well, and may panic.
    let end = AssertUnwindSafe(attempt(engine, &call, &handler, &signals, &completion)).catch_unwind().await;
    let (ending, result) = end.unwrap_or_else(|panic| {
        let cancelled = is_cancelled(engine, &signals);
        let outcome = outcome::of(engine, &call, &handler, End::Panicked(panic), cancelled);
        (Ending::Panic, Attempt::Ended(outcome))
    });
    let outcome = match result {
        Attempt::Ended(outcome) => Some(outcome),
        Attempt::Lost => None,
        Attempt::Declined(shape) => {
            handler.meter.finished(ending, None);
            claim::decline(engine, Held { id, claim_no, started: false }, shape).await;
            engine.wake();
            return Ended { name: call.name, ..Ended::default() };
        }
    };
    let ran_for = crate::clock::instant().saturating_duration_since(now.monotonic);
    if completion.settled().await {
        handler.meter.finished(Ending::Ok, Some(ran_for));
        engine.count(&call, How::Succeeded, Some(started_after), ran_for);
        return completed(engine, call, outcome.as_ref(), stored.is_some());
    }
    if outcome == Some(Outcome::Succeeded) && completion.was_dropped() {
        tracing::warn!(%id, name = call.name, "a call succeeded whose transaction was dropped without `complete()`: what it wrote there was rolled back");
    }
    handler.meter.finished(ending, Some(ran_for));
    if let Some(outcome) = outcome {
        match &outcome {
            Outcome::Retry { .. } | Outcome::Rerun { .. } => handler.meter.again(),
            Outcome::Failed { .. } => handler.meter.dead(),
            _ => {}
        }
        return report(engine, call, outcome, Some(started_after), ran_for, stored);
    }
    engine.count(&call, How::Interrupted, Some(started_after), ran_for);
    engine.held.remove(std::iter::once((id, claim_no)));
    if call.schedule.is_some() {
        engine.sweep_now();
    }
    Ended { name: call.name, how: Some(How::Interrupted), is_released: false }
}

/// Hands an outcome in to be stored.
fn report(
    engine: &Arc<Engine>,
    call: ClaimedCall,
    outcome: Outcome,
    started_after: Option<Duration>,
    ran_for: Duration,
    stored: Option<oneshot::Sender<()>>,
) -> Ended {
    let how = match &outcome {
        Outcome::Succeeded => How::Succeeded,
        Outcome::Failed { .. } => How::Failed,
        Outcome::Retry { .. } => How::Retried,
        Outcome::Expired { .. } => How::Expired,
        Outcome::Interrupted { .. } | Outcome::Rerun { .. } => How::Interrupted,
    };
    engine.count(&call, how, started_after, ran_for);
    let name = if stored.is_some() { call.name.clone() } else { String::new() };
    engine.finisher.send(finish::Outcome {
        finish: Finish { id: call.id, claim_no: call.claim_no, outcome, started_after, ran_for },
        name: call.name,
        is_of_schedule: call.schedule.is_some(),
        stored,
        token: engine.runs.token(),
    });
    Ended { name, how: Some(how), is_released: false }
}

/// The end of a run that has completed its call by itself: the database has its outcome already.
fn completed(engine: &Engine, call: ClaimedCall, outcome: Option<&Outcome>, is_counted: bool) -> Ended {
    if outcome != Some(&Outcome::Succeeded) {
        tracing::warn!(id = %call.id, name = call.name, "a handler did not end well after it had completed its call: the call has succeeded all the same");
    }
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
fn margin(engine: &Engine) -> Duration {
    engine.config.lease / 100
}

/// What one attempt has led to.
enum Attempt {
    Ended(Outcome),
    /// The lease was lost, and there is nothing to report.
    Lost,
    /// The arguments could not be read under this shape, and a live pod of another one may be able to.
    Declined(i64),
}

/// Runs the handler until it ends or is stopped.
async fn attempt(
    engine: &Arc<Engine>,
    call: &ClaimedCall,
    handler: &Handler,
    signals: &Arc<Signals>,
    completion: &Arc<Completion>,
) -> (Ending, Attempt) {
    let span = trace::run_span(call);
    let log = Log::begin(engine, &span);
    let info = CallInfo {
        id: call.id,
        name: call.name.clone(),
        identifier: call.identifier.clone(),
        due: call.first_due,
        attempt: call.attempt,
        schedule: call.schedule,
        traceparent: call.traceparent.clone(),
    };
    let session = Session::new(
        Pod::of_session(engine),
        Arc::clone(&engine.state),
        info,
        Arc::clone(signals),
        Arc::clone(completion),
    );
    let run = async {
        let args = crate::by_name::for_handler(&call.name, &call.args, call.format, handler.by_name)
            .map_err(CallFailure::Arguments)?;
        (handler.run)(&session, args).await
    };
    let run = IN_HANDLER_OF.scope(engine.pod, run);
    let run = AssertUnwindSafe(run).catch_unwind().instrument(span.clone());
    let timeout = async {
        match handler.fate.timeout {
            Some(timeout) => {
                tokio::time::sleep(timeout).await;
                timeout
            }
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        biased;
        () = signals.lost.wait() => {
            let _in_span = span.enter();
            tracing::warn!("the call's lease was lost; its handler is stopped, and its outcome dropped");
            trace::ended(&span, Ending::LeaseLost);
            log.end(engine, call, None);
            return (Ending::LeaseLost, Attempt::Lost);
        }
        result = run => result.map_or_else(End::Panicked, End::Returned),
        () = completion.overdue.wait() => End::Overdue,
        timeout = timeout => End::TimedOut(timeout),
        () = signals.abandoned.wait() => End::Abandoned,
    };
    if let End::Returned(Err(CallFailure::Arguments(error))) = &end
        && let Some(shape) = decline::declining_shape(engine, call).await
    {
        let _in_span = span.enter();
        tracing::info!(%error, "the call is of another release: it is left to a pod that can read its arguments");
        trace::ended(&span, Ending::Declined);
        return (Ending::Declined, Attempt::Declined(shape));
    }
    let _in_span = span.enter();
    let ending = ending(engine, signals, &end);
    trace::ended(&span, ending);
    let outcome = outcome::of(engine, call, handler, end, is_cancelled(engine, signals));
    log.end(engine, call, Some(&outcome));
    (ending, Attempt::Ended(outcome))
}

/// Whether the call has been cancelled while it ran, as far as this pod knows. (A shutdown sets the same signal.)
fn is_cancelled(engine: &Engine, signals: &Signals) -> bool {
    signals.cancelled.is_set() && !engine.asks_to_stop.load(Ordering::Relaxed)
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
