use std::ops::{Deref, DerefMut};

use super::Session;
use crate::engine::Opened;
use crate::error::TransactionError;
use crate::store::transaction::{
    InTransaction, OpenTransaction, TransactionDatabase, TransactionRef, sealed,
};

/// A transaction of the pod's database in which a run writes what it has to write, and completes its call:
/// [`Session::transaction`].
///
/// Statements are run on `&mut *tx`, calls are scheduled and cancelled with `.in_transaction(&mut tx)`. Dropped without
/// [`complete`](Self::complete) it is rolled back, also when the handler panics or is stopped.
#[derive(Debug)]
#[must_use = "what is written in it is rolled back unless `complete()` is awaited"]
pub struct CallTransaction<'s, Db: TransactionDatabase> {
    session: &'s Session,
    open: Db::Open,
    /// Tells of the end after the transaction has ended.
    opened: Opened,
}

impl<'s, Db: TransactionDatabase> CallTransaction<'s, Db> {
    pub(super) async fn begin(session: &'s Session) -> Result<Self, TransactionError> {
        let (open, opened) = session.pod.engine().begin::<Db>(&session.completion).await?;
        Ok(Self { session, open, opened })
    }

    /// Commits what was written in this transaction together with the call's success, if this pod still holds the call.
    ///
    /// When it is `Ok`, both are durable, and nothing that the handler does afterwards changes the call's outcome: an
    /// error that it returns then is only logged. A call that was cancelled while it ran is completed all the same.
    /// Dropping this future lets it go on to its end.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]. Unless its [`outcome_unknown`](TransactionError::outcome_unknown), the transaction is rolled
    /// back, and the call is not complete: the handler may begin another transaction, or return an error. A reply to the
    /// COMMIT that got lost is looked into first; only when the database does not answer for 10 seconds the outcome is
    /// unknown.
    pub async fn complete(self) -> Result<(), TransactionError> {
        let Self { session, open, opened } = self;
        session.pod.engine().complete(OpenTransaction::new(open), opened).await
    }
}

impl<Db: TransactionDatabase> Deref for CallTransaction<'_, Db> {
    type Target = Db::Connection;

    fn deref(&self) -> &Db::Connection {
        &self.open
    }
}

impl<Db: TransactionDatabase> DerefMut for CallTransaction<'_, Db> {
    fn deref_mut(&mut self) -> &mut Db::Connection {
        &mut self.open
    }
}

impl<Db: TransactionDatabase> sealed::Sealed for CallTransaction<'_, Db> {}

impl<Db: TransactionDatabase> InTransaction for CallTransaction<'_, Db> {
    fn lend(&mut self) -> TransactionRef<'_> {
        self.open.lend()
    }
}
