//! The claims that this process believes to hold, with the deadline by which it must have renewed each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::flag::Signal;
use crate::clock::{Deadline, Reading};
use crate::id::CallId;
use crate::store::Held;

/// What can befall a run from outside.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// The user cancelled the call, or the pod is going down: the handler is asked to stop.
    pub(crate) cancelled: Signal,
    /// The lease is lost: the handler is dropped and its outcome with it.
    pub(super) lost: Signal,
    /// The shutdown is out of patience: the handler is dropped and recorded as interrupted.
    pub(super) abandoned: Signal,
}

#[derive(Debug)]
struct Entry {
    claim_no: i64,
    started: bool,
    deadline: Deadline,
    /// Befell it, whether or not its handler had started.
    lost: bool,
    cancelled: bool,
    ending: Ending,
    /// Of the handler, once it has started.
    signals: Option<Arc<Signals>>,
}

/// How far a run is with completing its call by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It is not at it.
    No,
    /// The database decides: until it has, a lost claim may be one that was completed.
    Underway,
    /// The call is complete, and there is no claim to lose any more.
    Done,
}

impl Entry {
    fn lose(&mut self) {
        if self.ending == Ending::Done {
            return;
        }
        self.lost = true;
        if self.ending == Ending::No {
            self.stop();
        }
    }

    fn stop(&self) {
        if let Some(signals) = &self.signals {
            signals.lost.set();
        }
    }

    /// Whether there is a lease to renew, or to lose.
    fn has_lease(&self) -> bool {
        self.ending != Ending::Done
    }

    fn cancel(&mut self) {
        self.cancelled = true;
        if let Some(signals) = &self.signals {
            signals.cancelled.set();
        }
    }
}

/// All of them. A claim stands here from the moment its claim was read until its outcome is stored.
#[derive(Debug, Default)]
pub(super) struct HeldCalls {
    entries: Mutex<HashMap<CallId, Entry>>,
}

impl HeldCalls {
    fn entries(&self) -> MutexGuard<'_, HashMap<CallId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// New claims, whose leases were counted from before they were sent.
    pub(super) fn add(&self, claims: impl Iterator<Item = (CallId, i64)>, deadline: Deadline) {
        let mut entries = self.entries();
        for (id, claim_no) in claims {
            let entry = Entry {
                claim_no,
                started: false,
                deadline,
                lost: false,
                cancelled: false,
                ending: Ending::No,
                signals: None,
            };
            if let Some(before) = entries.insert(id, entry) {
                // This pod claims it anew, so it had lost it: what still runs under the old claim must stop.
                before.stop();
            }
        }
    }

    /// The handler is about to start. What can befall it, if the lease certainly lasts a little longer and nothing befell
    /// the call while it waited for its slot.
    pub(super) fn start(
        &self,
        id: CallId,
        claim_no: i64,
        now: Reading,
        margin: Duration,
    ) -> Option<Arc<Signals>> {
        let mut entries = self.entries();
        let entry = entries.get_mut(&id).filter(|entry| entry.claim_no == claim_no)?;
        if entry.lost || entry.cancelled || entry.deadline.left(now) <= margin {
            return None;
        }
        entry.started = true;
        let signals = Arc::<Signals>::default();
        entry.signals = Some(Arc::clone(&signals));
        Some(signals)
    }

    /// A run is about to complete its call by itself; `false` if its claim is lost.
    pub(super) fn begin_to_settle(&self, id: CallId, claim_no: i64) -> bool {
        let mut entries = self.entries();
        let entry = entries.get_mut(&id).filter(|entry| entry.claim_no == claim_no && !entry.lost);
        entry.is_some_and(|entry| {
            entry.ending = Ending::Underway;
            true
        })
    }

    /// It has done so or not. A claim that was lost meanwhile and is not complete stops its handler now.
    pub(super) fn settle(&self, id: CallId, claim_no: i64, is_done: bool) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&id).filter(|entry| entry.claim_no == claim_no) else { return };
        entry.ending = if is_done { Ending::Done } else { Ending::No };
        if !is_done && entry.lost {
            entry.stop();
        }
    }

    /// The outcomes are stored, or the claims given back.
    pub(super) fn remove(&self, claims: impl Iterator<Item = (CallId, i64)>) {
        let mut entries = self.entries();
        for (id, claim_no) in claims {
            if entries.get(&id).is_some_and(|entry| entry.claim_no == claim_no) {
                entries.remove(&id);
            }
        }
    }

    /// How many claims are in hand.
    pub(super) fn len(&self) -> usize {
        self.entries().len()
    }

    /// How many handlers have started and have no stored outcome.
    pub(super) fn started(&self) -> usize {
        self.entries().values().filter(|entry| entry.started).count()
    }

    /// What to renew, in id order: that is how databases lock rows.
    pub(super) fn all(&self) -> Vec<Held> {
        let entries = self.entries();
        let held = |(id, entry): (&CallId, &Entry)| Held {
            id: *id,
            claim_no: entry.claim_no,
            started: entry.started,
        };
        let mut all: Vec<_> = entries.iter().filter(|(_, entry)| entry.has_lease()).map(held).collect();
        all.sort_unstable_by_key(|held| held.id);
        all
    }

    /// A renewal counted from before it was sent.
    pub(super) fn renewed(&self, held: &Held, deadline: Deadline) {
        if let Some(entry) = self.entries().get_mut(&held.id).filter(|entry| entry.claim_no == held.claim_no)
        {
            entry.deadline = deadline;
        }
    }

    /// The database says that the claim is no longer ours.
    pub(super) fn lose(&self, held: &Held) {
        if let Some(entry) = self.entries().get_mut(&held.id).filter(|entry| entry.claim_no == held.claim_no)
        {
            entry.lose();
        }
    }

    /// The call was cancelled: tell its handler.
    pub(super) fn cancel(&self, held: &Held) {
        if let Some(entry) = self.entries().get_mut(&held.id).filter(|entry| entry.claim_no == held.claim_no)
        {
            entry.cancel();
        }
    }

    /// Whether the lease of any of these claims lasts.
    pub(super) fn is_leased(&self, claims: impl IntoIterator<Item = (CallId, i64)>, now: Reading) -> bool {
        let entries = self.entries();
        claims.into_iter().any(|(id, claim_no)| {
            let held = entries.get(&id).filter(|entry| entry.claim_no == claim_no && !entry.lost);
            held.is_some_and(|entry| !entry.deadline.left(now).is_zero())
        })
    }

    /// Stops every handler whose lease has no more left than `margin`, by that clock, although nobody could renew it.
    /// Returns how many.
    pub(super) fn fence(&self, left: impl Fn(&Deadline) -> Duration, margin: Duration) -> usize {
        let mut entries = self.entries();
        let ending = |entry: &Entry| entry.has_lease() && !entry.lost && left(&entry.deadline) <= margin;
        in_order(&mut entries).filter(|entry| ending(entry)).map(Entry::lose).count()
    }

    /// How long the lease that ends first still lasts, by that clock; `None` if nothing is held.
    pub(super) fn shortest(&self, left: impl Fn(&Deadline) -> Duration) -> Option<Duration> {
        let entries = self.entries();
        let held = entries.values().filter(|entry| entry.has_lease() && !entry.lost);
        held.map(|entry| left(&entry.deadline)).min()
    }

    /// Asks every handler to stop.
    pub(super) fn cancel_all(&self) {
        in_order(&mut self.entries()).for_each(Entry::cancel);
    }

    /// Drops every handler; each is recorded as interrupted.
    pub(super) fn abandon_all(&self) {
        in_order(&mut self.entries())
            .filter_map(|entry| entry.signals.as_ref())
            .for_each(|signals| signals.abandoned.set());
    }
}

/// The same order in every run of the program: what happens to many calls at once can then be repeated.
fn in_order(entries: &mut HashMap<CallId, Entry>) -> impl Iterator<Item = &mut Entry> {
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
    /// From when on the margin is all that is left of the lease, and the moment before.
    const TOO_LATE: Duration = Duration::from_secs(27);
    const IN_TIME: Duration = Duration::from_micros(26_999_999);

    /// Claims that were sent at one moment, and what may be asked of them.
    struct Bench {
        held: HeldCalls,
        sent: Reading,
    }

    impl Bench {
        /// Holds these, by their claim numbers; gives their ids in the order of renewals.
        fn holding(numbers: &[i64]) -> (Self, Vec<CallId>) {
            let (held, sent) = (HeldCalls::default(), clock::read());
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

        fn start(&self, id: CallId, claim_no: i64) -> Option<Arc<Signals>> {
            self.held.start(id, claim_no, self.sent, MARGIN)
        }
    }

    fn claim(id: CallId, claim_no: i64) -> Held {
        Held { id, claim_no, started: false }
    }

    fn befell(signals: &Signals) -> (bool, bool, bool) {
        (signals.cancelled.is_set(), signals.lost.is_set(), signals.abandoned.is_set())
    }

    #[test]
    fn a_handler_starts_under_its_own_claim_while_its_lease_certainly_lasts() {
        let (bench, ids) = Bench::holding(&[7, 7, 7, 7]);
        let just_in_time = bench.after(IN_TIME);
        let too_late = bench.after(TOO_LATE);
        assert!(bench.start(ids[0], 6).is_none() && bench.start(CallId::new(), 7).is_none());
        assert!(bench.held.start(ids[0], 7, too_late, MARGIN).is_none());
        assert_eq!((bench.held.len(), bench.held.started()), (4, 0));
        let signals = bench.held.start(ids[0], 7, just_in_time, MARGIN).unwrap();
        assert_eq!((befell(&signals), bench.held.started()), ((false, false, false), 1));

        bench.held.lose(&claim(ids[1], 7));
        bench.held.cancel(&claim(ids[2], 7));
        assert!(bench.start(ids[1], 7).is_none(), "its claim is lost");
        assert!(bench.start(ids[2], 7).is_none(), "it is cancelled");
        assert!(bench.start(ids[3], 7).is_some());
        assert_eq!(bench.held.started(), 2);
    }

    #[test]
    fn what_befalls_a_claim_befalls_no_other() {
        let (bench, ids) = Bench::holding(&[7, 7]);
        let (one, other) = (bench.start(ids[0], 7).unwrap(), bench.start(ids[1], 7).unwrap());
        for stale in [claim(ids[0], 6), claim(CallId::new(), 7)] {
            bench.held.lose(&stale);
            bench.held.cancel(&stale);
            bench.held.renewed(&stale, Deadline::new(bench.sent, Duration::ZERO));
            bench.held.remove(std::iter::once((stale.id, stale.claim_no)));
        }
        assert_eq!((befell(&one), bench.held.len()), ((false, false, false), 2));
        assert_eq!(bench.shortest(bench.sent), Some(LEASE));
        bench.held.cancel(&claim(ids[0], 7));
        assert_eq!((befell(&one), befell(&other)), ((true, false, false), (false, false, false)));
        bench.held.lose(&claim(ids[0], 7));
        assert_eq!((befell(&one), befell(&other)), ((true, true, false), (false, false, false)));
        bench.held.remove(std::iter::once((ids[0], 7)));
        assert_eq!((bench.held.len(), bench.held.started()), (1, 1));
        bench.held.cancel_all();
        bench.held.abandon_all();
        assert_eq!(befell(&other), (true, false, true));
    }

    #[test]
    fn who_claims_a_call_anew_stops_what_runs_under_the_old_claim() {
        let (bench, ids) = Bench::holding(&[7]);
        let before = bench.start(ids[0], 7).unwrap();
        bench.held.add(std::iter::once((ids[0], 8)), Deadline::new(bench.sent, LEASE));
        assert!(before.lost.is_set());
        assert_eq!((bench.held.len(), bench.held.started()), (1, 0));
        assert!(bench.start(ids[0], 7).is_none() && bench.start(ids[0], 8).is_some());
    }

    #[test]
    fn leases_are_renewed_in_order_and_given_up_in_time() {
        let (bench, ids) = Bench::holding(&[7, 8, 9]);
        let signals: Vec<_> =
            ids.iter().zip(7..).map(|(id, claim_no)| bench.start(*id, claim_no).unwrap()).collect();
        let all = bench.held.all();
        let expected: Vec<_> =
            ids.iter().zip(7..).map(|(id, claim_no)| Held { id: *id, claim_no, started: true }).collect();
        assert_eq!(all, expected);
        // The first is renewed, the second is lost.
        let renewed = bench.after(Duration::from_secs(10));
        bench.held.renewed(&all[0], Deadline::new(renewed, LEASE));
        bench.held.lose(&all[1]);
        assert_eq!(bench.shortest(renewed), Some(Duration::from_secs(20)));
        assert_eq!(bench.fence(IN_TIME), 0);
        assert_eq!(bench.fence(TOO_LATE), 1, "the third alone");
        assert_eq!(bench.fence(TOO_LATE), 0, "once");
        let lost: Vec<_> = signals.iter().map(|signals| signals.lost.is_set()).collect();
        assert_eq!(lost, [false, true, true]);
        assert_eq!(bench.shortest(bench.after(LEASE)), Some(Duration::from_secs(10)));
        let is_leased = |number, after| bench.held.is_leased([(ids[0], number)], bench.after(after));
        assert!(is_leased(7, LEASE) && !is_leased(7, LEASE * 2) && !is_leased(8, LEASE));
        assert_eq!(HeldCalls::default().shortest(|deadline| deadline.left(bench.sent)), None);
    }

    #[test]
    fn a_claim_that_may_have_completed_its_call_is_judged_when_that_is_known() {
        let (bench, ids) = Bench::holding(&[7, 7, 7]);
        let signals: Vec<_> = ids.iter().map(|id| bench.start(*id, 7).unwrap()).collect();
        assert!(!bench.held.begin_to_settle(ids[0], 6) && !bench.held.begin_to_settle(CallId::new(), 7));
        for id in &ids {
            assert!(bench.held.begin_to_settle(*id, 7));
            bench.held.lose(&claim(*id, 7));
        }
        assert!(signals.iter().all(|signals| !signals.lost.is_set()), "the database decides");
        assert!(!bench.held.begin_to_settle(ids[0], 7), "it is lost, as far as is known");
        // Another's answer changes nothing.
        bench.held.settle(ids[0], 6, false);
        assert!(!signals[0].lost.is_set());
        bench.held.settle(ids[0], 7, false);
        bench.held.settle(ids[1], 7, true);
        let lost: Vec<_> = signals.iter().map(|signals| signals.lost.is_set()).collect();
        assert_eq!(lost, [true, false, false]);
    }

    #[test]
    fn a_completed_call_has_no_lease_to_renew_or_to_lose() {
        let (bench, ids) = Bench::holding(&[7, 7]);
        let signals: Vec<_> = ids.iter().map(|id| bench.start(*id, 7).unwrap()).collect();
        assert!(bench.held.begin_to_settle(ids[0], 7) && bench.held.begin_to_settle(ids[1], 7));
        bench.held.settle(ids[0], 7, true);
        bench.held.settle(ids[1], 7, false);
        assert_eq!(bench.held.all(), [Held { started: true, ..claim(ids[1], 7) }]);
        bench.held.lose(&claim(ids[0], 7));
        assert_eq!(bench.fence(LEASE), 1);
        assert_eq!((signals[0].lost.is_set(), signals[1].lost.is_set()), (false, true));
        assert_eq!(bench.shortest(bench.sent), None);
        assert_eq!(bench.held.len(), 2, "until its outcome is handed in");
    }
}
