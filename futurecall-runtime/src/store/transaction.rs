//! Sealed traits over the transactions of both databases: the application's own, and those that a store begins for a
//! handler.

use std::any::Any;
use std::fmt::Debug;
use std::ops::DerefMut;
use std::time::Duration;

/// A connection inside the application's transaction, lent to a store.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransactionRef<'c> {
    /// A PostgreSQL connection.
    #[cfg(feature = "postgres")]
    Postgres(&'c mut sqlx::PgConnection),
    /// A SQLite connection.
    #[cfg(feature = "sqlite")]
    Sqlite(&'c mut sqlx::SqliteConnection),
    /// Never constructed: keeps the lifetime in use when both features are off.
    #[doc(hidden)]
    None(std::marker::PhantomData<&'c mut ()>),
}

pub(crate) mod sealed {
    /// Seals the traits below.
    pub trait Sealed {}
}

/// What [`in_transaction`](crate::PendingCall::in_transaction) takes: `&mut` of a sqlx transaction or connection of
/// PostgreSQL or SQLite, or of a [`CallTransaction`](crate::CallTransaction). Sealed.
pub trait InTransaction: sealed::Sealed + Send {
    /// Lends the connection.
    #[doc(hidden)]
    fn lend(&mut self) -> TransactionRef<'_>;
}

/// A database whose transactions a run can complete its call in: `sqlx::Postgres` and `sqlx::Sqlite`, as the type
/// argument of [`Session::transaction`](crate::Session::transaction). Sealed.
pub trait TransactionDatabase: sealed::Sealed + Debug + Send + Sync + 'static {
    /// The type on which statements run.
    #[doc(hidden)]
    type Connection: InTransaction;
    /// The open transaction.
    #[doc(hidden)]
    type Open: Open + DerefMut<Target = Self::Connection>;
    /// The store's name for it.
    #[doc(hidden)]
    const KIND: &'static str;
}

/// An open transaction of one database.
pub trait Open: InTransaction + Debug + Sync + 'static {
    /// Returns how long it may be open, if it blocks other writers.
    fn limit(&self) -> Option<Duration> {
        None
    }

    /// Returns whether it has been open for longer than its limit.
    fn is_overdue(&self) -> bool {
        false
    }

    /// Converts it for [`OpenTransaction::downcast`].
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

/// A transaction that a store has begun for a handler. Rolled back when dropped.
#[derive(Debug)]
pub struct OpenTransaction(Box<dyn Open>);

impl OpenTransaction {
    /// Wraps a transaction of either database.
    pub(crate) fn new(open: impl Open) -> Self {
        Self(Box::new(open))
    }

    /// Returns how long it may be open, if it blocks other writers.
    pub fn limit(&self) -> Option<Duration> {
        self.0.limit()
    }

    /// Returns whether it has been open for longer than its limit.
    pub fn is_overdue(&self) -> bool {
        self.0.is_overdue()
    }

    /// Returns the transaction as that database's type; `None` if it is of another database.
    pub(crate) fn downcast<T: Open>(self) -> Option<T> {
        self.0.into_any().downcast().ok().map(|open| *open)
    }
}

impl sealed::Sealed for OpenTransaction {}
impl InTransaction for OpenTransaction {
    fn lend(&mut self) -> TransactionRef<'_> {
        self.0.lend()
    }
}

/// Implements [`InTransaction`] for sqlx's types of one database.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
macro_rules! lend {
    ($variant:ident: $($connection:ty),+) => {$(
        impl sealed::Sealed for $connection {}
        impl InTransaction for $connection {
            fn lend(&mut self) -> TransactionRef<'_> {
                TransactionRef::$variant(self)
            }
        }
    )+};
}

#[cfg(feature = "postgres")]
lend!(
    Postgres: sqlx::PgConnection, sqlx::Transaction<'_, sqlx::Postgres>, sqlx::pool::PoolConnection<sqlx::Postgres>
);

#[cfg(feature = "sqlite")]
lend!(Sqlite: sqlx::SqliteConnection, sqlx::Transaction<'_, sqlx::Sqlite>, sqlx::pool::PoolConnection<sqlx::Sqlite>);
