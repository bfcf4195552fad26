//! What operators did.

use super::SqliteStore;
use crate::error::StoreError;
use crate::id::ActionId;
use crate::store::{ActionFilter, ActionRecord, NewAction, Now};

pub(super) async fn note_action(store: &SqliteStore, now: Now, action: &NewAction) -> Result<(), StoreError> {
    let _ = (store, now, action);
    Err(StoreError::permanent("record an action", "not built yet"))
}

pub(super) async fn settle_action(
    store: &SqliteStore,
    id: ActionId,
    outcome: &str,
) -> Result<(), StoreError> {
    let _ = (store, id, outcome);
    Err(StoreError::permanent("record an action", "not built yet"))
}

pub(super) async fn actions(
    store: &SqliteStore,
    filter: &ActionFilter,
) -> Result<Vec<ActionRecord>, StoreError> {
    let _ = (store, filter);
    Err(StoreError::permanent("list actions", "not built yet"))
}
