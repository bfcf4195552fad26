//! The claimer: sleeps until the next call is due, claims what its slots can take and a little more, hands it out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::backoff::{Backoff, jittered};
use super::prefetch::Pace;
use super::ready_queue::InHand;
use super::supervise::supervised;
use super::{Engine, NOW, late_commits, release, run};
use crate::clock::Deadline;
use crate::error::StoreError;
use crate::moment::Moment;
use crate::signals::{Op, listener_reconnected};
use crate::store::{Claim, ClaimRequest, ClaimedCall, Held, Result};

/// The most calls of one claim.
const MOST: usize = 1_000;
/// The longest wait of a pod's other tasks for the claimer's first look.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How long a claimed call may wait for a slot before it is given back: another pod may have one.
const PATIENCE: Duration = Duration::from_millis(100);
/// How many outcomes may wait to be stored before no more is claimed.
const UNSTORED: usize = 4_000;

/// Starts the claimer, and the listener that wakes it for what other processes store.
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
    let mut pace = Pace::default();
    let mut look = crate::clock::instant();
    loop {
        engine.pulse.claimer_turns();
        let stale = engine.ready.waits_since().and_then(|since| since.checked_add(PATIENCE));
        let until = stale.map_or(look, |stale| stale.min(look));
        tokio::select! {
            biased;
            () = engine.stop.cancelled() => return,
            () = engine.wake.notified() => look = crate::clock::instant(),
            () = tokio::time::sleep_until(until.into()) => {}
        }
        if give_back_stale(engine, &mut pace).await {
            // So that the next free slot is heard of.
            look = crate::clock::instant();
        }
        if look > crate::clock::instant() {
            continue;
        }
        let claimed = claim_once(engine, &mut pace).await;
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
        look = now.checked_add(wait).unwrap_or(now);
    }
}

/// Waits until the claimer has looked for due calls once, or has not managed to within a second: nothing else is to take the
/// connection that stands ready, for another one costs several round trips.
pub(crate) async fn first_look(engine: &Engine) {
    tokio::select! {
        biased;
        () = engine.stop.cancelled() => {}
        () = engine.has_looked.cancelled() => {}
        () = tokio::time::sleep(FIRST_LOOK) => {}
    }
}

/// What found no slot within its time goes back to the database. Says whether there was any.
async fn give_back_stale(engine: &Engine, pace: &mut Pace) -> bool {
    let now = crate::clock::instant();
    if engine.ready.waits_since().is_none_or(|since| now.saturating_duration_since(since) < PATIENCE) {
        return false;
    }
    // Before they are out of sight: nothing that is stored now may take their slots.
    engine.calm.tell();
    let stale = engine.ready.take_stale(now, PATIENCE);
    if stale.is_empty() {
        return false;
    }
    pace.was_too_fast();
    release::release(engine, &stale.iter().map(|in_hand| unstarted(&in_hand.call)).collect::<Vec<_>>()).await;
    true
}

/// Gives back whatever waits in this pod for its moment or for a slot, now that nothing starts any more. What a slot has taken
/// already it gives back itself.
pub(super) async fn give_back_all(engine: &Engine) {
    let waiting: Vec<Held> = engine.ready.take_all().iter().map(|in_hand| unstarted(&in_hand.call)).collect();
    if !waiting.is_empty() {
        release::release(engine, &waiting).await;
    }
}

/// One claim for the free slots and a little more. Returns how long to sleep unless woken.
async fn claim_once(engine: &Arc<Engine>, pace: &mut Pace) -> Result<Duration> {
    let idle = jittered(engine.config.scan_interval);
    let told = engine.calm.told();
    let sent = crate::clock::instant();
    let spare = pace.spare(sent, engine.started.load(Ordering::Relaxed));
    // Said before anything is counted: what frees after the count then wakes this task.
    engine.ready.want(spare / 2);
    let free = engine.slots.available_permits();
    let room = free.saturating_add(spare).saturating_sub(engine.ready.len());
    // A claim for a few would cost as much as one for many.
    if room <= spare / 2 || lags(engine) {
        // Whatever is due waits.
        engine.calm.tell();
        return Ok(idle);
    }
    let sweep = engine.sweep_due.swap(false, Ordering::Relaxed) || pace.is_sweep_due(sent);
    let ahead = pace.ahead(engine.config.lease);
    let claimed = claim(engine, room, None, ahead, sweep).await?;
    let now = crate::clock::instant();
    pace.claimed(sent, now.saturating_duration_since(sent), !claimed.claim.calls.is_empty());
    if sweep {
        pace.swept(sent, now, engine.config.scan_interval);
        engine.calm.avoid_nothing();
    }
    if engine.stop.is_cancelled() {
        // Whoever ends the pod may have looked already for what is to be given back.
        release::release(engine, &claimed.claim.calls.iter().map(unstarted).collect::<Vec<_>>()).await;
        return Ok(idle);
    }
    if give_back_late(engine, &claimed).await {
        return Ok(Duration::ZERO);
    }
    let is_full = claimed.claim.calls.len() >= room.min(MOST);
    let (next, crowded) = (claimed.claim.next, claimed.claim.crowded);
    let wait = wait_until_next(engine, &claimed.claim, now, ahead, pace.ahead(engine.config.lease));
    let is_early = claimed.claim.calls.iter().any(|call| call.due > call.claimed);
    if is_early && pace.reads_clock(now) {
        tokio::spawn(engine.process.task(read_clock(Arc::clone(engine))));
    }
    hand_out(engine, claimed, now);
    if is_full && next.is_some_and(|next| next <= ahead) {
        // More may be had; how much of it is wanted is counted anew.
        return Ok(Duration::ZERO);
    }
    if next.is_none_or(|next| !next.is_zero()) {
        engine.ready.want_nothing();
    }
    let wait = wait.map_or(idle, |wait| wait.min(idle));
    // Of what is due later than this, nobody tells a pod that looks before that by itself.
    let until = sent.checked_add(engine.config.scan_interval).min(now.checked_add(wait));
    if !crowded
        && next.is_none_or(|next| next > ahead)
        && let Some(until) = until
    {
        engine.calm.found_nothing(told, until);
    }
    Ok(wait)
}

/// Asks the database for its clock, which is answered sooner than a claim is and so tells more of it: calls that are held
/// for their moment start so much closer to it.
async fn read_clock(engine: Arc<Engine>) {
    let sent = crate::clock::instant();
    // Without an answer, claims tell what they can.
    if let Ok(now) = engine.store.now().await {
        engine.clock.saw(now, sent, crate::clock::instant());
    }
}

/// Gives back a claim that took almost as long as its leases last, as no handler may start under them. Returns whether it
/// was one.
pub(super) async fn give_back_late(engine: &Engine, claimed: &Claimed) -> bool {
    let calls = &claimed.claim.calls;
    if calls.is_empty() || claimed.deadline.left(crate::clock::read()) > run::margin(engine) {
        return false;
    }
    tracing::warn!(calls = calls.len(), "a claim took longer than its leases last; its calls are given back");
    release::release(engine, &calls.iter().map(unstarted).collect::<Vec<_>>()).await;
    true
}

/// Whether so many outcomes wait to be stored that nothing more should be taken.
pub(super) fn lags(engine: &Engine) -> bool {
    engine.held.len().saturating_sub(engine.config.concurrency_limit) > UNSTORED
}

/// Returns how long to wait until the next call can be claimed, which is to be `ahead` of its moment, unless this claim, which
/// looked as far as `looked`, could have claimed it already and did not.
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

/// What is due starts now, the rest at its moment.
pub(super) fn hand_out(engine: &Arc<Engine>, claimed: Claimed, now: Instant) {
    let Claimed { claim, deadline } = claimed;
    let mut due = Vec::with_capacity(claim.calls.len());
    for call in claim.calls {
        // By the claim alone the rest of its time begins now; what was seen of the clock before may tell more.
        let by_claim = call.due.saturating_since(call.claimed);
        let wait = engine.clock.until(call.due, now).map_or(by_claim, |wait| wait.min(by_claim));
        let in_hand = InHand { call, deadline };
        match now.checked_add(wait).filter(|at| *at > now) {
            Some(at) => engine.ready.push_later(at, in_hand),
            None => due.push(in_hand),
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

/// A claim's answer and the deadline of its leases, counted from before it was sent.
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

/// How far, in seconds, this machine's clock was ahead of the database's, which was read about halfway.
fn skew(sent: Moment, took: Duration, database: Moment) -> f64 {
    let halfway = sent.checked_add(took / 2).unwrap_or(sent);
    if halfway >= database {
        halfway.saturating_since(database).as_secs_f64()
    } else {
        -database.saturating_since(halfway).as_secs_f64()
    }
}

/// A claim whose reply was lost: find what it took before claiming again. (What it takes later, [`late_commits`] finds.)
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
