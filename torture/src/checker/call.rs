use std::collections::BTreeMap;

use uuid::Uuid;

use super::clock::CLOCKS;
use super::fault_effects::Troubles;
use super::run::Run;
use super::{Ended, History, Row, State, Verdict, Violation};
use crate::acks::{Answer, Kind, Promise, Stored};
use crate::ledger::{Event, What};

/// One call, and all that is known of it.
pub(super) struct Checked<'h> {
    history: &'h History,
    troubles: &'h Troubles<'h>,
    pub(super) id: Uuid,
    pub(super) promise: &'h Promise,
    pub(super) row: Option<&'h Row>,
    /// What each start led to, in the order of the starts.
    pub(super) runs: Vec<Run<'h>>,
}

impl<'h> Checked<'h> {
    pub(super) fn new(
        history: &'h History,
        troubles: &'h Troubles<'h>,
        id: Uuid,
        promise: &'h Promise,
        events: &[&'h Event],
    ) -> Self {
        let mut runs: Vec<Run<'h>> = Vec::new();
        for &event in events {
            let (pod, attempt) = (Some(event.run.pod), event.run.attempt);
            let open = runs.iter_mut().rev().find(|run| run.is(pod, attempt));
            match open {
                Some(run) if event.what != What::Start => run.last = event,
                _ => runs.push(Run { start: event, last: event }),
            }
        }
        Self { history, troubles, id, promise, row: history.rows.get(&id), runs }
    }

    pub(super) fn check(&self, verdict: &mut Verdict) {
        verdict.starts += self.runs.len();
        self.check_stored(verdict);
        self.check_starts(verdict);
        self.check_moment(verdict);
        self.check_attempts(verdict);
        self.check_end(verdict);
        self.check_cancelled(verdict);
        self.check_reruns(verdict);
    }

    fn check_stored(&self, verdict: &mut Verdict) {
        let is_there = self.row.is_some() || !self.runs.is_empty();
        match self.promise.stored {
            Stored::No if is_there => self.add(verdict, Violation::StoredThoughRefused, "was refused"),
            Stored::Yes if self.row.is_none() => self.add(verdict, Violation::Lost, "was acknowledged"),
            Stored::Unknown if self.row.is_none() && is_there => self.add(verdict, Violation::Lost, "ran"),
            _ => {}
        }
    }

    fn check_starts(&self, verdict: &mut Verdict) {
        let mut attempts: BTreeMap<u32, usize> = BTreeMap::new();
        for run in &self.runs {
            *attempts.entry(run.start.run.attempt).or_default() += 1;
        }
        if attempts.values().any(|count| *count > 1) {
            self.add(verdict, Violation::StartedTwice, "started twice in one attempt");
        }
        if self.promise.kind == Kind::Keep && self.runs.len() > 1 {
            self.add(verdict, Violation::StartedTwice, "runs at most once, and started again");
        }
    }

    /// Checks that it is due at the time that its producer requested, and not started before that, by the database's
    /// clock.
    fn check_moment(&self, verdict: &mut Verdict) {
        let Some(row) = self.row else { return };
        if let Some(asked) = self.promise.asked {
            // The time when it was stored is unknown without a reply.
            let known = self.promise.stored == Stored::Yes;
            let until = if known { asked.answered } else { i64::MAX };
            let clock = self.history.clock_of(asked.worker);
            let early = clock.at_least(asked.sent, until) + asked.delay - row.due;
            if early > 0 {
                self.add(verdict, Violation::Early, &format!("is due {early} µs early"));
            }
        }
        for run in &self.runs {
            // A retry has its own due time: after the clock was set back meanwhile, an earlier one.
            let early = row.due - self.reached(run.start);
            if early > 0 && run.start.run.attempt == 1 {
                self.add(verdict, Violation::Early, &format!("started {early} µs early"));
            }
            if run.start.run.due != row.due {
                self.add(verdict, Violation::WrongRecord, "was told another moment than stands on record");
            }
        }
    }

    /// Returns what the database's clock had reached by then as far as the pod could know: it notices a step within a
    /// lease.
    pub(super) fn reached(&self, event: &Event) -> i64 {
        self.history.clock_of(Some(event.worker)).at_most(event.at, event.at - self.history.lease)
    }

    fn check_end(&self, verdict: &mut Verdict) {
        let Some(row) = self.row else { return };
        if row.gone > 1 || (row.gone > 0 && row.state == State::Pending) {
            self.add(verdict, Violation::FinishedTwice, &format!("was taken out {} times", row.gone));
        }
        match (row.state, self.promise.kind) {
            // A schedule continues for ever.
            (State::Pending, _) if row.schedule.is_none() => {
                self.add(verdict, Violation::Stuck, "is still pending");
            }
            (State::Succeeded, _) if !self.came_to_its_end(row) => {
                self.add(verdict, Violation::NeverRan, "succeeded without a full run of that attempt");
            }
            (State::Interrupted, Kind::Rerun | Kind::Tries) => {
                self.add(verdict, Violation::GivenUp, "ended as interrupted");
            }
            (State::Interrupted, Kind::Keep) => self.check_interrupted(row, verdict),
            (State::Other, _) => self.add(verdict, Violation::UnaskedEnd, "ended as no call here can"),
            (State::Skipped, _) if row.schedule.is_none() => {
                self.add(verdict, Violation::UnaskedEnd, "was skipped, and is of no schedule");
            }
            _ => {}
        }
        let Some(finished) = row.finished.map(|said| self.history.last_moment(said)) else { return };
        for run in &self.runs {
            if run.start.at > finished + CLOCKS && !self.cannot_know(run.start, finished) {
                self.add(verdict, Violation::StartedAfterEnd, "started after its end was recorded");
            }
        }
    }

    /// Checks that a run of just the recorded attempt completed before that.
    fn came_to_its_end(&self, row: &Row) -> bool {
        let finished = self.history.last_moment(row.finished.unwrap_or(0));
        self.runs.iter().any(|run| {
            run.last.what == What::End && run.is(row.pod, row.attempt) && run.last.at <= finished + CLOCKS
        })
    }

    fn check_interrupted(&self, row: &Row, verdict: &mut Verdict) {
        verdict.interrupted += 1;
        let finished = row.finished.unwrap_or(0);
        if !self.was_interrupted(row.pod, row.attempt, finished) {
            self.add(verdict, Violation::DuplicateWithoutFault, "ended as interrupted without a fault");
        }
        for run in &self.runs {
            self.check_goes_on(*run, self.history.last_moment(finished), verdict);
        }
    }

    /// Returns whether a fault affected a pod so that its attempt was given up at that time of the database's clock.
    pub(super) fn was_interrupted(&self, pod: Option<Uuid>, attempt: u32, said: i64) -> bool {
        let run = self.runs.iter().find(|run| run.is(pod, attempt));
        self.history.moments(said).into_iter().any(|at| self.troubles.explain(pod, run, at, true))
    }

    fn check_cancelled(&self, verdict: &mut Verdict) {
        let is_cancelled = self.row.is_some_and(|row| row.state == State::Cancelled);
        verdict.cancelled += usize::from(is_cancelled);
        let answer = self.promise.cancelled.map(|cancelled| cancelled.answer);
        // While claimed by a pod whose lease was over, it was neither waiting nor running: counted nowhere, and
        // flagged. A claim that was released before its start is no attempt.
        let was_claimed = self.row.is_some_and(|row| row.attempt > 0 || row.gone > 0);
        let asked = match answer {
            None | Some(Answer::Refused) => false,
            Some(Answer::Nothing) => was_claimed,
            Some(Answer::Withdrawn | Answer::Running | Answer::Unknown) => true,
        };
        if is_cancelled && !asked {
            self.add(
                verdict,
                Violation::UnaskedEnd,
                &format!("ended as cancelled, and the answer was {answer:?}"),
            );
        }
        if let Some(cancelled) = self.promise.cancelled.filter(|it| it.answer == Answer::Running) {
            // One that was claimed and had not started yet may start; none may follow.
            let later = self.runs.iter().filter(|run| run.start.at > cancelled.answered).count();
            if later > 1 {
                self.add(
                    verdict,
                    Violation::CancelledRan,
                    "was cancelled while it ran, and got another attempt",
                );
            }
        }
        let Some(cancelled) = self.promise.cancelled.filter(|it| it.answer == Answer::Withdrawn) else {
            return;
        };
        if !is_cancelled && self.row.is_some() {
            self.add(verdict, Violation::CancelledRan, "was cancelled, and ended otherwise");
        }
        for run in &self.runs {
            let had_started = run.start.at < cancelled.sent;
            let goes_on = run.last.at > cancelled.answered && !self.cannot_know(run.last, cancelled.answered);
            if goes_on || (had_started && self.promise.kind == Kind::Keep) {
                self.add(verdict, Violation::CancelledRan, "was cancelled before it started, and ran");
            }
        }
    }

    fn check_reruns(&self, verdict: &mut Verdict) {
        for pair in self.runs.windows(2) {
            let [before, after] = pair else { continue };
            let pod = Some(before.start.run.pod);
            let has_failed = self.has_failed(before);
            verdict.reruns += usize::from(!has_failed);
            if !has_failed && !self.troubles.explain(pod, Some(before), after.start.at, false) {
                self.add(verdict, Violation::DuplicateWithoutFault, "ran again without a fault");
            }
            self.check_goes_on(*before, after.start.at, verdict);
        }
    }

    /// Returns whether that run is on record as failed, so that another is expected.
    fn has_failed(&self, run: &Run<'_>) -> bool {
        let is_it = |ended: &Ended| ended.failed && run.is(ended.pod, ended.attempt);
        self.row.is_some_and(|row| row.ended.iter().any(is_it))
    }

    /// Checks that a run shows no activity once another pod had the call.
    fn check_goes_on(&self, run: Run<'_>, lost: i64, verdict: &mut Verdict) {
        if run.last.at <= lost {
            return;
        }
        verdict.overlaps += 1;
        if !self.cannot_know(run.last, lost) {
            let late = (run.last.at - lost) / 1_000;
            self.add(
                verdict,
                Violation::OverlapWithoutFault,
                &format!("went on for {late} ms after it was lost"),
            );
        }
    }

    /// Returns whether the process of an event cannot have known at that time that the call had been lost.
    fn cannot_know(&self, event: &Event, lost: i64) -> bool {
        self.troubles.cannot_know(event.worker, lost, event.at)
    }

    pub(super) fn add(&self, verdict: &mut Verdict, violation: Violation, what: &str) {
        let told = |event: &Event| {
            let Event { what, run, worker, at, .. } = event;
            let attempt = run.attempt;
            format!("; {what:?} attempt {attempt} worker {worker} at {at}")
        };
        let runs: String = self.runs.iter().flat_map(|run| [told(run.start), told(run.last)]).collect();
        let text = format!("{} {what}; {:?}; {:?}{runs}", self.id, self.promise, self.row);
        verdict.add(violation, text);
    }
}
