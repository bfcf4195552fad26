//! A case and its input: a fresh database, with a store and the application's own connection to it.

use std::sync::Arc;

use async_trait::async_trait;
use futurecall_runtime::InTransaction;
use futurecall_runtime::store::Store;
use futures_util::future::BoxFuture;

/// Creates databases of one kind for the cases.
#[async_trait]
pub trait Harness: Sync {
    /// The prefix of a failed case's name, such as `sqlite`.
    fn name(&self) -> &'static str;

    /// Creates a database, empty and not yet migrated.
    async fn fresh(&self) -> Fixture;
}

/// One database for one case.
#[allow(missing_debug_implementations, reason = "holds trait objects of tests, never printed")]
pub struct Fixture {
    /// A handle on it.
    pub store: Arc<dyn Store>,
    /// A second handle on the same database, like that of another process (or the first once more if that is
    /// impossible).
    pub other: Arc<dyn Store>,
    /// The application's own connection to it.
    pub database: Box<dyn Database>,
}

/// The application's operations on its own database.
#[async_trait]
pub trait Database: Send + Sync {
    /// Begins a transaction of the application that may write. Returns `None` if this store has no transactions.
    async fn begin(&self) -> Option<Box<dyn Transaction>>;

    /// Begins a transaction of another kind of database than the store's. Returns `None` if there is none available.
    async fn begin_foreign(&self) -> Option<Box<dyn Transaction>>;

    /// Writes by hand, as another version of the library might; `{}` precedes the name of each table. Returns `false`
    /// if no other process can write to this store.
    async fn write(&self, sql: &str) -> bool;

    /// Removes the database. Called when the case has passed; after a failure it is left for inspection.
    async fn remove(&self);
}

/// A transaction of the application.
#[async_trait]
pub trait Transaction: Send {
    /// Returns the transaction in the form in which the application passes it on.
    fn lend(&mut self) -> &mut dyn InTransaction;

    /// Commits it.
    async fn commit(self: Box<Self>);

    /// Rolls it back.
    async fn rollback(self: Box<Self>);
}

/// The topic of a case: one test per topic and store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Storing calls, repeatedly and inside transactions.
    Schedule,
    /// Which calls a claim takes, in which order, and what it returns about the next.
    Claim,
    /// Calls that are stored as claimed.
    AtOnce,
    /// Cancelling by identifier and by id, and discarding.
    Cancel,
    /// Ends of calls in transactions of their handlers.
    Completion,
    /// Rescheduling calls, and running them again.
    Reschedule,
    /// Declaring schedules, their successors, their end.
    Recurring,
    /// Schedules that are no longer declared, and their revival.
    Undeclared,
    /// Calls of another release, which pods leave to those that can read them.
    Declined,
    /// Repetitions while the history may be incomplete.
    Gaps,
    /// Missed and overlapping runs.
    Missed,
    /// Leases, fences, vanished pods, lost replies.
    Lease,
    /// Attempts that are followed by another, pods that vanish again and again, and calls that expire.
    Retry,
    /// Outcomes, retention and pruning.
    History,
    /// Records for people.
    Inspect,
    /// Operators' changes, and their records; what pods have counted.
    Operate,
    /// Queries: filters, pages, counts, timelines, settings.
    Look,
    /// Creating the tables, and further handles on them.
    Migrate,
    /// Inputs that have broken other systems.
    Hazards,
    /// Pending calls by argument keys, and the logs of runs.
    Signals,
    /// The scenarios of the system that this one is modelled on.
    Scenarios,
    /// Concurrency, from many tasks.
    Together,
    /// Random walks compared with the memory store.
    Model,
}

/// A named check on a fresh database.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: for<'a> fn(&'a Fixture) -> BoxFuture<'a, ()>,
}

/// Lists async functions of `&Fixture` as the cases of a topic.
macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        pub(crate) const CASES: &[$crate::suite::Case] = &[
            $($crate::suite::Case { name: stringify!($case), run: |fixture| Box::pin($case(fixture)) }),*
        ];
    };
}
pub(crate) use cases;
