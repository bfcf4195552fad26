//! The claimer: sleeps until the next call is due, claims what its free slots can take, hands it out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::OwnedSemaphorePermit;

use super::backoff::{Backoff, jittered};
use super::supervise::supervised;
use super::{Engine, NOW, RunSummary, run};
use crate::clock::{Deadline, Reading};
use crate::error::StoreError;
use crate::moment::Moment;
use crate::store::{Claim, ClaimRequest, ClaimedCall, Held};

/// The most calls of one claim.
const MOST: usize = 1_000;

/// Starts the claimer, and the listener that wakes it for what other processes store.
pub(super) fn start(engine: &Arc<Engine>) {
    let (listener, claimer) = (Arc::clone(engine), Arc::clone(engine));
    tokio::spawn(async move { supervised(&listener, "listen", || listen(&listener)).await });
    engine
        .claimers
        .spawn(async move { supervised(&claimer, "claim", || claim_until_stopped(&claimer)).await });
}

async fn listen(engine: &Engine) {
    loop {
        tokio::select! {
            () = engine.store.changed() => engine.wake(),
            () = engine.stop.cancelled() => return,
        }
    }
}

async fn claim_until_stopped(engine: &Arc<Engine>) {
    let mut backoff = Backoff::default();
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            () = engine.stop.cancelled() => return,
            () = engine.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        wait = match claim_once(engine).await {
            Ok(next) => {
                backoff.succeeded();
                next
            }
            Err(error) => {
                let wait = backoff.failed();
                if backoff.may_log() {
                    tracing::warn!(%error, "could not claim calls; trying again");
                }
                wait
            }
        };
    }
}

/// One claim for the free slots. Returns how long to sleep unless woken.
async fn claim_once(engine: &Arc<Engine>) -> Result<Duration, StoreError> {
    let idle = jittered(engine.config.scan_interval);
    // Said before the slots are counted: a slot that frees after the count then wakes this task.
    engine.starved.store(true, Ordering::SeqCst);
    let free = engine.slots.available_permits();
    if free == 0 {
        return Ok(idle);
    }
    let claim = claim(engine, free, None).await?;
    let taken = claim.claim.calls.len();
    let mut calls = claim.claim.calls.into_iter();
    while let Some(call) = calls.next() {
        let Some(permit) = permit(engine).await else {
            let unstarted = std::iter::once(call).chain(calls).map(|call| unstarted(&call));
            release(engine, &unstarted.collect::<Vec<_>>()).await;
            return Ok(idle);
        };
        engine.runs.spawn(run::run(Arc::clone(engine), call, claim.deadline, Some(permit)));
    }
    let next = claim.claim.next.map_or(idle, |next| next.min(idle));
    if taken < free {
        engine.starved.store(false, Ordering::SeqCst);
        return Ok(next);
    }
    // All slots are taken. More may be due; the next slot that frees says so.
    Ok(if next.is_zero() { idle } else { next })
}

/// A slot; `None` once the pod stops, when nothing may start any more.
async fn permit(engine: &Engine) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = engine.stop.cancelled() => None,
        permit = Arc::clone(&engine.slots).acquire_owned() => permit.ok(),
    }
}

fn unstarted(call: &ClaimedCall) -> Held {
    Held { id: call.id, claim_no: call.claim_no, started: false }
}

/// A claim's answer and the deadline of its leases, counted from before it was sent.
struct Claimed {
    claim: Claim,
    deadline: Deadline,
}

async fn claim(engine: &Engine, limit: usize, until: Option<Moment>) -> Result<Claimed, StoreError> {
    let names = engine.registry().claimable();
    if names.is_empty() {
        return Ok(Claimed {
            claim: Claim::default(),
            deadline: Deadline::new(crate::clock::read(), Duration::ZERO),
        });
    }
    let request = ClaimRequest {
        pod: engine.pod,
        claim_no: engine.next_claim_no(),
        names,
        limit: limit.min(MOST),
        lease: engine.config.lease,
        until,
        ahead: Duration::ZERO,
        sweep: true,
        retention: engine.config.retention,
    };
    let sent = crate::clock::read();
    let claim = match engine.store.claim(NOW, &request).await {
        Ok(claim) => claim,
        Err(error) if error.outcome_unknown() => adopt(engine, request.claim_no, error).await?,
        Err(error) => return Err(error),
    };
    Ok(Claimed { deadline: hold(engine, &claim, sent), claim })
}

fn hold(engine: &Engine, claim: &Claim, sent: Reading) -> Deadline {
    let deadline = Deadline::new(sent, engine.config.lease);
    if claim.skipped > 0 {
        tracing::debug!(runs = claim.skipped, "runs of schedules were skipped by their rules");
    }
    for call in &claim.calls {
        engine.held.add(call.id, call.claim_no, deadline);
    }
    if let Some(call) = claim.calls.first() {
        engine.saw_clock(call.claimed);
    }
    deadline
}

/// A claim whose reply was lost: find what it took before claiming again.
async fn adopt(engine: &Engine, claim_no: i64, error: StoreError) -> Result<Claim, StoreError> {
    tracing::warn!(%error, claim_no, "the reply to a claim was lost; looking for what it took");
    let mut backoff = Backoff::default();
    loop {
        match engine.store.find_claim(engine.pod, claim_no).await {
            Ok(calls) => return Ok(Claim { calls, next: Some(Duration::ZERO), skipped: 0, now: None }),
            Err(error) if error.is_transient() && !engine.over.is_cancelled() => {
                let wait = backoff.failed();
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Runs everything that is due at this moment and waits for it, within the pod's slots.
pub(super) async fn run_due(engine: &Arc<Engine>) -> Result<RunSummary, StoreError> {
    let mut summary = RunSummary::default();
    if !engine.runs_calls() {
        return Ok(summary);
    }
    let until = engine.store.now().await?;
    summary.interrupted = super::housekeeping::rescue(engine).await?;
    let mut running = FuturesUnordered::new();
    loop {
        let room = engine.config.concurrency_limit.saturating_sub(running.len());
        let mut none_due = true;
        let claiming = engine.claimers.token();
        if room > 0 && !engine.stop.is_cancelled() {
            let Claimed { claim, deadline } = claim(engine, room, Some(until)).await?;
            summary.skipped = summary.skipped.saturating_add(claim.skipped);
            none_due = claim.calls.is_empty() && claim.skipped == 0;
            for call in claim.calls {
                running.push(spawn(engine, call, deadline));
            }
        }
        drop(claiming);
        match running.next().await {
            Some(ended) => summary.count(&ended),
            None if none_due => return Ok(summary),
            None => {}
        }
    }
}

/// Starts a call in a task of its own, so that dropping `run_due` does not stop what it started; gives what became of it.
fn spawn(
    engine: &Arc<Engine>,
    call: ClaimedCall,
    deadline: Deadline,
) -> impl Future<Output = run::Ended> + use<> {
    let engine = Arc::clone(engine);
    let tracker = engine.runs.clone();
    let task = tracker.spawn(async move {
        let permit = permit(&engine).await;
        run::run(engine, call, deadline, permit).await
    });
    async move { task.await.unwrap_or_default() }
}

impl RunSummary {
    fn count(&mut self, ended: &run::Ended) {
        let Some(how) = ended.how else { return };
        self.started = self.started.saturating_add(1);
        let total = self.by_name.entry(ended.name.clone()).or_default();
        *total = total.saturating_add(1);
        let counter = match how {
            run::How::Succeeded => &mut self.succeeded,
            run::How::Failed => &mut self.failed,
            run::How::Interrupted => &mut self.interrupted,
        };
        *counter = counter.saturating_add(1);
    }
}

/// Gives claims back unstarted.
pub(super) async fn release(engine: &Engine, held: &[Held]) {
    match engine.store.release(NOW, engine.pod, held).await {
        Ok(_) => {}
        // Not given back, they end as interrupted with their lease, and `inspect` says that no start is proven.
        Err(error) => tracing::warn!(%error, calls = held.len(), "could not give unstarted calls back"),
    }
    for held in held {
        engine.held.remove(held.id, held.claim_no);
    }
}
