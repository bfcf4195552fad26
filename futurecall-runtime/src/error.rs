//! Every error of the public surface: one enum per step, each text saying what to do next. `Debug` says the same.

mod call;
mod failure;
mod operate;
mod schedule;
mod start;
mod state;
mod store;
mod transaction;

pub use self::call::CallError;
pub(crate) use self::call::{Decision, decision_of};
pub(crate) use self::failure::CallFailure;
pub use self::operate::{ActionSummary, OperateError};
pub(crate) use self::schedule::RUNTIME_ENDED;
pub use self::schedule::ScheduleError;
pub use self::start::StartError;
pub use self::state::MissingState;
pub use self::store::StoreError;
pub use self::transaction::TransactionError;

/// What a handler may fail with: anything that can become a boxed error (`anyhow::Error`, `String`, your own enum).
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn debug_shows_the_words_and_each_source_once() {
        let store = || StoreError::permanent("open the SQLite file", "unable to open database file");
        let text = "could not open the SQLite file: unable to open database file";
        assert_eq!(format!("{:?}", store()), text);
        assert_eq!(format!("{:?}", StartError::from(store())), text);
        assert_eq!(format!("{:#?}", ScheduleError::from(store())), text);
        let error: BoxError = CallError::retry_in(Duration::from_secs(1)).because("status 429").into();
        assert_eq!(format!("{error:?}"), "to be tried again in 1s: status 429");
    }
}
