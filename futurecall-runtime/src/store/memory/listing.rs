//! Lists of calls.

use async_trait::async_trait;

use super::MemoryStore;
use super::rows::{Call, Finished, State, refuse_nul};
use crate::id::CallId;
use crate::moment::Moment;
use crate::store::cursor::Cursor;
use crate::store::{AttemptRecord, CallFilter, CallPage, CallRecord, CallState, ListingStore, Now, Result};

#[async_trait]
impl ListingStore for MemoryStore {
    async fn calls(&self, _now: Now, filter: &CallFilter) -> Result<CallPage> {
        let state = self.state();
        refuse("list calls", filter)?;
        let rows = state.listing(filter);
        let limit = filter.limit.clamp(1, 10_000);
        let end = rows.get(limit - 1).filter(|_| rows.len() > limit).map(Row::place);
        Ok(CallPage::ending_at(rows.iter().take(limit).map(Row::record).collect(), end))
    }

    async fn count(&self, _now: Now, filter: &CallFilter, cap: u64) -> Result<u64> {
        let state = self.state();
        refuse("count calls", filter)?;
        let filter = CallFilter { after: None, ..filter.clone() };
        Ok((state.listing(&filter).len() as u64).min(cap))
    }
}

impl State {
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

    pub(super) fn row(&self, id: CallId) -> Option<Row<'_>> {
        self.call(id).map(Row::Pending).or_else(|| self.finished.get(&id).map(Row::Finished))
    }
}

/// PostgreSQL holds no NUL in a text, and so cannot be asked for one.
fn refuse(doing: &'static str, filter: &CallFilter) -> Result<()> {
    let texts = [&filter.name, &filter.identifier, &filter.error];
    refuse_nul(doing, texts.into_iter().flatten().map(String::as_str))
}

/// A call of either table.
pub(super) enum Row<'a> {
    Pending(&'a Call),
    Finished(&'a Finished),
}

impl Row<'_> {
    pub(super) fn call(&self) -> &Call {
        match self {
            Self::Pending(call) => call,
            Self::Finished(row) => &row.call,
        }
    }

    pub(super) fn place(&self) -> Cursor {
        let ended = match self {
            Self::Pending(_) => None,
            Self::Finished(row) => Some(row.at.as_micros()),
        };
        let call = self.call();
        Cursor { id: call.id.as_uuid(), due: call.due.as_micros(), ended }
    }

    pub(super) fn state(&self) -> CallState {
        match self {
            Self::Pending(call) if call.held.is_some() => CallState::Running,
            Self::Pending(_) => CallState::Scheduled,
            Self::Finished(row) => row.state,
        }
    }

    /// By which the listing is ordered.
    pub(super) fn moment(&self) -> Moment {
        match self {
            Self::Pending(call) => call.due,
            Self::Finished(row) => row.at,
        }
    }

    pub(super) fn passes(&self, filter: &CallFilter) -> bool {
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
            && filter.since.is_none_or(|since| since <= self.moment())
            && filter.until.is_none_or(|until| self.moment() < until)
            && filter.pod.is_none_or(|pod| call.held.is_some_and(|held| held.pod == pod))
            && filter.error.as_ref().is_none_or(holds)
    }

    /// When its handler is known to have started.
    pub(super) fn started(&self) -> Option<Moment> {
        match self {
            Self::Pending(call) => call.held.filter(|held| held.started).map(|held| held.claimed),
            Self::Finished(row) => row.started,
        }
    }

    pub(super) fn record(&self) -> CallRecord {
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
    pub(super) fn attempt(&self) -> Option<AttemptRecord> {
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
