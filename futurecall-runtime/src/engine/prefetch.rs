//! How much to claim ahead, how long before its moment, and how often to look at everything.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much work, at the rate just measured, is held beyond the free slots: as much as is done while the next two claims
/// are on their way, within these bounds. Where a commit takes long, claims are so much the larger; the upper bound is half
/// of what a call may wait for a slot.
const LEAST_SPARE: Duration = Duration::from_millis(5);
const MOST_SPARE: Duration = Duration::from_millis(50);
/// The most calls held beyond the free slots.
const MOST: usize = 2_000;
/// The shortest time over which a rate is measured.
const SPAN: Duration = Duration::from_millis(2);
/// How often everything is looked at while calls are claimed.
const SWEEP: Duration = Duration::from_secs(1);
/// At most this share of the time is spent on looking at everything, unless it would come more seldom than an idle pod looks.
const SWEEP_SHARE: u32 = 20;

/// How often the database's clock is read while calls are held for their moment. What is known of it grows worse by a fifth of
/// a millisecond in that time.
const CLOCK: Duration = Duration::from_secs(1);

/// How long before its moment a call is claimed at least. Claims on a database nearby take less.
const LEAST_AHEAD: Duration = Duration::from_millis(10);
/// How long at most, within a quarter of a lease: a call that is held for its moment has a place in this pod that one which
/// is due could have, and a cancellation finds it claimed. It is enough for round trips of 60 ms: a claim of an idle pod
/// takes three of them.
const MOST_AHEAD: Duration = Duration::from_millis(200);
/// What is added to the time that claims take: for timers, which ring up to 2 ms late, and for a claim that begins late
/// because another one was under way.
const MARGIN: Duration = Duration::from_millis(5);
/// For how long the longest claim of a span of time is looked for. Longer than the time between two sweeps, so that there is
/// one in each span of a busy pod.
const SPAN_OF_CLAIMS: Duration = Duration::from_secs(2);
/// How many spans with claims are remembered.
const SPANS: usize = 8;
/// Of fewer spans the longest claim counts, and then the second longest.
const FEW: usize = 4;

/// What the claimer remembers from one claim to the next.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the rate was last measured, and how many calls had been started then.
    measured: Option<(Instant, u64)>,
    /// Calls a second.
    rate: f64,
    /// How long a claim takes.
    claim: Duration,
    /// How long claims took that found something, and those that found nothing.
    hauls: Longest,
    looks: Longest,
    /// From when on everything is to be looked at again.
    sweep_from: Option<Instant>,
    /// When the clock was last read.
    clock_read: Option<Instant>,
}

/// The longest claim of each of the last spans of time that had any.
#[derive(Debug, Default)]
struct Longest(VecDeque<(Instant, Duration)>);

impl Longest {
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

    /// Returns the second longest, so that a single one that waited (for a lock, for a disk) counts for nothing; the longest
    /// while there are few.
    fn usual(&self) -> Option<Duration> {
        let mut both = [None; 2];
        for (_, longest) in &self.0 {
            let longest = Some(*longest);
            both = if longest > both[0] { [longest, both[0]] } else { [both[0], both[1].max(longest)] };
        }
        if self.are_few() { both[0] } else { both[1] }
    }
}

impl Pace {
    /// How many calls to hold beyond those that have a slot. `started`: how many this pod has started so far.
    pub(super) fn spare(&mut self, now: Instant, started: u64) -> usize {
        let (since, before) = *self.measured.get_or_insert((now, started));
        let took = now.saturating_duration_since(since);
        if took >= SPAN {
            let count = u32::try_from(started.saturating_sub(before)).unwrap_or(u32::MAX);
            let rate = f64::from(count) / took.as_secs_f64();
            // Half of what it was: one claim that took long says little.
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

    /// A claim was sent then, and took that long. `found`: whether it brought any call.
    pub(super) fn claimed(&mut self, sent: Instant, took: Duration, found: bool) {
        self.claim = (self.claim + took) / 2;
        let longest = if found { &mut self.hauls } else { &mut self.looks };
        longest.add(sent, took);
    }

    /// Returns how long before its moment a call is to be claimed, so that the answer is here by then: as long as claims have
    /// taken lately, and a little more.
    pub(super) fn ahead(&self, lease: Duration) -> Duration {
        let mut usual = self.hauls.usual();
        if self.hauls.are_few() {
            // A claim that finds nothing sends about half of what one sends that does.
            usual = usual.max(self.looks.usual().map(|looks| looks.saturating_mul(2)));
        }
        let most = MOST_AHEAD.min(lease / 4);
        usual.unwrap_or_default().saturating_add(MARGIN).max(LEAST_AHEAD).min(most)
    }

    /// Calls waited too long for a slot: no more are held than there are slots, until the rate says otherwise.
    pub(super) fn was_too_fast(&mut self) {
        self.rate = 0.0;
    }

    /// Whether everything is to be looked at.
    pub(super) fn is_sweep_due(&self, now: Instant) -> bool {
        self.sweep_from.is_none_or(|from| from <= now)
    }

    /// Whether the database's clock is to be read now, which is noted as done.
    pub(super) fn reads_clock(&mut self, now: Instant) -> bool {
        let is_due = self.clock_read.is_none_or(|read| now.saturating_duration_since(read) >= CLOCK);
        if is_due {
            self.clock_read = Some(now);
        }
        is_due
    }

    /// Everything has been looked at. `longest`: a look that only waited (for a lock, for a server that came back) puts
    /// the next off for no longer than that.
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
        let (mut pace, start) = (Pace::default(), crate::clock::instant());
        assert_eq!(pace.spare(start, 0), 0);
        assert_eq!(pace.spare(start + MS, 50), 0, "too short to tell");
        // 40,000 a second, for long enough.
        for n in 1..=20 {
            pace.spare(start + 10 * n * MS, u64::from(n) * 400);
        }
        let spare = pace.spare(start + 201 * MS, 8_000);
        assert!((195..=200).contains(&spare), "at least five milliseconds: {spare}");
        // Claims of 6 ms: 12 ms of it. Claims of a second: 50 ms of it, as long as calls may wait for a slot anyhow.
        for (claim, least, most) in [(6 * MS, 470, 480), (1_000 * MS, 1_950, 2_000)] {
            (0..20).for_each(|_| pace.claimed(start, claim, true));
            let spare = pace.spare(start + 201 * MS, 8_000);
            assert!((least..=most).contains(&spare), "{spare}");
        }
        pace.was_too_fast();
        assert_eq!(pace.spare(start + 201 * MS, 8_001), 0);
        // 64 slots with calls of a second each: nothing in spare.
        let (mut pace, second) = (Pace::default(), 1_000 * MS);
        let spare = (1..=20_u32).map(|n| pace.spare(start + n * second, u64::from(n) * 64)).max();
        assert_eq!(spare, Some(0));
    }

    #[test]
    fn calls_are_claimed_as_far_ahead_as_claims_take() {
        let (lease, start) = (30_000 * MS, crate::clock::instant());
        let mut pace = Pace::default();
        assert_eq!(pace.ahead(lease), 10 * MS, "nothing is known yet");
        pace.claimed(start, 6 * MS, false);
        assert_eq!(pace.ahead(lease), 17 * MS, "claims that find something take twice as long");
        // A database nearby: the first claim of a start takes longer than the others.
        for (second, took) in [(0, 9 * MS), (5, 2 * MS), (10, MS), (15, 4 * MS)] {
            pace.claimed(start + 1_000 * MS * second, took, false);
        }
        assert_eq!(pace.ahead(lease), 13 * MS, "the second longest");
        pace.claimed(start + 20_000 * MS, 3 * MS, true);
        assert_eq!(pace.ahead(lease), 13 * MS, "one that found something is not enough to go by");
        // Across a network; of each span of two seconds the longest counts.
        for (place, took) in (0..).zip([3, 12, 3, 3, 9, 3, 3, 11, 3, 3, 10, 3].map(|took| took * MS)) {
            pace.claimed(start + 30_000 * MS + 700 * MS * place, took, true);
        }
        assert_eq!(pace.ahead(lease), 16 * MS);
        // One that waits for a lock counts for nothing, and two do.
        pace.claimed(start + 40_000 * MS, 900 * MS, true);
        assert_eq!(pace.ahead(lease), 17 * MS);
        pace.claimed(start + 42_000 * MS, 60 * MS, true);
        assert_eq!(pace.ahead(lease), 65 * MS);
        pace.claimed(start + 44_000 * MS, 900 * MS, true);
        assert_eq!(pace.ahead(lease), 200 * MS);
        assert_eq!(pace.ahead(300 * MS), 75 * MS, "within a quarter of a lease");
        // What finds nothing takes less, and says nothing about it once more is known.
        (0..20).for_each(|n| pace.claimed(start + 50_000 * MS + 2_000 * MS * n, 8 * MS, false));
        assert_eq!(pace.ahead(lease), 200 * MS);
        // All of it is forgotten after eight spans with claims.
        (0..8).for_each(|n| pace.claimed(start + 90_000 * MS + 2_000 * MS * n, 8 * MS, true));
        assert_eq!(pace.ahead(lease), 13 * MS);
    }

    #[test]
    fn the_clock_is_read_every_second_at_most() {
        let (mut pace, start) = (Pace::default(), crate::clock::instant());
        assert!(pace.reads_clock(start));
        assert!(!pace.reads_clock(start + 999 * MS));
        assert!(pace.reads_clock(start + 1_000 * MS));
        assert!(!pace.reads_clock(start + 1_999 * MS), "counted from when it was read");
    }

    #[test]
    fn sweeps_come_every_second_or_less_often_when_they_take_long() {
        let (mut pace, start) = (Pace::default(), crate::clock::instant());
        assert!(pace.is_sweep_due(start));
        let longest = 5_000 * MS;
        pace.swept(start, start + MS, longest);
        assert!(!pace.is_sweep_due(start + 1_000 * MS) && pace.is_sweep_due(start + 1_001 * MS));
        pace.swept(start, start + 200 * MS, longest);
        assert!(!pace.is_sweep_due(start + 4_199 * MS) && pace.is_sweep_due(start + 4_200 * MS));
        pace.swept(start, start + 4_000 * MS, longest);
        assert!(!pace.is_sweep_due(start + 8_999 * MS) && pace.is_sweep_due(start + 9_000 * MS));
    }
}
