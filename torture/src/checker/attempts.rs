//! Checks that the attempts on record are those that handlers recorded, and no more than are allowed.

use super::call::Checked;
use super::run::Run;
use super::{Ended, Row, State, Verdict, Violation};
use crate::acks::Kind;
use crate::clock::micros;
use crate::ledger::What;
use crate::retry::{self, AttemptEnd};

impl Checked<'_> {
    pub(super) fn check_attempts(&self, verdict: &mut Verdict) {
        let Some(row) = self.row else { return };
        let ended = row.ended.len();
        // An attempt that was claimed and never started was released, also by the pod of a call that was cancelled
        // then.
        let is_counted = match row.state {
            State::Succeeded | State::Failed | State::Interrupted => row.attempt as usize == ended + 1,
            State::Pending | State::Cancelled | State::Skipped | State::Other => {
                (ended..=ended + 1).contains(&(row.attempt as usize))
            }
        };
        let is_in_order = row.ended.iter().zip(1..).all(|(ended, number)| ended.attempt == number);
        if !is_counted || !is_in_order {
            self.add(verdict, Violation::WrongRecord, "has other attempts on record than it had");
        }
        for ended in &row.ended {
            self.check_ended(ended, verdict);
        }
        let is_on_record = |run: &Run<'_>| {
            let (pod, attempt) = (Some(run.start.run.pod), run.start.run.attempt);
            let last = row.attempt == attempt && (row.pod == pod || row.state == State::Cancelled);
            last || row.ended.iter().any(|ended| (ended.pod, ended.attempt) == (pod, attempt))
        };
        if !self.runs.iter().all(is_on_record) {
            self.add(verdict, Violation::WrongRecord, "ran in an attempt that stands on no record");
        }
        self.check_failures(row, verdict);
    }

    /// Checks an attempt that was followed by another: it failed according to its handler, too, or its pod vanished.
    fn check_ended(&self, ended: &Ended, verdict: &mut Verdict) {
        if !ended.failed {
            if !self.was_interrupted(ended.pod, ended.attempt, ended.at) {
                self.add(
                    verdict,
                    Violation::DuplicateWithoutFault,
                    "is to have been interrupted without a fault",
                );
            }
            return;
        }
        verdict.retries += 1;
        let Some(backoff) = self.throw(ended.attempt).backoff().filter(|_| self.promise.kind == Kind::Tries)
        else {
            self.add(verdict, Violation::WrongRecord, "was tried again, and should not have been");
            return;
        };
        let run = self.runs.iter().find(|run| run.is(ended.pod, ended.attempt));
        if !run.is_some_and(|run| self.failed(run)) {
            self.add(verdict, Violation::WrongRecord, "is to have failed, and no handler says so");
        }
        let next = self.runs.iter().find(|run| run.start.run.attempt == ended.attempt + 1);
        if next.is_some_and(|next| self.reached(next.start) < ended.at + micros(backoff)) {
            self.add(verdict, Violation::Early, "was tried again before its backoff was over");
        }
    }

    fn check_failures(&self, row: &Row, verdict: &mut Verdict) {
        let is_failed = row.state == State::Failed;
        let failures = row.ended.iter().filter(|ended| ended.failed).count() + usize::from(is_failed);
        if failures > retry::MOST {
            self.add(verdict, Violation::TooManyAttempts, &format!("failed {failures} times"));
        }
        if !is_failed {
            return;
        }
        verdict.failed += 1;
        if self.promise.kind != Kind::Tries {
            self.add(verdict, Violation::UnaskedEnd, "failed, which its handler does not");
        } else if failures < retry::MOST && self.throw(row.attempt) != AttemptEnd::GiveUp {
            self.add(verdict, Violation::GivenUp, &format!("was given up after {failures} failures"));
        } else if !self.runs.iter().any(|run| run.is(row.pod, row.attempt) && self.failed(run)) {
            self.add(verdict, Violation::WrongRecord, "is to have failed, and no handler says so");
        }
    }

    fn throw(&self, attempt: u32) -> AttemptEnd {
        AttemptEnd::of(self.id, attempt)
    }

    /// Returns whether a run failed according to its handler: by itself, or by its timeout.
    fn failed(&self, run: &Run<'_>) -> bool {
        match self.throw(run.start.run.attempt) {
            AttemptEnd::Success => false,
            AttemptEnd::GiveUp => run.last.what == What::GaveUp,
            AttemptEnd::Hang => {
                run.last.what == What::Stopped && run.last.at - run.start.at >= micros(retry::TIMEOUT)
            }
            AttemptEnd::Error | AttemptEnd::Panic | AttemptEnd::RetryIn => run.last.what == What::Failed,
        }
    }
}
