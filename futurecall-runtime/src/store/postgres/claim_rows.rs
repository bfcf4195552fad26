//! What the claiming statement asks for and what it finds, and what one claim gathers of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::claim_cursors::{DueLane, Key, START, shares};
use super::sql::{Reading, Row, clamped, timestamp, timestamp_or_none};
use crate::id::CallId;
use crate::store::ClaimedCall;

/// What the claiming statement found.
pub(super) struct Found {
    pub(super) now: i64,
    claimed: Vec<ClaimedCall>,
    /// Of each lane: how many calls of it, and the last of them.
    pub(super) taken: Vec<(i32, Key)>,
    /// Of each lane: when its next call can be claimed.
    later: Vec<Option<i64>>,
    /// Of each lane: whether a call of a schedule is due.
    runs: Vec<bool>,
    pub(super) is_crowded: bool,
}

/// What one claim has got so far.
#[derive(Default)]
pub(super) struct Haul {
    pub(super) calls: Vec<ClaimedCall>,
    pub(super) skipped: u64,
    /// Calls of schedules that wait for the run before them, that another pod is at, or that are new.
    pub(super) passed: Vec<Uuid>,
    /// When a new call of a schedule is due.
    pub(super) next: Option<Duration>,
    /// Others have locked calls that this claim would have taken.
    pub(super) is_crowded: bool,
    /// The server's clock.
    pub(super) now: Option<i64>,
    /// Lanes that have nothing more.
    pub(super) done: BTreeSet<(Arc<str>, i16)>,
    /// Of each lane that was asked: how many turns it has had, and where it began.
    pub(super) lanes: BTreeMap<(Arc<str>, i16), (usize, Key)>,
}

/// What the claiming statement asks for.
pub(super) struct Asked {
    pub(super) lanes: Vec<DueLane>,
    /// How many calls each of them may give. In all it may be more than there is room for.
    pub(super) shares: Vec<i32>,
    /// How many calls are wanted.
    pub(super) room: usize,
}

impl Found {
    pub(super) fn read(rows: &[Row], lanes: &[DueLane], claim_no: i64) -> Reading<Self> {
        let (fact, rows) = rows.split_first().ok_or(sqlx::Error::RowNotFound)?;
        let fact = &fact.row;
        let now = fact.try_get("now")?;
        let (mut claimed, mut taken) = (Vec::with_capacity(rows.len()), vec![(0_i32, START); lanes.len()]);
        for row in rows {
            let lane: i64 = row.row.try_get(LANE)?;
            let lane = usize::try_from(lane.saturating_sub(1)).unwrap_or(usize::MAX);
            let (Some(of), Some((count, last))) = (lanes.get(lane), taken.get_mut(lane)) else {
                return Err(sqlx::Error::ColumnNotFound("lane".to_owned()));
            };
            let call = claimed_of(of, claim_no, now, &row.row)?;
            *count = count.saturating_add(1);
            *last = (*last).max((call.due.as_micros(), call.id.as_uuid()));
            claimed.push(call);
        }
        Ok(Self {
            now,
            claimed,
            taken,
            later: fact.try_get("later")?,
            runs: fact.try_get("runs")?,
            is_crowded: fact.try_get("crowded")?,
        })
    }

    pub(super) fn has_run(&self, lane: usize) -> bool {
        self.runs.get(lane).copied().unwrap_or(false)
    }

    pub(super) fn later(&self, lane: usize) -> Option<i64> {
        self.later.get(lane).copied().flatten()
    }
}

/// The index of the column `lane` in a row of the claiming statement; the columns of `claimed` follow it.
const LANE: usize = 4;

/// A claimed call of that lane. Columns are read by their places: to find each by its name, in each row, takes longer
/// than to read it.
fn claimed_of(lane: &DueLane, claim_no: i64, now: i64, row: &PgRow) -> Reading<ClaimedCall> {
    let due = timestamp(row, LANE + 2)?;
    Ok(ClaimedCall {
        id: CallId::from_uuid(row.try_get(LANE + 1)?),
        claim_no,
        name: lane.name.as_ref().to_owned(),
        identifier: row.try_get(LANE + 6)?,
        // Its type is json, which is text to us.
        args: row.try_get_unchecked(LANE + 3)?,
        format: row.try_get(LANE + 5)?,
        priority: lane.priority,
        due,
        first_due: timestamp_or_none(row, LANE + 8)?.unwrap_or(due),
        expires: timestamp_or_none(row, LANE + 9)?,
        failures: u32::try_from(row.try_get::<i16, _>(LANE + 10)?).unwrap_or(0),
        claimed: clamped(now),
        attempt: u32::try_from(row.try_get::<i32, _>(LANE + 4)?).unwrap_or(0),
        schedule: None,
        traceparent: row.try_get(LANE + 7)?,
    })
}

impl Haul {
    /// How many turns each of these lanes has had in this claim; they are put in the order in which they began.
    pub(super) fn turns(&self, lanes: &mut [DueLane]) -> Vec<usize> {
        if self.lanes.is_empty() {
            return vec![0; lanes.len()];
        }
        let asked = |lane: &DueLane| self.lanes.get(&(Arc::clone(&lane.name), lane.priority)).copied();
        lanes.sort_by_cached_key(|lane| asked(lane).map_or(lane.next, |(_, began)| began));
        lanes.iter().map(|lane| asked(lane).map_or(0, |(turns, _)| turns)).collect()
    }

    pub(super) fn had_turns(&mut self, lane: &DueLane, count: i32) {
        let (turns, _) = self.lanes.entry((Arc::clone(&lane.name), lane.priority)).or_insert((0, lane.next));
        *turns = turns.saturating_add(usize::try_from(count).unwrap_or(0));
    }

    pub(super) fn take(&mut self, found: Found) {
        self.now = Some(found.now);
        self.is_crowded |= found.is_crowded;
        self.calls.extend(found.claimed);
    }
}

impl Asked {
    /// Of these lanes, with the turns that each has had, those that give what there is room for. Where one may have
    /// nothing more, others come after it that take its place.
    pub(super) fn of(mut lanes: Vec<DueLane>, turns: &[usize], room: usize, most: usize) -> Self {
        let mut shares = shares(turns, room);
        // Lanes without a turn in this claim are not asked.
        let mut asked = shares.iter().rposition(|share| *share > 0).map_or(0, |last| last + 1);
        let mut doubtful =
            lanes.iter().zip(&shares).filter(|(lane, share)| **share > 0 && !lane.is_sure).count();
        while doubtful > 0
            && asked < most
            && let (Some(lane), Some(share)) = (lanes.get(asked), shares.get_mut(asked))
        {
            *share = 1;
            asked += 1;
            doubtful -= usize::from(lane.is_sure);
        }
        lanes.truncate(asked);
        shares.truncate(asked);
        Self { lanes, shares, room }
    }

    /// How many of these lanes were looked at, where so many calls were taken of each: behind the last of them nobody
    /// looked once there was no room.
    pub(super) fn looked_at(&self, found: &Found) -> usize {
        let taken: i64 = found.taken.iter().map(|(count, _)| i64::from(*count)).sum();
        if usize::try_from(taken).is_ok_and(|taken| taken < self.room) {
            return self.lanes.len();
        }
        found.taken.iter().rposition(|(count, _)| *count > 0).map_or(0, |last| last + 1)
    }
}
