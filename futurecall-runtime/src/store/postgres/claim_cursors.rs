//! What this store remembers of each lane (name and priority), so that a claim begins where the last one ended.
//!
//! Without it every claim would read past what is claimed and deleted already, the more the longer another transaction
//! keeps the server from clearing that away (measured: a tenth of the rate after 300,000 calls). All of it is a guess that
//! may be too early, never too late for long: a survey reads the truth anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::moment::Moment;
use crate::store::{NewCall, Now};

/// A place in a lane: microseconds since 1970, and the call's id.
pub(super) type Key = (i64, Uuid);

/// Before every call.
pub(super) const START: Key = (0, Uuid::nil());
/// Behind every call.
pub(super) const END: Key = (i64::MAX, Uuid::max());

/// How far a lane's beginning stays behind the server's clock, in microseconds: a call that is due now is always
/// committed a little after it says.
const BEHIND: i64 = 100_000;
/// How much earlier than due a lane is looked at, in microseconds: the server's clock is only guessed here.
pub(super) const SLACK: i64 = 10_000;

/// All lanes of the names that were ever asked for.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    names: Mutex<HashMap<Arc<str>, BTreeMap<i16, Lane>>>,
    /// Calls of schedules that wait for the run before them: not to be looked at before the next survey.
    waiting: Mutex<BTreeSet<Uuid>>,
    /// The server's clock minus this machine's, in microseconds, when last seen.
    clock_ahead: AtomicI64,
    /// By when what this store has claimed was due, in microseconds: the latest that it ever asked for.
    latest: AtomicI64,
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    /// Nothing unclaimed lies before this.
    from: Key,
    /// Nothing unclaimed is due before this.
    next: Key,
    /// The earliest that was stored while a statement was looking, which therefore may not have seen it.
    unseen: Key,
    /// Whether `next` is the place of a call that was there and is not known to be taken.
    is_sure: bool,
}

/// A lane that may have calls which are due.
#[derive(Clone, Debug)]
pub(super) struct DueLane {
    pub(super) name: Arc<str>,
    pub(super) priority: i16,
    pub(super) from: Key,
    pub(super) next: Key,
    /// Whether there most likely is a call.
    pub(super) is_sure: bool,
}

impl Lanes {
    /// Whether these names have been surveyed.
    pub(super) fn know(&self, names: &BTreeSet<&str>) -> bool {
        let known = self.lock();
        names.iter().all(|name| known.contains_key(*name))
    }

    /// A survey of these names begins: what is stored from now on, it may not see.
    pub(super) fn begin_survey(&self, names: &BTreeSet<&str>) {
        let mut known = self.lock();
        for name in names {
            let lanes = known.entry((*name).into()).or_default();
            for lane in lanes.values_mut() {
                lane.unseen = END;
            }
        }
        drop(known);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What a survey of these names found: the first unclaimed call of each lane.
    pub(super) fn surveyed(&self, names: &BTreeSet<&str>, heads: Vec<(String, i16, Key)>) {
        let mut known = self.lock();
        for name in names {
            let lanes = known.entry((*name).into()).or_default();
            lanes.retain(|_, lane| lane.unseen != END);
            // Calls are mostly of this priority: their lane is remembered before there are any.
            lanes.entry(0).or_insert(Lane { from: START, ..Lane::NONE });
            for lane in lanes.values_mut() {
                (lane.from, lane.next, lane.is_sure) = (START, lane.unseen, false);
            }
        }
        for (name, priority, head) in heads {
            let lanes = known.entry(name.into()).or_default();
            let lane = lanes.entry(priority).or_insert(Lane::NONE);
            lane.next = lane.unseen.min(head);
            lane.from = lane.next;
            lane.is_sure = true;
        }
    }

    /// The lanes of these names that may have something due by that moment and are not done with, the most urgent priority
    /// alone, the oldest first. What is stored from now on, the statement that looks may not see.
    pub(super) fn due(
        &self,
        names: &BTreeSet<&str>,
        horizon: i64,
        done: &BTreeSet<(Arc<str>, i16)>,
    ) -> Vec<DueLane> {
        let mut known = self.lock();
        let mut due = Vec::new();
        for name in names {
            let Some((name, lanes)) = known.get_key_value(*name) else { continue };
            for (priority, lane) in lanes.iter().filter(|(_, lane)| lane.next.0 <= horizon) {
                let Lane { from, next, is_sure, .. } = *lane;
                due.push(DueLane { name: Arc::clone(name), priority: *priority, from, next, is_sure });
            }
        }
        if !done.is_empty() {
            due.retain(|lane| !done.contains(&(Arc::clone(&lane.name), lane.priority)));
        }
        let most_urgent = due.iter().map(|lane| lane.priority).min();
        due.retain(|lane| Some(lane.priority) == most_urgent);
        for lane in &due {
            if let Some(lane) = known.get_mut(&lane.name).and_then(|lanes| lanes.get_mut(&lane.priority)) {
                lane.unseen = END;
            }
        }
        due.sort_by(|a, b| (a.next, &a.name).cmp(&(b.next, &b.name)));
        due
    }

    /// A look at a lane found nothing unclaimed before `from`, and nothing to be claimed before `next`, by the server's
    /// clock `now`.
    pub(super) fn looked(&self, lane: &DueLane, from: Key, next: Key, now: i64) {
        let mut known = self.lock();
        let Some(lane) = known.get_mut(&lane.name).and_then(|lanes| lanes.get_mut(&lane.priority)) else {
            return;
        };
        lane.next = next.min(lane.unseen);
        // Where it has got to the last that was taken, nobody knows what follows.
        lane.is_sure = next > from;
        lane.from = from.min(lane.unseen).min((now.saturating_sub(BEHIND), Uuid::nil()));
    }

    /// When the next call of these names is due.
    pub(super) fn next(&self, names: &BTreeSet<&str>) -> Option<i64> {
        let known = self.lock();
        let lanes = names.iter().filter_map(|name| known.get(*name)).flat_map(BTreeMap::values);
        lanes.map(|lane| lane.next).min().filter(|next| *next < END).map(|(due, _)| due)
    }

    /// Whether, for all that this store knows, a call of that lane is due.
    pub(super) fn is_due(&self, now: Now, name: &str, priority: i16) -> bool {
        let now = self.clock(now);
        let known = self.lock();
        known.get(name).and_then(|lanes| lanes.get(&priority)).is_none_or(|lane| lane.next.0 <= now)
    }

    /// This store has stored calls, the earliest of them due then.
    pub(super) fn stored(&self, calls: &[NewCall], earliest: i64) {
        let mut known = self.lock();
        let mut last: Option<(&str, i16)> = None;
        for call in calls {
            let lane = (call.name.as_str(), call.priority);
            if last == Some(lane) {
                continue;
            }
            last = Some(lane);
            // A name that was never asked for is another service's.
            if let Some(lanes) = known.get_mut(call.name.as_str()) {
                let lane = lanes.entry(call.priority).or_insert(Lane::NONE);
                lane.lower((earliest, Uuid::nil()));
                lane.is_sure = true;
            }
        }
    }

    /// This store holds a call of that lane: it may be given back, and then the lane must be known.
    pub(super) fn hold(&self, name: &str, priority: i16) {
        if let Some(lanes) = self.lock().get_mut(name) {
            lanes.entry(priority).or_insert(Lane::NONE);
        }
    }

    /// This store has made a call due then, which was not before.
    pub(super) fn due_again(&self, name: &str, priority: i16, due: i64) {
        if let Some(lanes) = self.lock().get_mut(name) {
            lanes.entry(priority).or_insert(Lane::NONE).lower((due, Uuid::nil()));
        }
    }

    /// Somebody has stored or given back calls of whatever lane, the earliest of them due then.
    pub(super) fn lower(&self, earliest: i64) {
        let lanes = &mut *self.lock();
        lanes
            .values_mut()
            .flat_map(BTreeMap::values_mut)
            .for_each(|lane| lane.lower((earliest, Uuid::nil())));
    }

    /// Anything may have changed: the next claim surveys.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// Remembers calls that wait for the run before them.
    pub(super) fn waits(&self, calls: &[Uuid]) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(calls);
    }

    /// The calls that wait for the run before them.
    pub(super) fn waiting(&self) -> Vec<Uuid> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Notes what the server's clock said a moment ago.
    pub(super) fn saw_clock(&self, server: i64) {
        let ahead = server.saturating_sub(crate::clock::wall().as_micros());
        self.clock_ahead.store(ahead, Ordering::Relaxed);
    }

    /// A claim of what is due by then is sent.
    pub(super) fn claims_until(&self, horizon: i64) {
        self.latest.fetch_max(horizon, Ordering::Relaxed);
    }

    /// By when whatever was claimed was due, also where the server's clock has been set back since.
    pub(super) fn latest(&self) -> i64 {
        self.latest.load(Ordering::Relaxed).clamp(0, Moment::MAX.as_micros())
    }

    /// About what the server's clock says.
    pub(super) fn clock(&self, now: Now) -> i64 {
        match now {
            Now::At(moment) => moment.as_micros(),
            Now::Database => {
                let ahead = self.clock_ahead.load(Ordering::Relaxed);
                crate::clock::wall().as_micros().saturating_add(ahead).clamp(0, Moment::MAX.as_micros())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, BTreeMap<i16, Lane>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// One of which nothing is known to be there.
    const NONE: Self = Self { from: END, next: END, unseen: END, is_sure: false };

    fn lower(&mut self, key: Key) {
        self.is_sure &= self.next <= key;
        self.from = self.from.min(key);
        self.next = self.next.min(key);
        self.unseen = self.unseen.min(key);
    }
}

/// How many calls each of these lanes may give, so that they take turns: first whoever has had fewest turns, of those
/// the one that comes first. `turns`: how many each has had already.
pub(super) fn shares(turns: &[usize], room: usize) -> Vec<i32> {
    let mut shares = vec![0_i32; turns.len()];
    let mut room = room;
    let Some(most) = turns.iter().max().copied() else { return shares };
    // Whoever is behind catches up, turn by turn.
    for turn in turns.iter().min().copied().unwrap_or(most)..most {
        for (share, _) in shares.iter_mut().zip(turns).filter(|(_, had)| **had <= turn) {
            if room > 0 {
                room -= 1;
                *share += 1;
            }
        }
    }
    let (each, over) = (room / turns.len(), room % turns.len());
    for (place, share) in shares.iter_mut().enumerate() {
        *share = share.saturating_add(i32::try_from(each + usize::from(place < over)).unwrap_or(i32::MAX));
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CallId;
    use crate::store::Due;

    fn key(micros: i64) -> Key {
        (micros, Uuid::nil())
    }

    fn names() -> BTreeSet<&'static str> {
        BTreeSet::from(["a", "b"])
    }

    fn call(name: &str, priority: i16) -> NewCall {
        NewCall {
            id: CallId::new(),
            name: name.to_owned(),
            identifier: None,
            args: "{}".to_owned(),
            format: 1,
            priority,
            due: Due::At(Moment::MIN),
            expires_after: None,
            traceparent: None,
        }
    }

    fn surveyed(heads: &[(&str, i16, i64)]) -> Lanes {
        let lanes = Lanes::default();
        lanes.begin_survey(&names());
        let heads = heads.iter().map(|(name, priority, due)| ((*name).to_owned(), *priority, key(*due)));
        lanes.surveyed(&names(), heads.collect());
        lanes
    }

    #[test]
    fn the_most_urgent_lanes_come_alone_and_the_oldest_first() {
        let lanes = surveyed(&[("a", 0, 20), ("a", 5, 1), ("b", 0, 10), ("b", -1, 900)]);
        let due = |horizon| -> Vec<_> {
            lanes
                .due(&names(), horizon, &BTreeSet::new())
                .into_iter()
                .map(|lane| (lane.name.to_string(), lane.priority))
                .collect()
        };
        assert_eq!(due(50), [("b".to_owned(), 0), ("a".to_owned(), 0)]);
        assert_eq!(due(5), [("a".to_owned(), 5)]);
        assert_eq!(due(1_000), [("b".to_owned(), -1)]);
        assert_eq!(lanes.next(&names()), Some(1));
    }

    #[test]
    fn what_is_stored_while_a_statement_looks_is_looked_for_again() {
        let lanes = surveyed(&[("a", 0, 20)]);
        let due = lanes.due(&names(), 50, &BTreeSet::new());
        lanes.stored(&[call("a", 0), call("b", 3)], 30);
        lanes.looked(&due[0], key(900_000), END, 2_000_000);
        let again = lanes.due(&names(), 50, &BTreeSet::new());
        assert_eq!((&*again[0].name, again[0].from, again[0].next), ("a", key(30), key(30)));
        assert_eq!(lanes.next(&names()), Some(30), "the new lane of b counts as well");
        lanes.begin_survey(&names());
        lanes.stored(&[call("b", 7)], 5);
        lanes.surveyed(&names(), Vec::new());
        assert_eq!(lanes.next(&names()), Some(5));
    }

    #[test]
    fn a_lane_begins_well_behind_the_clock() {
        let lanes = surveyed(&[("a", 0, 20)]);
        let due = lanes.due(&names(), 50, &BTreeSet::new());
        lanes.looked(&due[0], key(1_950_000), key(3_000_000), 2_000_000);
        let due = lanes.due(&names(), 3_000_000, &BTreeSet::new());
        assert_eq!((due[0].from, due[0].next), (key(1_900_000), key(3_000_000)));
        lanes.lower(70);
        assert_eq!(lanes.due(&names(), 100, &BTreeSet::new()).first().map(|lane| lane.from), Some(key(70)));
    }

    #[test]
    fn shares_are_turns() {
        assert_eq!(shares(&[0, 0, 0], 7), [3, 2, 2]);
        assert_eq!(shares(&[0, 0, 0], 2), [1, 1, 0]);
        assert_eq!(shares(&[2, 1], 1), [0, 1]);
        assert_eq!(shares(&[2, 0], 5), [2, 3]);
        assert_eq!(shares(&[], 5), [0_i32; 0]);
    }
}
