//! The effects of each kind of fault on the leases of a pod, and their times. A fault explains only what it can cause.
//!
//! A lease lasts for `L`. Its pod renews it every third of `L`, stops the handler a tenth of `L` before the end, and
//! retries a failed renewal after a twentieth; a tenth is left to the renewal itself. So a pod that cannot renew for
//! less than `5/12 L` (`1 - 1/3 - 1/10 - 1/20 - 1/10`) keeps every lease. Faults that leave less than `1/20 L + 1/10 L`
//! between them count as one.
//!
//! A pod does not renew what it has claimed without knowing it (the reply was lost). It looks for that after 50 ms,
//! then after twice as long each time: within twice the time of the fault. So for calls that were claimed during
//! faults, those faults also count as one if the time between them is no longer than they have lasted. The same holds
//! for the outcome of a handler that has ended: a fault explains a missing outcome if it began before the handler's
//! end, or at once after it.
//!
//! | fault | what it can cause | when |
//! | --- | --- | --- |
//! | connections cut, stalled or mute; the server killed, its sessions ended, no connection left, the table locked, a full disk, pods turned away; a database measured to be slow | from `5/12 L` on: an interruption and a second run, no overlap. Shorter: nothing, for outcomes and releases are tried again while leases are renewed (after 50 ms, doubling to 5 s) | not before a lease can be over: `2/3 L` after it began, less a tenth for the renewal |
//! | SIGSTOP, a process measured to get no processor | the same; and, from `1/20 L` on, a handler that goes on until half a second after it | the same; it began before the call was lost |
//! | SIGKILL | an interruption and a second run of what that process ran (not the one that follows it) | the same |
//! | wall clock of a process set forward or back | nothing. While another trouble, of any length, keeps the one renewal that is tried first from succeeding: a pod that gives up its leases, and writes that down | once it gave them up |
//! | the server's clock set forward | it takes its size from every lease, as if a trouble had lasted longer by that: from `2/3 L` on (less a tenth) alone; a handler that goes on for `L` | at once |
//! | the clock of one process of a SQLite file apart from the others' | an interruption and a second run; a handler that goes on for `L` | while it is apart, and for as long as it takes to see it |
//! | the server's clock set back, a shutdown | nothing | |
//! | a pod gave up its leases by its own clocks, or gave back a claim that took too long by them | nothing: it needs an explanation itself ([`Violation::FencedWithoutFault`]). For a claim, of which nothing has started, a wall clock that was set is one | |
//!
//! An interruption shows within three leases after its cause: until the lease ends, and twice as long again until
//! another pod has looked.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::run::Run;
use super::{History, Verdict, Violation};
use crate::fault::{Effect, Fault, Kind, Step};

/// How long a process may need after a pause until it has noticed that its leases are over, in microseconds.
const SETTLE: i64 = 500_000;

/// A time in which a pod could not renew.
#[derive(Clone, Copy, Debug)]
struct Span {
    begin: i64,
    end: i64,
}

/// What affected a pod.
#[derive(Debug, Default)]
struct Pod {
    /// For calls that it knew of.
    spans: Vec<Span>,
    /// For what is retried with growing backoff: claims whose reply was lost, and outcomes.
    again: Vec<Span>,
    /// When another pod may have considered its leases over, because their clocks differed.
    taken: Vec<Span>,
    /// When its wall clock differed from what it had been a while before.
    doubted: Vec<Span>,
    /// When it gave up its leases, with an explanation other than the length of a span.
    gave_up: Vec<i64>,
}

/// What affected each pod.
#[derive(Debug)]
pub(super) struct Troubles<'h> {
    history: &'h History,
    pods: HashMap<Uuid, Pod>,
    /// Those of each worker's pods taken together, for calls of pods that have recorded nothing.
    any: Vec<Pod>,
    /// When the processes of each worker were paused.
    still: HashMap<usize, Vec<Span>>,
}

impl<'h> Troubles<'h> {
    pub(super) fn new(history: &'h History) -> Self {
        let mut signs: HashMap<Uuid, (usize, i64)> = HashMap::new();
        for event in history.events.iter().filter(|event| event.what.is_of_a_run()) {
            signs.insert(event.run.pod, (event.worker, event.at));
        }
        let befell: HashSet<usize> = history.faults.iter().filter_map(|fault| fault.worker).collect();
        let all = signs.values().map(|(worker, _)| *worker).chain(befell).collect::<HashSet<_>>();
        let still = |worker: &usize| {
            let spans = history.faults.iter().filter(|fault| {
                fault.kind.stands_still() && fault.worker.is_none_or(|befallen| befallen == *worker)
            });
            (*worker, joined(spans.map(Span::of).collect(), |_| history.lease / 20))
        };
        Self {
            history,
            pods: signs
                .iter()
                .map(|(pod, (worker, last))| (*pod, Pod::new(history, *worker, *last)))
                .collect(),
            any: all.iter().map(|worker| Pod::new(history, *worker, i64::MIN)).collect(),
            still: all.iter().map(still).collect(),
        }
    }

    /// Returns whether a fault affected a pod (or any, if the pod has recorded nothing) so that a call of it was lost
    /// at that time. `looked`: others look for lost calls all the time, so it was not long before.
    pub(super) fn explain(&self, pod: Option<Uuid>, run: Option<&Run<'_>>, at: i64, looked: bool) -> bool {
        let lease = self.history.lease;
        let known = pod.and_then(|pod| self.pods.get(&pod));
        // What started had been claimed a lease before at most.
        let since = run.map_or(i64::MIN, |run| run.start.at - lease);
        let until = if looked { at - 3 * lease } else { i64::MIN };
        let outcome = run.filter(|run| run.last.what.is_an_outcome()).map(|run| run.last.at + gap(lease));
        let explains = |pod: &Pod| {
            let gave_up = |gave_up: &i64| (since.max(until)..=at).contains(gave_up);
            // Retried again and again, an outcome that was there before is stored between two faults.
            let spans = pod.spans.iter().filter(|_| outcome.is_none());
            let claiming = pod.again.iter().filter(|span| match (outcome, run) {
                (Some(outcome), _) => span.begin <= outcome,
                // The pod knew of calls that had started before.
                (None, Some(run)) => run.start.at > span.begin,
                (None, None) => true,
            });
            let is_it = |span: &Span| span.end >= until && self.is_long_enough(*span, since, at);
            let taken = |span: &Span| span.begin <= at && span.end >= since.max(until);
            pod.gave_up.iter().any(gave_up) || pod.taken.iter().any(taken) || spans.chain(claiming).any(is_it)
        };
        known.map_or(&self.any[..], std::slice::from_ref).iter().any(explains)
    }

    /// Returns whether a lease that was renewed for the last time before a span can be over at that time, or its pod
    /// have given it up.
    fn is_long_enough(&self, span: Span, since: i64, at: i64) -> bool {
        let lease = self.history.lease;
        let begin = span.begin.max(since);
        let end = span.end.min(at);
        let forward = self.forward(begin - lease / 3 - lease / 10, at.min(span.end + gap(lease)));
        let is_over = |time: i64| time + forward >= left(lease);
        end >= begin && (end - begin >= least(lease) || is_over(end - begin)) && is_over(at - begin)
    }

    /// Returns how far the database's clock was set forward in that time.
    fn forward(&self, from: i64, until: i64) -> i64 {
        let steps = &self.history.clock.steps;
        let before = std::iter::once(0).chain(steps.iter().map(|step| step.by));
        let within = |(step, before): (&Step, i64)| {
            (step.before <= until && step.after >= from).then_some((step.by - before).max(0))
        };
        steps.iter().zip(before).filter_map(within).sum()
    }

    /// Returns whether a process cannot have known at that time that a call of it had been lost before: it was paused,
    /// or the database's clock was set forward, or a pod whose clock differs took the call, which a pod notices with
    /// its next renewal, and after a lease at the latest; if it is paused by then, once it resumes.
    pub(super) fn cannot_know(&self, worker: usize, lost: i64, at: i64) -> bool {
        let lease = self.history.lease;
        let stood_still = |span: &Span| {
            span.begin <= lost && span.end + SETTLE >= at && span.end - span.begin >= lease / 20
        };
        if self.still.get(&worker).is_some_and(|spans| spans.iter().any(stood_still)) {
            return true;
        }
        let is_apart = |fault: &Fault| {
            let befell = fault.concerns(Some(worker)) && fault.kind.effect() == Effect::Taken;
            befell && fault.begin <= at && self.noticed(worker, fault.end + lease) >= at
        };
        if at <= self.noticed(worker, lost + lease) && self.history.faults.iter().any(is_apart) {
            return true;
        }
        self.history.clock.steps.iter().any(|step| {
            let is_near = step.before <= at && self.noticed(worker, step.after + lease) >= at;
            let ends_leases = self.forward(step.before, step.after) >= left(lease);
            let befell = |fault: &Fault| {
                fault.concerns(Some(worker))
                    && fault.kind.effect() == Effect::Holds
                    && fault.begin <= at
                    && fault.end + lease >= step.before
            };
            is_near && (ends_leases || self.history.faults.iter().any(befell))
        })
    }

    /// Returns when a process that would notice something at some time has noticed it, if it may be paused then.
    fn noticed(&self, worker: usize, moment: i64) -> i64 {
        let least = self.history.lease / 20;
        let stands_still =
            |span: &&Span| span.begin <= moment && span.end > moment && span.end - span.begin >= least;
        let span = self.still.get(&worker).and_then(|spans| spans.iter().find(stands_still));
        span.map_or(moment, |span| span.end + SETTLE)
    }

    /// Checks that every pod that gave up leases by its own clocks has an independent reason.
    pub(super) fn check_fences(&self, verdict: &mut Verdict) {
        let lease = self.history.lease;
        let needs_one = |fault: &&Fault| matches!(fault.kind, Kind::Fenced | Kind::GivenBack);
        for fence in self.history.faults.iter().filter(needs_one) {
            let Some(worker) = fence.worker else { continue };
            let known = Pod::new(self.history, worker, i64::MAX);
            let is_long = |span: &Span| {
                let gap = gap(lease).max(span.end - span.begin);
                span.begin <= fence.end
                    && fence.begin <= span.end + gap
                    && span.end.min(fence.end) - span.begin >= least(lease)
            };
            let is_apart = |span: &Span| span.begin <= fence.end && span.end + lease >= fence.begin;
            let is_doubted = || known.doubted.iter().any(|span| span.contains(fence.begin));
            let is_explained = known.again.iter().any(is_long)
                || known.taken.iter().any(is_apart)
                || known.gave_up.contains(&fence.begin)
                || (fence.kind == Kind::GivenBack && is_doubted());
            if !is_explained {
                let kind = fence.kind;
                let text =
                    format!("worker {worker} gave up leases at {} without a fault ({kind:?})", fence.begin);
                verdict.add(Violation::FencedWithoutFault, text);
            }
        }
    }
}

impl Pod {
    /// Returns what affected a pod of that worker that wrote its last line then.
    fn new(history: &History, worker: usize, last: i64) -> Self {
        let lease = history.lease;
        let all = history.faults.iter().filter(|fault| fault.concerns(Some(worker)));
        let spans = all.clone().filter_map(|fault| match fault.kind.effect() {
            Effect::Holds | Effect::Shortens => Some(Span::of(fault)),
            Effect::Ends if fault.end >= last => Some(Span { begin: fault.begin, end: fault.begin + lease }),
            Effect::Ends | Effect::Doubt | Effect::Taken | Effect::Nothing => None,
        });
        let all_spans: Vec<Span> = spans.collect();
        let taken = all.clone().filter(|fault| fault.kind.effect() == Effect::Taken).map(Span::of).collect();
        let lasting = |effect: Effect, longer: i64| -> Vec<Span> {
            let befell = all.clone().filter(|fault| fault.kind.effect() == effect);
            befell.map(|fault| Span { begin: fault.begin, end: fault.end + longer }).collect()
        };
        // A clock that is set right is seen as late as one that is set; the single try takes a tenth of a lease at
        // most.
        let doubted = lasting(Effect::Doubt, lease / 3);
        let fails = lasting(Effect::Holds, lease / 4);
        let fences = all.clone().filter(|fault| fault.kind == Kind::Fenced).map(|fault| fault.begin);
        let within = |spans: &[Span], at: i64| spans.iter().any(|span| span.contains(at));
        let gave_up = fences.filter(|at| within(&doubted, *at) && within(&fails, *at)).collect();
        let spans = joined(all_spans.clone(), |_| gap(lease));
        let again = joined(all_spans, |span| gap(lease).max(span.end - span.begin));
        Self { spans, again, taken, doubted, gave_up }
    }
}

impl Span {
    fn of(fault: &Fault) -> Self {
        Self { begin: fault.begin, end: fault.end }
    }

    fn contains(&self, at: i64) -> bool {
        (self.begin..=self.end).contains(&at)
    }
}

/// Returns for how long a pod must be kept from renewing before it can lose anything.
const fn least(lease: i64) -> i64 {
    lease * 5 / 12
}

/// Returns the minimum remaining time of every lease while its pod renews it.
const fn left(lease: i64) -> i64 {
    lease * 2 / 3 - lease / 10
}

/// Returns how long a pod needs between two faults to renew.
const fn gap(lease: i64) -> i64 {
    lease / 20 + lease / 10
}

/// Merges spans with no more than a gap between them.
fn joined(mut spans: Vec<Span>, gap: impl Fn(&Span) -> i64) -> Vec<Span> {
    spans.sort_by_key(|span| span.begin);
    let mut joined: Vec<Span> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.begin <= last.end + gap(last) => last.end = last.end.max(span.end),
            _ => joined.push(span),
        }
    }
    joined
}
