//! What an operator changes by hand.

use super::SqliteStore;
use crate::error::StoreError;
use crate::id::{CallId, ScheduleId};
use crate::store::{Now, PausedName, Retention, ScheduleChange, ScheduleChanged};

pub(super) async fn delete(store: &SqliteStore, ids: &[CallId]) -> Result<u64, StoreError> {
    let _ = (store, ids);
    Err(StoreError::permanent("delete calls", "not built yet"))
}

pub(super) async fn change_schedule(
    store: &SqliteStore,
    now: Now,
    id: ScheduleId,
    change: &ScheduleChange,
    retention: &Retention,
) -> Result<ScheduleChanged, StoreError> {
    let _ = (store, now, id, change, retention);
    Err(StoreError::permanent("change a schedule", "not built yet"))
}

pub(super) async fn trigger(
    store: &SqliteStore,
    now: Now,
    schedule: ScheduleId,
    id: CallId,
) -> Result<bool, StoreError> {
    let _ = (store, now, schedule, id);
    Err(StoreError::permanent("trigger a schedule", "not built yet"))
}

pub(super) async fn pause_name(
    store: &SqliteStore,
    now: Now,
    name: &str,
    actor: &str,
    reason: &str,
) -> Result<bool, StoreError> {
    let _ = (store, now, name, actor, reason);
    Err(StoreError::permanent("pause calls", "not built yet"))
}

pub(super) async fn resume_name(store: &SqliteStore, name: &str) -> Result<bool, StoreError> {
    let _ = (store, name);
    Err(StoreError::permanent("resume calls", "not built yet"))
}

pub(super) async fn paused_names(store: &SqliteStore) -> Result<Vec<PausedName>, StoreError> {
    let _ = store;
    Err(StoreError::permanent("list paused names", "not built yet"))
}
