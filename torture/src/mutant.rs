//! Protocols with a mistake in them, which the checker must catch: a checker that has never failed proves nothing.
//!
//! The library has no door for them. The proxy changes the statements on their way to the server, so that the mutant is
//! of the very build that is tested otherwise.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::ValueEnum;

use crate::checker::Violation;

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mutant {
    /// An outcome is recorded whoever holds the call by now.
    FinishWithoutFence,
    /// A pod believes its leases to last longer than they do, and is never told that it lost one.
    NoLeaseCheck,
    /// A cancellation takes back what runs, and says that it had not started.
    CancelWithoutGuard,
    /// A commit does not wait for the write-ahead log.
    AsynchronousCommit,
}

/// A text of the library's statements, and what stands there instead.
#[derive(Debug)]
pub(crate) struct Rewrite {
    from: &'static str,
    to: &'static str,
    /// Statements without it are left alone.
    only_with: &'static str,
    /// How often it was done: a rewrite that no longer finds its text must not pass for a mutant.
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

impl Rewrite {
    const fn new(from: &'static str, to: &'static str, only_with: &'static str) -> Self {
        Self { from, to, only_with, done: AtomicUsize::new(0) }
    }
}

impl Mutant {
    /// As the command line spells it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What the proxy changes.
    pub(crate) fn rewrites(self) -> &'static [Rewrite] {
        match self {
            Self::FinishWithoutFence => &FINISH,
            Self::NoLeaseCheck => &LEASE,
            Self::CancelWithoutGuard => &CANCEL,
            Self::AsynchronousCommit => &[],
        }
    }

    /// How long pods believe a lease to last.
    pub(crate) fn believed_lease(self, lease: Duration) -> Duration {
        if self == Self::NoLeaseCheck { lease * 5 / 2 } else { lease }
    }

    /// What the checker must have found: at least one of these.
    pub(crate) const fn shows_as(self) -> &'static [Violation] {
        match self {
            Self::FinishWithoutFence => {
                &[Violation::NeverRan, Violation::FinishedTwice, Violation::StartedAfterEnd]
            }
            Self::NoLeaseCheck => &[Violation::OverlapWithoutFault, Violation::StartedAfterEnd],
            Self::CancelWithoutGuard => &[Violation::CancelledRan],
            Self::AsynchronousCommit => &[Violation::Lost],
        }
    }
}

/// The statement with its mistake, if it is one of those that get one.
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

/// The rewrites that never found their text.
pub(crate) fn undone(rewrites: &[Rewrite]) -> Vec<&'static str> {
    let is_undone = |rewrite: &&Rewrite| rewrite.done.load(Ordering::Relaxed) == 0;
    rewrites.iter().filter(is_undone).map(|rewrite| rewrite.from).collect()
}
