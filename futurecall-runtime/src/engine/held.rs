//! The claims that this process believes to hold, with the deadline by which it must have renewed each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::signal::Signal;
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

    /// Stops every handler whose lease ends within `margin` although nobody could renew it. Returns how many.
    pub(super) fn fence(&self, now: Reading, margin: Duration) -> usize {
        let mut entries = self.entries();
        let ending = |entry: &Entry| entry.has_lease() && !entry.lost && entry.deadline.left(now) <= margin;
        in_order(&mut entries).filter(|entry| ending(entry)).map(Entry::lose).count()
    }

    /// How long until the first lease ends; `None` if nothing is held.
    pub(super) fn shortest(&self, now: Reading) -> Option<Duration> {
        let entries = self.entries();
        let held = entries.values().filter(|entry| entry.has_lease() && !entry.lost);
        held.map(|entry| entry.deadline.left(now)).min()
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
