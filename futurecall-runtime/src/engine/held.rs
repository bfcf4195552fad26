//! The claims that this process believes to hold, with the deadline by which it must have renewed each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Deadline, Reading};
use crate::id::CallId;
use crate::store::Held;

/// What can befall a run from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Signals {
    /// The user cancelled the call, or the pod is going down: the handler is asked to stop.
    pub(super) cancelled: CancellationToken,
    /// The lease is lost: the handler is dropped and its outcome with it.
    pub(super) lost: CancellationToken,
    /// The shutdown is out of patience: the handler is dropped and recorded as interrupted.
    pub(super) abandoned: CancellationToken,
}

#[derive(Debug)]
struct Entry {
    claim_no: i64,
    started: bool,
    deadline: Deadline,
    signals: Signals,
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

    /// A new claim, whose lease was counted from before it was sent.
    pub(super) fn add(&self, id: CallId, claim_no: i64, deadline: Deadline) {
        let entry = Entry { claim_no, started: false, deadline, signals: Signals::default() };
        if let Some(before) = self.entries().insert(id, entry) {
            // This pod claims it anew, so it had lost it: what still runs under the old claim must stop.
            before.signals.lost.cancel();
        }
    }

    /// The handler is about to start: `true` if the lease certainly lasts a little longer, and nothing befell the call
    /// while it waited for its slot.
    pub(super) fn start(&self, id: CallId, claim_no: i64, now: Reading, margin: Duration) -> bool {
        match self.entries().get_mut(&id) {
            Some(entry) if entry.claim_no == claim_no && entry.deadline.left(now) > margin => {
                entry.started = !entry.signals.lost.is_cancelled() && !entry.signals.cancelled.is_cancelled();
                entry.started
            }
            _ => false,
        }
    }

    /// What can befall that run.
    pub(super) fn signals(&self, id: CallId, claim_no: i64) -> Option<Signals> {
        self.entries().get(&id).filter(|entry| entry.claim_no == claim_no).map(|entry| entry.signals.clone())
    }

    /// The outcome is stored, or the claim given back.
    pub(super) fn remove(&self, id: CallId, claim_no: i64) {
        let mut entries = self.entries();
        if entries.get(&id).is_some_and(|entry| entry.claim_no == claim_no) {
            entries.remove(&id);
        }
    }

    /// How many handlers have started and have no stored outcome.
    pub(super) fn started(&self) -> usize {
        self.entries().values().filter(|entry| entry.started).count()
    }

    /// What to renew.
    pub(super) fn all(&self) -> Vec<Held> {
        self.entries()
            .iter()
            .map(|(id, entry)| Held { id: *id, claim_no: entry.claim_no, started: entry.started })
            .collect()
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
        if let Some(entry) = self.entries().get(&held.id).filter(|entry| entry.claim_no == held.claim_no) {
            entry.signals.lost.cancel();
        }
    }

    /// The call was cancelled: tell its handler.
    pub(super) fn cancel(&self, held: &Held) {
        if let Some(entry) = self.entries().get(&held.id).filter(|entry| entry.claim_no == held.claim_no) {
            entry.signals.cancelled.cancel();
        }
    }

    /// Stops every handler whose lease ends within `margin` although nobody could renew it. Returns how many.
    pub(super) fn fence(&self, now: Reading, margin: Duration) -> usize {
        let entries = self.entries();
        let ending = entries.values().filter(|entry| entry.deadline.left(now) <= margin);
        ending
            .filter(|entry| !entry.signals.lost.is_cancelled())
            .map(|entry| entry.signals.lost.cancel())
            .count()
    }

    /// How long until the first lease ends; `None` if nothing is held.
    pub(super) fn shortest(&self, now: Reading) -> Option<Duration> {
        self.entries()
            .values()
            .filter(|entry| !entry.signals.lost.is_cancelled())
            .map(|entry| entry.deadline.left(now))
            .min()
    }

    /// Asks every handler to stop.
    pub(super) fn cancel_all(&self) {
        self.entries().values().for_each(|entry| entry.signals.cancelled.cancel());
    }

    /// Drops every handler; each is recorded as interrupted.
    pub(super) fn abandon_all(&self) {
        self.entries().values().for_each(|entry| entry.signals.abandoned.cancel());
    }
}
