//! Repeatable random numbers: the same seed gives the same numbers on every machine.

use std::time::Duration;

/// A small generator (`SplitMix64`), good enough to shuffle cases.
#[derive(Debug)]
pub struct Rng(u64);

impl Rng {
    /// Returns a generator with that seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a generator for one of several parts that run concurrently, in an unknown order.
    pub fn part(seed: u64, part: u64) -> Self {
        let mut rng = Self(seed ^ part.wrapping_mul(0xd134_2543_de82_ef95));
        rng.next();
        rng
    }

    /// Returns a number from 0 to `end` - 1.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }

    /// Returns the same as a priority.
    pub fn small(&mut self, end: usize) -> i16 {
        i16::try_from(self.below(end)).unwrap_or(0)
    }

    /// Returns one of these; `None` if there are none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len())) }
    }

    /// Returns true with that probability in percent.
    pub fn percent(&mut self, cases: usize) -> bool {
        self.below(100) < cases
    }

    /// Returns a time of at least that many milliseconds, and less than the second number.
    pub fn between(&mut self, least: u64, most: u64) -> Duration {
        let width = most.saturating_sub(least).max(1);
        Duration::from_millis(least + self.next() % width)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    /// Seeds of past failures are written down: their numbers must not change.
    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut rng = Rng::new(7);
        assert_eq!([(); 4].map(|()| rng.below(1_000)), [487, 804, 346, 203]);
        let mut rng = Rng::part(7, 3);
        assert_eq!([(); 4].map(|()| rng.below(1_000)), [364, 488, 268, 586]);
    }
}
