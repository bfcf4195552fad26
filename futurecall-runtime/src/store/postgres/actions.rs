//! What operators did.

use super::PostgresStore;
use crate::error::StoreError;
use crate::id::ActionId;
use crate::store::{ActionFilter, ActionRecord, NewAction, Now};

impl PostgresStore {
    pub(super) async fn note_action_of(&self, now: Now, action: &NewAction) -> Result<(), StoreError> {
        let _ = (now, action);
        Err(StoreError::permanent("record an action", "not built yet"))
    }

    pub(super) async fn settle_action_of(&self, id: ActionId, outcome: &str) -> Result<(), StoreError> {
        let _ = (id, outcome);
        Err(StoreError::permanent("record an action", "not built yet"))
    }

    pub(super) async fn action_records(
        &self,
        filter: &ActionFilter,
    ) -> Result<Vec<ActionRecord>, StoreError> {
        let _ = (filter,);
        Err(StoreError::permanent("list actions", "not built yet"))
    }
}
