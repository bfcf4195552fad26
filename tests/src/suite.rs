//! What a case is, and what it is given: a fresh database, with a store and the application's own way to it.

use std::sync::Arc;

use async_trait::async_trait;
use futurecall_runtime::InTransaction;
use futurecall_runtime::store::Store;
use futures_util::future::BoxFuture;

/// How one kind of database is made for the cases.
#[async_trait]
pub trait Harness: Sync {
    /// What stands before the name of a failed case, such as `sqlite`.
    fn name(&self) -> &'static str;

    /// A database of its own, empty and not yet migrated.
    async fn fresh(&self) -> Fixture;
}

/// One database for one case.
#[allow(missing_debug_implementations, reason = "holds trait objects of tests, never printed")]
pub struct Fixture {
    /// A handle on it.
    pub store: Arc<dyn Store>,
    /// A second handle on the same database, as another process has it (or the first once more where that is
    /// impossible).
    pub other: Arc<dyn Store>,
    /// The application's own way to it.
    pub database: Box<dyn Database>,
}

/// What the application does with its own database.
#[async_trait]
pub trait Database: Send + Sync {
    /// Begins a transaction of the application, one that may write. `None`: this store knows no transactions.
    async fn begin(&self) -> Option<Box<dyn Transaction>>;

    /// Begins a transaction of another kind of database than the store's. `None`: there is none at hand.
    async fn begin_foreign(&self) -> Option<Box<dyn Transaction>>;

    /// Writes by hand, as another version of the library might; `{}` stands before the name of each table. `false`: nobody
    /// else can write to this store.
    async fn write(&self, sql: &str) -> bool;

    /// Removes the database. Called when the case has passed; after a failure it is left for a look at it.
    async fn remove(&self);
}

/// A transaction of the application.
#[async_trait]
pub trait Transaction: Send {
    /// The transaction as the application hands it over.
    fn lend(&mut self) -> &mut dyn InTransaction;

    /// Commits it.
    async fn commit(self: Box<Self>);

    /// Rolls it back.
    async fn rollback(self: Box<Self>);
}

/// What a case is about: one test per topic and store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Storing calls, repeated and inside transactions.
    Schedule,
    /// Which calls a claim takes, in which order, and what it says of the next.
    Claim,
    /// Calls that are stored as claimed.
    AtOnce,
    /// Cancelling by identifier and by id, and discarding.
    Cancel,
    /// Ends of calls in transactions of their handlers.
    Completion,
    /// Moving calls, and running them again.
    Reschedule,
    /// Declaring schedules, their successors, their end.
    Recurring,
    /// Schedules that nobody declares any more, and what revives them.
    Undeclared,
    /// Calls of another release, which pods leave to those that can read them.
    Declined,
    /// Repetitions while the history may not tell what has ended.
    Gaps,
    /// Runs that were missed, and runs that overlap.
    Missed,
    /// Leases, fences, vanished pods, lost replies.
    Lease,
    /// Attempts that are followed by another, pods that vanish again and again, and calls that expire.
    Retry,
    /// Outcomes, retention and pruning.
    History,
    /// What people are shown.
    Inspect,
    /// What operators change by hand, and what is remembered of it; what pods have counted.
    Operate,
    /// What people ask for: filters, pages, counts, timelines, settings.
    Look,
    /// Making the tables, and further handles on them.
    Migrate,
    /// Inputs that have broken other systems.
    Hazards,
    /// What waits, and what runs have logged.
    Signals,
    /// The scenarios of the system that this one is modelled on.
    Scenarios,
    /// Everything at once, from many tasks.
    Together,
    /// Random walks beside the memory store.
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
