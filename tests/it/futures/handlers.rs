//! Handlers of the rounds.

use std::marker::PhantomData;
use std::sync::Arc;

use futurecall_runtime::prelude::*;
use futurecall_runtime::{CallId, TransactionDatabase};
use futurecall_testbed::rng::Rng;
use futurecall_tests::journal::Journal;
use tokio::sync::Semaphore;

use super::kept::poll_times;

/// Records which call it is.
pub(crate) const NOTE: &str = "note";
/// Completes its call in a transaction, in which it schedules another one.
pub(crate) const COMPLETE: &str = "complete";

#[derive(Clone)]
pub(crate) struct Note(pub(crate) Journal);

impl InvokableFutureCall for Note {
    type Data = CallId;

    async fn invoke(&self, session: &Session, child_of: Option<CallId>) -> Result<(), BoxError> {
        self.0.write(session.call().id.to_string());
        if let Some(parent) = child_of {
            self.0.write(format!("child of {parent}"));
        }
        Ok(())
    }
}

/// Keeps the futures of its transaction until the gate opens, if it gets a seed.
#[derive(Clone)]
pub(crate) struct Complete<Db> {
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) database: PhantomData<Db>,
}

impl<Db: TransactionDatabase> InvokableFutureCall for Complete<Db> {
    type Data = u64;

    async fn invoke(&self, session: &Session, seed: Option<u64>) -> Result<(), BoxError> {
        let mut dice = Rng::new(seed.unwrap_or_default());
        let times = |dice: &mut Rng| if seed.is_some() { 1 + dice.below(4) } else { usize::MAX };
        let mut cancelled = Box::pin(session.cancelled());
        poll_times(cancelled.as_mut(), 1).await;

        let mut first = Box::pin(session.transaction::<Db>());
        let begun = poll_times(first.as_mut(), times(&mut dice)).await;
        let mut transaction = if let Some(transaction) = begun {
            transaction?
        } else {
            drop(self.gate.acquire().await);
            let resumed = if dice.below(2) == 0 { first.await.ok() } else { None };
            match resumed {
                Some(transaction) => transaction,
                // Dropped, or rolled back because nobody took it.
                None => session.transaction::<Db>().await?,
            }
        };
        let child =
            session.pod().future_call_with_delay(NOTE, Some(&session.call().id), std::time::Duration::ZERO);
        child.in_transaction(&mut transaction).await?;
        let mut complete = Box::pin(transaction.complete());
        if let Some(completed) = poll_times(complete.as_mut(), times(&mut dice)).await {
            return Ok(completed?);
        }
        drop(self.gate.acquire().await);
        if dice.below(2) == 0 {
            complete.await?;
        }
        Ok(())
    }
}

/// A recurring call that is registered with no pod.
pub(crate) struct KeptTickFutureCall;

#[future_call]
impl KeptTickFutureCall {
    pub(crate) async fn tick(_session: &Session) {}
}
