//! Transactions of either database behind sealed traits: the application's own, and those that a store begins for a
//! handler.

use std::fmt::Debug;
use std::ops::DerefMut;
use std::time::Duration;

/// A connection inside the application's transaction, lent to a store.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransactionRef<'c> {
    /// Of PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(&'c mut sqlx::PgConnection),
    /// Of SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite(&'c mut sqlx::SqliteConnection),
    /// Of no database: keeps the lifetime in use when both features are off.
    #[doc(hidden)]
    None(std::marker::PhantomData<&'c mut ()>),
}

pub(crate) mod sealed {
    /// Keeps the traits below ours.
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
    /// What statements are run on.
    #[doc(hidden)]
    type Connection: InTransaction;
    /// The open transaction.
    #[doc(hidden)]
    type Open: DerefMut<Target = Self::Connection> + Debug + Send + Sync;
    /// The store's word for it.
    #[doc(hidden)]
    const KIND: &'static str;

    /// `None`: it is of the other database.
    #[doc(hidden)]
    fn of(open: OpenTransaction) -> Option<Self::Open>;
    #[doc(hidden)]
    fn back(open: Self::Open) -> OpenTransaction;
}

/// A transaction that a store has begun for a handler. Dropped, it is rolled back.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenTransaction {
    /// Of PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(super::postgres::PostgresOpen),
    /// Of SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite(super::sqlite::SqliteOpen),
    /// Of no database: there is something to match when both features are off.
    #[doc(hidden)]
    None,
}

impl OpenTransaction {
    /// How long it may be open, where others wait for its end meanwhile.
    #[cfg(feature = "sqlite")]
    pub fn limit(&self) -> Option<Duration> {
        match self {
            Self::Sqlite(open) => Some(open.limit()),
            _ => None,
        }
    }

    /// How long it may be open, where others wait for its end meanwhile.
    #[cfg(not(feature = "sqlite"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub fn limit(&self) -> Option<Duration> {
        None
    }

    /// Whether it has been open for longer than its limit.
    #[cfg(feature = "sqlite")]
    pub fn is_overdue(&self) -> bool {
        matches!(self, Self::Sqlite(open) if open.is_overdue())
    }

    /// Whether it has been open for longer than its limit.
    #[cfg(not(feature = "sqlite"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub fn is_overdue(&self) -> bool {
        false
    }
}

impl sealed::Sealed for OpenTransaction {}
impl InTransaction for OpenTransaction {
    fn lend(&mut self) -> TransactionRef<'_> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(open) => TransactionRef::Postgres(open),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(open) => TransactionRef::Sqlite(open),
            Self::None => TransactionRef::None(std::marker::PhantomData),
        }
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::{InTransaction, OpenTransaction, TransactionDatabase, TransactionRef, sealed::Sealed};

    impl Sealed for sqlx::PgConnection {}
    impl InTransaction for sqlx::PgConnection {
        fn lend(&mut self) -> TransactionRef<'_> {
            TransactionRef::Postgres(self)
        }
    }

    impl Sealed for sqlx::Transaction<'_, sqlx::Postgres> {}
    impl InTransaction for sqlx::Transaction<'_, sqlx::Postgres> {
        fn lend(&mut self) -> TransactionRef<'_> {
            TransactionRef::Postgres(self)
        }
    }

    impl Sealed for sqlx::pool::PoolConnection<sqlx::Postgres> {}
    impl InTransaction for sqlx::pool::PoolConnection<sqlx::Postgres> {
        fn lend(&mut self) -> TransactionRef<'_> {
            TransactionRef::Postgres(self)
        }
    }

    impl Sealed for sqlx::Postgres {}
    impl TransactionDatabase for sqlx::Postgres {
        type Connection = sqlx::PgConnection;
        type Open = crate::store::postgres::PostgresOpen;
        const KIND: &'static str = "postgres";

        fn of(open: OpenTransaction) -> Option<Self::Open> {
            match open {
                OpenTransaction::Postgres(open) => Some(open),
                _ => None,
            }
        }

        fn back(open: Self::Open) -> OpenTransaction {
            OpenTransaction::Postgres(open)
        }
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::{InTransaction, OpenTransaction, TransactionDatabase, TransactionRef, sealed::Sealed};

    impl Sealed for sqlx::SqliteConnection {}
    impl InTransaction for sqlx::SqliteConnection {
        fn lend(&mut self) -> TransactionRef<'_> {
            TransactionRef::Sqlite(self)
        }
    }

    impl Sealed for sqlx::Transaction<'_, sqlx::Sqlite> {}
    impl InTransaction for sqlx::Transaction<'_, sqlx::Sqlite> {
        fn lend(&mut self) -> TransactionRef<'_> {
            TransactionRef::Sqlite(self)
        }
    }

    impl Sealed for sqlx::pool::PoolConnection<sqlx::Sqlite> {}
    impl InTransaction for sqlx::pool::PoolConnection<sqlx::Sqlite> {
        fn lend(&mut self) -> TransactionRef<'_> {
            TransactionRef::Sqlite(self)
        }
    }

    impl Sealed for sqlx::Sqlite {}
    impl TransactionDatabase for sqlx::Sqlite {
        type Connection = sqlx::SqliteConnection;
        type Open = crate::store::sqlite::SqliteOpen;
        const KIND: &'static str = "sqlite";

        fn of(open: OpenTransaction) -> Option<Self::Open> {
            match open {
                OpenTransaction::Sqlite(open) => Some(open),
                _ => None,
            }
        }

        fn back(open: Self::Open) -> OpenTransaction {
            OpenTransaction::Sqlite(open)
        }
    }
}
