use std::fmt;

use crate::error::StoreError;
use crate::id::CallId;
use crate::recurring::RuleError;

/// What to do about a runtime that has ended.
pub(crate) const RUNTIME_ENDED: &str = "the Tokio runtime on which the pod was started has ended: start the pod on a \
                                        runtime that lives as long as the pod is used";

/// Why a call was not scheduled, cancelled or looked up.
///
/// Unless [`outcome_unknown`](Self::outcome_unknown) says otherwise, nothing was written.
#[non_exhaustive]
pub enum ScheduleError {
    /// An argument cannot be stored. The text names the parameter, never its value.
    Argument(crate::ArgumentError),
    /// The moment lies outside the years 1970 to 9999, which the databases cannot hold.
    MomentOutOfRange,
    /// The identifier is empty, longer than 255 characters, or holds a control character.
    InvalidIdentifier {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The name is empty, longer than 255 characters, or holds a control character.
    InvalidName {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The call is to expire the moment it is due.
    ZeroExpiry,
    /// The recurring rule cannot be kept.
    Rule(RuleError),
    /// The transaction belongs to another kind of database than the pod's.
    WrongDatabase,
    /// There is no such call to be run again: it was never stored, or its history row has passed its retention.
    UnknownCall {
        /// Which call.
        id: CallId,
    },
    /// A call that is not over cannot be run again.
    StillPending {
        /// Which call.
        id: CallId,
    },
    /// A call that succeeded is not run again.
    AlreadySucceeded {
        /// Which call.
        id: CallId,
    },
    /// The pod has been shut down.
    Stopped,
    /// The Tokio runtime on which the pod was started has ended, and with it everything that the pod did.
    RuntimeEnded,
    /// The application's own open transaction holds the SQLite file's lock: nothing was stored within 5 seconds.
    /// Schedule inside that transaction with `.in_transaction(&mut tx)`.
    Busy(StoreError),
    /// The transaction given has read before it wrote, and somebody wrote meanwhile: SQLite cannot make it a writing
    /// one. Begin it with `BEGIN IMMEDIATE` (`pool.begin_with("BEGIN IMMEDIATE")`), and try again.
    TransactionConflict(StoreError),
    /// The database's encoding cannot hold a character of the arguments, the identifier or the name. Only a database
    /// whose encoding is `UTF8` can hold every text. Nothing was stored.
    Encoding(StoreError),
    /// The SQLite file was deleted, moved, emptied or replaced by another while the pod had it open. Nothing was stored,
    /// because it would be gone with the process. Restart the pod, or put the original file back.
    FileReplaced(StoreError),
    /// The database could not be reached, or refused. Nothing was stored.
    Store(StoreError),
    /// The connection broke before the reply came, and the history cannot tell either: the call may be stored.
    /// `status(id)` tells once the database answers again.
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

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(source) => source.fmt(f),
            Self::MomentOutOfRange => f.write_str(
                "the moment lies outside the years 1970 to 9999, which is what the databases can hold in order",
            ),
            Self::InvalidIdentifier { reason } => write!(f, "the identifier {reason}"),
            Self::InvalidName { reason } => write!(f, "the name {reason}"),
            Self::ZeroExpiry => f.write_str(
                "the call would expire the moment it is due: give it time to start, or leave `expires_after` out to \
                 have it run however late",
            ),
            Self::Rule(source) => source.fmt(f),
            Self::WrongDatabase => f.write_str(
                "the transaction belongs to another kind of database than the pod's: begin it on a pool of the \
                 database that the pod was started with",
            ),
            Self::UnknownCall { id } => write!(
                f,
                "there is no call {id}: it was never stored, or its history row has passed its retention"
            ),
            Self::StillPending { id } => write!(
                f,
                "call {id} is not over: `run_now(id)` moves one that waits, and a running one is run again after its end"
            ),
            Self::AlreadySucceeded { id } => {
                write!(f, "call {id} has succeeded: schedule another one if it is to be done once more")
            }
            Self::Stopped => f.write_str("the pod has been shut down: schedule before `shutdown()` returns"),
            Self::RuntimeEnded => f.write_str(RUNTIME_ENDED),
            Self::Busy(source) => write!(
                f,
                "{source}; if your own transaction is open here, schedule inside it with `.in_transaction(&mut tx)`"
            ),
            Self::TransactionConflict(source) => write!(
                f,
                "{source}; begin a transaction that will write with `begin_with(\"BEGIN IMMEDIATE\")`, and try again"
            ),
            Self::Encoding(source) => write!(
                f,
                "{source}; create the database with `ENCODING 'UTF8'` to store any text, or leave the character out"
            ),
            Self::FileReplaced(source) | Self::Store(source) => source.fmt(f),
            Self::OutcomeUnknown { id, source } => {
                write!(f, "{source}; whether call {id} is stored is not known: ask `status({id})` later")
            }
        }
    }
}

crate::words::debug_in_words!(ScheduleError);

impl std::error::Error for ScheduleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Argument(source) => Some(source),
            Self::Rule(source) => Some(source),
            Self::Busy(source)
            | Self::TransactionConflict(source)
            | Self::Encoding(source)
            | Self::FileReplaced(source)
            | Self::Store(source)
            | Self::OutcomeUnknown { source, .. } => Some(source),
            _ => None,
        }
    }
}

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

impl From<crate::ArgumentError> for ScheduleError {
    fn from(source: crate::ArgumentError) -> Self {
        Self::Argument(source)
    }
}

impl From<RuleError> for ScheduleError {
    fn from(source: RuleError) -> Self {
        Self::Rule(source)
    }
}

impl From<crate::MomentOutOfRange> for ScheduleError {
    fn from(_: crate::MomentOutOfRange) -> Self {
        Self::MomentOutOfRange
    }
}
