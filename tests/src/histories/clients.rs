//! Several clients, each a pod, on the same few calls at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futurecall_runtime::store::{
    CancelTarget, ClaimRequest, ClaimedCall, Finish, Held, NewCall, Now, OnVanish, Outcome, Store,
};
use futurecall_runtime::{CallId, Moment, PodId};
use futures_util::future::join_all;

use super::{Event, Histories, Holder, What};
use crate::make::{KEEP, SOON, call, micros, secs};
use crate::suite::Fixture;
use futurecall_testbed::rng::Rng;

/// How many clients there are, what each does, and to how many calls.
const CLIENTS: u64 = 4;
const STEPS: usize = 30;
const CALLS: usize = 12;

/// The shared state of the clients.
struct Shared {
    calls: Vec<NewCall>,
    /// Increasing numbers, for before and after.
    counter: AtomicU64,
    /// Seconds: the clock of the test. Each operation has the time at which it was sent.
    seconds: AtomicI64,
    histories: Mutex<Histories>,
}

/// Runs them, and returns the events of each call.
pub(super) async fn clients(fixture: &Fixture, seed: u64) -> Histories {
    let calls: Vec<_> = (0..CALLS).map(|_| call("work")).collect();
    fixture.store.insert(Now::At(micros(0)), &calls, false, SOON).await.expect("stored");
    let shared =
        Shared { calls, counter: AtomicU64::new(0), seconds: AtomicI64::new(1), histories: Mutex::default() };
    join_all((0..CLIENTS).map(|number| {
        let dice = Rng::new(seed.wrapping_mul(CLIENTS).wrapping_add(number));
        // Two of them by the second handle, as another process.
        let store = if number % 2 == 0 { &*fixture.store } else { &*fixture.other };
        Client { shared: &shared, store, dice, pod: PodId::new(), claim_no: 0, claimed: Vec::new() }.go()
    }))
    .await;
    for call in &shared.calls {
        shared.read(&*fixture.store, call.id).await;
    }
    shared.histories.into_inner().expect("no client panicked")
}

impl Shared {
    fn now(&self) -> Moment {
        micros(self.seconds.fetch_add(1, Ordering::SeqCst) * 1_000_000)
    }

    fn number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::SeqCst)
    }

    fn saw(&self, id: CallId, from: u64, what: What) {
        let event = Event { from, to: self.number(), what };
        self.histories.lock().expect("no client panicked").entry(id).or_default().push(event);
    }

    async fn read(&self, store: &dyn Store, id: CallId) {
        let (now, from) = (Now::At(self.now()), self.number());
        let record = store.call(now, id).await.expect("a look at a call");
        self.saw(id, from, What::Read { state: record.map(|record| record.state) });
    }
}

struct Client<'a> {
    shared: &'a Shared,
    store: &'a dyn Store,
    dice: Rng,
    pod: PodId,
    claim_no: i64,
    /// Everything it ever claimed: it also continues with old claims.
    claimed: Vec<ClaimedCall>,
}

impl Client<'_> {
    async fn go(mut self) {
        for _ in 0..STEPS {
            match self.dice.below(12) {
                0..=3 => self.claim().await,
                4 | 5 => self.finish().await,
                6 => self.renew().await,
                7 => self.release().await,
                8 => self.cancel().await,
                9 => self.rescue().await,
                10 => self.store_again().await,
                _ => {
                    let id = self.some_call().id;
                    self.shared.read(self.store, id).await;
                }
            }
        }
    }

    fn some_call(&mut self) -> &NewCall {
        self.dice.one_of(&self.shared.calls).expect("calls")
    }

    fn some_claim(&mut self) -> Option<(ClaimedCall, Holder)> {
        let newest = self.claimed.len().saturating_sub(4);
        let claimed = self.dice.one_of(&self.claimed[newest..])?.clone();
        let holder = Holder { pod: self.pod, claim_no: claimed.claim_no };
        Some((claimed, holder))
    }

    /// Short enough for the test's clock to pass some of them.
    fn lease(&mut self) -> Duration {
        secs([3, 20, 500][self.dice.below(3)])
    }

    async fn claim(&mut self) {
        self.claim_no += 1;
        let (now, from, lease) = (self.shared.now(), self.shared.number(), self.lease());
        let request = ClaimRequest {
            pod: self.pod,
            claim_no: self.claim_no,
            names: vec![("work".to_owned(), OnVanish::Keep)],
            shapes: std::sync::Arc::default(),
            limit: 1 + self.dice.below(3),
            lease,
            until: None,
            ahead: Duration::ZERO,
            sweep: true,
            retention: KEEP,
        };
        let claim = self.store.claim(Now::At(now), &request).await.expect("a claim");
        let holder = Holder { pod: self.pod, claim_no: self.claim_no };
        let until = now.checked_add(lease).expect("within the range");
        for call in &claim.calls {
            assert_eq!(call.claim_no, self.claim_no);
            self.shared.saw(call.id, from, What::Claimed { holder, until });
        }
        self.claimed.extend(claim.calls);
    }

    async fn finish(&mut self) {
        let Some((call, holder)) = self.some_claim() else { return };
        let outcome = match self.dice.below(3) {
            0 => Outcome::Failed { error: "no".to_owned() },
            1 => Outcome::Interrupted { error: "given up".to_owned() },
            _ => Outcome::Succeeded,
        };
        let finish = Finish {
            id: call.id,
            claim_no: call.claim_no,
            outcome: outcome.clone(),
            started_after: Some(secs(1)),
            ran_for: secs(1),
        };
        let (now, from) = (Now::At(self.shared.now()), self.shared.number());
        let answers = self.store.finish(now, self.pod, &[finish], &KEEP).await.expect("a finish");
        self.shared.saw(call.id, from, What::Finished { holder, outcome, answer: answers[0] });
    }

    async fn renew(&mut self) {
        let Some((call, holder)) = self.some_claim() else { return };
        let held = Held { id: call.id, claim_no: call.claim_no, started: true };
        let (now, from, lease) = (self.shared.now(), self.shared.number(), self.lease());
        let renewed = self.store.renew(Now::At(now), self.pod, &[held], lease).await.expect("a renewal");
        let (answer, cancelled) = (renewed[0].lease, renewed[0].cancelled);
        self.shared.saw(call.id, from, What::Renewed { holder, now, lease, answer, cancelled });
    }

    async fn release(&mut self) {
        let Some((call, holder)) = self.some_claim() else { return };
        let held = Held { id: call.id, claim_no: call.claim_no, started: false };
        let (now, from) = (Now::At(self.shared.now()), self.shared.number());
        let count = self.store.release(now, self.pod, &[held], None).await.expect("a release");
        self.shared.saw(call.id, from, What::Released { holder, count });
    }

    async fn cancel(&mut self) {
        let id = self.some_call().id;
        let (now, from) = (self.shared.now(), self.shared.number());
        let cancelled = self.store.cancel(Now::At(now), &CancelTarget::Call(id), &KEEP).await;
        let cancelled = cancelled.expect("a cancellation");
        let what = What::Cancelled { now, calls: cancelled.calls, running: cancelled.running };
        self.shared.saw(id, from, what);
    }

    async fn rescue(&mut self) {
        let (now, from) = (self.shared.now(), self.shared.number());
        let rescued = self.store.rescue(Now::At(now), 100, &KEEP).await.expect("a rescue");
        for one in rescued {
            assert!(!one.rerun, "nothing is to run again");
            self.shared.saw(one.id, from, What::Rescued { now, pod: one.pod });
        }
    }

    async fn store_again(&mut self) {
        let call = self.some_call().clone();
        let (now, from) = (Now::At(self.shared.now()), self.shared.number());
        self.store.insert(now, std::slice::from_ref(&call), true, SOON).await.expect("stored");
        self.shared.saw(call.id, from, What::StoredAgain);
    }
}
