#![doc = include_str!("../README.md")]

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod args;
mod bounded;
mod by_name;
mod call;
mod call_target;
mod clock;
mod config;
mod discovery;
mod engine;
mod error;
mod facade;
mod id;
mod inspector;
mod moment;
mod nearest;
mod operator;
mod pod;
mod random;
pub mod recurring;
mod registry;
mod retry;
mod role;
mod session;
mod shape;
pub mod signals;
mod state;
pub mod store;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
#[doc(hidden)]
pub mod text;
mod why;
mod words;

pub use chrono;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/future_call.md")]
pub use futurecall_macros::future_call;
pub use serde_json;
/// The database driver, whose pools and transactions the interface takes: depend on this very version, or use it from here.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use sqlx;
pub use uuid;

pub use self::args::{ArgumentError, MAX_ARGUMENT_BYTES, MAX_ARGUMENT_DEPTH};
pub use self::by_name::InvokableFutureCall;
pub use self::call::{CallArg, CallOutput, FutureCall};
pub use self::call_target::CallTarget;
pub use self::config::{CheckBrokenCalls, Config, OnInterrupt};
pub use self::engine::{Health, RunSummary, ShutdownSummary};
pub use self::error::{
    ActionSummary, BoxError, CallError, MissingState, OperateError, ScheduleError, StartError, StoreError,
    TransactionError,
};
pub use self::facade::{
    CallOrIdentifier, CancelRequest, FutureCallRef, FutureCalls, PendingCall, PendingSchedule, Recurring,
    RecurringCallRef, RescheduleRequest, ScheduleAll, When,
};
pub use self::id::{ActionId, CallId, ParseIdError, PodId, ScheduleId};
pub use self::inspector::{Diagnosis, Finding, Inspector, Severity};
pub use self::moment::{Moment, MomentOutOfRange, ToMoment};
pub use self::operator::{Operator, Selection};
pub use self::pod::{ApplicationPool, Pod, PodBuilder};
#[doc(inline)]
pub use self::recurring::{Missed, Overlap};
pub use self::retry::{Backoff, RetryPolicy};
pub use self::role::Role;
pub use self::session::{CallInfo, CallTransaction, Session};
pub use self::shape::{Shape, ShapeParameter};
pub use self::store::transaction::{InTransaction, TransactionDatabase};
#[doc(inline)]
pub use self::store::{
    ActionFilter, ActionRecord, AttemptRecord, CallFilter, CallPage, CallRecord, CallState, Cancelled,
    Counts, DatabaseSetting, Histogram, MigrationRecord, PausedName, PendingName, PodRecord, Rescheduled,
    Retention, RunLog, ScheduleChanged, ScheduleOrigin, ScheduleRecord, ScheduleState, Span, Statistics,
    TimelineCount,
};
pub use self::why::{Reason, Why};

/// What a file with future calls needs: `use futurecall_runtime::prelude::*;`.
pub mod prelude {
    #[cfg(feature = "macros")]
    pub use crate::future_call;
    pub use crate::{BoxError, InvokableFutureCall, Pod, Session};
}
