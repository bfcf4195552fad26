//! The application's own transaction, of either database, behind one sealed trait.

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

mod sealed {
    pub trait Sealed {}
}

/// What [`in_transaction`](crate::PendingCall::in_transaction) takes: `&mut` of a sqlx transaction or connection of
/// PostgreSQL or SQLite. Sealed.
pub trait InTransaction: sealed::Sealed + Send {
    /// Lends the connection.
    #[doc(hidden)]
    fn lend(&mut self) -> TransactionRef<'_>;
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::{InTransaction, TransactionRef, sealed::Sealed};

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
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::{InTransaction, TransactionRef, sealed::Sealed};

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
}
