//! How much to claim ahead, and how often to look at everything.

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

/// What the claimer remembers from one claim to the next.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the rate was last measured, and how many calls had been started then.
    measured: Option<(Instant, u64)>,
    /// Calls a second.
    rate: f64,
    /// How long a claim takes.
    claim: Duration,
    /// From when on everything is to be looked at again.
    sweep_from: Option<Instant>,
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

    /// A claim took that long.
    pub(super) fn claimed_in(&mut self, took: Duration) {
        self.claim = (self.claim + took) / 2;
    }

    /// Calls waited too long for a slot: no more are held than there are slots, until the rate says otherwise.
    pub(super) fn was_too_fast(&mut self) {
        self.rate = 0.0;
    }

    /// Whether everything is to be looked at.
    pub(super) fn is_sweep_due(&self, now: Instant) -> bool {
        self.sweep_from.is_none_or(|from| from <= now)
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
            (0..20).for_each(|_| pace.claimed_in(claim));
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
