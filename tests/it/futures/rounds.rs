//! Rounds by seeds: every public future is begun and kept, other work continues, and then the stored state is checked.

use futurecall_testbed::rng::Rng;
use futurecall_tests::backend::Backend;
use futurecall_tests::on_all_stores;

use super::checks;
use super::handlers::COMPLETE;
use super::kept::{poll_times, soon};
use super::list::{self, Item};
use super::others;
use super::stage::Stage;

/// How many rounds are played on each store by default.
const SEEDS: u64 = 2;
/// How many times a future is polled at most before it is kept.
const POLLS: usize = 5;
/// How many handlers keep the futures of their transactions.
const KEEPERS: u64 = 2;

on_all_stores! {
    async fn kept_futures_keep_nothing_from_others(backend: &Backend) {
        let seeds = match number("FUTURECALL_FUTURES_SEED") {
            Some(seed) => seed..=seed,
            None => 1..=number("FUTURECALL_FUTURES_SEEDS").unwrap_or(SEEDS),
        };
        let (count, mut polled) = (seeds.clone().count(), Polled::default());
        for seed in seeds {
            println!("FUTURECALL_FUTURES_SEED={seed}");
            // Each on a database of its own.
            let fresh = match backend {
                Backend::Memory(_) => Backend::memory(),
                Backend::Sqlite(_) => Backend::sqlite(),
                Backend::Postgres(_) => Backend::postgres().await,
            };
            polled.add(round(&fresh, seed).await);
            fresh.drop().await;
        }
        let Polled { begun, kept } = polled;
        println!("\nfutures seeds={count} begun={begun} kept={kept} violations=0");
        assert!(begun > 50 * count, "{polled:?}");
        assert!(matches!(backend, Backend::Memory(_)) || kept > 10 * count, "{polled:?}");
    }
}

/// How many futures were begun, and how many of them remained pending.
#[derive(Clone, Copy, Debug, Default)]
struct Polled {
    begun: usize,
    kept: usize,
}

impl Polled {
    fn add(&mut self, other: Self) {
        self.begun += other.begun;
        self.kept += other.kept;
    }
}

/// A future that is kept, or its result.
struct Kept {
    item: Item,
    promised: bool,
    is_pending: bool,
}

async fn round(backend: &Backend, seed: u64) -> Polled {
    let mut dice = Rng::new(seed);
    let stage = Stage::new(backend).await;
    keepers(&stage, seed).await;
    let mut kept = begin(&stage, &mut dice).await;
    let polled = Polled { begun: kept.len(), kept: kept.iter().filter(|kept| kept.is_pending).count() };

    others::go_on(&stage).await;
    // Who keeps transactions goes on.
    stage.gate.close();
    let mut effects = Vec::new();
    while !kept.is_empty() {
        let one = kept.swap_remove(dice.below(kept.len()));
        effects.push(go_on_or_drop(one, dice.below(2) == 0).await);
    }
    for (name, effect, promised) in &effects {
        checks::effect(&stage, name, effect, *promised).await;
    }
    checks::actions(&stage).await;
    checks::rest(&stage).await;
    checks::runs(&stage).await;
    for pod in [&stage.side, &stage.pod] {
        soon("a shutdown", pod.shutdown()).await;
    }
    polled
}

/// Schedules handlers that keep the futures of their transactions.
async fn keepers(stage: &Stage<'_>, seed: u64) {
    if stage.has_transactions() {
        for number in 0..KEEPERS {
            let seed = seed * KEEPERS + number;
            stage.pod.future_call_with_delay(COMPLETE, Some(&seed), std::time::Duration::ZERO).await.unwrap();
        }
    }
}

/// Polls each future of the list a few times, in any order.
async fn begin(stage: &Stage<'_>, dice: &mut Rng) -> Vec<Kept> {
    let mut items = list::all(stage).await.0;
    let mut kept = Vec::new();
    while !items.is_empty() {
        let mut item = items.swap_remove(dice.below(items.len()));
        let polled = poll_times(item.future.as_mut(), dice.below(POLLS)).await;
        let promised = match &polled {
            Some(Ok(())) => true,
            Some(Err(error)) => panic!("{}: {error}", item.name),
            None => false,
        };
        // What the application itself locks, nobody else can have.
        if polled.is_some() || item.holds_the_file {
            item.future = Box::pin(std::future::pending());
        }
        let is_pending = polled.is_none() && !item.holds_the_file;
        kept.push(Kept { item, promised, is_pending });
    }
    kept
}

async fn go_on_or_drop(kept: Kept, goes_on: bool) -> (&'static str, list::Effect, bool) {
    let Kept { item: Item { name, future, effect, .. }, mut promised, is_pending } = kept;
    if is_pending && goes_on {
        if let Err(error) = soon(name, future).await {
            panic!("{name}, kept and then polled again: {error}");
        }
        promised = true;
    }
    (name, effect, promised)
}

/// Reads a number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
