//! Schedules with their runs: loaded for the policy to decide, and written as it has decided.

use super::rows::{End, Schedule as Row, State};
use crate::id::ScheduleId;
use crate::moment::Moment;
use crate::store::policy::{Changes, Phase, Run, Schedule, Timetable};
use crate::store::{CallState, Retention};

impl State {
    /// Reads schedules and their runs.
    pub(super) fn timetable(
        &self,
        now: Moment,
        ids: impl IntoIterator<Item = ScheduleId> + Clone,
    ) -> Timetable {
        let of = ids.clone().into_iter();
        let runs = of.flat_map(|id| self.calls_of(id).map(move |call| (id, call)));
        let runs = runs.map(|(id, call)| {
            let phase = match call.held {
                None => Phase::Waiting,
                Some(held) if held.lease_until >= now => Phase::Running,
                Some(_) => Phase::Abandoned,
            };
            (id, Run { id: call.id, due: call.due, phase, has_successor: call.is_again() })
        });
        let schedules = ids.into_iter().filter_map(|id| self.schedules.get(&id)).map(Row::for_policy);
        Timetable::new(now, schedules, runs)
    }

    /// Writes what was decided.
    pub(super) fn write(&mut self, now: Moment, changes: Changes, retention: &Retention) {
        for id in changes.removed {
            self.take(id);
        }
        for (id, reason) in changes.cancelled {
            self.end(now, id, End::without_run(CallState::Cancelled, reason), retention);
        }
        for row in changes.schedules {
            let Some(schedule) = self.schedules.get_mut(&row.id) else { continue };
            if let Some(new) = row.declaration {
                schedule.declared = new.rule;
                schedule.args = new.args;
                schedule.format = new.format;
                schedule.priority = new.priority;
                schedule.known = now;
            }
            if let Some(effective) = row.effective {
                schedule.effective = effective;
            }
            schedule.anchor = row.anchor;
            schedule.state = row.state;
            schedule.reason = row.reason;
            schedule.missed_from = row.missed_from;
        }
        for run in changes.stored {
            if let Some(schedule) = self.schedules.get(&run.schedule) {
                let call = schedule.call(now, run.id, run.due);
                self.put(call);
            }
        }
    }
}

impl Row {
    /// The schedule as the policy sees it.
    pub(super) fn for_policy(&self) -> Schedule {
        Schedule {
            id: self.id,
            key: self.key.clone(),
            args: self.args.clone(),
            format: self.format,
            priority: self.priority,
            declared: Some(self.declared.clone()),
            effective: Some(self.effective.clone()),
            anchor: self.anchor,
            state: Some(self.state),
            reason: self.reason.clone(),
            missed_from: self.missed_from,
        }
    }
}
