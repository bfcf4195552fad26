//! Mistakes planted into the statements on their way to the server: the interleavings must find each.

use super::lab::Lab;
use super::operations::Op;
use super::states::State;
use super::{ALL, pair};

struct Mistake {
    what: &'static str,
    /// A text of statements, and its replacement.
    changes: &'static [(&'static str, &'static str)],
    /// Where it is found.
    state: State,
    pairs: &'static [(Op, Op)],
}

const MISTAKES: [Mistake; 8] = [
    Mistake {
        what: "a release looks its calls up without a lock",
        changes: &[("ORDER BY c.id FOR UPDATE OF c\n    ), freed AS (", "ORDER BY c.id\n    ), freed AS (")],
        state: State::Held,
        pairs: &[(Op::CancelCall, Op::Release), (Op::Release, Op::CancelCall)],
    },
    Mistake {
        what: "a renewal looks its calls up without a lock",
        changes: &[(
            "ORDER BY c.id FOR UPDATE OF c SKIP LOCKED\n    ), renewed",
            "ORDER BY c.id\n    ), renewed",
        )],
        state: State::Held,
        pairs: &[(Op::Release, Op::Renew), (Op::Retry, Op::Renew)],
    },
    Mistake {
        what: "a failure that is followed by another attempt looks its call up without a lock",
        changes: &[
            (
                "SELECT c.id FROM futurecall.call AS c WHERE c.id = ANY ($1::uuid[]) ORDER BY c.id FOR UPDATE",
                "SELECT 1 WHERE cardinality($1::uuid[]) > 0",
            ),
            ("ORDER BY c.id FOR UPDATE OF c\n    ), due AS (", "ORDER BY c.id\n    ), due AS ("),
        ],
        state: State::Held,
        pairs: &[(Op::CancelCall, Op::Retry), (Op::CancelCall, Op::Rerun)],
    },
    Mistake {
        what: "a cancellation does not lock the schedules",
        changes: &[(
            "s.identifier = $1::text\n    ORDER BY s.id FOR UPDATE",
            "s.identifier = $1::text\n    ORDER BY s.id",
        )],
        state: State::RunWaiting,
        pairs: &[(Op::Claim, Op::CancelLabel)],
    },
    Mistake {
        what: "a cancellation takes the run of a schedule that was revived or declared meanwhile",
        changes: &[(
            "OR NOT EXISTS (SELECT FROM futurecall.schedule AS s WHERE s.id = c.schedule_id AND s.id <> ALL ($2::uuid[]))",
            "OR true",
        )],
        state: State::Nothing,
        pairs: &[(Op::CancelLabel, Op::Declare)],
    },
    Mistake {
        what: "a rescue does not look at the row again under its lock",
        changes: &[(
            " AND c.claimed_by IS NOT NULL AND c.lease_until < coalesce($1::timestamptz, statement_timestamp())\n    ORDER BY",
            " AND c.claimed_by IS NOT NULL\n    ORDER BY",
        )],
        state: State::Over,
        pairs: &[(Op::Rescue, Op::Renew)],
    },
    Mistake {
        what: "a run is claimed that was moved to a later moment since it was found",
        changes: &[(
            "c.claimed_by IS NULL\n        AND c.due_at <= (SELECT least(",
            "c.claimed_by IS NULL\n        AND 'epoch' <= (SELECT least(",
        )],
        state: State::RunWaiting,
        pairs: &[(Op::Claim, Op::Reschedule)],
    },
    Mistake {
        what: "a call is moved whoever has claimed it",
        changes: &[(
            "c.id = ANY ($2::uuid[]) AND c.claimed_by IS NULL RETURNING c.name",
            "c.id = ANY ($2::uuid[]) RETURNING c.name",
        )],
        state: State::Waiting,
        pairs: &[(Op::Claim, Op::Reschedule)],
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_mistakes_are_found() {
    let mut missed = Vec::new();
    for mistake in &MISTAKES {
        let mut lab = Lab::new(mistake.state, mistake.changes).await;
        let mut violations = Vec::new();
        for met in mistake.pairs {
            pair(&mut lab, mistake.state, *met, ALL, &mut violations).await;
        }
        lab.end().await;
        match violations.first() {
            // What the server itself refuses for its syntax is no finding.
            Some(violation) if !violation.contains("syntax") => {
                eprintln!(
                    "{}: {} violations, the first of them:\n{violation}",
                    mistake.what,
                    violations.len()
                );
            }
            found => missed.push(format!("{}: {found:?}", mistake.what)),
        }
    }
    assert!(missed.is_empty(), "these mistakes were not found: {missed:#?}");
}
