//! One claimed call, from the last look at its lease to its stored outcome.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::held::Signals;
use super::{Engine, claim};
use crate::clock::Deadline;
use crate::pod::Pod;
use crate::registry::{CallFailure, Handler};
use crate::session::{CallInfo, Session};
use crate::store::{ClaimedCall, Finish, Held, Outcome};

/// How a run ended, for summaries. `how: None`: the handler never started.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) how: Option<How>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Succeeded,
    Failed,
    Interrupted,
}

/// Runs one call whose claim stands in `engine.held`; returns when its outcome is stored (or its claim was lost).
pub(super) async fn run(
    engine: Arc<Engine>,
    call: ClaimedCall,
    deadline: Deadline,
    permit: Option<OwnedSemaphorePermit>,
) -> Ended {
    let held = Held { id: call.id, claim_no: call.claim_no, started: false };
    let handler = engine.registry().get(&call.name).cloned();
    let now = crate::clock::read();
    let may_start =
        || !engine.stop.is_cancelled() && engine.held.start(call.id, call.claim_no, now, margin(&engine));
    let Some(handler) = handler.filter(|_| may_start()) else {
        // The pod stops, the call was cancelled while it waited, or the lease is all but over: another pod may have the
        // call by the time the handler would act.
        claim::release(&engine, &[held]).await;
        free(&engine, permit);
        return Ended { name: call.name, how: None };
    };
    let signals = engine.held.signals(call.id, call.claim_no).unwrap_or_default();
    let started_after = engine.config.lease.saturating_sub(deadline.left(now));
    // Dropping a handler and showing its error are the user's code as well, and may panic.
    let outcome = AssertUnwindSafe(attempt(&engine, &call, &handler, &signals)).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|panic| Some(panicked(panic.as_ref())));
    let name = call.name;
    let ran_for = crate::clock::instant().saturating_duration_since(now.monotonic);
    free(&engine, permit);

    let how = match &outcome {
        Some(Outcome::Succeeded) => How::Succeeded,
        Some(Outcome::Failed { .. }) => How::Failed,
        Some(Outcome::Interrupted { .. }) | None => How::Interrupted,
    };
    if let Some(outcome) = outcome {
        let finish = Finish {
            id: held.id,
            claim_no: held.claim_no,
            outcome,
            started_after: Some(started_after),
            ran_for,
        };
        if !engine.finisher.send(finish).await {
            tracing::warn!(id = %held.id, name, "the outcome of a call was refused: its claim had been lost");
        }
    }
    engine.held.remove(held.id, held.claim_no);
    if call.schedule.is_some() {
        // The schedule's next run may have waited for this one to end.
        engine.wake();
    }
    Ended { name, how: Some(how) }
}

/// How much of a lease must be left for a handler to start: a hundredth, for clocks that drift.
fn margin(engine: &Engine) -> Duration {
    engine.config.lease / 100
}

/// Frees the slot before the outcome is stored, and wakes the claimer if it wanted more slots than there were.
fn free(engine: &Engine, permit: Option<OwnedSemaphorePermit>) {
    drop(permit);
    if engine.starved.swap(false, Ordering::SeqCst) {
        engine.wake();
    }
}

/// The handler, until it ends or something befalls it. `None`: the lease was lost, and there is nothing to report.
async fn attempt(
    engine: &Arc<Engine>,
    call: &ClaimedCall,
    handler: &Handler,
    signals: &Signals,
) -> Option<Outcome> {
    let span = tracing::info_span!("future_call", id = %call.id, name = %call.name, attempt = call.attempt);
    let info = CallInfo {
        id: call.id,
        name: call.name.clone(),
        identifier: call.identifier.clone(),
        due: call.due,
        attempt: call.attempt,
        schedule: call.schedule,
        traceparent: call.traceparent.clone(),
    };
    let session =
        Session::new(Pod::of_session(engine), Arc::clone(&engine.state), info, signals.cancelled.clone());
    let run = async {
        let args = crate::by_name::for_handler(&call.name, &call.args, call.format, handler.by_name)
            .map_err(CallFailure::Arguments)?;
        (handler.run)(&session, args).await
    };
    let run = AssertUnwindSafe(run).catch_unwind().instrument(span.clone());
    let result = tokio::select! {
        biased;
        () = signals.lost.cancelled() => {
            let _in_span = span.enter();
            tracing::warn!("the call's lease was lost; its handler is stopped, and its outcome dropped");
            return None;
        }
        result = run => result,
        () = signals.abandoned.cancelled() => {
            let error = format!("the pod shut down before the handler ended (grace {:?})", engine.config.shutdown_grace);
            return Some(Outcome::Interrupted { error });
        }
    };
    let _in_span = span.enter();
    Some(match result {
        Ok(Ok(())) => Outcome::Succeeded,
        Ok(Err(failure)) => failed(&failure),
        Err(panic) => panicked(panic.as_ref()),
    })
}

fn panicked(panic: &(dyn Any + Send)) -> Outcome {
    let error = storable(&format!("panicked: {}", panic_text(panic)));
    tracing::error!(error, "a call panicked");
    Outcome::Failed { error }
}

fn failed(failure: &CallFailure) -> Outcome {
    let error = storable(&failure.to_string());
    tracing::error!(error, "a call failed");
    Outcome::Failed { error }
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
