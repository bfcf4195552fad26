//! Calls that this pod holds and has not started: they wait for their moment, or for a slot.
//!
//! The claim brings a little more than there are slots, so that a slot never waits for the database; a slot that ends takes
//! the next call itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::timer_wakeup::Alarm;
use crate::clock::Deadline;
use crate::store::ClaimedCall;

/// A call in hand, and by when its lease must have been renewed.
#[derive(Debug)]
pub(super) struct InHand {
    pub(super) call: ClaimedCall,
    pub(super) deadline: Deadline,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct ReadyCalls {
    queue: Mutex<Queue>,
    /// Due ones.
    due: AtomicUsize,
    /// All.
    all: AtomicUsize,
    /// Set when the claimer wants to know that no more than `low_water` are left.
    is_wanted: AtomicBool,
    low_water: AtomicUsize,
    /// Rings for the next one that waits for its moment.
    pub(super) alarm: Arc<Alarm>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Due, in the order in which they are to start, each with since when.
    due: VecDeque<(Instant, InHand)>,
    /// Not due yet, by their moment, and in the order in which they came.
    later: BTreeMap<(Instant, u64), InHand>,
    came: u64,
}

impl ReadyCalls {
    /// Puts in what is due now.
    pub(super) fn push_due(&self, now: Instant, calls: impl Iterator<Item = InHand>) {
        let mut queue = self.lock();
        queue.due.extend(calls.map(|call| (now, call)));
        self.count(&queue);
    }

    /// Puts in what is due at `at`.
    pub(super) fn push_later(&self, at: Instant, call: InHand) {
        let mut queue = self.lock();
        let place = (at, queue.came);
        queue.came = queue.came.saturating_add(1);
        queue.later.insert(place, call);
        let is_first = queue.later.first_key_value().is_some_and(|(first, _)| *first == place);
        self.count(&queue);
        drop(queue);
        if is_first {
            self.alarm.set();
        }
    }

    /// Makes what is due by now ready to start. Returns when the next one is due.
    pub(super) fn ripen(&self, now: Instant) -> Option<Instant> {
        let mut queue = self.lock();
        let mut next = None;
        while let Some(first) = queue.later.first_entry() {
            let (at, _) = *first.key();
            if at > now {
                next = Some(at);
                break;
            }
            let call = first.remove();
            queue.due.push_back((now, call));
        }
        self.count(&queue);
        next
    }

    /// The next one to start.
    pub(super) fn pop(&self) -> Option<InHand> {
        if self.due() == 0 {
            return None;
        }
        let mut queue = self.lock();
        let (_, call) = queue.due.pop_front()?;
        self.count(&queue);
        Some(call)
    }

    /// Takes out whatever has been due for longer than `patience` without finding a slot, and with it all that is due.
    pub(super) fn take_stale(&self, now: Instant, patience: Duration) -> Vec<InHand> {
        let mut queue = self.lock();
        let is_stale = |since: Instant| now.saturating_duration_since(since) >= patience;
        if !queue.due.front().is_some_and(|(since, _)| is_stale(*since)) {
            return Vec::new();
        }
        let stale = queue.due.drain(..).map(|(_, call)| call).collect();
        self.count(&queue);
        stale
    }

    /// Takes out all that waits, be it for its moment or for a slot.
    pub(super) fn take_all(&self) -> Vec<InHand> {
        let mut queue = self.lock();
        let mut all: Vec<_> = queue.due.drain(..).map(|(_, call)| call).collect();
        all.extend(std::mem::take(&mut queue.later).into_values());
        self.count(&queue);
        all
    }

    /// Since when the first one has been due and without a slot.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.lock().due.front().map(|(since, _)| *since)
    }

    /// How many could start now.
    pub(super) fn due(&self) -> usize {
        self.due.load(Ordering::SeqCst)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.load(Ordering::SeqCst)
    }

    /// Asks to be told once no more than `low_water` are left. Said before anything is counted: what changes after the
    /// count is then heard of.
    pub(super) fn want(&self, low_water: usize) {
        self.low_water.store(low_water, Ordering::SeqCst);
        self.is_wanted.store(true, Ordering::SeqCst);
    }

    /// Nothing more is to be had.
    pub(super) fn want_nothing(&self) {
        self.is_wanted.store(false, Ordering::SeqCst);
    }

    /// Whether to tell the claimer, once: more is wanted, and few enough are left.
    pub(super) fn is_wanting(&self) -> bool {
        self.is_wanted.load(Ordering::SeqCst)
            && self.len() <= self.low_water.load(Ordering::SeqCst)
            && self.is_wanted.swap(false, Ordering::SeqCst)
    }

    fn count(&self, queue: &Queue) {
        self.due.store(queue.due.len(), Ordering::SeqCst);
        self.all.store(queue.due.len() + queue.later.len(), Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CallId;
    use crate::moment::Moment;

    fn in_hand(name: &str) -> InHand {
        let call = ClaimedCall {
            id: CallId::new(),
            claim_no: 1,
            name: name.to_owned(),
            identifier: None,
            args: "{}".to_owned(),
            format: 1,
            priority: 0,
            due: Moment::MIN,
            first_due: Moment::MIN,
            expires: None,
            failures: 0,
            claimed: Moment::MIN,
            attempt: 1,
            schedule: None,
            traceparent: None,
        };
        InHand { call, deadline: Deadline::new(crate::clock::read(), Duration::from_secs(30)) }
    }

    fn popped(ready: &ReadyCalls) -> Vec<String> {
        std::iter::from_fn(|| ready.pop()).map(|in_hand| in_hand.call.name).collect()
    }

    #[test]
    fn calls_ripen_in_the_order_of_their_moments() {
        let (ready, now, ms) = (ReadyCalls::default(), crate::clock::instant(), Duration::from_millis(1));
        for (after, name) in [(5, "c"), (3, "a"), (3, "b"), (9, "d")] {
            ready.push_later(now + after * ms, in_hand(name));
        }
        ready.push_due(now, std::iter::once(in_hand("now")));
        assert_eq!((ready.due(), ready.len()), (1, 5));
        assert_eq!(ready.ripen(now + 2 * ms), Some(now + 3 * ms));
        assert_eq!(ready.ripen(now + 5 * ms), Some(now + 9 * ms));
        assert_eq!(popped(&ready), ["now", "a", "b", "c"]);
        assert_eq!(ready.ripen(now + 9 * ms), None);
        assert_eq!(popped(&ready), ["d"]);
        assert_eq!((ready.due(), ready.len()), (0, 0));
    }

    #[test]
    fn the_alarm_is_set_for_what_comes_first_alone() {
        let (ready, now, ms) = (ReadyCalls::default(), crate::clock::instant(), Duration::from_millis(1));
        for (after, is_first) in [(5, true), (5, false), (7, false), (3, true), (4, false)] {
            ready.push_later(now + after * ms, in_hand("work"));
            assert_eq!(ready.alarm.take(), is_first, "{after} ms");
        }
    }

    #[test]
    fn what_waited_too_long_for_a_slot_is_taken_out_with_all_that_is_due() {
        let (ready, now, ms) = (ReadyCalls::default(), crate::clock::instant(), Duration::from_millis(1));
        ready.push_due(now, [in_hand("a")].into_iter());
        ready.push_due(now + 50 * ms, [in_hand("b")].into_iter());
        ready.push_later(now + 500 * ms, in_hand("later"));
        assert_eq!(ready.waits_since(), Some(now));
        assert!(ready.take_stale(now + 99 * ms, 100 * ms).is_empty());
        assert_eq!(ready.take_stale(now + 100 * ms, 100 * ms).len(), 2);
        assert_eq!((ready.due(), ready.len(), ready.waits_since()), (0, 1, None));
    }

    #[test]
    fn the_claimer_is_told_once() {
        let (ready, now) = (ReadyCalls::default(), crate::clock::instant());
        ready.push_due(now, [in_hand("a"), in_hand("b")].into_iter());
        assert!(!ready.is_wanting(), "nobody asked");
        ready.want(1);
        assert!(!ready.is_wanting(), "two are left");
        ready.pop();
        assert!(ready.is_wanting());
        assert!(!ready.is_wanting(), "once");
        ready.want(1);
        ready.want_nothing();
        assert!(!ready.is_wanting(), "there is nothing to be had");
    }
}
