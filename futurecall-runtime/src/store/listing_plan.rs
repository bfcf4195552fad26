//! Plans how a page of calls is read, for both SQL stores.

use std::cmp::Ordering;

use uuid::Uuid;

use super::codec::state_code;
use super::cursor::Cursor;
use super::{CallFilter, CallPage, CallRecord, CallState};

/// Number of rows that a page scans if its filter has no index. A count with a higher cap scans all rows.
pub(super) const LOOKED_AT: u64 = 10_000;

/// Maximum number of lanes that one statement merges; SQLite's limit is 500.
pub(super) const LANES_AT_ONCE: usize = 200;

/// A position in the order of one table: microseconds since 1970, and the id.
pub(super) type Key = (i64, Uuid);

/// One of the two tables that a listing reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Scheduled and running calls, by when they are due.
    Pending,
    /// Finished calls, newest first.
    Past,
}

impl Part {
    /// Returns the direction in which a statement sorts it.
    pub(super) const fn order(self) -> &'static str {
        match self {
            Self::Pending => "ASC",
            Self::Past => "DESC",
        }
    }

    /// Returns the cursor of that position.
    fn place(self, (moment, id): Key) -> Cursor {
        match self {
            Self::Pending => Cursor { id, due: moment, ended: None },
            // The due time is not used.
            Self::Past => Cursor { id, due: moment, ended: Some(moment) },
        }
    }

    fn compare(self, one: Key, other: Key) -> Ordering {
        match self {
            Self::Pending => one.cmp(&other),
            Self::Past => other.cmp(&one),
        }
    }
}

/// Returns the tables that a filter selects.
pub(super) fn wanted(filter: &CallFilter) -> impl Iterator<Item = Part> {
    let pending = filter.state.is_none_or(|state| !state.is_finished()).then_some(Part::Pending);
    let past = filter.state.is_none_or(CallState::is_finished).then_some(Part::Past);
    pending.into_iter().chain(past)
}

/// Returns the tables that remain after a cursor, and where each continues. In a listing of both, all pending calls
/// come before a finished one.
pub(super) fn left(filter: &CallFilter, after: Option<Cursor>) -> impl Iterator<Item = (Part, Option<Key>)> {
    let both = filter.state.is_none();
    wanted(filter).filter_map(move |part| {
        let Some(place) = after else { return Some((part, None)) };
        let ended = place.ended.map(|ended| (ended, place.id));
        match part {
            Part::Pending => (!both || ended.is_none()).then_some((part, Some((place.due, place.id)))),
            Part::Past => Some((part, ended)),
        }
    })
}

/// Returns the stored numbers of the finished states that a filter selects.
pub(super) fn past_states(filter: &CallFilter) -> impl Iterator<Item = i16> {
    let only = filter.state;
    CallState::ALL
        .into_iter()
        .filter(move |state| only.is_none_or(|only| only == *state))
        .filter_map(state_code)
}

/// How the rows of a table are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Schedule,
    Identifier,
    /// Lane by lane.
    Lanes,
    /// Through the index of claimed calls.
    Running,
}

impl Way {
    pub(super) fn of(part: Part, filter: &CallFilter) -> Self {
        let is_claimed = filter.state == Some(CallState::Running) || filter.pod.is_some();
        if filter.schedule.is_some() {
            Self::Schedule
        } else if filter.identifier.is_some() {
            Self::Identifier
        } else if part == Part::Pending && is_claimed {
            Self::Running
        } else {
            Self::Lanes
        }
    }

    /// Returns whether it reads only lanes of the selected names and states.
    pub(super) const fn is_by_lane(self) -> bool {
        matches!(self, Self::Lanes | Self::Running)
    }
}

/// The result of scanning one table, or some lanes of it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In order, at most as many as requested.
    pub(super) calls: Vec<(Key, CallRecord)>,
    /// The last row scanned, if there are more.
    pub(super) stopped: Option<Key>,
}

impl Found {
    /// Merges the result of scanning other lanes of the same table.
    pub(super) fn and(mut self, other: Self, part: Part, wanted: usize) -> Self {
        if other.calls.is_empty() && other.stopped.is_none() {
            return self;
        }
        self.calls.extend(other.calls);
        self.calls.sort_by(|(one, _), (other, _)| part.compare(*one, *other));
        let both = self.stopped.into_iter().chain(other.stopped);
        self.stopped = both.min_by(|one, other| part.compare(*one, *other));
        // Beyond the first stop, its lanes may have further rows.
        if let Some(stopped) = self.stopped {
            self.calls.retain(|(key, _)| part.compare(*key, stopped).is_le());
        }
        self.calls.truncate(wanted);
        self
    }
}

/// A page that is being built.
#[derive(Debug)]
pub(super) struct Page {
    limit: usize,
    calls: Vec<(Cursor, CallRecord)>,
    stopped: Option<Cursor>,
}

impl Page {
    pub(super) fn new(filter: &CallFilter) -> Self {
        Self { limit: filter.limit.clamp(1, 10_000), calls: Vec::new(), stopped: None }
    }

    /// Returns how many more calls it takes: one above the limit shows that another page follows. Zero if it is
    /// complete.
    pub(super) fn lacks(&self) -> usize {
        if self.stopped.is_some() { 0 } else { (self.limit + 1).saturating_sub(self.calls.len()) }
    }

    pub(super) fn add(&mut self, found: Found, part: Part) {
        self.calls.extend(found.calls.into_iter().map(|(key, call)| (part.place(key), call)));
        if self.calls.len() <= self.limit {
            self.stopped = found.stopped.map(|key| part.place(key));
        }
    }

    pub(super) fn done(mut self) -> CallPage {
        if self.calls.len() > self.limit {
            self.calls.truncate(self.limit);
            self.stopped = self.calls.last().map(|(last, _)| *last);
        }
        CallPage::ending_at(self.calls.into_iter().map(|(_, call)| call).collect(), self.stopped)
    }
}

/// Returns a cap as a database integer.
pub(super) fn capped(cap: u64) -> i64 {
    i64::try_from(cap).unwrap_or(i64::MAX)
}
