use crate::error::StoreError;
use crate::id::CallId;
use crate::recurring::RuleError;

/// What to do about a runtime that has ended.
pub(crate) const RUNTIME_ENDED: &str = "the Tokio runtime on which the pod was started has ended: start the pod on a \
                                        runtime that lives as long as the pod is used";

/// Why a call was not scheduled, cancelled or looked up.
///
/// Unless [`outcome_unknown`](Self::outcome_unknown) says otherwise, nothing was written.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// An argument cannot be stored. The text names the parameter, never its value.
    #[error("{0}")]
    Argument(#[from] crate::ArgumentError),
    /// The moment lies outside the years 1970 to 9999, which the databases cannot hold.
    #[error("the moment lies outside the years 1970 to 9999, which is what the databases can hold in order")]
    MomentOutOfRange,
    /// The identifier is empty, longer than 255 characters, or holds a control character.
    #[error("the identifier {reason}")]
    InvalidIdentifier {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The name is empty, longer than 255 characters, or holds a control character.
    #[error("the name {reason}")]
    InvalidName {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The call is to expire the moment it is due.
    #[error(
        "the call would expire the moment it is due: give it time to start, or leave `expires_after` out to have it run \
         however late"
    )]
    ZeroExpiry,
    /// The recurring rule cannot be kept.
    #[error("{0}")]
    Rule(#[from] RuleError),
    /// The transaction belongs to another kind of database than the pod's.
    #[error(
        "the transaction belongs to another kind of database than the pod's: begin it on a pool of the database that the \
         pod was started with"
    )]
    WrongDatabase,
    /// There is no such call to be run again: it was never stored, or its history row has passed its retention.
    #[error("there is no call {id}: it was never stored, or its history row has passed its retention")]
    UnknownCall {
        /// Which call.
        id: CallId,
    },
    /// A call that is not over cannot be run again.
    #[error(
        "call {id} is not over: `run_now(id)` moves one that waits, and a running one is run again after its end"
    )]
    StillPending {
        /// Which call.
        id: CallId,
    },
    /// A call that succeeded is not run again.
    #[error("call {id} has succeeded: schedule another one if it is to be done once more")]
    AlreadySucceeded {
        /// Which call.
        id: CallId,
    },
    /// The pod has been shut down.
    #[error("the pod has been shut down: schedule before `shutdown()` returns")]
    Stopped,
    /// The Tokio runtime on which the pod was started has ended, and with it everything that the pod did.
    #[error("{RUNTIME_ENDED}")]
    RuntimeEnded,
    /// The application's own open transaction holds the SQLite file's lock: nothing was stored within 5 seconds.
    /// Schedule inside that transaction with `.in_transaction(&mut tx)`.
    #[error("{0}; if your own transaction is open here, schedule inside it with `.in_transaction(&mut tx)`")]
    Busy(#[source] StoreError),
    /// The transaction given has read before it wrote, and somebody wrote meanwhile: SQLite cannot make it a writing
    /// one. Begin it with `BEGIN IMMEDIATE` (`pool.begin_with("BEGIN IMMEDIATE")`), and try again.
    #[error("{0}; begin a transaction that will write with `begin_with(\"BEGIN IMMEDIATE\")`, and try again")]
    TransactionConflict(#[source] StoreError),
    /// The database's encoding cannot hold a character of the arguments, the identifier or the name. Only a database
    /// whose encoding is `UTF8` can hold every text. Nothing was stored.
    #[error("{0}; create the database with `ENCODING 'UTF8'` to store any text, or leave the character out")]
    Encoding(#[source] StoreError),
    /// The SQLite file was deleted, moved, emptied or replaced by another while the pod had it open. Nothing was stored,
    /// because it would be gone with the process. Restart the pod, or put the original file back.
    #[error("{0}")]
    FileReplaced(#[source] StoreError),
    /// The database could not be reached, or refused. Nothing was stored.
    #[error("{0}")]
    Store(#[source] StoreError),
    /// The connection broke before the reply came, and the history cannot tell either: the call may be stored.
    /// `status(id)` tells once the database answers again.
    #[error("{source}; whether call {id} is stored is not known: ask `status({id})` later")]
    OutcomeUnknown {
        /// Which call.
        id: CallId,
        /// What the database said last.
        source: StoreError,
    },
}

impl ScheduleError {
    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy(_) | Self::TransactionConflict(_) | Self::OutcomeUnknown { .. } => true,
            Self::Store(source) => source.is_transient(),
            _ => false,
        }
    }

    /// Whether the call may be stored although this error came back.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::OutcomeUnknown { .. } => true,
            Self::Store(source) => source.outcome_unknown(),
            _ => false,
        }
    }
}

crate::words::debug_in_words!(ScheduleError);

impl From<StoreError> for ScheduleError {
    fn from(source: StoreError) -> Self {
        if source.is_busy() {
            Self::Busy(source)
        } else if source.is_conflict() {
            Self::TransactionConflict(source)
        } else if source.is_replaced() {
            Self::FileReplaced(source)
        } else if source.is_closed() {
            Self::Stopped
        } else if source.is_wrong_database() {
            Self::WrongDatabase
        } else if source.is_encoding() {
            Self::Encoding(source)
        } else {
            Self::Store(source)
        }
    }
}

impl From<crate::MomentOutOfRange> for ScheduleError {
    fn from(_: crate::MomentOutOfRange) -> Self {
        Self::MomentOutOfRange
    }
}
