//! The only file that throws dice.

/// Thirty-two random bits: for jitter, never for secrets.
pub(crate) fn bits() -> u32 {
    #[cfg(feature = "testing")]
    if let Some(bits) = crate::testing::bits() {
        return bits;
    }
    // The random bits of a fresh UUID: no generator of our own for the jitter of a wait.
    u32::try_from(uuid::Uuid::new_v4().as_u128() & 0xFFFF_FFFF).unwrap_or(0)
}
