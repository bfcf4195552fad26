//! Two operations on one call or one schedule of a PostgreSQL database, where one is stopped at chosen points while the
//! other continues: before each of its statements, before each row that a statement reads, and before the lock that
//! both need. Whatever the point, results and rows are those of one of the two orders on the memory store. An operation
//! that skips locked rows may also find nothing.
//!
//! Every twelfth statement is taken, and every two-hundredth row, with another offset for each pair:
//! `FUTURECALL_TEST_INTERLEAVINGS=all` takes all of them. `FUTURECALL_TEST_PAIR="Claim CancelLabel"` selects a pair,
//! with all points.

mod lab;
mod mistakes;
mod operations;
mod states;
mod telling;

use std::fmt::Write as _;
use std::sync::Arc;

use futurecall_runtime::store::{MemoryStore, Store};

use self::lab::{Lab, Met, Point};
use self::operations::{Cast, ON_A_CALL, ON_A_SCHEDULE, Op, Side, Way};
use self::states::{State, rows};

/// Makes one test for each state.
macro_rules! on {
    ($ops:ident: $($test:ident: $state:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                all_pairs(State::$state, &$ops).await;
            }
        )*
    };
}

on![ON_A_CALL:
    nothing: Nothing, a_waiting_call: Waiting, a_held_call: Held, a_flagged_call: Flagged,
    a_call_of_another_pod: HeldByAnother, a_call_whose_lease_is_over: Over,
    a_call_to_rerun_whose_lease_is_over: OverToRerun, a_failed_call: Failed,
];

on![ON_A_SCHEDULE:
    no_schedule: Nothing, a_waiting_run: RunWaiting, a_held_run: RunHeld, a_run_whose_lease_is_over: RunOver,
    a_run_that_is_tried_again: RunAgain, a_paused_schedule: Paused, a_cancelled_schedule: Cancelled,
    an_undeclared_schedule: Undeclared,
];

/// How many points of one kind an operation may have at most.
const MOST: usize = 200;

/// So many violations are told in full.
const TOLD: usize = 12;

async fn all_pairs(state: State, ops: &[Op]) {
    let mut lab = Lab::new(state, &[]).await;
    let wanted = std::env::var("FUTURECALL_TEST_PAIR").unwrap_or_default();
    let all =
        !wanted.is_empty() || std::env::var("FUTURECALL_TEST_INTERLEAVINGS").is_ok_and(|how| how == "all");
    let (mut met, mut violations) = (0_usize, Vec::new());
    let pairs = ops.iter().flat_map(|&first| ops.iter().map(move |&second| (first, second)));
    for (number, (first, second)) in pairs.enumerate() {
        if format!("{first:?} {second:?}").contains(&wanted) && state.lets(first) && state.lets(second) {
            let chosen = if all { ALL } else { Chosen { number, statements: 12, rows: 200 } };
            met += pair(&mut lab, state, (first, second), chosen, &mut violations).await;
        }
    }
    lab.end().await;
    eprintln!("{state:?}: {met} meetings");
    assert!(met > 0 || !wanted.is_empty(), "no operations meet");
    let told = violations.iter().take(TOLD).fold(String::new(), |mut told, violation| {
        let _ = write!(told, "\n{violation}");
        told
    });
    assert!(
        violations.is_empty(),
        "{state:?}: {} pairs go wrong (FUTURECALL_TEST_PAIR=\"Op Op\" chooses a pair), the first of them:{told}",
        violations.len()
    );
}

/// Lets two operations meet at every point, if their order matters or both change something; gives how often they met.
async fn pair(
    lab: &mut Lab,
    state: State,
    (first, second): (Op, Op),
    chosen: Chosen,
    violations: &mut Vec<String>,
) -> usize {
    let expected = Expected::of(state, lab.cast, first, second).await;
    let (mut meetings, mut found) = (0, 0_usize);
    if !expected.meets {
        return 0;
    }
    for points in points(first, second, chosen) {
        for point in points {
            let Some(met) = lab.meet(first, second, point).await else { break };
            meetings += 1;
            if !expected.allows(&met) {
                found += 1;
                if found == 1 {
                    violations.push(expected.violated(first, second, point, &met));
                }
            }
        }
    }
    if let (Some(last), 2..) = (violations.last_mut(), found) {
        let _ = write!(last, "\n    and at {} more points", found - 1);
    }
    meetings
}

/// At which points the first operation is stopped: of so many statements or rows one, beginning elsewhere for each pair.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    /// Of the pair.
    number: usize,
    statements: usize,
    rows: usize,
}

const ALL: Chosen = Chosen { number: 0, statements: 1, rows: 1 };

fn points(first: Op, second: Op, chosen: Chosen) -> [Vec<Point>; 4] {
    let Chosen { number, statements, rows } = chosen;
    // A claim passes by a run that somebody else has locked and takes the one that was triggered: in no order on memory.
    let is_partial = [(Op::Trigger, Op::Claim), (Op::Claim, Op::Trigger)].contains(&(first, second));
    [
        if is_partial { Vec::new() } else { vec![Point::AtTheCall] },
        vec![Point::AtTheSchedule],
        // Before the first statement nothing has happened yet.
        (2 + number % statements..MOST).step_by(statements).map(Point::BeforeStatement).collect(),
        (1 + number % rows..MOST).step_by(rows).map(Point::BeforeRow).collect(),
    ]
}

/// What may come of two operations.
struct Expected {
    /// In either order.
    allowed: Vec<Met>,
    /// Where one of them passed by what was locked.
    passed: Vec<Met>,
    meets: bool,
}

impl Expected {
    async fn of(state: State, cast: Cast, first: Op, second: Op) -> Self {
        let before = serial(state, cast, &[]).await.1;
        let (one, alone_one) = serial(state, cast, &[(first, Side::First)]).await;
        let (two, alone_two) = serial(state, cast, &[(second, Side::Second)]).await;
        let in_order = serial(state, cast, &[(first, Side::First), (second, Side::Second)]).await;
        let in_order = Met { answers: [in_order.0[0].clone(), in_order.0[1].clone()], rows: in_order.1 };
        let reversed = serial(state, cast, &[(second, Side::Second), (first, Side::First)]).await;
        let reversed = Met { answers: [reversed.0[1].clone(), reversed.0[0].clone()], rows: reversed.1 };
        let mut passed = Vec::new();
        let is_sure = |said: &&&str| state.is_over() || !said.starts_with("Lost");
        for said in first.passes_by().iter().filter(is_sure) {
            let answers = [(*said).to_owned(), two[0].clone()];
            passed.push(Met { answers, rows: alone_two.clone() });
            for other in second.passes_by().iter().filter(is_sure) {
                let answers = [(*said).to_owned(), (*other).to_owned()];
                passed.push(Met { answers, rows: before.clone() });
            }
        }
        for said in second.passes_by().iter().filter(is_sure) {
            let answers = [one[0].clone(), (*said).to_owned()];
            passed.push(Met { answers, rows: alone_one.clone() });
        }
        let meets = in_order != reversed || alone_one != before && alone_two != before;
        Self { allowed: vec![in_order, reversed], passed, meets }
    }

    fn allows(&self, met: &Met) -> bool {
        self.allowed.contains(met) || self.passed.contains(met)
    }

    fn violated(&self, first: Op, second: Op, point: Point, met: &Met) -> String {
        let shown = |met: &Met| format!("{:?}\n      {}", met.answers, met.rows.join("\n      "));
        let allowed: Vec<_> =
            self.allowed.iter().map(|met| format!("\n    allowed: {}", shown(met))).collect();
        format!("  {first:?} and {second:?}, {point:?}:\n    came to: {}{}", shown(met), allowed.concat())
    }
}

/// What comes of operations one after the other on a memory store: answers and rows.
async fn serial(state: State, cast: Cast, ops: &[(Op, Side)]) -> (Vec<String>, Vec<String>) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let target = state.set_up(&*store, &cast).await;
    let mut answers = Vec::new();
    for (op, side) in ops {
        let way = Way { store: Arc::clone(&store), pool: None };
        answers.push(op.run(way, cast, target, *side).await);
    }
    (answers, rows(&store, &cast).await)
}
