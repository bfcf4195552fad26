//! Protocols with a mistake in them, which the checker must catch: a checker that has never failed proves nothing.
//!
//! The library has no hooks for them. On PostgreSQL the proxy changes the statements on their way to the server; in a
//! SQLite file triggers undo what the library has just done correctly, or the clock of one process keeps its old
//! setting. So the mutant is of the same build that is tested otherwise.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::ValueEnum;

use crate::checker::Violation;

/// The planted mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mutant {
    /// An outcome is recorded whichever pod holds the call.
    FinishWithoutFence,
    /// A pod believes its leases to last longer than they do, and is never notified that it lost one.
    NoLeaseCheck,
    /// A cancellation removes running calls, and reports that they had not started.
    CancelWithoutGuard,
    /// A commit does not wait for the write-ahead log.
    AsynchronousCommit,
    /// A failed attempt is not counted.
    FailuresUncounted,
    /// Now and then the next run is not stored with the claim of the current one.
    SuccessorForgotten,
    /// A process that is running when the machine's clock is set back continues with its old time.
    ClockRatchet,
    /// Outcomes that are recorded shortly after the server had rejected pods are dropped.
    OutcomeThrownAway,
    /// Most renewals are not sent.
    RenewalNotSent,
    /// Released calls stay claimed until the lease ends.
    ReleaseLost,
}

/// A text of the library's statements, and its replacement.
#[derive(Debug)]
pub(crate) struct Rewrite {
    from: &'static str,
    to: &'static str,
    /// Statements without it are left alone.
    only_with: &'static str,
    /// How often it was applied: a rewrite that no longer finds its text must not pass for a mutant.
    done: AtomicUsize,
}

static FINISH: [Rewrite; 1] = [Rewrite::new(
    "AND c.claim_no = u.claim_no AND c.claimed_by = $2::uuid",
    "AND ($2::uuid IS NOT NULL OR u.claim_no = 0)",
    "u.started_after",
)];

static LEASE: [Rewrite; 2] = [
    Rewrite::new("r.id IS NOT NULL AS extended", "true AS extended", "AS extended"),
    Rewrite::new(
        "lease_until = least(",
        "lease_until = least(statement_timestamp() + interval '2 seconds', ",
        "$2::uuid",
    ),
];

static CANCEL: [Rewrite; 1] =
    [Rewrite::new("AND c.claimed_by IS NULL RETURNING c.*", "RETURNING c.*", "flagged AS")];

static FAILURES: [Rewrite; 1] =
    [Rewrite::new("failures = c.failures + l.failures", "failures = c.failures", "l.failures")];

static SUCCESSOR: [Rewrite; 1] =
    [Rewrite::new("ON s.id = u.schedule", "ON s.id = u.schedule AND random() < 0.95", "INSERT INTO")];

static OUTCOME: [Rewrite; 1] = [Rewrite::new(
    "WHERE c.id = u.id AND c.claim_no = u.claim_no AND c.claimed_by = $2::uuid",
    "WHERE c.id = u.id AND c.claim_no = u.claim_no AND c.claimed_by = $2::uuid \
        AND NOT EXISTS (SELECT FROM public.turned_away AS t WHERE t.until > clock_timestamp())",
    "WITH gone AS",
)];

static RENEWAL: [Rewrite; 1] = [Rewrite::new(
    "AS c ON c.id = g.id AND c.claim_no = g.claim_no",
    "AS c ON c.id = g.id AND c.claim_no = g.claim_no AND random() < 0.3",
    "AS extended",
)];

static RELEASE: [Rewrite; 1] = [Rewrite::new(
    "AS c ON c.id = u.id AND c.claim_no = u.claim_no",
    "AS c ON c.id = u.id AND c.claim_no <> u.claim_no",
    "AS released",
)];

// These triggers act when a call is stored by a later statement: a claim, which stores the next runs, must find what it
// has just written.

/// Soon after a call of a vanished pod was claimed by another, it gets the name of the previous owner again: the
/// latter's end of it counts.
const FIRST_CLAIM: &str = "
    CREATE TABLE first_claim (id BLOB PRIMARY KEY NOT NULL, pod BLOB NOT NULL, claim_no INTEGER NOT NULL) STRICT;
    CREATE TRIGGER first_claim AFTER UPDATE OF claimed_by ON futurecall_call
        WHEN OLD.claimed_by IS NULL AND NEW.claimed_by IS NOT NULL AND NEW.attempt = 1
        BEGIN INSERT OR REPLACE INTO first_claim VALUES (NEW.id, NEW.claimed_by, NEW.claim_no); END;
    CREATE TRIGGER no_fence AFTER INSERT ON futurecall_call WHEN NEW.schedule_id IS NULL BEGIN
        UPDATE futurecall_call SET claimed_by = f.pod, claim_no = f.claim_no FROM first_claim AS f
            WHERE f.id = futurecall_call.id AND futurecall_call.claimed_by IS NOT NULL AND futurecall_call.vanished = 1
                AND futurecall_call.failures = 0 AND futurecall_call.claimed_by <> f.pod;
    END;";

/// However long pods believe a lease to last, it ends two seconds after the claim.
const SHORT_LEASE: &str = "
    CREATE TRIGGER short_lease AFTER INSERT ON futurecall_call WHEN NEW.schedule_id IS NULL BEGIN
        UPDATE futurecall_call SET lease_until = claimed_at + 2000000
            WHERE claimed_by IS NOT NULL AND lease_until > claimed_at + 2000000;
    END;";

/// Instead of being notified, the pod that runs the call loses it, so that the cancellation finds it unclaimed.
const NO_GUARD: &str = "
    CREATE TRIGGER no_guard BEFORE UPDATE OF cancel_requested ON futurecall_call WHEN OLD.claimed_by IS NOT NULL BEGIN
        UPDATE futurecall_call SET claimed_by = NULL, claim_no = NULL, claimed_at = NULL, lease_until = NULL
            WHERE id = OLD.id;
        SELECT RAISE(IGNORE);
    END;";

const NO_COUNT: &str = "
    CREATE TRIGGER no_count AFTER UPDATE OF failures ON futurecall_call WHEN NEW.failures > 0
        BEGIN UPDATE futurecall_call SET failures = 0 WHERE id = NEW.id; END;";

const NO_SUCCESSOR: &str = "
    CREATE TRIGGER no_successor AFTER INSERT ON futurecall_call
        WHEN NEW.schedule_id IS NOT NULL AND abs(random()) % 20 = 0
        BEGIN DELETE FROM futurecall_call WHERE id = NEW.id; END;";

/// A lease is not extended, and its pod is not notified.
const NO_RENEWAL: &str = "
    CREATE TRIGGER no_renewal AFTER UPDATE OF lease_until ON futurecall_call
        WHEN OLD.claimed_by = NEW.claimed_by AND OLD.claim_no = NEW.claim_no AND abs(random()) % 10 < 7
        BEGIN UPDATE futurecall_call SET lease_until = OLD.lease_until WHERE id = NEW.id; END;";

/// Released calls are claimed again at once.
const NO_RELEASE: &str = "
    CREATE TRIGGER no_release AFTER UPDATE OF claimed_by ON futurecall_call
        WHEN OLD.claimed_by IS NOT NULL AND NEW.claimed_by IS NULL AND NEW.attempt < OLD.attempt
        BEGIN
            UPDATE futurecall_call SET claimed_by = OLD.claimed_by, claim_no = OLD.claim_no, claimed_at = OLD.claimed_at,
                lease_until = OLD.lease_until, on_vanish = OLD.on_vanish, vanish_after = OLD.vanish_after,
                attempt = OLD.attempt WHERE id = NEW.id;
        END;";

impl Rewrite {
    const fn new(from: &'static str, to: &'static str, only_with: &'static str) -> Self {
        Self { from, to, only_with, done: AtomicUsize::new(0) }
    }
}

impl Mutant {
    /// Its spelling on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The changes that the proxy makes.
    pub(crate) fn rewrites(self) -> &'static [Rewrite] {
        match self {
            Self::FinishWithoutFence => &FINISH,
            Self::NoLeaseCheck => &LEASE,
            Self::CancelWithoutGuard => &CANCEL,
            Self::AsynchronousCommit | Self::ClockRatchet => &[],
            Self::FailuresUncounted => &FAILURES,
            Self::SuccessorForgotten => &SUCCESSOR,
            Self::OutcomeThrownAway => &OUTCOME,
            Self::RenewalNotSent => &RENEWAL,
            Self::ReleaseLost => &RELEASE,
        }
    }

    /// The triggers for a SQLite file.
    pub(crate) const fn triggers(self) -> &'static str {
        match self {
            Self::FinishWithoutFence => FIRST_CLAIM,
            Self::NoLeaseCheck => SHORT_LEASE,
            Self::CancelWithoutGuard => NO_GUARD,
            // A file rejects nobody.
            Self::AsynchronousCommit | Self::ClockRatchet | Self::OutcomeThrownAway => "",
            Self::FailuresUncounted => NO_COUNT,
            Self::SuccessorForgotten => NO_SUCCESSOR,
            Self::RenewalNotSent => NO_RENEWAL,
            Self::ReleaseLost => NO_RELEASE,
        }
    }

    /// Returns whether the mutant exists for that database. What SQLite has committed survives the end of any process:
    /// losing it takes the end of the machine. PostgreSQL's clock is that of its server.
    pub(crate) fn is_of(self, sqlite: bool) -> bool {
        if self == Self::ClockRatchet { sqlite } else { !sqlite || !self.triggers().is_empty() }
    }

    /// Returns how long pods believe a lease to last.
    pub(crate) fn believed_lease(self, lease: Duration) -> Duration {
        if self == Self::NoLeaseCheck { lease * 5 / 2 } else { lease }
    }

    /// Returns the violations of which the checker must find at least one.
    pub(crate) const fn shows_as(self) -> &'static [Violation] {
        match self {
            // The recorded end belongs to another attempt.
            Self::FinishWithoutFence => &[
                Violation::NeverRan,
                Violation::FinishedTwice,
                Violation::StartedAfterEnd,
                Violation::WrongRecord,
            ],
            Self::NoLeaseCheck => &[Violation::OverlapWithoutFault, Violation::StartedAfterEnd],
            Self::CancelWithoutGuard => &[Violation::CancelledRan],
            Self::AsynchronousCommit => &[Violation::Lost],
            Self::FailuresUncounted => &[Violation::TooManyAttempts],
            Self::SuccessorForgotten => &[Violation::ScheduleLost],
            Self::ClockRatchet => {
                &[Violation::Early, Violation::DuplicateWithoutFault, Violation::OverlapWithoutFault]
            }
            Self::OutcomeThrownAway | Self::ReleaseLost => &[Violation::DuplicateWithoutFault],
            Self::RenewalNotSent => &[Violation::FencedWithoutFault, Violation::DuplicateWithoutFault],
        }
    }
}

/// Returns the statement with its mistake, if it is one of those that get one.
pub(crate) fn rewritten(text: &str, rewrites: &[Rewrite]) -> Option<String> {
    let mut changed = None;
    for rewrite in rewrites {
        let now = changed.as_deref().unwrap_or(text);
        if now.contains(rewrite.from) && now.contains(rewrite.only_with) {
            rewrite.done.fetch_add(1, Ordering::Relaxed);
            changed = Some(now.replace(rewrite.from, rewrite.to));
        }
    }
    changed
}

/// Returns the rewrites that never found their text.
pub(crate) fn undone(rewrites: &[Rewrite]) -> Vec<&'static str> {
    let is_undone = |rewrite: &&Rewrite| rewrite.done.load(Ordering::Relaxed) == 0;
    rewrites.iter().filter(is_undone).map(|rewrite| rewrite.from).collect()
}
