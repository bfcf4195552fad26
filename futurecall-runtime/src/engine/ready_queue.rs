//! The queue of claimed calls that have not started: they wait for their due time, or for a slot.
//!
//! A claim takes a few more calls than there are slots, so that a slot never waits for the database: when a run ends,
//! its slot takes the next call from here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::timer_wakeup::TimerWakeup;
use crate::clock::Deadline;
use crate::store::ClaimedCall;

/// A claimed call, and the deadline of its lease.
#[derive(Debug)]
pub(super) struct ReadyCall {
    pub(super) call: ClaimedCall,
    pub(super) deadline: Deadline,
}

/// All claimed calls that have not started.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    queue: Mutex<Queue>,
    /// Number of calls that are due.
    due: AtomicUsize,
    /// Number of all calls.
    all: AtomicUsize,
    /// Whether the claimer is to be woken once no more than `low_water` calls are left.
    is_wanted: AtomicBool,
    low_water: AtomicUsize,
    /// Wakes the timer thread for the next call that becomes due.
    pub(super) wakeup: Arc<TimerWakeup>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Due calls in the order in which they start, each with the time since when it is due.
    due: VecDeque<(Instant, ReadyCall)>,
    /// Calls that are not due yet, by due time and then insertion order.
    later: BTreeMap<(Instant, u64), ReadyCall>,
    inserted: u64,
}

impl ReadyQueue {
    /// Adds calls that are due now.
    pub(super) fn push_due(&self, now: Instant, calls: impl Iterator<Item = ReadyCall>) {
        let mut queue = self.lock();
        queue.due.extend(calls.map(|call| (now, call)));
        self.count(&queue);
    }

    /// Adds a call that is due at `at`.
    pub(super) fn push_later(&self, at: Instant, call: ReadyCall) {
        let mut queue = self.lock();
        let key = (at, queue.inserted);
        queue.inserted = queue.inserted.saturating_add(1);
        queue.later.insert(key, call);
        let is_first = queue.later.first_key_value().is_some_and(|(first, _)| *first == key);
        self.count(&queue);
        drop(queue);
        if is_first {
            self.wakeup.set();
        }
    }

    /// Moves the calls that are due by now to the due ones. Returns when the next one is due.
    pub(super) fn move_due(&self, now: Instant) -> Option<Instant> {
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

    /// Takes the next call to start.
    pub(super) fn pop(&self) -> Option<ReadyCall> {
        if self.due() == 0 {
            return None;
        }
        let mut queue = self.lock();
        let (_, call) = queue.due.pop_front()?;
        self.count(&queue);
        Some(call)
    }

    /// Takes out all due calls, if the first of them has been due for longer than `patience` without finding a slot.
    pub(super) fn take_stale(&self, now: Instant, patience: Duration) -> Vec<ReadyCall> {
        let mut queue = self.lock();
        let is_stale = |since: Instant| now.saturating_duration_since(since) >= patience;
        if !queue.due.front().is_some_and(|(since, _)| is_stale(*since)) {
            return Vec::new();
        }
        let stale = queue.due.drain(..).map(|(_, call)| call).collect();
        self.count(&queue);
        stale
    }

    /// Takes out all calls, due or not.
    pub(super) fn take_all(&self) -> Vec<ReadyCall> {
        let mut queue = self.lock();
        let mut all: Vec<_> = queue.due.drain(..).map(|(_, call)| call).collect();
        all.extend(std::mem::take(&mut queue.later).into_values());
        self.count(&queue);
        all
    }

    /// Returns since when the first due call has been waiting for a slot.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.lock().due.front().map(|(since, _)| *since)
    }

    /// Returns the number of calls that are due.
    pub(super) fn due(&self) -> usize {
        self.due.load(Ordering::SeqCst)
    }

    /// Returns the number of all calls.
    pub(super) fn len(&self) -> usize {
        self.all.load(Ordering::SeqCst)
    }

    /// Requests one wake-up of the claimer once no more than `low_water` calls are left. Called before anything is
    /// counted: a change after the count then triggers it.
    pub(super) fn want(&self, low_water: usize) {
        self.low_water.store(low_water, Ordering::SeqCst);
        self.is_wanted.store(true, Ordering::SeqCst);
    }

    /// Withdraws the request: there is nothing more to claim.
    pub(super) fn want_nothing(&self) {
        self.is_wanted.store(false, Ordering::SeqCst);
    }

    /// Returns whether to wake the claimer, once per request: few enough calls are left.
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

    fn ready_call(name: &str) -> ReadyCall {
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
        ReadyCall { call, deadline: Deadline::new(crate::clock::read(), Duration::from_secs(30)) }
    }

    fn popped(ready: &ReadyQueue) -> Vec<String> {
        std::iter::from_fn(|| ready.pop()).map(|ready_call| ready_call.call.name).collect()
    }

    #[test]
    fn calls_become_due_in_the_order_of_their_due_times() {
        let (ready, now, ms) = (ReadyQueue::default(), crate::clock::instant(), Duration::from_millis(1));
        for (after, name) in [(5, "c"), (3, "a"), (3, "b"), (9, "d")] {
            ready.push_later(now + after * ms, ready_call(name));
        }
        ready.push_due(now, std::iter::once(ready_call("now")));
        assert_eq!((ready.due(), ready.len()), (1, 5));
        assert_eq!(ready.move_due(now + 2 * ms), Some(now + 3 * ms));
        assert_eq!(ready.move_due(now + 5 * ms), Some(now + 9 * ms));
        assert_eq!(popped(&ready), ["now", "a", "b", "c"]);
        assert_eq!(ready.move_due(now + 9 * ms), None);
        assert_eq!(popped(&ready), ["d"]);
        assert_eq!((ready.due(), ready.len()), (0, 0));
    }

    #[test]
    fn the_alarm_is_set_for_what_comes_first_alone() {
        let (ready, now, ms) = (ReadyQueue::default(), crate::clock::instant(), Duration::from_millis(1));
        for (after, is_first) in [(5, true), (5, false), (7, false), (3, true), (4, false)] {
            ready.push_later(now + after * ms, ready_call("work"));
            assert_eq!(ready.wakeup.take(), is_first, "{after} ms");
        }
    }

    #[test]
    fn what_waited_too_long_for_a_slot_is_taken_out_with_all_that_is_due() {
        let (ready, now, ms) = (ReadyQueue::default(), crate::clock::instant(), Duration::from_millis(1));
        ready.push_due(now, [ready_call("a")].into_iter());
        ready.push_due(now + 50 * ms, [ready_call("b")].into_iter());
        ready.push_later(now + 500 * ms, ready_call("later"));
        assert_eq!(ready.waits_since(), Some(now));
        assert!(ready.take_stale(now + 99 * ms, 100 * ms).is_empty());
        assert_eq!(ready.take_stale(now + 100 * ms, 100 * ms).len(), 2);
        assert_eq!((ready.due(), ready.len(), ready.waits_since()), (0, 1, None));
    }

    #[test]
    fn the_claimer_is_woken_once() {
        let (ready, now) = (ReadyQueue::default(), crate::clock::instant());
        ready.push_due(now, [ready_call("a"), ready_call("b")].into_iter());
        assert!(!ready.is_wanting(), "there is no request");
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
