//! Checks that schedules continue, and that each of their times had exactly the run that its policy gives it.

use std::collections::{BTreeMap, HashMap};

use futurecall_runtime::recurring::{Missed, Overlap};
use uuid::Uuid;

use super::{History, Row, State, Verdict, Violation};
use crate::acks::{Promise, Stored};
use crate::clock::micros;
use crate::recurring::Rule;

/// How late a run may be claimed without a fault that explains it.
const LATE: i64 = 1_000_000;
/// How long after the time that it records an end may be written: until then its run still appears to be running.
const WRITING: i64 = 500_000;

/// Returns the promises about runs of schedules, which no producer requests: all that the database or the ledger
/// contains.
pub(super) fn promises(history: &History) -> HashMap<Uuid, Promise> {
    let stored = history.rows.iter().filter_map(|(id, row)| Some((*id, row.schedule?)));
    let ran = history.events.iter().map(|event| (event.run.call, event.run.schedule));
    let promise = |(call, schedule): (Uuid, Uuid)| {
        let kind = history.schedules.get(&schedule)?.kind;
        Some((call, Promise { kind, stored: Stored::Yes, asked: None, cancelled: None }))
    };
    stored.chain(ran).filter_map(promise).collect()
}

pub(super) fn check(history: &History, verdict: &mut Verdict) {
    for schedule in history.standing.keys().filter(|schedule| !history.schedules.contains_key(schedule)) {
        verdict.add(Violation::ScheduleLost, format!("{schedule} was declared a second time"));
    }
    for (id, rule) in &history.schedules {
        Checked::new(history, *id, rule).check(verdict);
    }
}

/// One schedule.
struct Checked<'h> {
    history: &'h History,
    id: Uuid,
    rule: &'h Rule,
    /// Its runs, including those to come, by their due times.
    runs: BTreeMap<i64, Vec<(Uuid, &'h Row)>>,
}

impl<'h> Checked<'h> {
    fn new(history: &'h History, id: Uuid, rule: &'h Rule) -> Self {
        let mut runs: BTreeMap<i64, Vec<(Uuid, &Row)>> = BTreeMap::new();
        for (call, row) in history.rows.iter().filter(|(_, row)| row.schedule == Some(id)) {
            runs.entry(row.due).or_default().push((*call, row));
        }
        Self { history, id, rule, runs }
    }

    fn check(&self, verdict: &mut Verdict) {
        match self.history.standing.get(&self.id) {
            Some(standing) if standing.active && standing.next == 1 => {}
            other => self.add(verdict, Violation::ScheduleLost, &format!("stands as {other:?}")),
        }
        for (due, runs) in &self.runs {
            if runs.len() > 1 {
                self.add(verdict, Violation::BoundaryTwice, &format!("at {due}: {runs:?}"));
            }
        }
        for (call, row) in self.runs.values().flatten() {
            match row.state {
                State::Pending => {}
                State::Skipped => self.check_skipped(*call, row, verdict),
                _ => verdict.recurred += 1,
            }
        }
        let firsts: Vec<&Row> =
            self.runs.values().filter_map(|runs| runs.first()).map(|(_, row)| *row).collect();
        for (place, pair) in firsts.windows(2).enumerate() {
            let [before, after] = pair else { continue };
            self.check_gap(before, after, verdict);
            // The first is due while the workers are being started.
            if place > 0 {
                self.check_late(before, after, verdict);
            }
        }
    }

    /// Checks that the time after a run's is the one that the policy gives for the state when the run was claimed,
    /// which is when its successor was stored.
    fn check_gap(&self, before: &Row, after: &Row, verdict: &mut Verdict) {
        let every = micros(self.rule.every);
        let from = match self.rule.missed {
            Missed::RunAll => before.due,
            _ => before.due.max(after.created),
        };
        let wanted = before.due + ((from - before.due) / every + 1) * every;
        if after.due != wanted {
            let what = format!("{} is followed by {}, and not by {wanted}", before.due, after.due);
            self.add(verdict, Violation::BoundaryMissing, &what);
        }
        verdict.missed += usize::try_from((after.due - before.due) / every - 1).unwrap_or(0);
    }

    /// Checks that a run that is claimed late has a fault, whatever the policy says.
    fn check_late(&self, before: &Row, after: &Row, verdict: &mut Verdict) {
        let every = micros(self.rule.every);
        // If all are to run, each waits for the one before.
        let late = after.created - before.due;
        let is_late = late > every + LATE && self.rule.missed != Missed::RunAll;
        if is_late && !self.is_explained(before.due, after.created) {
            let what = format!("{} was claimed {late} µs late without a fault", before.due);
            self.add(verdict, Violation::BoundaryMissing, &what);
        }
    }

    /// Checks that it was skipped because it was missed, or because the run before it was still running.
    fn check_skipped(&self, call: Uuid, row: &Row, verdict: &mut Verdict) {
        verdict.skipped += 1;
        let ended = row.finished.unwrap_or(row.due);
        let was_missed = self.rule.missed == Missed::Skip && ended >= row.due + micros(self.rule.every);
        let history = self.history;
        let skipped = history.first_moment(ended);
        let goes_on = |other: &Row| {
            let over = other.finished.map(|finished| history.last_moment(finished) + WRITING);
            other.state != State::Skipped && over.is_none_or(|over| over >= skipped)
        };
        let before = self.runs.range(..row.due).flat_map(|(_, runs)| runs);
        let overlapped = self.rule.overlap == Overlap::Skip
            && self.rule.missed != Missed::RunAll
            && before.into_iter().any(|(_, other)| goes_on(other));
        if !was_missed && !overlapped {
            self.add(verdict, Violation::SkippedWithoutPolicy, &format!("{call}: {row:?}"));
        }
    }

    /// Returns whether there was any fault between two times of the database's clock, or shortly before.
    fn is_explained(&self, from: i64, until: i64) -> bool {
        let history = self.history;
        let (from, until) = (history.first_moment(from) - 3 * history.lease, history.last_moment(until));
        self.history.faults.iter().any(|fault| fault.begin <= until && fault.end >= from)
    }

    fn add(&self, verdict: &mut Verdict, violation: Violation, what: &str) {
        verdict.add(violation, format!("schedule {} ({}): {what}", self.rule.name, self.id));
    }
}
