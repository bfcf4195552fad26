use std::future::IntoFuture;

use futures_util::future::BoxFuture;

use crate::error::ScheduleError;
use crate::pod::Pod;
use crate::store::transaction::InTransaction;
use crate::store::{CancelTarget, Cancelled};

/// A cancellation, not yet sent. Awaiting it removes what has not started, ends the schedules concerned, signals what
/// runs (through `session.cancelled()`; such a run gets no further attempt), and counts each in [`Cancelled`].
///
/// **Many calls on SQLite.** Of more than 2,000 calls each 2,000 are cancelled in a transaction of their own, so that other
/// work, renewals of leases above all, goes on in between. The first transaction ends the schedules, flags what runs, and
/// decides which calls are meant: those that are stored later are left alone. Calls whose turn has not come yet may still
/// start; they are counted as running. If the database fails in the middle, the pod tries again for a while; an error then
/// has [`outcome_unknown`](ScheduleError::outcome_unknown), says how many calls were cancelled, and leaves the others as
/// they were: cancel again. On PostgreSQL, and [`in_transaction`](Self::in_transaction) everywhere, all are cancelled or none.
///
/// Repeating it is harmless. Dropping the future lets a cancellation that was begun go on to its end. A run under way in another pod is signalled with that pod's next lease renewal (10 s at
/// most by default). A call that is being claimed at the same moment is counted as either cancelled or running, and
/// what is counted as cancelled never starts.
///
/// # Errors
///
/// [`ScheduleError`]: a bad identifier before anything is written, or what the database said.
#[derive(Debug)]
#[must_use = "nothing is cancelled until this is awaited"]
pub struct CancelRequest {
    pod: Pod,
    target: Result<CancelTarget, ScheduleError>,
}

impl CancelRequest {
    pub(crate) fn new(pod: Pod, target: Result<CancelTarget, ScheduleError>) -> Self {
        Self { pod, target }
    }

    /// Cancels inside the application's own transaction: it holds if, and when, that commits.
    ///
    /// **Keep such a transaction shorter than a lease** (30 s by default, less the third that may have passed since the last
    /// renewal). Until it ends, it locks the calls that it flags (on SQLite: the whole file), so that their leases
    /// cannot be renewed. Whether it commits or rolls back cannot be known before, and once the lock is gone, another pod may
    /// take a call whose lease has ended. So the pod stops a handler whose lease ends in the meantime, and the call is
    /// interrupted, or runs again as its [`OnInterrupt`](crate::OnInterrupt) says, even if the transaction is rolled back.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::WrongDatabase`] for a transaction of the other database, else as awaiting it.
    pub async fn in_transaction(
        self,
        transaction: &mut impl InTransaction,
    ) -> Result<Cancelled, ScheduleError> {
        self.pod.cancel_in(transaction.lend(), &self.target?).await
    }
}

impl IntoFuture for CancelRequest {
    type Output = Result<Cancelled, ScheduleError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.pod.cancel_target(self.target?).await })
    }
}
