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
#[doc(hidden)]
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
pub use self::config::{CheckBrokenCalls, Config, OnInterrupt};
pub use self::engine::{Health, RunSummary, ShutdownSummary};
pub use self::error::{
    BoxError, CallError, MissingState, ScheduleError, StartError, StoreError, TransactionError,
};
pub use self::facade::{FutureCalls, PendingCall};
pub use self::id::{CallId, ParseIdError, PodId, ScheduleId};
pub use self::moment::{Moment, MomentOutOfRange};
pub use self::pod::{ApplicationPool, Pod, PodBuilder};
pub use self::retry::{Backoff, RetryPolicy};
pub use self::role::Role;
pub use self::session::{CallInfo, CallTransaction, Session};
#[doc(inline)]
pub use self::store::transaction::{InTransaction, TransactionDatabase};
#[doc(inline)]
pub use self::store::{CallState, Retention};

/// Imports what a file with future calls needs: `use futurecall_runtime::prelude::*;`.
///
/// An explicit import of another crate's `BoxError` or `Session` takes the place of the one from here.
pub mod prelude {
    #[cfg(feature = "macros")]
    pub use crate::future_call;
    pub use crate::{BoxError, InvokableFutureCall, Pod, Session};
}

/// The stages of scheduling: what the methods of [`FutureCalls`] take and return.
///
/// Most code chains these methods and never names the types. Name them where a function of yours takes or returns a stage
/// of such a chain. What a service names every day, [`FutureCalls`] and [`PendingCall`], is at the root of the crate.
pub mod schedule {
    pub use crate::call_target::CallTarget;
    pub use crate::facade::{
        CallOrIdentifier, CancelRequest, FutureCallRef, PendingSchedule, Recurring, RecurringCallRef,
        RescheduleRequest, ScheduleAll, When,
    };
    pub use crate::moment::ToMoment;
    #[doc(inline)]
    pub use crate::store::{Cancelled, Rescheduled};
}

/// Looking at calls, schedules and pods: what [`Pod::inspect`] takes and returns.
///
/// [`Inspector`](inspect::Inspector) has the methods. The records implement [`Serialize`](serde_json::to_value), in the one
/// form that the dashboard and `futurecall … --output json` use.
pub mod inspect {
    pub use crate::inspector::{Diagnosis, Finding, Inspector, Severity};
    pub use crate::shape::{Shape, ShapeParameter};
    #[doc(inline)]
    pub use crate::store::{
        AttemptRecord, CallFilter, CallPage, CallRecord, Counts, DatabaseSetting, Histogram, MigrationRecord,
        PausedName, PendingName, PodRecord, Redaction, RunLog, ScheduleOrigin, ScheduleRecord, ScheduleState,
        Span, Statistics, TimelineCount,
    };
    pub use crate::why::{Reason, Why};
}

/// Acting by hand, on record: what [`Pod::operate`] takes and returns, and the log of such actions.
///
/// [`Operator`](operate::Operator) has the methods; [`Inspector::actions`](inspect::Inspector::actions) lists what was done.
pub mod operate {
    pub use crate::error::{ActionSummary, OperateError};
    pub use crate::id::ActionId;
    pub use crate::operator::{Operator, Selection};
    #[doc(inline)]
    pub use crate::store::{ActionFilter, ActionRecord, ScheduleChanged};
}
