use std::collections::BTreeSet;

use super::rows::{Call, State, refuse_nul};
use crate::error::StoreError;
use crate::id::{CallId, ScheduleId};
use crate::store::{Inserted, Now, PausedName, REPEATED, Retention, ScheduleChange, ScheduleChanged};

const CHANGING: &str = "change a schedule";

impl State {
    pub(super) fn delete(&mut self, now: Now, ids: &[CallId]) -> u64 {
        if !ids.is_empty() {
            self.note_gap(now, REPEATED);
        }
        let gone: BTreeSet<_> = ids.iter().filter(|id| self.finished.remove(id).is_some()).collect();
        self.logs.retain(|(id, _), _| !gone.contains(id));
        gone.len() as u64
    }

    pub(super) fn change_schedule(
        &mut self,
        now: Now,
        id: ScheduleId,
        change: &ScheduleChange,
        retention: &Retention,
    ) -> Result<ScheduleChanged, StoreError> {
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

    pub(super) fn pause_name(
        &mut self,
        now: Now,
        name: &str,
        actor: &str,
        reason: &str,
    ) -> Result<bool, StoreError> {
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
