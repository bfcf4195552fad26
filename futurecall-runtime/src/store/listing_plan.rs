//! How a page of calls is made up, and what is looked at for it: what both SQL stores decide alike.

use std::cmp::Ordering;

use uuid::Uuid;

use super::codec::state_code;
use super::cursor::Cursor;
use super::{CallFilter, CallPage, CallRecord, CallState};

/// How many rows a page looks through where its filter has no index. Who counts up to more than that is told of all.
pub(super) const LOOKED_AT: u64 = 10_000;

/// How many lanes one statement merges; SQLite takes 500 at most.
pub(super) const LANES_AT_ONCE: usize = 200;

/// A place in the order of one table: microseconds since 1970, and the id.
pub(super) type Key = (i64, Uuid);

/// One of the two tables that the listing goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Scheduled and running calls, by when they are due.
    Pending,
    /// Those that are over, the newest first.
    Past,
}

impl Part {
    /// In which direction a statement sorts it.
    pub(super) const fn order(self) -> &'static str {
        match self {
            Self::Pending => "ASC",
            Self::Past => "DESC",
        }
    }

    /// The place of what has that key.
    fn place(self, (moment, id): Key) -> Cursor {
        match self {
            Self::Pending => Cursor { id, due: moment, ended: None },
            // When it was due decides about nothing.
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

/// Which tables a filter asks for.
pub(super) fn wanted(filter: &CallFilter) -> impl Iterator<Item = Part> {
    let pending = filter.state.is_none_or(|state| !state.is_finished()).then_some(Part::Pending);
    let past = filter.state.is_none_or(CallState::is_finished).then_some(Part::Past);
    pending.into_iter().chain(past)
}

/// What of them is left after a place, and where each goes on. Where the listing goes through both, a finished call has
/// all pending ones before it.
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

/// The states whose history a filter asks for, as they are stored.
pub(super) fn past_states(filter: &CallFilter) -> impl Iterator<Item = i16> {
    let only = filter.state;
    CallState::ALL
        .into_iter()
        .filter(move |state| only.is_none_or(|only| only == *state))
        .filter_map(state_code)
}

/// How the rows of a table are come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Schedule,
    Identifier,
    /// Lane by lane.
    Lanes,
    /// Where what is claimed is found.
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

    /// Whether it leads through lanes of the wanted names and states alone.
    pub(super) const fn is_by_lane(self) -> bool {
        matches!(self, Self::Lanes | Self::Running)
    }
}

/// What a look through one table, or some lanes of it, has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In order, at most as many as were wanted.
    pub(super) calls: Vec<(Key, CallRecord)>,
    /// The last one looked at, where more follow that were not.
    pub(super) stopped: Option<Key>,
}

impl Found {
    /// Together with what a look through other lanes of the same table has found.
    pub(super) fn and(mut self, other: Self, part: Part, wanted: usize) -> Self {
        if other.calls.is_empty() && other.stopped.is_none() {
            return self;
        }
        self.calls.extend(other.calls);
        self.calls.sort_by(|(one, _), (other, _)| part.compare(*one, *other));
        let both = self.stopped.into_iter().chain(other.stopped);
        self.stopped = both.min_by(|one, other| part.compare(*one, *other));
        // What comes after the first to stop, its lanes may have as well.
        if let Some(stopped) = self.stopped {
            self.calls.retain(|(key, _)| part.compare(*key, stopped).is_le());
        }
        self.calls.truncate(wanted);
        self
    }
}

/// A page in the making.
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

    /// How many more it takes: one above its limit says that another page follows. None where it is done.
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

/// A cap as SQL takes it.
pub(super) fn capped(cap: u64) -> i64 {
    i64::try_from(cap).unwrap_or(i64::MAX)
}
