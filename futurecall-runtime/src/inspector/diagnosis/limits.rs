//! From where something is worth a word: the only limits of the diagnosis.

use std::time::Duration;

/// A call that has been due for longer is late whatever the load. The alert of docs/operations fires at the same age.
pub(super) const LATE: Duration = Duration::from_mins(5);

/// A lease that ended this long ago should have been found: pods look every few seconds.
pub(super) const STUCK: Duration = Duration::from_mins(2);

/// A handler that runs for longer may hang.
pub(super) const LONG: Duration = Duration::from_hours(1);

/// A pause that is older may have been forgotten.
pub(super) const FORGOTTEN: Duration = Duration::from_hours(7 * 24);

/// Clocks that differ by more, the time of the answer aside, are not set by NTP.
pub(super) const SKEW: Duration = Duration::from_secs(1);

/// Pods prune every few minutes: what is kept for longer than this after its retention is not pruned.
pub(super) const UNPRUNED: Duration = Duration::from_hours(24);

/// From here on the history is called long, and no longer counted.
pub(super) const HISTORY: u64 = 100_000;

/// The oldest PostgreSQL that still gets corrections.
pub(super) const OLDEST_POSTGRES: u32 = 14;

/// Counting due and pending calls stops here.
pub(super) const COUNTED: u64 = 10_000;

/// How many running calls are looked at, those that were due first before the others. Each comes with its arguments.
pub(super) const RUNNING: usize = 1_000;

/// How many of the next calls are looked at for whether they can run.
pub(super) const NEXT: usize = 500;

/// Of how many unknown names it is looked up whether one of their calls is due.
pub(super) const UNKNOWN: usize = 20;

/// How many names a text shows.
pub(super) const SHOWN: usize = 5;
