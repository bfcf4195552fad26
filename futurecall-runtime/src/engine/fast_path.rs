//! Calls that are due when they are stored, on a pod that has nothing else to do: stored as claimed, and started at once.
//!
//! In the ordinary way such a call is stored, then claimed: two commits, and half a dozen hand-overs between tasks before
//! it starts. But a call that its own pod stores as claimed passes by whatever else waits. So a pod does that only where
//! its last claim found nothing that was due, it would have heard of what was stored since, and a slot is free.

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

/// For how long a call is looked for whose reply was lost, before it is stored otherwise.
const LOOKING: Duration = Duration::from_secs(2);

/// Whether anything may be waiting to be claimed.
#[derive(Debug, Default)]
pub(super) struct Calm {
    /// How often the claimer was told to look.
    told: AtomicU64,
    /// What a claim found: nothing that is due before that moment, unless it was told to look again since.
    found: Mutex<Option<(u64, Instant)>>,
    /// Until when something may come to be due of which nobody tells in time.
    doubtful: Mutex<Option<Instant>>,
    /// Names of which a call could not be stored as claimed since everything was last looked at: they may be paused.
    avoided: Mutex<BTreeSet<String>>,
}

impl Calm {
    /// Something may be waiting.
    pub(super) fn tell(&self) {
        self.told.fetch_add(1, Ordering::SeqCst);
    }

    /// How often that was said. To be asked before a claim looks, so that what is said meanwhile counts as not seen.
    pub(super) fn told(&self) -> u64 {
        self.told.load(Ordering::SeqCst)
    }

    /// A claim has seen all that was told of until then, and left nothing that is due before `until`.
    pub(super) fn found_nothing(&self, told: u64, until: Instant) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some((told, until));
    }

    /// Until then something may come to be due, and this pod hear of it a little later (a transaction of the application).
    pub(super) fn doubt(&self, until: Option<Instant>) {
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        *doubtful = (*doubtful).max(until);
    }

    /// A call of that name could not be stored as claimed.
    fn avoid(&self, name: &str) {
        self.avoided().insert(name.to_owned());
    }

    fn is_avoided(&self, name: &str) -> bool {
        self.avoided().contains(name)
    }

    /// Everything is looked at: no name is avoided any longer.
    pub(super) fn avoid_nothing(&self) {
        self.avoided().clear();
    }

    fn avoided(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.avoided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether, for all that this pod knows, nothing waits.
    pub(super) fn is_calm(&self, now: Instant) -> bool {
        let found = *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let doubtful = *self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        found.is_some_and(|(told, until)| told == self.told() && now < until)
            && doubtful.is_none_or(|until| until <= now)
    }
}

/// What became of a call that was to be started at once.
pub(super) enum Tried {
    /// It is stored.
    Stored,
    /// It is to be stored in the ordinary way.
    Not,
    /// It cannot be stored, in whatever way.
    Failed(StoreError),
    /// It may have been stored: to store it in the ordinary way is to repeat it.
    Unknown(StoreError),
}

/// Stores a call as claimed and starts it, where nothing speaks against that. Runs in a task of the pod: a call that is
/// claimed needs somebody who knows of it, whether or not its caller waits.
pub(super) async fn store(engine: &Arc<Engine>, call: &NewCall) -> Tried {
    // Taken first: a shutdown waits for it, or has been heard of by the next line.
    let claiming = engine.claimers.token();
    if engine.stop.is_cancelled() || !is_free(engine) || !is_due(engine, call) {
        return Tried::Not;
    }
    let Some(request) = request(engine, call) else { return Tried::Not };
    let tried = store_claimed(engine, call, &request).await;
    drop(claiming);
    tried
}

/// Whether this pod runs calls, and has nothing that ought to go first.
fn is_free(engine: &Engine) -> bool {
    engine.claims_calls()
        && engine.calm.is_calm(crate::clock::instant())
        && engine.store.hears()
        // Those that are claimed already have their slots.
        && engine.slots.available_permits() > engine.ready.len()
        && !lags(engine)
}

/// Whether the call will certainly be due once it is stored.
fn is_due(engine: &Engine, call: &NewCall) -> bool {
    match call.due {
        Due::After(delay) => delay.is_zero(),
        Due::At(moment) => engine.clock.at_least(crate::clock::instant()).is_some_and(|now| moment <= now),
    }
}

/// The claim of that one call; `None` where this pod does not run it, or may have to leave it alone.
fn request(engine: &Engine, call: &NewCall) -> Option<ClaimRequest> {
    let on_vanish = engine.runner.on_vanish(&call.name, &engine.config)?;
    if engine.calm.is_avoided(&call.name) {
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

async fn store_claimed(engine: &Arc<Engine>, call: &NewCall, request: &ClaimRequest) -> Tried {
    let sent = crate::clock::read();
    let unknown = match engine.store.insert_claimed(NOW, call, request).await {
        Ok(Some(claimed)) => return start(engine, call, claimed, sent).await,
        // Its name is paused. Otherwise, as an id is made once, it is our own row: stored by a try of which the store has
        // heard no more.
        Ok(None) => {
            engine.calm.avoid(&call.name);
            None
        }
        Err(error) => {
            engine.meter.failed(Op::Schedule);
            if error.outcome_unknown() {
                Some(error)
            } else if error.may_pass() && !error.is_busy() {
                tracing::debug!(%error, "could not store a call as claimed; storing it in the ordinary way");
                return Tried::Not;
            } else {
                return Tried::Failed(error);
            }
        }
    };
    // What is not found now and stands there later is given back, and then claimed as any other.
    let looking = tokio::time::timeout(LOOKING, engine.store.find_claim(engine.pod, request.claim_no)).await;
    let found = looking.map(Result::unwrap_or_default).unwrap_or_default();
    late_commits::watch(engine, request.claim_no, found.iter().map(|call| call.id).collect());
    match (found.into_iter().next(), unknown) {
        (Some(claimed), _) => start(engine, call, claimed, sent).await,
        (None, None) => {
            engine.count_scheduled(std::slice::from_ref(call));
            Tried::Stored
        }
        (None, Some(error)) => Tried::Unknown(error),
    }
}

/// Starts what this pod has stored as claimed.
async fn start(engine: &Arc<Engine>, call: &NewCall, claimed: ClaimedCall, sent: Reading) -> Tried {
    let now = crate::clock::instant();
    engine.count_scheduled(std::slice::from_ref(call));
    engine.clock.saw(claimed.claimed, sent.monotonic, now);
    // Whoever ends the pod may have looked already for what is to be given back. And a database whose clock was set back
    // since this pod last read it says that the call is not due after all: it waits for its moment as any other.
    let is_early = claimed.due > claimed.claimed;
    if engine.stop.is_cancelled() || is_early {
        let held = Held { id: claimed.id, claim_no: claimed.claim_no, started: false };
        release::release(engine, &[held]).await;
        if is_early {
            engine.wake();
        }
        return Tried::Stored;
    }
    let deadline = Deadline::new(sent, engine.config.lease);
    engine.held.add(std::iter::once((claimed.id, claimed.claim_no)), deadline);
    let claim = Claim { calls: vec![claimed], ..Claim::default() };
    hand_out(engine, Claimed { claim, deadline }, now);
    if engine.ready.due() > 0 {
        // Its slot was taken meanwhile: the claimer sees to it that the call does not wait for long.
        engine.wake();
    }
    Tried::Stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_calm_until_something_is_told_or_due() {
        let (calm, now, ms) = (Calm::default(), crate::clock::instant(), Duration::from_millis(1));
        assert!(!calm.is_calm(now), "nobody has looked");
        calm.found_nothing(calm.told(), now + 5 * ms);
        assert!(calm.is_calm(now) && calm.is_calm(now + 4 * ms));
        assert!(!calm.is_calm(now + 5 * ms), "something is due");
        calm.tell();
        assert!(!calm.is_calm(now));
        let told = calm.told();
        calm.tell();
        calm.found_nothing(told, now + 5 * ms);
        assert!(!calm.is_calm(now), "it was told while the claim looked");
        calm.found_nothing(calm.told(), now + 5 * ms);
        assert!(calm.is_calm(now));
    }

    #[test]
    fn doubt_outlasts_what_a_claim_finds() {
        let (calm, now, ms) = (Calm::default(), crate::clock::instant(), Duration::from_millis(1));
        calm.doubt(Some(now + 3 * ms));
        calm.doubt(Some(now + 2 * ms));
        calm.doubt(None);
        calm.found_nothing(calm.told(), now + 5 * ms);
        assert!(!calm.is_calm(now) && !calm.is_calm(now + 2 * ms));
        assert!(calm.is_calm(now + 3 * ms));
    }
}
