//! Many short random walks, each on a database of its own, compared with the memory store: the differential test.
//!
//! `FUTURECALL_TEST_WALKS` sets how many (default 10), `FUTURECALL_TEST_WALK` the seed of a single one to repeat.

use std::ops::Range;

use crate::cases::model::walk;
use crate::suite::Harness;

/// How many steps a walk has.
pub const STEPS: usize = 40;

/// Performs the walks that the environment sets. Returns how many there were.
///
/// # Panics
///
/// If the store and the model differ: with the walk's seed, its steps, and how to repeat it.
pub async fn walks(harness: &dyn Harness) -> u64 {
    let seeds = seeds();
    let count = seeds.end.saturating_sub(seeds.start);
    let middle = seeds.start.midpoint(seeds.end);
    // Two at a time: each waits for its database most of the time.
    tokio::join!(go(harness, seeds.start..middle), go(harness, middle..seeds.end));
    count
}

async fn go(harness: &dyn Harness, seeds: Range<u64>) {
    for seed in seeds {
        let fixture = harness.fresh().await;
        fixture.store.migrate().await.expect("a fresh database takes the migrations");
        let _told = SayHow { store: harness.name(), seed };
        walk(&fixture, seed, STEPS).await;
        fixture.database.remove().await;
    }
}

/// Seeds that the cases of the suite do not use.
const FIRST: u64 = 1_000_000;

fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    match number("FUTURECALL_TEST_WALK") {
        Some(seed) => seed..seed.saturating_add(1),
        None => FIRST..FIRST.saturating_add(number("FUTURECALL_TEST_WALKS").unwrap_or(10)),
    }
}

/// Prints how to repeat a walk when it panics.
struct SayHow {
    store: &'static str,
    seed: u64,
}

impl Drop for SayHow {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "again: FUTURECALL_TEST_WALK={} cargo test -p futurecall-tests --test it differential::{}",
                self.seed, self.store
            );
        }
    }
}
