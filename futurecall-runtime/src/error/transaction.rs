use std::time::Duration;

use crate::error::StoreError;
use crate::id::CallId;

/// Why a run got no transaction, or could not complete its call in one.
///
/// Unless [`outcome_unknown`](Self::outcome_unknown) says otherwise, the transaction is rolled back: neither the
/// handler's writes nor the call's completion stand, and the handler's own outcome counts.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The pod's calls are in another kind of database.
    #[error(
        "the pod's calls are in {}, not in {}: ask for `session.transaction::<{}>()`",
        name(database),
        name(asked),
        marker(database)
    )]
    WrongDatabase {
        /// The database that was asked for: `postgres` or `sqlite`.
        asked: &'static str,
        /// The pod's database.
        database: &'static str,
    },
    /// The pod's store knows no transactions: it is the memory store, or a SQLite database in memory, which belongs to
    /// one connection.
    #[error(
        "the pod's calls are in memory, where there are no transactions: give the pod a SQLite file or a PostgreSQL database"
    )]
    NoTransactions,
    /// This run has a transaction open already: complete or drop it first.
    #[error("this run has a transaction open already: complete or drop it before the next")]
    AlreadyOpen,
    /// This run has completed its call already.
    #[error("this run has completed its call already")]
    AlreadyComplete,
    /// The call's lease was lost: another pod may have the call, so that neither it nor what was written in the
    /// transaction may be completed here. The handler is about to be stopped.
    #[error("the call's lease was lost, and another pod may have the call: the transaction is rolled back")]
    LeaseLost,
    /// The transaction was open for too long: on SQLite it holds the file's only lock, which everybody else waits for.
    #[error(
        "the transaction was open for longer than {limit:?} and is rolled back: on SQLite everybody else waits for it. Do \
         what takes long before it begins, and inside it schedule with `.in_transaction(&mut tx)`"
    )]
    TooLong {
        /// How long it may be open: a quarter of the lease, at most 4 seconds.
        limit: Duration,
    },
    /// Its turn did not come in time, or somebody else's transaction holds the SQLite file.
    #[error("{0}")]
    Busy(#[source] StoreError),
    /// The database could not be reached, or refused.
    #[error("{0}")]
    Store(#[source] StoreError),
    /// The connection broke before the reply to the COMMIT came, and the database could not be asked what became of it.
    /// The handler's writes and the call's completion both stand, or neither does.
    #[error(
        "{source}; whether the transaction that completes call {id} was committed is not known: ask `status({id})` later"
    )]
    OutcomeUnknown {
        /// Which call.
        id: CallId,
        /// What the database said last.
        source: StoreError,
    },
}

impl TransactionError {
    /// Whether the same transaction may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy(_) | Self::TooLong { .. } | Self::OutcomeUnknown { .. } => true,
            Self::Store(source) => source.is_transient(),
            _ => false,
        }
    }

    /// Whether the handler's writes and the call's completion may stand although this error came back.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }
}

/// The database of that kind of store, as people call it.
fn name(kind: &str) -> &str {
    match kind {
        "postgres" => "PostgreSQL",
        "sqlite" => "SQLite",
        other => other,
    }
}

fn marker(kind: &str) -> &str {
    match kind {
        "postgres" => "sqlx::Postgres",
        _ => "sqlx::Sqlite",
    }
}

crate::words::debug_in_words!(TransactionError);

impl From<StoreError> for TransactionError {
    fn from(source: StoreError) -> Self {
        if source.is_busy() { Self::Busy(source) } else { Self::Store(source) }
    }
}
