use std::fmt;

use crate::error::BoxError;

/// What a database answered instead of doing its work.
///
/// Opaque on purpose: decide by its predicates, show it with `Display`, follow `source()` for the driver's own words.
/// `Debug` has no more to say than `Display`: what a server adds to its message may quote a row, and with it arguments.
#[derive(thiserror::Error)]
pub struct StoreError {
    kind: Kind,
    /// What was being done, as a fragment that fits "could not …".
    doing: &'static str,
    source: Option<Cause>,
}

/// What went wrong below, reduced to what it says of itself: a server's refusal would show the refused row in its `Debug`
/// (as the detail of a violated constraint), and so would the errors that it names as its own sources.
#[derive(thiserror::Error)]
#[error("{0}")]
struct Cause(BoxError);

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The connection failed before the work reached the database, or the database asked to try again.
    Transient,
    /// The connection failed after the work was sent: it may have been done.
    Unknown,
    /// A bulk operation that works in chunks failed after it had been done to so many calls and schedules.
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "SQLite alone works in chunks"))]
    Partly { calls: u64, schedules: u64, transient: bool },
    /// The database refused a row.
    Refused,
    /// The database's encoding cannot hold a character of a row.
    Encoding,
    /// A lock was held for too long by somebody else's transaction.
    Busy,
    /// A transaction that has read cannot become a writing one (SQLite).
    Conflict,
    /// A transaction of the other kind of database.
    WrongDatabase,
    /// The store's connections are closed.
    Closed,
    /// The database's file is not the one that was opened (SQLite).
    Replaced,
    /// The database does not let us in, or not do it: people can put that right while the pod runs.
    Denied,
    /// Trying again will not help.
    Permanent,
}

impl StoreError {
    /// Trying again may help; nothing was done.
    pub fn transient(doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Transient, doing, source: Some(Cause(source.into())) }
    }

    /// The reply was lost: the work may have been done.
    pub fn unknown(doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Unknown, doing, source: Some(Cause(source.into())) }
    }

    /// A bulk operation that works in chunks failed with `source` after it had been done to that many calls and
    /// schedules; repeating it does the rest.
    #[cfg(feature = "sqlite")]
    pub(crate) fn partly(doing: &'static str, calls: u64, schedules: u64, source: &Self) -> Self {
        let kind = Kind::Partly { calls, schedules, transient: source.is_transient() };
        Self { kind, doing, source: Some(Cause(source.to_string().into())) }
    }

    /// The database refused a row of the batch; nothing was done.
    pub fn refused(doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Refused, doing, source: Some(Cause(source.into())) }
    }

    /// The database's encoding cannot hold a character of a row; nothing was done.
    pub fn encoding(doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Encoding, doing, source: Some(Cause(source.into())) }
    }

    /// Somebody else's transaction held a lock for too long; nothing was done.
    pub fn busy(doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Busy, doing, source: Some(Cause(source.into())) }
    }

    /// A read transaction could not become a writing one; nothing was done.
    pub fn conflict(doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Conflict, doing, source: Some(Cause(source.into())) }
    }

    /// The transaction given is one of another kind of database; nothing was done.
    pub const fn wrong_database(doing: &'static str) -> Self {
        Self { kind: Kind::WrongDatabase, doing, source: None }
    }

    /// The store's connections are closed, as they are after a pod's shutdown; nothing was done.
    pub const fn closed(doing: &'static str) -> Self {
        Self { kind: Kind::Closed, doing, source: None }
    }

    /// The database's file was deleted or replaced while it was open; nothing was done.
    pub fn replaced(doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Replaced, doing, source: Some(Cause(source.into())) }
    }

    /// The database did not let us in, or not do it, for want of a right, a table, the database itself, or access to its
    /// file; nothing was done.
    pub fn denied(doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Denied, doing, source: Some(Cause(source.into())) }
    }

    /// Trying again will not help; nothing was done.
    pub fn permanent(doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Permanent, doing, source: Some(Cause(source.into())) }
    }

    /// The same error once it is known that nothing was done.
    #[cfg(feature = "postgres")]
    pub(crate) fn undone(self) -> Self {
        Self { kind: Kind::Transient, ..self }
    }

    /// The same error where what was sent may have been done all the same.
    #[cfg(feature = "postgres")]
    pub(crate) fn perhaps_done(self) -> Self {
        if self.kind == Kind::Transient { Self { kind: Kind::Unknown, ..self } } else { self }
    }

    /// The same error for another caller of the same batch: its text is the original's, and it has no source.
    pub(crate) fn echo(&self) -> Self {
        self.echo_as(self.doing)
    }

    /// The same error for who was doing something else in the same transaction.
    pub(crate) fn echo_as(&self, doing: &'static str) -> Self {
        let source = self.source.as_ref().map(|source| Cause(source.to_string().into()));
        Self { kind: self.kind, doing, source }
    }

    /// The driver's own error, for who has to know more than what it means.
    #[cfg(feature = "postgres")]
    pub(crate) fn driver<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.source.as_ref().and_then(|source| source.0.downcast_ref())
    }

    /// Whether the same operation may succeed later. Also true where the outcome is unknown.
    pub fn is_transient(&self) -> bool {
        match self.kind {
            Kind::Transient | Kind::Unknown | Kind::Busy => true,
            Kind::Partly { transient, .. } => transient,
            _ => false,
        }
    }

    /// Whether the work may have been done although this error came back, or was done in part (see
    /// [`CancelRequest`](crate::schedule::CancelRequest) on cancelling many calls on SQLite).
    pub fn outcome_unknown(&self) -> bool {
        matches!(self.kind, Kind::Unknown | Kind::Partly { .. })
    }

    /// To how many calls and schedules a bulk operation had been done when it failed, where that is known.
    pub(crate) fn done_before(&self) -> Option<(u64, u64)> {
        match self.kind {
            Kind::Partly { calls, schedules, .. } => Some((calls, schedules)),
            _ => None,
        }
    }

    /// The same error of a bulk operation, which counts what all its tries have done.
    pub(crate) fn having_done(self, calls: u64, schedules: u64) -> Self {
        match self.kind {
            Kind::Partly { transient, .. } => {
                Self { kind: Kind::Partly { calls, schedules, transient }, ..self }
            }
            _ => self,
        }
    }

    /// Whether the database refused a row of the batch.
    pub fn is_refused(&self) -> bool {
        matches!(self.kind, Kind::Refused | Kind::Encoding)
    }

    /// Whether it refused it for a character that its encoding cannot hold.
    pub fn is_encoding(&self) -> bool {
        self.kind == Kind::Encoding
    }

    /// Whether somebody else's transaction held a lock for too long.
    pub fn is_busy(&self) -> bool {
        self.kind == Kind::Busy
    }

    /// Whether a read transaction could not become a writing one.
    pub fn is_conflict(&self) -> bool {
        self.kind == Kind::Conflict
    }

    /// Whether the store's connections are closed, because its pod has been shut down.
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
    }

    /// Whether the SQLite file was deleted, moved, emptied or replaced by another while the pod had it open: what is
    /// stored in it would be gone with the process. Restart the pod, or put the original file back.
    pub fn is_replaced(&self) -> bool {
        self.kind == Kind::Replaced
    }

    /// Whether the database did not let us in, or not do it, for want of a right, a table, the database itself, or access
    /// to its file. Trying again helps once somebody has put that right: a pod that runs tries for a while, a start fails
    /// at once.
    pub fn is_denied(&self) -> bool {
        self.kind == Kind::Denied
    }

    /// Whether a pod that runs should try again: the database may come back, or be put right.
    pub(crate) fn may_pass(&self) -> bool {
        self.is_transient() || self.is_denied() || self.is_replaced()
    }

    /// Whether a transaction of another kind of database was given.
    pub fn is_wrong_database(&self) -> bool {
        self.kind == Kind::WrongDatabase
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}", self.doing)?;
        match self.kind {
            Kind::Unknown => {
                f.write_str(" for sure: the connection broke before the reply came, so it may be done")?;
            }
            Kind::Partly { calls, .. } => {
                write!(
                    f,
                    " completely: {calls} calls were done before it failed; repeating it does the rest"
                )?;
            }
            Kind::WrongDatabase => {
                f.write_str(": the transaction belongs to another kind of database than the pod's")?;
            }
            Kind::Closed => {
                f.write_str(
                    ": the pod has been shut down, and its connections are closed: start another pod",
                )?;
            }
            Kind::Transient
            | Kind::Refused
            | Kind::Encoding
            | Kind::Busy
            | Kind::Conflict
            | Kind::Replaced
            | Kind::Denied
            | Kind::Permanent => {}
        }
        self.source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}

crate::words::debug_in_words!(StoreError);
