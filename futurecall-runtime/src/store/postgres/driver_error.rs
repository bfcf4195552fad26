//! What an error of the driver or the server means.

use std::borrow::Cow;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::connection_check::{self};
use crate::error::StoreError;

const NO_CONNECTION: &str =
    "is the server running at that host and port, and does it have connections to spare?";

const NOT_MIGRATED: &str = "the tables are not there: was this database migrated, with this schema?";

const NO_RIGHT: &str = "does this database role have the rights of what the pod does? migrations/roles.sql grants them, \
    and is to be run again after an upgrade";

/// How PgBouncer begins to refuse a client for what it sends at the start.
const REFUSED_PARAMETER: &str = "unsupported startup parameter";

const POOLER: &str = "a connection pooler shares servers between transactions: let it track prepared statements \
    (pgbouncer 1.21: max_prepared_statements), or add ?statement-cache-capacity=0 to the database URL";

/// The meaning of an error before anything can have been committed.
pub(super) fn nothing_done(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| meaning(doing, error, Sent::InVain)
}

/// A statement that always answers with a row did not.
pub(super) fn empty(doing: &'static str) -> StoreError {
    StoreError::permanent(doing, sqlx::Error::RowNotFound)
}

/// What a statement may have done although its reply was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Nothing: it changes nothing, or was not committed.
    InVain,
    /// All of it: it commits by itself, or is the COMMIT.
    PerhapsDone,
}

pub(super) fn meaning(doing: &'static str, error: sqlx::Error, sent: Sent) -> StoreError {
    let lost = |error: sqlx::Error| match sent {
        Sent::InVain => StoreError::transient(doing, error),
        Sent::PerhapsDone => StoreError::unknown(doing, error),
    };
    let code = match &error {
        // Whatever it lacked: a server that ends the session may have committed before.
        sqlx::Error::Database(said) if ends_the_session(&**said) => return lost(error),
        sqlx::Error::Database(said) if said.message().starts_with(REFUSED_PARAMETER) => {
            let parameter = said.message().rsplit(' ').next().unwrap_or_default();
            let advice = format!(
                "a connection pooler does not pass this parameter on: leave it out of the database URL (ALTER ROLE … \
                 SET gives a role its settings), or let PgBouncer ignore it, with the line ignore_startup_parameters = \
                 {parameter} in pgbouncer.ini"
            );
            return StoreError::permanent(doing, Advice::new(error, advice));
        }
        sqlx::Error::Database(said) => said.code().map(Cow::into_owned).unwrap_or_default(),
        sqlx::Error::PoolClosed => return StoreError::closed(doing),
        sqlx::Error::PoolTimedOut => return StoreError::transient(doing, Advice::new(error, NO_CONNECTION)),
        sqlx::Error::BeginFailed => return StoreError::transient(doing, error),
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => return lost(error),
        // A TLS handshake that fails, say: of the connection, not of the statement.
        sqlx::Error::Tls(_) => return StoreError::denied(doing, error),
        _ => return StoreError::permanent(doing, error),
    };
    match (code.as_str(), code.get(..2).unwrap_or_default()) {
        // The server ended the connection, or could not say how the statement ended.
        ("57P01" | "57P02" | "40003", _) | (_, "08") => lost(error),
        ("25006", _) => {
            connection_check::was_read_only();
            StoreError::transient(doing, error)
        }
        // Try again: serialization, deadlock, a lock's, a statement's or a transaction's time limit, starting up, an idle
        // connection ended, resources, the server's own faults.
        ("40001" | "40P01" | "55P03" | "57014" | "57P03" | "57P05" | "25P03" | "25P04", _)
        | (_, "53" | "58" | "XX") => StoreError::transient(doing, error),
        // Somebody has to put it right, and may be about to: log-in, rights, the database, its tables.
        (_, "28" | "3D") | ("57P04", _) => StoreError::denied(doing, error),
        ("42P01" | "3F000", _) => StoreError::denied(doing, Advice::new(error, NOT_MIGRATED)),
        ("42501", _) => StoreError::denied(doing, Advice::new(error, NO_RIGHT)),
        ("42P05" | "26000", _) => StoreError::permanent(doing, Advice::new(error, POOLER)),
        ("22P05", _) => StoreError::encoding(doing, error),
        // Data that cannot be: encoding, JSON, ranges, constraints, nesting.
        (_, "22" | "23" | "54") => StoreError::refused(doing, error),
        // What ends the session is about the session, and not about the statement.
        _ if is_fatal(&error) => StoreError::denied(doing, error),
        _ => StoreError::permanent(doing, error),
    }
}

/// Whether the server, or a pooler in its name, ended the session with it.
fn is_fatal(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|said| matches!(severity(said), Some(PgSeverity::Fatal | PgSeverity::Panic)))
}

fn severity(said: &dyn DatabaseError) -> Option<PgSeverity> {
    said.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity)
}

/// Whether the server is short of something (disk, memory, connections) or has a fault of its own, and gave up the session
/// for it.
fn ends_the_session(said: &dyn DatabaseError) -> bool {
    let is_its_own =
        said.code().is_some_and(|code| ["53", "58", "XX"].iter().any(|class| code.starts_with(class)));
    is_its_own && matches!(severity(said), Some(PgSeverity::Fatal | PgSeverity::Panic))
}

/// What the server said, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{error} ({advice})")]
struct Advice {
    #[source]
    error: sqlx::Error,
    advice: Cow<'static, str>,
}

impl Advice {
    fn new(error: sqlx::Error, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { error, advice: advice.into() }
    }
}
