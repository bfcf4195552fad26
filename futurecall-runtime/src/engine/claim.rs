//! The claimer: sleeps until the next call is due, claims what its free slots can take, hands it out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::backoff::{Backoff, jittered};
use super::{Engine, NOW, RunSummary, run};
use crate::clock::{Deadline, Reading};
use crate::error::StoreError;
use crate::moment::Moment;
use crate::pod::Pod;
use crate::store::{Claim, ClaimRequest, ClaimedCall, Held};

/// The most calls of one claim.
const MOST: usize = 1_000;

/// Starts the claimer, and the listener that wakes it for what other processes store.
pub(super) fn start(engine: &Arc<Engine>) {
    tokio::spawn(listen(Arc::clone(engine)));
    tokio::spawn(claim_until_stopped(Arc::clone(engine)));
}

async fn listen(engine: Arc<Engine>) {
    loop {
        tokio::select! {
            () = engine.store.changed() => engine.wake(),
            () = engine.stop.cancelled() => return,
        }
    }
}

async fn claim_until_stopped(engine: Arc<Engine>) {
    let mut backoff = Backoff::default();
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            () = engine.stop.cancelled() => return,
            () = engine.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        wait = match claim_once(&engine).await {
            Some(Ok(next)) => {
                backoff.succeeded();
                next
            }
            Some(Err(error)) => {
                let wait = backoff.failed();
                if backoff.may_log() {
                    tracing::warn!(%error, "could not claim calls; trying again");
                }
                wait
            }
            None => return,
        };
    }
}

/// One claim for the free slots. Returns how long to sleep unless woken; `None` when the pod is gone.
async fn claim_once(engine: &Arc<Engine>) -> Option<Result<Duration, StoreError>> {
    let idle = jittered(engine.config.scan_interval);
    let pod = engine.pod_handle()?;
    // Said before the slots are counted: a slot that frees after the count then wakes this task.
    engine.starved.store(true, Ordering::SeqCst);
    let free = engine.slots.available_permits();
    if free == 0 {
        return Some(Ok(idle));
    }
    let claim = match claim(engine, free, None).await {
        Ok(claim) => claim,
        Err(error) => return Some(Err(error)),
    };
    let taken = claim.claim.calls.len();
    for call in claim.claim.calls {
        let permit = Arc::clone(&engine.slots).acquire_owned().await.ok();
        engine.runs.spawn(run::run(Arc::clone(engine), pod.clone(), call, claim.deadline, permit));
    }
    let next = claim.claim.next.map_or(idle, |next| next.min(idle));
    if taken < free {
        engine.starved.store(false, Ordering::SeqCst);
        return Some(Ok(next));
    }
    // All slots are taken. More may be due; the next slot that frees says so.
    Some(Ok(if next.is_zero() { idle } else { next }))
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
        tracing::info!(runs = claim.skipped, "runs of schedules were skipped by their rules");
    }
    for call in &claim.calls {
        engine.held.add(call.id, call.claim_no, deadline);
    }
    deadline
}

/// A claim whose reply was lost: find what it took before claiming again.
async fn adopt(engine: &Engine, claim_no: i64, error: StoreError) -> Result<Claim, StoreError> {
    tracing::warn!(%error, claim_no, "the reply to a claim was lost; looking for what it took");
    let mut backoff = Backoff::default();
    loop {
        match engine.store.find_claim(engine.pod, claim_no).await {
            Ok(calls) => return Ok(Claim { calls, next: Some(Duration::ZERO), skipped: 0 }),
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
    let until = engine.store.now().await?;
    summary.interrupted = super::housekeeping::rescue(engine).await?;
    let Some(pod) = engine.pod_handle() else { return Ok(summary) };
    let mut running = FuturesUnordered::new();
    loop {
        let room = engine.config.concurrency_limit.saturating_sub(running.len());
        let mut none_due = true;
        if room > 0 && !engine.stop.is_cancelled() {
            let Claimed { claim, deadline } = claim(engine, room, Some(until)).await?;
            summary.skipped = summary.skipped.saturating_add(claim.skipped);
            none_due = claim.calls.is_empty() && claim.skipped == 0;
            for call in claim.calls {
                running.push(spawn(engine, &pod, call, deadline));
            }
        }
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
    pod: &Pod,
    call: ClaimedCall,
    deadline: Deadline,
) -> impl Future<Output = run::Ended> + use<> {
    let (engine, pod) = (Arc::clone(engine), pod.clone());
    let tracker = engine.runs.clone();
    let task = tracker.spawn(async move {
        let permit = Arc::clone(&engine.slots).acquire_owned().await.ok();
        run::run(engine, pod, call, deadline, permit).await
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
