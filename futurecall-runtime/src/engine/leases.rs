//! The leases of the calls that this pod holds, each with the deadline by which it must be renewed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::flag::Flag;
use crate::clock::{Deadline, Reading};
use crate::id::CallId;
use crate::store::Held;

/// Flags that stop a running handler.
#[derive(Debug, Default)]
pub(crate) struct RunSignals {
    /// The call was cancelled, or the pod is shutting down: the handler is asked to stop.
    pub(crate) cancelled: Flag,
    /// The lease was lost: the handler is dropped, and its outcome discarded.
    pub(super) lost: Flag,
    /// The shutdown's grace period is over: the handler is dropped and recorded as interrupted.
    pub(super) abandoned: Flag,
}

#[derive(Debug)]
struct HeldLease {
    claim_no: i64,
    started: bool,
    deadline: Deadline,
    /// Whether the lease was lost or the call cancelled, before or after its handler started.
    lost: bool,
    cancelled: bool,
    completing: Completing,
    /// The flags of the handler, once it has started.
    signals: Option<Arc<RunSignals>>,
}

/// The state of a completion by the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Completing {
    /// No `complete()` in progress.
    No,
    /// A `complete()` is in progress. Until it returns, a claim that seems lost may be one that was just completed.
    Underway,
    /// The call is complete, and has no lease any more.
    Done,
}

impl HeldLease {
    fn lose(&mut self) {
        if self.completing == Completing::Done {
            return;
        }
        self.lost = true;
        if self.completing == Completing::No {
            self.stop();
        }
    }

    fn stop(&self) {
        if let Some(signals) = &self.signals {
            signals.lost.set();
        }
    }

    /// Returns whether there is a lease to renew, or to lose.
    fn has_lease(&self) -> bool {
        self.completing != Completing::Done
    }

    fn cancel(&mut self) {
        self.cancelled = true;
        if let Some(signals) = &self.signals {
            signals.cancelled.set();
        }
    }
}

/// All leases of this pod, each from when its claim was read until its outcome is stored.
#[derive(Debug, Default)]
pub(super) struct HeldLeases {
    entries: Mutex<HashMap<CallId, HeldLease>>,
}

impl HeldLeases {
    fn entries(&self) -> MutexGuard<'_, HashMap<CallId, HeldLease>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds new claims. `deadline` counts from before the claim was sent.
    pub(super) fn add(&self, claims: impl Iterator<Item = (CallId, i64)>, deadline: Deadline) {
        let mut entries = self.entries();
        for (id, claim_no) in claims {
            let entry = HeldLease {
                claim_no,
                started: false,
                deadline,
                lost: false,
                cancelled: false,
                completing: Completing::No,
                signals: None,
            };
            if let Some(before) = entries.insert(id, entry) {
                // This pod has claimed the call again, so it had lost it: a handler under the old claim must stop.
                before.stop();
            }
        }
    }

    /// Marks a handler as started and returns its flags, if its lease lasts longer than `margin`, and it was neither
    /// lost nor cancelled while the call waited for a slot.
    pub(super) fn start(
        &self,
        id: CallId,
        claim_no: i64,
        now: Reading,
        margin: Duration,
    ) -> Option<Arc<RunSignals>> {
        let mut entries = self.entries();
        let entry = entries.get_mut(&id).filter(|entry| entry.claim_no == claim_no)?;
        if entry.lost || entry.cancelled || entry.deadline.left(now) <= margin {
            return None;
        }
        entry.started = true;
        let signals = Arc::<RunSignals>::default();
        entry.signals = Some(Arc::clone(&signals));
        Some(signals)
    }

    /// Marks a `complete()` as in progress; returns `false` if the claim is lost.
    pub(super) fn begin_to_settle(&self, id: CallId, claim_no: i64) -> bool {
        let mut entries = self.entries();
        let entry = entries.get_mut(&id).filter(|entry| entry.claim_no == claim_no && !entry.lost);
        entry.is_some_and(|entry| {
            entry.completing = Completing::Underway;
            true
        })
    }

    /// Ends a `complete()`. If it failed and the claim was lost in the meantime, the handler is stopped now.
    pub(super) fn settle(&self, id: CallId, claim_no: i64, is_done: bool) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&id).filter(|entry| entry.claim_no == claim_no) else { return };
        entry.completing = if is_done { Completing::Done } else { Completing::No };
        if !is_done && entry.lost {
            entry.stop();
        }
    }

    /// Removes claims whose outcomes are stored or that were given back.
    pub(super) fn remove(&self, claims: impl Iterator<Item = (CallId, i64)>) {
        let mut entries = self.entries();
        for (id, claim_no) in claims {
            if entries.get(&id).is_some_and(|entry| entry.claim_no == claim_no) {
                entries.remove(&id);
            }
        }
    }

    /// Returns the number of held claims.
    pub(super) fn len(&self) -> usize {
        self.entries().len()
    }

    /// Returns the number of handlers that have started and have no stored outcome.
    pub(super) fn started(&self) -> usize {
        self.entries().values().filter(|entry| entry.started).count()
    }

    /// Returns the claims to renew, in id order, which is the order in which databases lock rows.
    pub(super) fn all(&self) -> Vec<Held> {
        let entries = self.entries();
        let held = |(id, entry): (&CallId, &HeldLease)| Held {
            id: *id,
            claim_no: entry.claim_no,
            started: entry.started,
        };
        let mut all: Vec<_> = entries.iter().filter(|(_, entry)| entry.has_lease()).map(held).collect();
        all.sort_unstable_by_key(|held| held.id);
        all
    }

    /// Sets the deadline of a renewed lease, counted from before the renewal was sent.
    pub(super) fn renewed(&self, held: &Held, deadline: Deadline) {
        if let Some(entry) = self.entries().get_mut(&held.id).filter(|entry| entry.claim_no == held.claim_no)
        {
            entry.deadline = deadline;
        }
    }

    /// Marks a claim as lost, because the database reported that this pod does not hold it any more.
    pub(super) fn lose(&self, held: &Held) {
        if let Some(entry) = self.entries().get_mut(&held.id).filter(|entry| entry.claim_no == held.claim_no)
        {
            entry.lose();
        }
    }

    /// Asks the handler of a cancelled call to stop.
    pub(super) fn cancel(&self, held: &Held) {
        if let Some(entry) = self.entries().get_mut(&held.id).filter(|entry| entry.claim_no == held.claim_no)
        {
            entry.cancel();
        }
    }

    /// Returns whether the lease of any of these claims still lasts.
    pub(super) fn is_leased(&self, claims: impl IntoIterator<Item = (CallId, i64)>, now: Reading) -> bool {
        let entries = self.entries();
        claims.into_iter().any(|(id, claim_no)| {
            let held = entries.get(&id).filter(|entry| entry.claim_no == claim_no && !entry.lost);
            held.is_some_and(|entry| !entry.deadline.left(now).is_zero())
        })
    }

    /// Stops every handler whose lease has no more than `margin` left by the clock `left`. Returns how many.
    pub(super) fn fence(&self, left: impl Fn(&Deadline) -> Duration, margin: Duration) -> usize {
        let mut entries = self.entries();
        let ending = |entry: &HeldLease| entry.has_lease() && !entry.lost && left(&entry.deadline) <= margin;
        in_order(&mut entries).filter(|entry| ending(entry)).map(HeldLease::lose).count()
    }

    /// Returns how long the lease that ends first still lasts by the clock `left`; `None` if there is none.
    pub(super) fn shortest(&self, left: impl Fn(&Deadline) -> Duration) -> Option<Duration> {
        let entries = self.entries();
        let held = entries.values().filter(|entry| entry.has_lease() && !entry.lost);
        held.map(|entry| left(&entry.deadline)).min()
    }

    /// Asks every handler to stop.
    pub(super) fn cancel_all(&self) {
        in_order(&mut self.entries()).for_each(HeldLease::cancel);
    }

    /// Drops every handler; each call is recorded as interrupted.
    pub(super) fn abandon_all(&self) {
        in_order(&mut self.entries())
            .filter_map(|entry| entry.signals.as_ref())
            .for_each(|signals| signals.abandoned.set());
    }
}

/// Iterates in id order, so that an event that affects many calls is reproducible.
fn in_order(entries: &mut HashMap<CallId, HeldLease>) -> impl Iterator<Item = &mut HeldLease> {
    let mut all: Vec<_> = entries.iter_mut().collect();
    all.sort_unstable_by_key(|(id, _)| **id);
    all.into_iter().map(|(_, entry)| entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const LEASE: Duration = Duration::from_secs(30);
    const MARGIN: Duration = Duration::from_secs(3);
    /// The time after which only the margin is left of the lease, and the microsecond before.
    const TOO_LATE: Duration = Duration::from_secs(27);
    const IN_TIME: Duration = Duration::from_micros(26_999_999);

    /// Leases of claims that were sent at the same time.
    struct Fixture {
        held: HeldLeases,
        sent: Reading,
    }

    impl Fixture {
        /// Adds claims with these numbers; returns their ids in the order of renewals.
        fn holding(numbers: &[i64]) -> (Self, Vec<CallId>) {
            let (held, sent) = (HeldLeases::default(), clock::read());
            let mut ids: Vec<_> = numbers.iter().map(|_| CallId::new()).collect();
            ids.sort_unstable();
            held.add(ids.iter().copied().zip(numbers.iter().copied()), Deadline::new(sent, LEASE));
            (Self { held, sent }, ids)
        }

        fn after(&self, time: Duration) -> Reading {
            Reading { monotonic: self.sent.monotonic + time, wall: self.sent.wall.checked_add(time).unwrap() }
        }

        fn fence(&self, after: Duration) -> usize {
            let now = self.after(after);
            self.held.fence(|deadline| deadline.left(now), MARGIN)
        }

        fn shortest(&self, now: Reading) -> Option<Duration> {
            self.held.shortest(|deadline| deadline.left(now))
        }

        fn start(&self, id: CallId, claim_no: i64) -> Option<Arc<RunSignals>> {
            self.held.start(id, claim_no, self.sent, MARGIN)
        }
    }

    fn claim(id: CallId, claim_no: i64) -> Held {
        Held { id, claim_no, started: false }
    }

    fn raised(signals: &RunSignals) -> (bool, bool, bool) {
        (signals.cancelled.is_set(), signals.lost.is_set(), signals.abandoned.is_set())
    }

    #[test]
    fn a_handler_starts_under_its_own_claim_while_its_lease_certainly_lasts() {
        let (fixture, ids) = Fixture::holding(&[7, 7, 7, 7]);
        let just_in_time = fixture.after(IN_TIME);
        let too_late = fixture.after(TOO_LATE);
        assert!(fixture.start(ids[0], 6).is_none() && fixture.start(CallId::new(), 7).is_none());
        assert!(fixture.held.start(ids[0], 7, too_late, MARGIN).is_none());
        assert_eq!((fixture.held.len(), fixture.held.started()), (4, 0));
        let signals = fixture.held.start(ids[0], 7, just_in_time, MARGIN).unwrap();
        assert_eq!((raised(&signals), fixture.held.started()), ((false, false, false), 1));

        fixture.held.lose(&claim(ids[1], 7));
        fixture.held.cancel(&claim(ids[2], 7));
        assert!(fixture.start(ids[1], 7).is_none(), "its claim is lost");
        assert!(fixture.start(ids[2], 7).is_none(), "it is cancelled");
        assert!(fixture.start(ids[3], 7).is_some());
        assert_eq!(fixture.held.started(), 2);
    }

    #[test]
    fn an_event_of_one_claim_affects_no_other() {
        let (fixture, ids) = Fixture::holding(&[7, 7]);
        let (one, other) = (fixture.start(ids[0], 7).unwrap(), fixture.start(ids[1], 7).unwrap());
        for stale in [claim(ids[0], 6), claim(CallId::new(), 7)] {
            fixture.held.lose(&stale);
            fixture.held.cancel(&stale);
            fixture.held.renewed(&stale, Deadline::new(fixture.sent, Duration::ZERO));
            fixture.held.remove(std::iter::once((stale.id, stale.claim_no)));
        }
        assert_eq!((raised(&one), fixture.held.len()), ((false, false, false), 2));
        assert_eq!(fixture.shortest(fixture.sent), Some(LEASE));
        fixture.held.cancel(&claim(ids[0], 7));
        assert_eq!((raised(&one), raised(&other)), ((true, false, false), (false, false, false)));
        fixture.held.lose(&claim(ids[0], 7));
        assert_eq!((raised(&one), raised(&other)), ((true, true, false), (false, false, false)));
        fixture.held.remove(std::iter::once((ids[0], 7)));
        assert_eq!((fixture.held.len(), fixture.held.started()), (1, 1));
        fixture.held.cancel_all();
        fixture.held.abandon_all();
        assert_eq!(raised(&other), (true, false, true));
    }

    #[test]
    fn claiming_a_call_again_stops_the_handler_of_the_old_claim() {
        let (fixture, ids) = Fixture::holding(&[7]);
        let before = fixture.start(ids[0], 7).unwrap();
        fixture.held.add(std::iter::once((ids[0], 8)), Deadline::new(fixture.sent, LEASE));
        assert!(before.lost.is_set());
        assert_eq!((fixture.held.len(), fixture.held.started()), (1, 0));
        assert!(fixture.start(ids[0], 7).is_none() && fixture.start(ids[0], 8).is_some());
    }

    #[test]
    fn leases_are_renewed_in_order_and_given_up_in_time() {
        let (fixture, ids) = Fixture::holding(&[7, 8, 9]);
        let signals: Vec<_> =
            ids.iter().zip(7..).map(|(id, claim_no)| fixture.start(*id, claim_no).unwrap()).collect();
        let all = fixture.held.all();
        let expected: Vec<_> =
            ids.iter().zip(7..).map(|(id, claim_no)| Held { id: *id, claim_no, started: true }).collect();
        assert_eq!(all, expected);
        // The first is renewed, the second is lost.
        let renewed = fixture.after(Duration::from_secs(10));
        fixture.held.renewed(&all[0], Deadline::new(renewed, LEASE));
        fixture.held.lose(&all[1]);
        assert_eq!(fixture.shortest(renewed), Some(Duration::from_secs(20)));
        assert_eq!(fixture.fence(IN_TIME), 0);
        assert_eq!(fixture.fence(TOO_LATE), 1, "the third alone");
        assert_eq!(fixture.fence(TOO_LATE), 0, "once");
        let lost: Vec<_> = signals.iter().map(|signals| signals.lost.is_set()).collect();
        assert_eq!(lost, [false, true, true]);
        assert_eq!(fixture.shortest(fixture.after(LEASE)), Some(Duration::from_secs(10)));
        let is_leased = |number, after| fixture.held.is_leased([(ids[0], number)], fixture.after(after));
        assert!(is_leased(7, LEASE) && !is_leased(7, LEASE * 2) && !is_leased(8, LEASE));
        assert_eq!(HeldLeases::default().shortest(|deadline| deadline.left(fixture.sent)), None);
    }

    #[test]
    fn a_claim_that_may_have_completed_its_call_is_judged_when_that_is_known() {
        let (fixture, ids) = Fixture::holding(&[7, 7, 7]);
        let signals: Vec<_> = ids.iter().map(|id| fixture.start(*id, 7).unwrap()).collect();
        assert!(!fixture.held.begin_to_settle(ids[0], 6) && !fixture.held.begin_to_settle(CallId::new(), 7));
        for id in &ids {
            assert!(fixture.held.begin_to_settle(*id, 7));
            fixture.held.lose(&claim(*id, 7));
        }
        assert!(signals.iter().all(|signals| !signals.lost.is_set()), "the database decides");
        assert!(!fixture.held.begin_to_settle(ids[0], 7), "it is lost, as far as is known");
        // Another's answer changes nothing.
        fixture.held.settle(ids[0], 6, false);
        assert!(!signals[0].lost.is_set());
        fixture.held.settle(ids[0], 7, false);
        fixture.held.settle(ids[1], 7, true);
        let lost: Vec<_> = signals.iter().map(|signals| signals.lost.is_set()).collect();
        assert_eq!(lost, [true, false, false]);
    }

    #[test]
    fn a_completed_call_has_no_lease_to_renew_or_to_lose() {
        let (fixture, ids) = Fixture::holding(&[7, 7]);
        let signals: Vec<_> = ids.iter().map(|id| fixture.start(*id, 7).unwrap()).collect();
        assert!(fixture.held.begin_to_settle(ids[0], 7) && fixture.held.begin_to_settle(ids[1], 7));
        fixture.held.settle(ids[0], 7, true);
        fixture.held.settle(ids[1], 7, false);
        assert_eq!(fixture.held.all(), [Held { started: true, ..claim(ids[1], 7) }]);
        fixture.held.lose(&claim(ids[0], 7));
        assert_eq!(fixture.fence(LEASE), 1);
        assert_eq!((signals[0].lost.is_set(), signals[1].lost.is_set()), (false, true));
        assert_eq!(fixture.shortest(fixture.sent), None);
        assert_eq!(fixture.held.len(), 2, "until its outcome is handed in");
    }
}
