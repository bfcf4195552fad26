//! Checks that no due call waited for longer than a scan explains.

use crate::checker::{History, Verdict, Violation};
use crate::fault::Kind;
use crate::ledger::{Event, What};

/// The scan interval of every pod here, in microseconds, with its jitter.
const SCAN: i64 = 550_000;
/// What a pod may need from a claim to a start on a busy machine: as long as a schedule's run may be late.
const SLACK: i64 = 1_000_000;

/// When none of a service's pods ran, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    /// Whether it was the other service.
    pub(super) is_neighbour: bool,
    pub(super) begin: i64,
    pub(super) end: i64,
}

/// Adds each first start that was too late; `neighbour` identifies events of the other service.
pub(super) fn check(
    history: &History,
    away: &[Away],
    neighbour: impl Fn(&Event) -> bool,
    verdict: &mut Verdict,
) {
    let starts = history.events.iter().filter(|event| event.what == What::Start && event.run.attempt == 1);
    for start in starts {
        let Some(row) = history.rows.get(&start.run.call) else { continue };
        let mut due = history.first_moment(row.due.max(row.created));
        let is_neighbour = neighbour(start);
        for away in away.iter().filter(|away| away.is_neighbour == is_neighbour) {
            // No pod was there to run it (a pod that shuts down releases what it had claimed), and a pod that comes
            // back may need as long again for the backlog.
            let again = away.end + (away.end - away.begin);
            if away.begin <= due + SCAN + SLACK && due < again {
                due = again;
            }
        }
        let late = start.at - due;
        if late > SCAN + SLACK && !is_the_machine(history, due, start.at) {
            verdict.add(Violation::HeldUp, format!("{} started {late} µs late: {row:?}", start.run.call));
        }
    }
}

/// Returns whether a process got no CPU time, or the database did not answer, in that time.
fn is_the_machine(history: &History, from: i64, until: i64) -> bool {
    history.faults.iter().any(|fault| {
        matches!(fault.kind, Kind::Slow | Kind::Busy | Kind::Fenced | Kind::GivenBack)
            && fault.begin <= until
            && fault.end >= from
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use uuid::Uuid;

    use super::{Away, check};
    use crate::checker::{Clock, History, Row, State, Verdict, Violation};
    use crate::fault::{Fault, Kind};
    use crate::ledger::{Event, Run, What};

    const SECOND: i64 = 1_000_000;

    /// One call that was due after 10 s, and started when the test says.
    fn told(start: i64) -> History {
        let call = Uuid::now_v7();
        let run = Run { call, attempt: 1, due: 10 * SECOND, ..Run::default() };
        let row = Row {
            state: State::Succeeded,
            pod: None,
            attempt: 1,
            finished: None,
            gone: 1,
            due: 10 * SECOND,
            created: SECOND,
            schedule: None,
            ended: Vec::new(),
        };
        History {
            events: vec![Event { what: What::Start, run, at: start, real: start, worker: 0 }],
            promises: HashMap::new(),
            rows: HashMap::from([(call, row)]),
            faults: Vec::new(),
            lease: 5 * SECOND,
            clock: Clock::default(),
            apart: None,
            schedules: HashMap::new(),
            standing: HashMap::new(),
        }
    }

    fn found(history: &History, away: &[Away]) -> usize {
        let mut verdict = Verdict::default();
        check(history, away, |_| false, &mut verdict);
        verdict.violations.get(&Violation::HeldUp).map_or(0, Vec::len)
    }

    #[test]
    fn a_late_start_is_seen_unless_nobody_could_run_it() {
        assert_eq!(found(&told(11 * SECOND), &[]), 0);
        let late = told(14 * SECOND);
        assert_eq!(found(&late, &[]), 1);
        let away = Away { is_neighbour: false, begin: 9 * SECOND, end: 13 * SECOND };
        assert_eq!(found(&late, &[away]), 0);
        assert_eq!(found(&late, &[Away { is_neighbour: true, ..away }]), 1, "the other service was away");
        assert_eq!(found(&late, &[Away { end: 9 * SECOND + 1, ..away }]), 1, "it was back in time");
        assert_eq!(found(&told(19 * SECOND), &[away]), 1, "it was back for long");
        let slow = Fault { kind: Kind::Slow, worker: Some(0), begin: 11 * SECOND, end: 12 * SECOND };
        assert_eq!(found(&History { faults: vec![slow], ..late }, &[]), 0);
    }
}
