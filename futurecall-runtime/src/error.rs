//! Every error of the public surface: one enum per step, each text saying what to do next.

mod call;
mod operate;
mod schedule;
mod start;
mod state;
mod store;
mod transaction;

pub use self::call::CallError;
pub(crate) use self::call::{Decision, decision_of};
pub use self::operate::OperateError;
pub use self::schedule::ScheduleError;
pub use self::start::StartError;
pub use self::state::MissingState;
pub use self::store::StoreError;
pub use self::transaction::TransactionError;

/// What a handler may fail with: anything that can become a boxed error (`anyhow::Error`, `String`, your own enum).
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
