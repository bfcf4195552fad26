//! The machine's two clocks, read from the kernel: a library that shifts the C library's clocks does not affect the
//! ledger.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Returns microseconds of the monotonic clock, which cannot be set. It is the same for all processes of the machine.
pub(crate) fn monotonic() -> i64 {
    read(ClockId::Monotonic)
}

/// Returns microseconds since 1970.
pub(crate) fn real() -> i64 {
    read(ClockId::Realtime)
}

/// Returns this process's own wall clock, shifted or not, in microseconds since 1970.
pub(crate) fn wall() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, micros)
}

/// Returns a duration in whole microseconds.
pub(crate) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
}
