//! Statistics of ended calls by minute and hour: rates, durations and lateness by name, independent of the history.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// How long statistics are kept after the end of their span.
const KEPT: Duration = Duration::from_hours(48);

/// The length of time that a row of statistics covers: each ended call is counted once in its minute and once in its
/// hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Span {
    /// One minute.
    Minute,
    /// One hour: for queries over a day, which read a sixtieth of the rows.
    Hour,
}

impl Span {
    /// All spans, the shortest first.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// Returns its length.
    pub const fn length(self) -> Duration {
        Duration::from_mins(self.minutes().unsigned_abs() as u64)
    }

    /// Returns the start of the span of this kind that contains `moment`, in UTC.
    ///
    /// ```
    /// use futurecall_runtime::inspect::Span;
    /// use futurecall_runtime::Moment;
    /// let moment = Moment::from_micros(5_430_000_000).unwrap();
    /// assert_eq!(Span::Minute.start_of(moment).as_micros(), 5_400_000_000);
    /// assert_eq!(Span::Hour.start_of(moment).as_micros(), 3_600_000_000);
    /// ```
    pub fn start_of(self, moment: Moment) -> Moment {
        let (micros, length) = (moment.as_micros(), i64::from(self.minutes()) * 60_000_000);
        let start = micros.saturating_sub(micros.rem_euclid(length));
        Moment::from_micros(start).unwrap_or(moment)
    }

    /// Returns its length in minutes, as it is stored.
    pub(crate) const fn minutes(self) -> i16 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
        }
    }

    /// Returns how long after its start it is kept: until 48 hours after its end.
    pub(crate) const fn kept(self) -> Duration {
        KEPT.saturating_add(self.length())
    }
}

/// The counts of one name in one minute or hour, by one pod or summed over all. A pod rewrites its row with every
/// heartbeat of that time: the newest row holds all of its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// The stored name.
    pub name: String,
    /// The length of time that it covers.
    pub span: Span,
    /// The start of that time, by the database's clock.
    pub start: Moment,
    /// Runs that succeeded.
    pub succeeded: u64,
    /// Runs that failed for good.
    pub failed: u64,
    /// Runs that failed and are followed by another attempt.
    pub retried: u64,
    /// Runs that were abandoned by the pod, or lost their lease.
    pub interrupted: u64,
    /// Calls that missed their start deadline (`expires_after`).
    pub expired: u64,
    /// How long handlers ran.
    pub durations: Histogram,
    /// How late handlers started.
    pub lateness: Histogram,
}

impl Statistics {
    /// Creates a row without counts.
    pub fn new(name: String, span: Span, start: Moment) -> Self {
        Self {
            name,
            span,
            start,
            succeeded: 0,
            failed: 0,
            retried: 0,
            interrupted: 0,
            expired: 0,
            durations: Histogram::default(),
            lateness: Histogram::default(),
        }
    }

    /// Adds the counts of `other`, whatever its name and time.
    pub fn merge(&mut self, other: &Self) {
        for (total, count) in [
            (&mut self.succeeded, other.succeeded),
            (&mut self.failed, other.failed),
            (&mut self.retried, other.retried),
            (&mut self.interrupted, other.interrupted),
            (&mut self.expired, other.expired),
        ] {
            *total = total.saturating_add(count);
        }
        self.durations.merge(&other.durations);
        self.lateness.merge(&other.lateness);
    }
}

/// Returns the sums of several pods' rows of one span, by time, then name.
pub(super) fn sums(rows: impl IntoIterator<Item = Statistics>) -> Vec<Statistics> {
    let mut sums: BTreeMap<(Moment, String), Statistics> = BTreeMap::new();
    for row in rows {
        match sums.entry((row.start, row.name.clone())) {
            Entry::Vacant(entry) => drop(entry.insert(row)),
            Entry::Occupied(mut entry) => entry.get_mut().merge(&row),
        }
    }
    sums.into_values().collect()
}

/// A histogram of durations, with buckets that grow by a quarter of a power of two: a quantile is at most 19 % too
/// high.
///
/// ```
/// use std::time::Duration;
/// use futurecall_runtime::inspect::Histogram;
/// let mut lateness = Histogram::default();
/// for ms in 1..=100 {
///     lateness.add(Duration::from_millis(ms));
/// }
/// let median = lateness.quantile(0.5).unwrap();
/// assert!(median >= Duration::from_millis(50) && median <= Duration::from_millis(60));
/// assert_eq!(lateness.count(), 100);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram {
    /// Count by bucket.
    buckets: BTreeMap<u16, u64>,
}

impl Histogram {
    /// Counts a duration.
    pub fn add(&mut self, duration: Duration) {
        let count = self.buckets.entry(bucket(duration)).or_default();
        *count = count.saturating_add(1);
    }

    /// Creates a histogram from counts by [`bucket`].
    pub(crate) fn of(counts: &[u64]) -> Self {
        let counted = (0..).zip(counts.iter().copied()).filter(|(_, count)| *count > 0);
        Self { buckets: counted.collect() }
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            let total = self.buckets.entry(*bucket).or_default();
            *total = total.saturating_add(*count);
        }
    }

    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        self.buckets.values().fold(0, |total, count| total.saturating_add(*count))
    }

    /// Returns the quantile `share` (0.5 is the median), as the upper edge of its bucket. `None` if the histogram is
    /// empty; `share` is clamped to 0 to 1.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank need not be exact beyond 52 bits, and is neither negative nor above the count"
    )]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        let rank = ((share.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen: u64 = 0;
        self.buckets.iter().find_map(|(bucket, count)| {
            seen = seen.saturating_add(*count);
            (seen >= rank).then(|| edge(*bucket))
        })
    }
}

/// Returns the bucket of a duration. Bucket 0 holds up to a microsecond; then there are four for each doubling.
pub(crate) fn bucket(duration: Duration) -> u16 {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    // The doubling that it lies in; of its four edges and the next one's first, the nearest above.
    let first = (nanos / 1_000).max(1).ilog2() as usize * 4;
    let edges = EDGES.get(first..).unwrap_or_default();
    let above = edges.iter().take(4).position(|edge| *edge >= nanos).unwrap_or(4);
    u16::try_from(first.saturating_add(above)).unwrap_or(MOST).min(MOST)
}

/// The last bucket: some 19 days and longer.
const MOST: u16 = 163;

/// Number of buckets.
pub(crate) const BUCKETS: usize = MOST as usize + 1;

/// The upper edges of all buckets, in nanoseconds.
static EDGES: [u64; BUCKETS] = edges();

const fn edges() -> [u64; BUCKETS] {
    // 2^(n/4) for n of 0 to 3, in millionths.
    const QUARTERS: [u64; 4] = [1_000_000, 1_189_207, 1_414_214, 1_681_793];
    let mut edges = [0; BUCKETS];
    let mut bucket = 0;
    while bucket < BUCKETS {
        edges[bucket] = (QUARTERS[bucket % 4] << (bucket / 4)) / 1_000;
        bucket += 1;
    }
    edges
}

/// Returns the upper edge of a bucket.
fn edge(bucket: u16) -> Duration {
    Duration::from_nanos(EDGES.get(usize::from(bucket)).copied().unwrap_or(u64::MAX))
}
