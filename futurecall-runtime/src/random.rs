//! The only source of randomness; seeded in simulations.

/// Thirty-two random bits: for jitter, never for secrets.
pub(crate) fn bits() -> u32 {
    #[cfg(feature = "testing")]
    if let Some(bits) = seeded::bits() {
        return bits;
    }
    // The random bits of a fresh UUID: no generator of our own for the jitter of a wait.
    u32::try_from(uuid::Uuid::new_v4().as_u128() & 0xFFFF_FFFF).unwrap_or(0)
}

#[cfg(feature = "testing")]
pub(crate) use self::seeded::seed;

#[cfg(feature = "testing")]
mod seeded {
    use std::cell::Cell;

    thread_local! {
        static STATE: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// Makes this thread's bits repeatable; `None`: random again.
    pub(crate) fn seed(seed: Option<u64>) {
        STATE.set(seed);
    }

    /// The next bits of this thread (`SplitMix64`), if they are seeded.
    pub(super) fn bits() -> Option<u32> {
        let seed = STATE.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
        STATE.set(Some(seed));
        let mut mixed = seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) >> 32).ok()
    }
}
