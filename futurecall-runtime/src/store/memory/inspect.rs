use async_trait::async_trait;

use super::listing::Row;
use super::rows::{Call, Schedule, State};
use crate::id::CallId;
use crate::store::{CallRecord, InspectStore, MemoryStore, Now, Result, ScheduleRecord, ScheduleState};

#[async_trait]
impl InspectStore for MemoryStore {
    async fn call(&self, _now: Now, id: CallId) -> Result<Option<CallRecord>> {
        Ok(self.state().record(id))
    }

    async fn schedules(&self) -> Result<Vec<ScheduleRecord>> {
        let state = self.state();
        let mut records: Vec<_> =
            state.schedules.values().map(|schedule| state.schedule_record(schedule)).collect();
        records.sort_by_key(|record| (record.created, record.id));
        Ok(records)
    }
}

impl State {
    pub(super) fn record(&self, id: CallId) -> Option<CallRecord> {
        let row = self.row(id)?;
        let mut record = row.record();
        record.attempts.extend(row.call().past.iter().map(|past| past.record.clone()));
        record.attempts.extend(row.attempt());
        Some(record)
    }

    fn schedule_record(&self, schedule: &Schedule) -> ScheduleRecord {
        let active = schedule.state == ScheduleState::Active;
        let pending =
            self.calls_of(schedule.id).filter(|call| active && call.held.is_none() && !call.is_again());
        ScheduleRecord {
            id: schedule.id,
            name: schedule.name.clone(),
            identifier: schedule.identifier.clone(),
            args: schedule.args.clone(),
            declared: schedule.declared.clone(),
            effective: schedule.effective.clone(),
            origin: schedule.origin,
            state: schedule.state,
            reason: schedule.reason.clone(),
            next: pending.map(|call| call.due).min(),
            anchor: schedule.anchor,
            created: schedule.created,
        }
    }
}

/// A call that is not over, as a record.
pub(super) fn pending_record(call: &Call) -> CallRecord {
    Row::Pending(call).record()
}
