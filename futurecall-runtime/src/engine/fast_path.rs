//! The fast path: a call that is due when it is stored, on an otherwise idle pod, is stored as claimed and started at
//! once.
//!
//! The regular path stores such a call and then claims it: two commits, and half a dozen hand-overs between tasks
//! before it starts. But a call stored as claimed overtakes all waiting calls. So the fast path is used only while
//! the pod's last claim found nothing due, the store reports other pods' inserts, and a slot is free.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::claim::{Claimed, hand_out, lags};
use super::{Engine, NOW, late_commits, release};
use crate::clock::{Deadline, Reading};
use crate::error::StoreError;
use crate::signals::Op;
use crate::store::{Claim, ClaimRequest, ClaimedCall, Due, Held, NewCall};

/// How long to look for a call whose reply was lost, before it is stored the regular way.
const LOOKING: Duration = Duration::from_secs(2);

/// Open while, as far as this pod can tell, no due call waits to be claimed.
#[derive(Debug, Default)]
pub(super) struct FastPathGate {
    /// Number of times that the gate was closed.
    closings: AtomicU64,
    /// The result of the last claim that found nothing: the value of `closings` before it, and the time until which
    /// nothing is due.
    found: Mutex<Option<(u64, Instant)>>,
    /// The time until which calls may become due without this pod being notified in time.
    held_until: Mutex<Option<Instant>>,
    /// Names that could not be stored as claimed since the last full scan: they may be paused.
    avoided: Mutex<BTreeSet<String>>,
}

impl FastPathGate {
    /// Closes the gate, because a call may be waiting.
    pub(super) fn close(&self) {
        self.closings.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns how often the gate was closed. Read before a claim is sent, so that a close during the claim is not
    /// missed.
    pub(super) fn closings(&self) -> u64 {
        self.closings.load(Ordering::SeqCst)
    }

    /// Opens the gate until `until`, unless it was closed since `closings` was read: a claim left nothing that is due
    /// before.
    pub(super) fn found_nothing(&self, closings: u64, until: Instant) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some((closings, until));
    }

    /// Keeps the gate closed until then: calls may become due of which this pod is notified a little later (an
    /// application's transaction).
    pub(super) fn hold(&self, until: Option<Instant>) {
        let mut held_until = self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        *held_until = (*held_until).max(until);
    }

    /// Excludes a name, of which a call could not be stored as claimed.
    fn avoid(&self, name: &str) {
        self.avoided().insert(name.to_owned());
    }

    fn is_avoided(&self, name: &str) -> bool {
        self.avoided().contains(name)
    }

    /// Includes all names again, before a full scan.
    pub(super) fn clear_avoided(&self) {
        self.avoided().clear();
    }

    fn avoided(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.avoided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether, as far as this pod can tell, no due call waits.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        let found = *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let held_until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        found.is_some_and(|(closings, until)| closings == self.closings() && now < until)
            && held_until.is_none_or(|until| until <= now)
    }
}

/// The result of trying the fast path.
pub(super) enum FastPath {
    /// The call is stored.
    Stored,
    /// The call must be stored the regular way.
    NotTaken,
    /// The call cannot be stored either way.
    Failed(StoreError),
    /// The call may have been stored: storing it the regular way is a repetition.
    Unknown(StoreError),
}

/// Stores a call as claimed and starts it, if the fast path is open. Runs in a task of the pod: a claimed call must
/// be started or given back even if its caller stops waiting.
pub(super) async fn store(engine: &Arc<Engine>, call: &NewCall) -> FastPath {
    // Taken before `stop` is checked: a shutdown either waits for this token, or is seen by the check.
    let claiming = engine.claimers.token();
    if engine.stop.is_cancelled() || !is_free(engine) || !is_due(engine, call) {
        return FastPath::NotTaken;
    }
    let Some(request) = request(engine, call) else { return FastPath::NotTaken };
    let tried = store_claimed(engine, call, &request).await;
    drop(claiming);
    tried
}

/// Returns whether this pod runs calls, and has none that must start first.
fn is_free(engine: &Engine) -> bool {
    engine.claims_calls()
        && engine.fast_path.is_open(crate::clock::instant())
        && engine.store.hears()
        // Claimed calls that wait have a slot each.
        && engine.slots.available_permits() > engine.ready.len()
        && !lags(engine)
}

/// Returns whether the call is certainly due once it is stored.
fn is_due(engine: &Engine, call: &NewCall) -> bool {
    match call.due {
        Due::After(delay) => delay.is_zero(),
        Due::At(moment) => engine.clock.at_least(crate::clock::instant()).is_some_and(|now| moment <= now),
    }
}

/// Returns the claim of that one call; `None` if this pod does not run it, or its name may be paused.
fn request(engine: &Engine, call: &NewCall) -> Option<ClaimRequest> {
    let on_vanish = engine.runner.on_vanish(&call.name, &engine.config)?;
    if engine.fast_path.is_avoided(&call.name) {
        return None;
    }
    Some(ClaimRequest {
        pod: engine.pod,
        claim_no: engine.next_claim_no(),
        names: vec![(call.name.clone(), on_vanish)],
        shapes: Arc::default(),
        limit: 1,
        lease: engine.config.lease,
        until: None,
        ahead: Duration::ZERO,
        sweep: false,
        retention: engine.config.retention,
    })
}

async fn store_claimed(engine: &Arc<Engine>, call: &NewCall, request: &ClaimRequest) -> FastPath {
    let sent = crate::clock::read();
    let unknown = match engine.store.insert_claimed(NOW, call, request).await {
        Ok(Some(claimed)) => return start(engine, call, claimed, sent).await,
        // Its name is paused; or, as ids are generated once, the row is our own, stored by a try whose reply the
        // store never received.
        Ok(None) => {
            engine.fast_path.avoid(&call.name);
            None
        }
        Err(error) => {
            engine.meter.failed(Op::Schedule);
            if error.outcome_unknown() {
                Some(error)
            } else if error.may_pass() && !error.is_busy() {
                tracing::debug!(%error, "could not store a call as claimed; storing it the regular way");
                return FastPath::NotTaken;
            } else {
                return FastPath::Failed(error);
            }
        }
    };
    // A row that appears later is given back by `late_commits`, and then claimed as usual.
    let looking = tokio::time::timeout(LOOKING, engine.store.find_claim(engine.pod, request.claim_no)).await;
    let found = looking.map(Result::unwrap_or_default).unwrap_or_default();
    late_commits::watch(engine, request.claim_no, found.iter().map(|call| call.id).collect());
    match (found.into_iter().next(), unknown) {
        (Some(claimed), _) => start(engine, call, claimed, sent).await,
        (None, None) => {
            engine.count_scheduled(std::slice::from_ref(call));
            FastPath::Stored
        }
        (None, Some(error)) => FastPath::Unknown(error),
    }
}

/// Starts a call that this pod has stored as claimed.
async fn start(engine: &Arc<Engine>, call: &NewCall, claimed: ClaimedCall, sent: Reading) -> FastPath {
    let now = crate::clock::instant();
    engine.count_scheduled(std::slice::from_ref(call));
    engine.clock.saw(claimed.claimed, sent.monotonic, now);
    // The shutdown may have collected the calls to give back already. And if the database's clock was set back since
    // this pod last read it, the call is not due after all, and waits for its due time like any other.
    let is_early = claimed.due > claimed.claimed;
    if engine.stop.is_cancelled() || is_early {
        let held = Held { id: claimed.id, claim_no: claimed.claim_no, started: false };
        release::release(engine, &[held]).await;
        if is_early {
            engine.wake();
        }
        return FastPath::Stored;
    }
    let deadline = Deadline::new(sent, engine.config.lease);
    engine.held.add(std::iter::once((claimed.id, claimed.claim_no)), deadline);
    let claim = Claim { calls: vec![claimed], ..Claim::default() };
    hand_out(engine, Claimed { claim, deadline }, now);
    if engine.ready.due() > 0 {
        // Its slot was taken in the meantime: the claimer limits how long the call waits.
        engine.wake();
    }
    FastPath::Stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_is_open_until_it_is_closed_or_something_is_due() {
        let (gate, now, ms) = (FastPathGate::default(), crate::clock::instant(), Duration::from_millis(1));
        assert!(!gate.is_open(now), "there was no claim yet");
        gate.found_nothing(gate.closings(), now + 5 * ms);
        assert!(gate.is_open(now) && gate.is_open(now + 4 * ms));
        assert!(!gate.is_open(now + 5 * ms), "something is due");
        gate.close();
        assert!(!gate.is_open(now));
        let closings = gate.closings();
        gate.close();
        gate.found_nothing(closings, now + 5 * ms);
        assert!(!gate.is_open(now), "it was closed during the claim");
        gate.found_nothing(gate.closings(), now + 5 * ms);
        assert!(gate.is_open(now));
    }

    #[test]
    fn a_hold_outlasts_what_a_claim_finds() {
        let (gate, now, ms) = (FastPathGate::default(), crate::clock::instant(), Duration::from_millis(1));
        gate.hold(Some(now + 3 * ms));
        gate.hold(Some(now + 2 * ms));
        gate.hold(None);
        gate.found_nothing(gate.closings(), now + 5 * ms);
        assert!(!gate.is_open(now) && !gate.is_open(now + 2 * ms));
        assert!(gate.is_open(now + 3 * ms));
    }
}
