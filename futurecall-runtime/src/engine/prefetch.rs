//! Decides how many calls to claim ahead, how long before their due time, and how often to do a full scan.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much work, at the rate just measured, is held beyond the free slots: as much as two claims take, within these
/// bounds. Where commits are slow, claims are larger accordingly; the upper bound is half of the time that a call may
/// wait for a slot.
const LEAST_SPARE: Duration = Duration::from_millis(5);
const MOST_SPARE: Duration = Duration::from_millis(50);
/// Maximum number of calls held beyond the free slots.
const MOST: usize = 2_000;
/// Minimum time over which a rate is measured.
const SPAN: Duration = Duration::from_millis(2);
/// Interval of full scans while calls are claimed.
const SWEEP: Duration = Duration::from_secs(1);
/// Full scans use at most one part in this many of the time, unless that would make them rarer than on an idle pod.
const SWEEP_SHARE: u32 = 20;

/// Interval at which the database's clock is read while calls are held for their due time. In that time the bound
/// gets worse by a fifth of a millisecond.
const CLOCK: Duration = Duration::from_secs(1);

/// Minimum time by which a call is claimed ahead. Claims on a database nearby take less.
const LEAST_AHEAD: Duration = Duration::from_millis(10);
/// Maximum time, within a quarter of a lease: a held call takes a place in this pod that a due call could have, and a
/// cancellation finds it claimed. It suffices for round trips of 60 ms: a claim of an idle pod takes three of them.
const MOST_AHEAD: Duration = Duration::from_millis(200);
/// Added to the measured duration of claims: for timers, which fire up to 2 ms late, and for a claim that has to wait
/// for another one in progress.
const MARGIN: Duration = Duration::from_millis(5);
/// Length of the spans of which the longest claim is recorded. Longer than the interval of full scans, so that every
/// span of a busy pod contains one.
const SPAN_OF_CLAIMS: Duration = Duration::from_secs(2);
/// Number of spans that are remembered.
const SPANS: usize = 8;
/// With fewer spans than this the longest claim counts, otherwise the second longest.
const FEW: usize = 4;

/// The claimer's measurements.
#[derive(Debug, Default)]
pub(super) struct Prefetch {
    /// When the rate was last measured, and how many calls had been started then.
    measured: Option<(Instant, u64)>,
    /// Started calls per second.
    rate: f64,
    /// Moving average of the duration of claims.
    claim: Duration,
    /// Durations of claims that returned calls, and of those that returned none.
    full_claims: RecentMaxima,
    empty_claims: RecentMaxima,
    /// When the next full scan is due.
    sweep_from: Option<Instant>,
    /// When the database's clock was last read.
    clock_read: Option<Instant>,
}

/// The longest claim of each of the last spans that had any.
#[derive(Debug, Default)]
struct RecentMaxima(VecDeque<(Instant, Duration)>);

impl RecentMaxima {
    fn add(&mut self, at: Instant, took: Duration) {
        match self.0.back_mut() {
            Some((since, longest)) if at.saturating_duration_since(*since) < SPAN_OF_CLAIMS => {
                *longest = (*longest).max(took);
            }
            _ => {
                self.0.push_back((at, took));
                if self.0.len() > SPANS {
                    self.0.pop_front();
                }
            }
        }
    }

    fn are_few(&self) -> bool {
        self.0.len() < FEW
    }

    /// Returns the second longest, so that a single claim that was blocked (by a lock or the disk) is ignored; the
    /// longest while there are few.
    fn usual(&self) -> Option<Duration> {
        let mut both = [None; 2];
        for (_, longest) in &self.0 {
            let longest = Some(*longest);
            both = if longest > both[0] { [longest, both[0]] } else { [both[0], both[1].max(longest)] };
        }
        if self.are_few() { both[0] } else { both[1] }
    }
}

impl Prefetch {
    /// Returns how many calls to hold beyond those that have a slot. `started`: how many this pod has started so far.
    pub(super) fn spare(&mut self, now: Instant, started: u64) -> usize {
        let (since, before) = *self.measured.get_or_insert((now, started));
        let took = now.saturating_duration_since(since);
        if took >= SPAN {
            let count = u32::try_from(started.saturating_sub(before)).unwrap_or(u32::MAX);
            let rate = f64::from(count) / took.as_secs_f64();
            // Averaged, because one slow claim is not representative.
            self.rate = f64::midpoint(self.rate, rate);
            self.measured = Some((now, started));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates, and is no less than 0"
        )]
        let spare =
            (self.rate * self.claim.saturating_mul(2).clamp(LEAST_SPARE, MOST_SPARE).as_secs_f64()) as usize;
        spare.min(MOST)
    }

    /// Records a claim and its duration. `found`: whether it returned any call.
    pub(super) fn claimed(&mut self, sent: Instant, took: Duration, found: bool) {
        self.claim = (self.claim + took) / 2;
        let longest = if found { &mut self.full_claims } else { &mut self.empty_claims };
        longest.add(sent, took);
    }

    /// Returns how long before its due time a call is claimed, so that the reply arrives in time: the duration of
    /// recent claims, and a margin.
    pub(super) fn ahead(&self, lease: Duration) -> Duration {
        let mut usual = self.full_claims.usual();
        if self.full_claims.are_few() {
            // A claim that returns nothing sends about half as many statements as one that returns calls.
            usual = usual.max(self.empty_claims.usual().map(|took| took.saturating_mul(2)));
        }
        let most = MOST_AHEAD.min(lease / 4);
        usual.unwrap_or_default().saturating_add(MARGIN).max(LEAST_AHEAD).min(most)
    }

    /// Resets the rate after calls waited too long for a slot: no more are held than there are slots, until the rate
    /// is measured again.
    pub(super) fn reset_rate(&mut self) {
        self.rate = 0.0;
    }

    /// Returns whether the next claim should be a full scan.
    pub(super) fn is_sweep_due(&self, now: Instant) -> bool {
        self.sweep_from.is_none_or(|from| from <= now)
    }

    /// Returns whether the database's clock should be read now, and records that it is.
    pub(super) fn reads_clock(&mut self, now: Instant) -> bool {
        let is_due = self.clock_read.is_none_or(|read| now.saturating_duration_since(read) >= CLOCK);
        if is_due {
            self.clock_read = Some(now);
        }
        is_due
    }

    /// Records a full scan. `longest`: limit of the pause after one that was only blocked (by a lock, or a server
    /// restart).
    pub(super) fn swept(&mut self, sent: Instant, answered: Instant, longest: Duration) {
        let took = answered.saturating_duration_since(sent);
        self.sweep_from = answered.checked_add(took.saturating_mul(SWEEP_SHARE).min(longest).max(SWEEP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_held_in_spare_is_the_work_of_two_claims() {
        let (mut prefetch, start) = (Prefetch::default(), crate::clock::instant());
        assert_eq!(prefetch.spare(start, 0), 0);
        assert_eq!(prefetch.spare(start + MS, 50), 0, "too short to tell");
        // 40,000 a second, for long enough.
        for n in 1..=20 {
            prefetch.spare(start + 10 * n * MS, u64::from(n) * 400);
        }
        let spare = prefetch.spare(start + 201 * MS, 8_000);
        assert!((195..=200).contains(&spare), "at least five milliseconds: {spare}");
        // Claims of 6 ms: 12 ms of it. Claims of a second: 50 ms of it, as long as calls may wait for a slot anyhow.
        for (claim, least, most) in [(6 * MS, 470, 480), (1_000 * MS, 1_950, 2_000)] {
            (0..20).for_each(|_| prefetch.claimed(start, claim, true));
            let spare = prefetch.spare(start + 201 * MS, 8_000);
            assert!((least..=most).contains(&spare), "{spare}");
        }
        prefetch.reset_rate();
        assert_eq!(prefetch.spare(start + 201 * MS, 8_001), 0);
        // 64 slots with calls of a second each: nothing in spare.
        let (mut prefetch, second) = (Prefetch::default(), 1_000 * MS);
        let spare = (1..=20_u32).map(|n| prefetch.spare(start + n * second, u64::from(n) * 64)).max();
        assert_eq!(spare, Some(0));
    }

    #[test]
    fn calls_are_claimed_as_far_ahead_as_claims_take() {
        let (lease, start) = (30_000 * MS, crate::clock::instant());
        let mut prefetch = Prefetch::default();
        assert_eq!(prefetch.ahead(lease), 10 * MS, "nothing is known yet");
        prefetch.claimed(start, 6 * MS, false);
        assert_eq!(prefetch.ahead(lease), 17 * MS, "claims that find something take twice as long");
        // A database nearby: the first claim of a start takes longer than the others.
        for (second, took) in [(0, 9 * MS), (5, 2 * MS), (10, MS), (15, 4 * MS)] {
            prefetch.claimed(start + 1_000 * MS * second, took, false);
        }
        assert_eq!(prefetch.ahead(lease), 13 * MS, "the second longest");
        prefetch.claimed(start + 20_000 * MS, 3 * MS, true);
        assert_eq!(prefetch.ahead(lease), 13 * MS, "one that found something is not enough to go by");
        // Across a network; of each span of two seconds the longest counts.
        for (place, took) in (0..).zip([3, 12, 3, 3, 9, 3, 3, 11, 3, 3, 10, 3].map(|took| took * MS)) {
            prefetch.claimed(start + 30_000 * MS + 700 * MS * place, took, true);
        }
        assert_eq!(prefetch.ahead(lease), 16 * MS);
        // One that waits for a lock counts for nothing, and two do.
        prefetch.claimed(start + 40_000 * MS, 900 * MS, true);
        assert_eq!(prefetch.ahead(lease), 17 * MS);
        prefetch.claimed(start + 42_000 * MS, 60 * MS, true);
        assert_eq!(prefetch.ahead(lease), 65 * MS);
        prefetch.claimed(start + 44_000 * MS, 900 * MS, true);
        assert_eq!(prefetch.ahead(lease), 200 * MS);
        assert_eq!(prefetch.ahead(300 * MS), 75 * MS, "within a quarter of a lease");
        // What finds nothing takes less, and says nothing about it once more is known.
        (0..20).for_each(|n| prefetch.claimed(start + 50_000 * MS + 2_000 * MS * n, 8 * MS, false));
        assert_eq!(prefetch.ahead(lease), 200 * MS);
        // All of it is forgotten after eight spans with claims.
        (0..8).for_each(|n| prefetch.claimed(start + 90_000 * MS + 2_000 * MS * n, 8 * MS, true));
        assert_eq!(prefetch.ahead(lease), 13 * MS);
    }

    #[test]
    fn the_clock_is_read_every_second_at_most() {
        let (mut prefetch, start) = (Prefetch::default(), crate::clock::instant());
        assert!(prefetch.reads_clock(start));
        assert!(!prefetch.reads_clock(start + 999 * MS));
        assert!(prefetch.reads_clock(start + 1_000 * MS));
        assert!(!prefetch.reads_clock(start + 1_999 * MS), "counted from when it was read");
    }

    #[test]
    fn sweeps_come_every_second_or_less_often_when_they_take_long() {
        let (mut prefetch, start) = (Prefetch::default(), crate::clock::instant());
        assert!(prefetch.is_sweep_due(start));
        let longest = 5_000 * MS;
        prefetch.swept(start, start + MS, longest);
        assert!(!prefetch.is_sweep_due(start + 1_000 * MS) && prefetch.is_sweep_due(start + 1_001 * MS));
        prefetch.swept(start, start + 200 * MS, longest);
        assert!(!prefetch.is_sweep_due(start + 4_199 * MS) && prefetch.is_sweep_due(start + 4_200 * MS));
        prefetch.swept(start, start + 4_000 * MS, longest);
        assert!(!prefetch.is_sweep_due(start + 8_999 * MS) && prefetch.is_sweep_due(start + 9_000 * MS));
    }
}
