use std::collections::BTreeSet;

use async_trait::async_trait;

use super::rows::{Call, State, refuse_nul};
use crate::error::StoreError;
use crate::id::{CallId, ScheduleId};
use crate::store::{
    Inserted, MemoryStore, Now, OperateStore, PausedName, REPEATED, Result, Retention, ScheduleChange,
    ScheduleChanged,
};

const CHANGING: &str = "change a schedule";

#[async_trait]
impl OperateStore for MemoryStore {
    async fn delete(&self, now: Now, ids: &[CallId]) -> Result<u64> {
        let state = &mut *self.state();
        if !ids.is_empty() {
            state.note_gap(now, REPEATED);
        }
        let gone: BTreeSet<_> = ids.iter().filter(|id| state.finished.remove(id).is_some()).collect();
        state.logs.retain(|(id, _), _| !gone.contains(id));
        Ok(gone.len() as u64)
    }

    async fn change_schedule(
        &self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged> {
        let changed = self.state().change_schedule(now, id, change, retention)?;
        if changed == ScheduleChanged::Changed {
            self.wake_others();
        }
        Ok(changed)
    }

    async fn trigger(
        &self,
        now: Now,
        schedule: ScheduleId,
        id: CallId,
        again: bool,
    ) -> Result<Option<Inserted>> {
        let triggered = self.state().trigger(now, schedule, id, again);
        if triggered == Some(Inserted::Stored) {
            self.wake_others();
        }
        Ok(triggered)
    }

    async fn pause_name(&self, now: Now, name: &str, actor: &str, reason: &str) -> Result<bool> {
        let paused = self.state().pause_name(now, name, actor, reason)?;
        if paused {
            self.wake_others();
        }
        Ok(paused)
    }

    async fn resume_name(&self, name: &str) -> Result<bool> {
        let resumed = self.state().paused.remove(name).is_some();
        if resumed {
            self.wake_others();
        }
        Ok(resumed)
    }

    async fn paused_names(&self) -> Result<Vec<PausedName>> {
        Ok(self.state().paused.values().cloned().collect())
    }
}

impl State {
    pub(super) fn change_schedule(
        &mut self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged> {
        let now = self.now(now);
        if let ScheduleChange::Pause { reason } | ScheduleChange::End { reason } = change {
            refuse_nul(CHANGING, [reason.as_str()])?;
        }
        let mut timetable = self.timetable(now, [id]);
        let changed = timetable.change(id, change);
        let changed = changed.map_err(|error| StoreError::refused(CHANGING, error))?;
        self.write(now, timetable.into_changes(), retention);
        Ok(changed)
    }

    pub(super) fn trigger(
        &mut self,
        now: Now,
        schedule: ScheduleId,
        id: CallId,
        again: bool,
    ) -> Option<Inserted> {
        let now = self.now(now);
        let schedule = self.schedules.get(&schedule)?;
        if self.call(id).is_none() && !self.finished.contains_key(&id) {
            if again && self.has_gap(now) {
                return Some(Inserted::Unknown);
            }
            // As a call that has its successor, so that the rule takes no notice of it.
            let call = Call { first_due: Some(now), ..schedule.call(now, id, now) };
            self.put(call);
        }
        Some(Inserted::Stored)
    }

    pub(super) fn pause_name(&mut self, now: Now, name: &str, actor: &str, reason: &str) -> Result<bool> {
        refuse_nul("pause calls", [name, actor, reason])?;
        let since = self.now(now);
        if self.paused.contains_key(name) {
            return Ok(false);
        }
        let paused = PausedName::new(name.to_owned(), since, actor.to_owned(), reason.to_owned());
        self.paused.insert(name.to_owned(), paused);
        Ok(true)
    }
}
