//! What an operator changes by hand.

use super::PostgresStore;
use crate::error::StoreError;
use crate::id::{CallId, ScheduleId};
use crate::store::{Now, PausedName, Retention, ScheduleChange, ScheduleChanged};

impl PostgresStore {
    pub(super) async fn delete_calls(&self, ids: &[CallId]) -> Result<u64, StoreError> {
        let _ = (ids,);
        Err(StoreError::permanent("delete calls", "not built yet"))
    }

    pub(super) async fn change_schedule_of(
        &self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged, StoreError> {
        let _ = (now, id, change, retention);
        Err(StoreError::permanent("change a schedule", "not built yet"))
    }

    pub(super) async fn trigger_schedule(
        &self,
        now: Now,
        schedule: ScheduleId,
        id: CallId,
    ) -> Result<bool, StoreError> {
        let _ = (now, schedule, id);
        Err(StoreError::permanent("trigger a schedule", "not built yet"))
    }

    pub(super) async fn pause_call_name(
        &self,
        now: Now,
        name: &str,
        actor: &str,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let _ = (now, name, actor, reason);
        Err(StoreError::permanent("pause calls", "not built yet"))
    }

    pub(super) async fn resume_call_name(&self, name: &str) -> Result<bool, StoreError> {
        let _ = (name,);
        Err(StoreError::permanent("resume calls", "not built yet"))
    }

    pub(super) async fn paused_call_names(&self) -> Result<Vec<PausedName>, StoreError> {
        Err(StoreError::permanent("list paused names", "not built yet"))
    }
}
