//! The claimer: sleeps until the next call is due, claims as many calls as there are free slots and a few more, and
//! starts them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::backoff::{Backoff, jittered};
use super::prefetch::Prefetch;
use super::ready_queue::ReadyCall;
use super::supervise::supervised;
use super::{Engine, NOW, late_commits, release, run};
use crate::clock::Deadline;
use crate::error::StoreError;
use crate::moment::Moment;
use crate::signals::{Op, listener_reconnected};
use crate::store::{Claim, ClaimRequest, ClaimedCall, Held, Result};

/// Maximum number of calls per claim.
const MOST: usize = 1_000;
/// How long the pod's other tasks wait for the claimer's first claim.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How long a claimed call may wait for a slot before it is given back, so that another pod can run it.
const PATIENCE: Duration = Duration::from_millis(100);
/// Number of outcomes that may wait to be stored before claiming pauses.
const UNSTORED: usize = 4_000;

/// Starts the claimer, and the listener that wakes it when other processes store calls.
pub(super) fn start(engine: &Arc<Engine>) {
    let (listener, claimer) = (Arc::clone(engine), Arc::clone(engine));
    let listen = async move { supervised(&listener, "listen", || listen(&listener)).await };
    let claim = async move { supervised(&claimer, "claim", || claim_until_stopped(&claimer)).await };
    tokio::spawn(engine.process.task(listen));
    engine.claimers.spawn(engine.process.task(claim));
}

async fn listen(engine: &Engine) {
    let mut reconnections = engine.store.reconnections();
    loop {
        tokio::select! {
            biased;
            () = engine.store.changed() => engine.wake(),
            () = engine.stop.cancelled() => return,
        }
        let before = std::mem::replace(&mut reconnections, engine.store.reconnections());
        if before < reconnections {
            listener_reconnected(reconnections - before);
        }
    }
}

async fn claim_until_stopped(engine: &Arc<Engine>) {
    let mut backoff = Backoff::default();
    let mut prefetch = Prefetch::default();
    let mut next_claim = crate::clock::instant();
    loop {
        engine.liveness.claimer_ran();
        let stale = engine.ready.waits_since().and_then(|since| since.checked_add(PATIENCE));
        let until = stale.map_or(next_claim, |stale| stale.min(next_claim));
        tokio::select! {
            biased;
            () = engine.stop.cancelled() => return,
            () = engine.wake.notified() => next_claim = crate::clock::instant(),
            () = tokio::time::sleep_until(until.into()) => {}
        }
        if give_back_stale(engine, &mut prefetch).await {
            // Claim again at once, which registers interest in the next free slot.
            next_claim = crate::clock::instant();
        }
        if next_claim > crate::clock::instant() {
            continue;
        }
        let claimed = claim_once(engine, &mut prefetch).await;
        engine.has_looked.cancel();
        let wait = match claimed {
            Ok(wait) => {
                backoff.succeeded();
                wait
            }
            Err(error) => {
                let wait = backoff.failed();
                if backoff.may_log() {
                    tracing::warn!(%error, "could not claim calls; trying again");
                }
                wait
            }
        };
        let now = crate::clock::instant();
        next_claim = now.checked_add(wait).unwrap_or(now);
    }
}

/// Waits until the claimer has claimed once, or for at most a second. Until then nothing else should take the
/// connection that is open already: opening another costs several round trips.
pub(crate) async fn first_look(engine: &Engine) {
    tokio::select! {
        biased;
        () = engine.stop.cancelled() => {}
        () = engine.has_looked.cancelled() => {}
        () = tokio::time::sleep(FIRST_LOOK) => {}
    }
}

/// Gives back the calls that found no slot in time. Returns whether there were any.
async fn give_back_stale(engine: &Engine, prefetch: &mut Prefetch) -> bool {
    let now = crate::clock::instant();
    if engine.ready.waits_since().is_none_or(|since| now.saturating_duration_since(since) < PATIENCE) {
        return false;
    }
    // Closed before they leave the queue, so that no new call takes their slots.
    engine.fast_path.close();
    let stale = engine.ready.take_stale(now, PATIENCE);
    if stale.is_empty() {
        return false;
    }
    prefetch.reset_rate();
    release::release(engine, &stale.iter().map(|ready_call| unstarted(&ready_call.call)).collect::<Vec<_>>())
        .await;
    true
}

/// Gives back all calls that wait for their due time or a slot, once nothing starts any more. Calls that a slot has
/// taken already are given back by the slot.
pub(super) async fn give_back_all(engine: &Engine) {
    let waiting: Vec<Held> =
        engine.ready.take_all().iter().map(|ready_call| unstarted(&ready_call.call)).collect();
    if !waiting.is_empty() {
        release::release(engine, &waiting).await;
    }
}

/// Claims once, for the free slots and a few more. Returns how long to sleep unless woken.
async fn claim_once(engine: &Arc<Engine>, prefetch: &mut Prefetch) -> Result<Duration> {
    let idle = jittered(engine.config.scan_interval);
    let closings = engine.fast_path.closings();
    let sent = crate::clock::instant();
    let spare = prefetch.spare(sent, engine.started.load(Ordering::Relaxed));
    // Registered before anything is counted: a slot that becomes free after the count wakes this task.
    engine.ready.want(spare / 2);
    let free = engine.slots.available_permits();
    let room = free.saturating_add(spare).saturating_sub(engine.ready.len());
    // A claim of few calls costs as much as one of many.
    if room <= spare / 2 || lags(engine) {
        // Due calls are left waiting, so none may be started ahead of them.
        engine.fast_path.close();
        return Ok(idle);
    }
    let sweep = engine.sweep_due.swap(false, Ordering::Relaxed) || prefetch.is_sweep_due(sent);
    let ahead = prefetch.ahead(engine.config.lease);
    let claimed = claim(engine, room, None, ahead, sweep).await?;
    let now = crate::clock::instant();
    prefetch.claimed(sent, now.saturating_duration_since(sent), !claimed.claim.calls.is_empty());
    if sweep {
        prefetch.swept(sent, now, engine.config.scan_interval);
        engine.fast_path.clear_avoided();
    }
    if engine.stop.is_cancelled() {
        // The shutdown may have collected the calls to give back already.
        release::release(engine, &claimed.claim.calls.iter().map(unstarted).collect::<Vec<_>>()).await;
        return Ok(idle);
    }
    if give_back_late(engine, &claimed).await {
        return Ok(Duration::ZERO);
    }
    let is_full = claimed.claim.calls.len() >= room.min(MOST);
    let (next, crowded) = (claimed.claim.next, claimed.claim.crowded);
    let wait = wait_until_next(engine, &claimed.claim, now, ahead, prefetch.ahead(engine.config.lease));
    let is_early = claimed.claim.calls.iter().any(|call| call.due > call.claimed);
    if is_early && prefetch.reads_clock(now) {
        tokio::spawn(engine.process.task(read_clock(Arc::clone(engine))));
    }
    hand_out(engine, claimed, now);
    if is_full && next.is_some_and(|next| next <= ahead) {
        // More calls are claimable; how many are wanted is computed again.
        return Ok(Duration::ZERO);
    }
    if next.is_none_or(|next| !next.is_zero()) {
        engine.ready.want_nothing();
    }
    let wait = wait.map_or(idle, |wait| wait.min(idle));
    // The gate must not stay open longer than that: calls due after it are not signalled to a pod that is going to
    // scan by then.
    let until = sent.checked_add(engine.config.scan_interval).min(now.checked_add(wait));
    if !crowded
        && next.is_none_or(|next| next > ahead)
        && let Some(until) = until
    {
        engine.fast_path.found_nothing(closings, until);
    }
    Ok(wait)
}

/// Reads the database's clock. It answers faster than a claim, which makes the lower bound tighter: calls that are
/// held for their due time start that much closer to it.
async fn read_clock(engine: Arc<Engine>) {
    let sent = crate::clock::instant();
    // On failure, the bound from claims is used.
    if let Ok(now) = engine.store.now().await {
        engine.clock.saw(now, sent, crate::clock::instant());
    }
}

/// Gives back the calls of a claim that took almost as long as its leases last, as no handler may start under them.
/// Returns whether it was such a claim.
pub(super) async fn give_back_late(engine: &Engine, claimed: &Claimed) -> bool {
    let calls = &claimed.claim.calls;
    if calls.is_empty() || claimed.deadline.left(crate::clock::read()) > run::margin(engine) {
        return false;
    }
    tracing::warn!(calls = calls.len(), "a claim took longer than its leases last; its calls are given back");
    release::release(engine, &calls.iter().map(unstarted).collect::<Vec<_>>()).await;
    true
}

/// Returns whether so many outcomes wait to be stored that nothing more should be claimed.
pub(super) fn lags(engine: &Engine) -> bool {
    engine.held.len().saturating_sub(engine.config.concurrency_limit) > UNSTORED
}

/// Returns how long to wait until the next call can be claimed, which is `ahead` of its due time. A call within
/// `looked` could have been claimed by this claim and was not; that one is waited for until it is due.
fn wait_until_next(
    engine: &Engine,
    claim: &Claim,
    now: Instant,
    looked: Duration,
    ahead: Duration,
) -> Option<Duration> {
    let next = claim.next?;
    let due = claim.now.and_then(|at| at.checked_add(next).ok());
    let wait = due.and_then(|due| engine.clock.until(due, now)).unwrap_or(next);
    Some(if next > looked { wait.saturating_sub(ahead) } else { wait.min(next) })
}

/// Starts the calls that are due now, and queues the rest until their due time.
pub(super) fn hand_out(engine: &Arc<Engine>, claimed: Claimed, now: Instant) {
    let Claimed { claim, deadline } = claimed;
    let mut due = Vec::with_capacity(claim.calls.len());
    for call in claim.calls {
        // The claim alone gives an upper bound of the wait; earlier readings of the clock may give a shorter one.
        let by_claim = call.due.saturating_since(call.claimed);
        let wait = engine.clock.until(call.due, now).map_or(by_claim, |wait| wait.min(by_claim));
        let ready_call = ReadyCall { call, deadline };
        match now.checked_add(wait).filter(|at| *at > now) {
            Some(at) => engine.ready.push_later(at, ready_call),
            None => due.push(ready_call),
        }
    }
    if !due.is_empty() {
        engine.ready.push_due(now, due.into_iter());
        run::dispatch(engine);
    }
}

fn unstarted(call: &ClaimedCall) -> Held {
    Held { id: call.id, claim_no: call.claim_no, started: false }
}

/// The result of a claim, and the deadline of its leases, counted from before the claim was sent.
pub(super) struct Claimed {
    pub(super) claim: Claim,
    pub(super) deadline: Deadline,
}

pub(super) async fn claim(
    engine: &Arc<Engine>,
    limit: usize,
    until: Option<Moment>,
    ahead: Duration,
    sweep: bool,
) -> Result<Claimed> {
    let names = engine.runner.claimable(&engine.config);
    if names.is_empty() {
        let deadline = Deadline::new(crate::clock::read(), Duration::ZERO);
        return Ok(Claimed { claim: Claim::default(), deadline });
    }
    let request = ClaimRequest {
        pod: engine.pod,
        claim_no: engine.next_claim_no(),
        names,
        shapes: engine.runner.hashes(),
        limit: limit.min(MOST),
        lease: engine.config.lease,
        until,
        ahead,
        sweep,
        retention: engine.config.retention,
    };
    let sent = crate::clock::read();
    let result = engine.store.claim(NOW, &request).await;
    let received = crate::clock::instant();
    let took = received.saturating_duration_since(sent.monotonic);
    engine.meter.polled(took);
    if result.is_err() {
        engine.meter.failed(Op::Claim);
    }
    let claim = match result {
        Ok(claim) => claim,
        Err(error) if error.outcome_unknown() => {
            let found = adopt(engine, request.claim_no, error).await;
            let known = found.iter().flat_map(|claim| claim.calls.iter().map(|call| call.id)).collect();
            late_commits::watch(engine, request.claim_no, known);
            found?
        }
        Err(error) => return Err(error),
    };
    if let Some(now) = claim.now {
        engine.clock.saw(now, sent.monotonic, received);
        engine.meter.clock_skew(skew(sent.wall, took, now));
    }
    if claim.skipped > 0 {
        engine.meter.missed(claim.skipped);
        tracing::debug!(runs = claim.skipped, "runs of schedules were skipped by their rules");
    }
    let deadline = Deadline::new(sent, engine.config.lease);
    engine.held.add(claim.calls.iter().map(|call| (call.id, call.claim_no)), deadline);
    Ok(Claimed { claim, deadline })
}

/// Returns how far, in seconds, this machine's clock is ahead of the database's, assuming that it was read halfway.
fn skew(sent: Moment, took: Duration, database: Moment) -> f64 {
    let halfway = sent.checked_add(took / 2).unwrap_or(sent);
    if halfway >= database {
        halfway.saturating_since(database).as_secs_f64()
    } else {
        -database.saturating_since(halfway).as_secs_f64()
    }
}

/// Finds the calls taken by a claim whose reply was lost, before claiming again. ([`late_commits`] finds what it
/// takes later.)
async fn adopt(engine: &Engine, claim_no: i64, error: StoreError) -> Result<Claim> {
    tracing::warn!(%error, claim_no, "the reply to a claim was lost; looking for what it took");
    let mut backoff = Backoff::default();
    loop {
        match engine.store.find_claim(engine.pod, claim_no).await {
            Ok(calls) => return Ok(Claim { calls, next: Some(Duration::ZERO), ..Claim::default() }),
            Err(error) if error.may_pass() && !engine.over.is_cancelled() => {
                let wait = backoff.failed();
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(error),
        }
    }
}
