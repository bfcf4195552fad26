use std::collections::BTreeSet;
use std::time::Duration;

use super::rows::{Call, Finished, Pod, Schedule, State, refuse_nul};
use crate::error::StoreError;
use crate::id::CallId;
use crate::moment::Moment;
use crate::shape::hash_of_all;
use crate::store::page::Place;
use crate::store::{
    AttemptRecord, CallFilter, CallPage, CallRecord, CallState, Counts, Now, PodBeat, PodRecord,
    ScheduleRecord, ScheduleState, TimelineCount,
};

/// How long a pod that is not heard of any more is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);

impl State {
    pub(super) fn page(&self, filter: &CallFilter) -> Result<CallPage, StoreError> {
        refuse("list calls", filter)?;
        let rows = self.listing(filter);
        let limit = filter.limit.clamp(1, 10_000);
        let end = rows.get(limit - 1).filter(|_| rows.len() > limit).map(Row::place);
        Ok(CallPage::ending_at(rows.iter().take(limit).map(Row::record).collect(), end))
    }

    pub(super) fn record(&self, id: CallId) -> Option<CallRecord> {
        let row = self.row(id)?;
        let mut record = row.record();
        record.attempts.extend(row.call().past.iter().map(|past| past.record.clone()));
        record.attempts.extend(row.attempt());
        Some(record)
    }

    pub(super) fn schedule_records(&self) -> Vec<ScheduleRecord> {
        let mut records: Vec<_> =
            self.schedules.values().map(|schedule| self.schedule_record(schedule)).collect();
        records.sort_by_key(|record| (record.created, record.id));
        records
    }

    pub(super) fn pod_records(&self, now: Now, within: Duration) -> Vec<PodRecord> {
        let now = self.now(now);
        let heard = self.pods.values().filter(|pod| now.saturating_since(pod.beat) <= REMEMBERED);
        let mut records: Vec<_> = heard.map(|pod| pod_record(pod, now, within)).collect();
        records.sort_by_key(|record| (std::cmp::Reverse(record.beat), record.id));
        records
    }

    pub(super) fn counts(&self, now: Now, cap: u64) -> Counts {
        let now = self.now(now);
        let mut counts = Counts::default();
        for call in self.calls() {
            if call.held.is_some() {
                counts.running += 1;
            } else {
                counts.scheduled += 1;
                counts.due += u64::from(call.due <= now);
                let oldest = counts.oldest_due.map_or(call.due, |oldest| oldest.min(call.due));
                counts.oldest_due = if call.due <= now { Some(oldest) } else { counts.oldest_due };
            }
        }
        for row in self.finished.values() {
            counts.add(row.state, 1);
        }
        for count in counts.all_mut() {
            *count = (*count).min(cap);
        }
        counts
    }

    pub(super) fn count(&self, filter: &CallFilter, cap: u64) -> Result<u64, StoreError> {
        refuse("count calls", filter)?;
        let filter = CallFilter { after: None, ..filter.clone() };
        Ok((self.listing(&filter).len() as u64).min(cap))
    }

    pub(super) fn ahead(&self, now: Now, id: CallId, cap: u64) -> u64 {
        let now = self.now(now);
        let Some(call) = self.call(id).filter(|call| call.held.is_none()) else { return 0 };
        let goes_first = |other: &&Call| {
            other.held.is_none()
                && other.due <= now
                && (other.priority < call.priority
                    || (other.name == call.name
                        && other.priority == call.priority
                        && (other.due, other.id) < (call.due, call.id)))
        };
        (self.calls().filter(goes_first).count() as u64).min(cap)
    }

    pub(super) fn timeline(&self, edges: &[Moment], cap: u64) -> Vec<TimelineCount> {
        let mut counts = Vec::new();
        for (name, lanes) in &self.waiting {
            for (stretch, edge) in edges.windows(2).enumerate() {
                let [from, until] = edge else { continue };
                let within = |(due, _): &&(Moment, CallId)| from <= due && due < until;
                let calls = lanes.values().flatten().filter(within).count() as u64;
                if calls > 0 {
                    counts.push(TimelineCount::new(name.clone(), stretch, calls.min(cap)));
                }
            }
        }
        counts
    }

    pub(super) fn pending_names(&self, cap: u64) -> Vec<(String, u64)> {
        let count = |lanes: &std::collections::BTreeMap<_, BTreeSet<_>>| {
            lanes.values().map(|lane| lane.len() as u64).sum::<u64>().min(cap)
        };
        self.waiting.iter().map(|(name, lanes)| (name.clone(), count(lanes))).collect()
    }

    pub(super) fn beat(&mut self, now: Now, said: &PodBeat) -> Result<bool, StoreError> {
        refuse_nul("write the pod's heartbeat", said.texts())?;
        let (now, hash) = (self.now(now), hash_of_all(&said.shapes));
        self.forget_pods(|_, pod| now.saturating_since(pod.beat) > REMEMBERED);
        let started = self.pods.get(&said.id).map_or(now, |before| before.started);
        self.pods.insert(said.id, Pod { said: said.clone(), started, beat: now });
        let named: BTreeSet<i64> = self.pods.values().map(|pod| hash_of_all(&pod.said.shapes)).collect();
        self.shapes
            .retain(|hash, (_, seen)| named.contains(hash) || now.saturating_since(*seen) <= REMEMBERED);
        self.shapes.entry(hash).or_insert_with(|| (said.shapes.clone(), now)).1 = now;
        Ok(self.declined().next().is_some())
    }

    /// Lets up to `limit` waiting calls be claimed again that every live shape of their name has declined.
    pub(super) fn reopen(&mut self, now: Now, live: Duration, limit: usize) -> u64 {
        let now = self.now(now);
        let may_read = |call: &Call| {
            let live = self.shapes.values().filter(|(_, seen)| now.saturating_since(*seen) <= live);
            let mut shapes = live.filter_map(|(shapes, _)| shapes.get(&call.name));
            shapes.any(|shape| !call.declined.contains(&shape.hash()))
        };
        let open = self.declined().filter(|call| !may_read(call)).take(limit);
        let open: Vec<Call> = open.cloned().collect();
        let calls = open.len() as u64;
        for call in open {
            self.put(Call { declined: BTreeSet::new(), ..call });
        }
        calls
    }

    /// Calls that wait, and were declined.
    fn declined(&self) -> impl Iterator<Item = &Call> {
        self.calls().filter(|call| !call.declined.is_empty() && call.held.is_none())
    }

    /// All rows that the filter lets through, in order, from its `after` on.
    fn listing(&self, filter: &CallFilter) -> Vec<Row<'_>> {
        let after = match (filter.beyond, filter.after) {
            (Some(place), _) => Some(place),
            (None, None) => None,
            (None, Some(id)) => match self.row(id) {
                None => return Vec::new(),
                Some(row) => Some(row.place()),
            },
        };
        let pending_wanted = filter.state.is_none_or(|state| !state.is_finished());
        let history_wanted = filter.state.is_none_or(CallState::is_finished);
        // Where the listing goes through both, a finished call has all pending ones before it.
        let ended = after.and_then(|place| Some((place.ended?, place.id)));
        let pending_over = history_wanted && ended.is_some();
        let mut rows = Vec::new();
        if pending_wanted && !pending_over {
            let from = after.map(|place| (place.due, place.id));
            let comes_after = |call: &&Call| from < Some((call.due.as_micros(), call.id.as_uuid()));
            let mut calls: Vec<_> = self.calls().filter(comes_after).collect();
            calls.sort_by_key(|call| (call.due, call.id));
            rows.extend(calls.into_iter().map(Row::Pending));
        }
        if history_wanted {
            let key = |row: &Finished| (row.at.as_micros(), row.call.id.as_uuid());
            let comes_after = |row: &&Finished| ended.is_none_or(|ended| key(row) < ended);
            let mut history: Vec<_> = self.finished.values().filter(comes_after).collect();
            history.sort_by_key(|row| std::cmp::Reverse((row.at, row.call.id)));
            rows.extend(history.into_iter().map(Row::Finished));
        }
        rows.retain(|row| row.passes(filter));
        rows
    }

    fn row(&self, id: CallId) -> Option<Row<'_>> {
        self.call(id).map(Row::Pending).or_else(|| self.finished.get(&id).map(Row::Finished))
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

/// PostgreSQL holds no NUL in a text, and so cannot be asked for one.
fn refuse(doing: &'static str, filter: &CallFilter) -> Result<(), StoreError> {
    let texts = [&filter.name, &filter.identifier, &filter.error];
    refuse_nul(doing, texts.into_iter().flatten().map(String::as_str))
}

/// A call that is not over, as a record.
pub(super) fn pending_record(call: &Call) -> CallRecord {
    Row::Pending(call).record()
}

/// A call of either table.
enum Row<'a> {
    Pending(&'a Call),
    Finished(&'a Finished),
}

impl Row<'_> {
    fn call(&self) -> &Call {
        match self {
            Self::Pending(call) => call,
            Self::Finished(row) => &row.call,
        }
    }

    fn place(&self) -> Place {
        let ended = match self {
            Self::Pending(_) => None,
            Self::Finished(row) => Some(row.at.as_micros()),
        };
        let call = self.call();
        Place { id: call.id.as_uuid(), due: call.due.as_micros(), ended }
    }

    fn state(&self) -> CallState {
        match self {
            Self::Pending(call) if call.held.is_some() => CallState::Running,
            Self::Pending(_) => CallState::Scheduled,
            Self::Finished(row) => row.state,
        }
    }

    /// By which the listing is ordered.
    fn moment(&self) -> Moment {
        match self {
            Self::Pending(call) => call.due,
            Self::Finished(row) => row.at,
        }
    }

    fn passes(&self, filter: &CallFilter) -> bool {
        let call = self.call();
        let holds = |text: &String| {
            call.error
                .as_ref()
                .is_some_and(|error| error.to_ascii_lowercase().contains(&text.to_ascii_lowercase()))
        };
        filter.name.as_ref().is_none_or(|name| *name == call.name)
            && filter
                .identifier
                .as_ref()
                .is_none_or(|identifier| Some(identifier) == call.identifier.as_ref())
            && filter.schedule.is_none_or(|schedule| Some(schedule) == call.schedule)
            && filter.state.is_none_or(|state| state == self.state())
            && filter.from.is_none_or(|from| from <= self.moment())
            && filter.until.is_none_or(|until| self.moment() < until)
            && filter.pod.is_none_or(|pod| call.held.is_some_and(|held| held.pod == pod))
            && filter.error.as_ref().is_none_or(holds)
    }

    /// When its handler is known to have started.
    fn started(&self) -> Option<Moment> {
        match self {
            Self::Pending(call) => call.held.filter(|held| held.started).map(|held| held.claimed),
            Self::Finished(row) => row.started,
        }
    }

    fn record(&self) -> CallRecord {
        let call = self.call();
        let held = call.held;
        let (finished, lease_until) = match self {
            Self::Pending(_) => (None, held.map(|held| held.lease_until)),
            Self::Finished(row) => (Some(row.at), None),
        };
        CallRecord {
            id: call.id,
            name: call.name.clone(),
            args: call.args.clone(),
            format: call.format,
            identifier: call.identifier.clone(),
            priority: call.priority,
            due: call.first_due.unwrap_or(call.due),
            state: self.state(),
            attempt: call.attempt,
            broken: None,
            declined: call.declined.iter().copied().filter(|_| finished.is_none()).collect(),
            next_attempt: Some(call.due).filter(|_| self.state() == CallState::Scheduled && call.is_again()),
            expires: call.expires.filter(|_| finished.is_none()),
            schedule: call.schedule,
            rerun_of: call.rerun_of,
            created: call.created,
            finished,
            pod: held.map(|held| held.pod),
            lease_until,
            start_proven: held.map(|_| self.started().is_some()),
            cancel_requested: finished.is_none() && held.is_some_and(|held| held.cancel_requested),
            error: call.error.clone(),
            attempts: Vec::new(),
        }
    }

    /// The attempt that it is in, or ended with.
    fn attempt(&self) -> Option<AttemptRecord> {
        let call = self.call();
        let held = call.held.filter(|_| call.attempt > 0)?;
        let (duration, ended, error) = match self {
            Self::Pending(_) => (None, None, None),
            Self::Finished(row) => (row.duration, Some(row.at), call.error.clone()),
        };
        Some(AttemptRecord {
            number: call.attempt,
            pod: Some(held.pod),
            started: self.started(),
            duration,
            ended,
            outcome: self.state(),
            error,
        })
    }
}

fn pod_record(pod: &Pod, now: Moment, within: Duration) -> PodRecord {
    PodRecord {
        id: pod.said.id,
        label: pod.said.label.clone(),
        role: pod.said.role.clone(),
        version: pod.said.version.clone(),
        names: pod.said.names.clone(),
        shapes: pod.said.shapes.clone(),
        redacted: pod.said.redacted.clone(),
        slots: pod.said.slots,
        running: pod.said.running,
        started: pod.started,
        beat: pod.beat,
        live: now.saturating_since(pod.beat) <= within,
    }
}
