//! The store conformance suite: the common behaviour of all stores, as named cases over any [`Store`].
//!
//! A store is correct when it passes. A backend's test file has only a [`Harness`]; a test that could run on all stores
//! is never written for one of them.
//!
//! [`Store`]: futurecall_runtime::store::Store

pub mod backend;
mod cases;
pub mod database;
mod exercise;
pub mod fuzzed;
pub mod histories;
pub mod journal;
mod make;
pub mod overheard;
pub mod proxy;
pub mod simulation;
mod suite;
pub mod walks;

pub use self::exercise::exercise;
pub use self::suite::{Database, Fixture, Harness, Topic, Transaction};

/// Defines one test per [`Topic`] for a harness: `conformance!(MyHarness)` where `MyHarness` is an expression.
#[macro_export]
macro_rules! conformance {
    ($harness:expr) => {
        $crate::conformance!(
            $harness; schedule: Schedule, claim: Claim, at_once: AtOnce, cancel: Cancel, completion: Completion,
            reschedule: Reschedule, recurring: Recurring, undeclared: Undeclared, declined: Declined, gaps: Gaps, missed: Missed, lease: Lease, retry: Retry,
            history: History, inspect: Inspect, look: Look, operate: Operate, migrate: Migrate, hazards: Hazards, signals: Signals,
            scenarios: Scenarios, together: Together, model: Model,
        );
    };
    ($harness:expr; $($test:ident: $topic:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::exercise(&$harness, $crate::Topic::$topic).await;
            }
        )*
    };
}
