//! The interface between the engine and a database, and its three implementations.
//!
//! A store is correct if it passes the conformance suite (`futurecall-tests`). It stores rows: it has no handlers and
//! no timers, and never decides what a call means.

pub(crate) mod argument_keys;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod codec;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod columns;
mod cursor;
mod debug_without_arguments;
mod inspection;
mod json;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod listing_plan;
pub(crate) mod memory;
mod operations;
mod outcomes;
mod page;
#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres")),
    allow(dead_code, unused_imports, reason = "each store asks for what it needs")
)]
mod policy;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod records;
mod redaction;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod round_robin;
mod rows;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
mod states;
mod statistics;
pub(crate) mod table_names;
mod traits;
pub(crate) mod transaction;

pub use self::argument_keys::{KeySet, KeysLook, PendingKeys};
pub use self::inspection::{
    AttemptRecord, Backlog, CallFilter, CallRecord, Counts, DatabaseSetting, MigrationRecord, PendingName,
    PodRecord, RunLog, ScheduleRecord, TimelineCount,
};
pub(crate) use self::json::Shown;
pub use self::memory::MemoryStore;
pub(crate) use self::operations::ACTIONS_KEPT;
pub use self::operations::{
    ActionFilter, ActionRecord, NewAction, PausedName, ScheduleChange, ScheduleChanged,
};
pub use self::outcomes::{Completed, Finished};
pub use self::page::CallPage;
#[cfg(feature = "postgres")]
pub use self::postgres::PostgresStore;
pub use self::redaction::Redaction;
pub(crate) use self::rows::{ATTEMPTS_KEPT, REPEATED};
pub use self::rows::{
    CancelTarget, Cancelled, Claim, ClaimRequest, ClaimedCall, Declared, Due, Finish, Held, Inserted, Lease,
    LivePod, NewCall, NewLog, NewSchedule, Now, OnVanish, Outcome, PodBeat, Renewed, Rescheduled, Rescued,
    Retention, RunAgain,
};
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteStore;
pub use self::states::{CallState, ScheduleOrigin, ScheduleState};
use self::statistics::sums;
pub(crate) use self::statistics::{BUCKETS, bucket};
pub use self::statistics::{Histogram, Span, Statistics};
pub use self::traits::{
    ActionStore, CancelStore, ClaimStore, CountingStore, FinishStore, InsertStore, InspectStore,
    ListingStore, LogStore, OperateStore, PendingStore, PodStore, RescheduleStore, ScheduleStore,
    StatisticsStore, Store, TransactionStore,
};

/// What an operation of a store gives.
pub(crate) type Result<T, E = crate::error::StoreError> = std::result::Result<T, E>;

/// All traits of a store, to call its methods on a concrete type. `dyn Store` needs no import.
pub mod prelude {
    pub use super::traits::*;
}

pub(crate) mod sealed {
    /// Seals [`Store`](super::Store) until 1.0: methods will be added.
    pub trait Sealed {}
}
