use std::collections::BTreeSet;

use super::rows::{Call, End, State, refuse_nul};
use crate::error::StoreError;
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::store::{
    CallState, Inserted, Now, PausedName, REPEATED, Retention, ScheduleChange, ScheduleChanged,
    ScheduleState, stopped,
};

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
        let Some(schedule) = self.schedules.get(&id) else { return Ok(ScheduleChanged::Unknown) };
        if schedule.state == ScheduleState::Ended {
            return Ok(match change {
                ScheduleChange::End { .. } => ScheduleChanged::Unchanged,
                _ => ScheduleChanged::Ended,
            });
        }
        match change {
            ScheduleChange::Pause { reason } => {
                self.stop_schedule(now, id, ScheduleState::Paused, reason, retention)
            }
            ScheduleChange::End { reason } => {
                self.stop_schedule(now, id, ScheduleState::Ended, reason, retention)
            }
            ScheduleChange::Resume if schedule.state == ScheduleState::Active => {
                Ok(ScheduleChanged::Unchanged)
            }
            ScheduleChange::Resume => {
                self.resume_schedule(now, id);
                Ok(ScheduleChanged::Changed)
            }
            ScheduleChange::Edit(rule) if schedule.effective == *rule => Ok(ScheduleChanged::Unchanged),
            ScheduleChange::Edit(rule) => {
                let first = rule.first(now).map_err(|error| StoreError::refused(CHANGING, error))?;
                self.put_in_effect(now, id, rule, first);
                Ok(ScheduleChanged::Changed)
            }
        }
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
            let call = Call { id, first_due: Some(now), ..schedule.call(now, now) };
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

    fn stop_schedule(
        &mut self,
        now: Moment,
        id: ScheduleId,
        state: ScheduleState,
        reason: &str,
        retention: &Retention,
    ) -> Result<ScheduleChanged, StoreError> {
        refuse_nul(CHANGING, [reason])?;
        let Some(schedule) = self.schedules.get_mut(&id) else { return Ok(ScheduleChanged::Unknown) };
        if schedule.state == state {
            return Ok(ScheduleChanged::Unchanged);
        }
        schedule.state = state;
        schedule.reason = Some(reason.to_owned());
        for call in self.pending_of(id) {
            let end = End::without_run(CallState::Cancelled, stopped(state));
            self.end(now, call.id, end, retention);
        }
        Ok(ScheduleChanged::Changed)
    }
}
