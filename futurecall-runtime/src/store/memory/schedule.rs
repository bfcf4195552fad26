use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use super::rows::{Call, Pod, Schedule, State, refuse_nul};
use crate::error::StoreError;
use crate::id::{CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::store::policy::Turn;
use crate::store::{
    Declared, LivePod, MemoryStore, NewSchedule, Now, Result, Retention, ScheduleOrigin, ScheduleState,
    ScheduleStore,
};

const DOING: &str = "declare schedules";

#[async_trait]
impl ScheduleStore for MemoryStore {
    async fn declare(&self, now: Now, schedules: &[NewSchedule]) -> Result<Vec<Declared>> {
        let declared = self.state().declare(now, schedules)?;
        self.wake_others();
        Ok(declared)
    }

    async fn end_undeclared(&self, now: Now, live: &LivePod, grace: Duration) -> Result<u64> {
        Ok(self.state().end_undeclared(now, live, grace))
    }
}

impl State {
    pub(super) fn declare(&mut self, now: Now, schedules: &[NewSchedule]) -> Result<Vec<Declared>> {
        let now = self.now(now);
        for new in schedules {
            let texts = [Some(&new.key), Some(&new.name), new.identifier.as_ref(), Some(&new.args)];
            refuse_nul(DOING, texts.into_iter().flatten().map(String::as_str))?;
        }
        // Nothing is changed before all of it is known to be in order.
        let mut keys: BTreeMap<String, ScheduleId> =
            self.schedules.values().map(|known| (known.key.clone(), known.id)).collect();
        let renamed: Vec<_> =
            schedules.iter().filter_map(|new| Some((self.rename(&mut keys, new)?, new))).collect();
        let mut created = Vec::new();
        for new in schedules {
            // A rule without a first moment may still be that of a schedule that is known: the policy decides.
            if let (false, Ok(first)) = (keys.contains_key(&new.key), new.rule.first(now)) {
                keys.insert(new.key.clone(), new.id);
                created.push(Schedule::new(new, first, now));
            }
        }
        let known: BTreeSet<_> = schedules.iter().filter_map(|new| keys.get(&new.key)).copied().collect();
        let mut timetable = self.timetable(now, known);
        for (id, new) in &renamed {
            timetable.rename(*id, &new.key);
        }
        for new in &created {
            timetable.add_new(new.for_policy());
        }
        let declared: Result<Vec<_>, _> = schedules.iter().map(|new| timetable.declare(new)).collect();
        let declared = declared.map_err(|error| StoreError::refused(DOING, error))?;

        for (id, new) in renamed {
            self.put_new_name(id, new);
        }
        self.schedules.extend(created.into_iter().map(|new| (new.id, new)));
        for new in schedules {
            if let Some(known) = keys.get(&new.key).and_then(|id| self.schedules.get_mut(id)) {
                known.origin = new.origin;
            }
        }
        self.write(now, timetable.into_changes(), &Retention::default());
        Ok(declared)
    }

    pub(super) fn end_undeclared(&mut self, now: Now, live: &LivePod, grace: Duration) -> u64 {
        let now = self.now(now);
        let pods: Vec<_> = self.pods.values().collect();
        let is_live = |pod: &&&Pod| now.saturating_since(pod.beat) <= live.pod_live;
        let is_declared = |schedule: &Schedule| {
            let by = |schedules: &[String]| schedules.contains(&schedule.key);
            by(&live.schedules) || pods.iter().filter(is_live).any(|pod| by(&pod.said.schedules))
        };
        let is_known = |schedule: &Schedule| {
            let by = |names: &[String]| names.contains(&schedule.name);
            by(&live.names) || pods.iter().filter(is_live).any(|pod| by(&pod.said.names))
        };
        let is_forgotten = |schedule: &Schedule| {
            let by = pods.iter().filter(|pod| pod.said.names.contains(&schedule.name)).map(|pod| pod.beat);
            now.saturating_since(by.fold(schedule.known, Moment::max)) > grace
        };
        let ends = |schedule: &&Schedule| {
            schedule.origin == ScheduleOrigin::Attribute
                && schedule.state != ScheduleState::Ended
                && !is_declared(schedule)
                && (is_known(schedule) || schedule.state == ScheduleState::Active && is_forgotten(schedule))
        };
        let ended: BTreeSet<_> = self.schedules.values().filter(ends).map(|schedule| schedule.id).collect();
        let mut timetable = self.timetable(now, ended.iter().copied());
        let ended = ended.into_iter().filter(|id| timetable.end_undeclared(*id)).count();
        self.write(now, timetable.into_changes(), &Retention::default());
        ended as u64
    }

    /// Forgets pods; what they knew is remembered with the schedules.
    pub(super) fn forget_pods(&mut self, is_gone: impl Fn(&PodId, &Pod) -> bool) {
        for (_, gone) in self.pods.extract_if(.., |id, pod| is_gone(id, pod)) {
            for schedule in self.schedules.values_mut() {
                if gone.said.names.contains(&schedule.name) {
                    schedule.known = schedule.known.max(gone.beat);
                }
            }
        }
    }

    /// Whether a due call may not be claimed before another run of its schedule has ended.
    pub(super) fn is_blocked(&self, now: Moment, call: &Call) -> bool {
        call.schedule.is_some_and(|id| self.timetable(now, [id]).waits(id, call.id))
    }

    /// Decides about a due call, and stores its successor unless it is to wait.
    pub(super) fn turn(&mut self, now: Moment, call: &Call) -> Turn {
        let Some(schedule) = call.schedule else { return Turn::Run };
        let mut timetable = self.timetable(now, [schedule]);
        let turn = timetable.turn(schedule, call.id);
        self.write(now, timetable.into_changes(), &Retention::default());
        // There are no locks here: a schedule that is not found is not there.
        if turn == Turn::Taken { Turn::Run } else { turn }
    }

    /// Stores the successor of a run that is about to be cancelled.
    pub(super) fn succeed(&mut self, now: Moment, schedule: ScheduleId, id: CallId) {
        let mut timetable = self.timetable(now, [schedule]);
        if timetable.succeed(schedule, id).is_ok() {
            self.write(now, timetable.into_changes(), &Retention::default());
        }
    }

    /// The schedule that goes on under a new key, because its call has a new name.
    fn rename(&self, keys: &mut BTreeMap<String, ScheduleId>, new: &NewSchedule) -> Option<ScheduleId> {
        if keys.contains_key(&new.key) {
            return None;
        }
        let former = new.former_keys.iter().filter_map(|key| Some((key, *keys.get(key)?)));
        let created = |id: ScheduleId| (self.schedules.get(&id).map(|known| known.created), id);
        let (key, id) = former.max_by_key(|(_, id)| created(*id))?;
        keys.remove(key);
        keys.insert(new.key.clone(), id);
        Some(id)
    }

    fn put_new_name(&mut self, id: ScheduleId, new: &NewSchedule) {
        if let Some(renamed) = self.schedules.get_mut(&id) {
            new.key.clone_into(&mut renamed.key);
            new.name.clone_into(&mut renamed.name);
        }
        let unclaimed: Vec<_> = self.calls_of(id).filter(|call| call.held.is_none()).cloned().collect();
        for mut call in unclaimed {
            new.name.clone_into(&mut call.name);
            self.take(call.id);
            self.put(call);
        }
    }
}

impl Schedule {
    fn new(new: &NewSchedule, first: Moment, now: Moment) -> Self {
        Self {
            id: new.id,
            key: new.key.clone(),
            name: new.name.clone(),
            identifier: new.identifier.clone(),
            args: new.args.clone(),
            format: new.format,
            priority: new.priority,
            declared: new.rule.clone(),
            effective: new.rule.clone(),
            anchor: first,
            origin: new.origin,
            state: ScheduleState::Active,
            reason: None,
            known: now,
            missed_from: None,
            created: now,
        }
    }

    /// A new call of this schedule.
    pub(super) fn call(&self, now: Moment, id: CallId, due: Moment) -> Call {
        Call {
            identifier: self.identifier.clone(),
            schedule: Some(self.id),
            ..Call::new(id, &self.name, self.priority, due, (&self.args, self.format), now)
        }
    }
}
