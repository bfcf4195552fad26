//! Transactions of handlers, which memory does not have.

use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use crate::error::StoreError;
use crate::id::{CallId, PodId};
use crate::store::transaction::OpenTransaction;
use crate::store::{Completed, Finish, Now, Result, Retention, TransactionStore};

#[async_trait]
impl TransactionStore for MemoryStore {
    async fn begin(&self, _limit: Duration) -> Result<Option<OpenTransaction>> {
        Ok(None)
    }

    async fn complete(
        &self,
        _transaction: OpenTransaction,
        _now: Now,
        _pod: PodId,
        _finish: &Finish,
        _retention: &Retention,
    ) -> Result<bool> {
        Err(StoreError::wrong_database("complete the call in its transaction"))
    }

    async fn completed(&self, pod: PodId, id: CallId, claim_no: i64) -> Result<Completed> {
        Ok(self.state().completed(pod, id, claim_no))
    }
}
