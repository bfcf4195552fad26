//! Hundreds of simulated runs, and the broken stores that must be found.
//!
//! `FUTURECALL_SIM_SEED=… cargo test -p futurecall-tests --test it simulation::seeds` plays a single seed, and
//! `FUTURECALL_SIM_SEEDS=…` that many.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futurecall_runtime::store::MemoryStore;
use futurecall_runtime::testing::{Process, Simulation};
use futurecall_runtime::{CallState, Moment, Pod};
use futurecall_tests::journal::Journal;
use futurecall_tests::simulation::{Counts, Mutant, Report, Settings, simulate};

use crate::pods::support::Note;

/// How many seeds are played, unless the environment says otherwise.
const SEEDS: u64 = 500;
/// Within how many of them every mutant must be caught.
const CATCH: u64 = 600;

#[test]
fn seeds() {
    if let Some(seed) = number("FUTURECALL_SIM_SEED") {
        let report = simulate(seed, Settings::default());
        for line in &report.lines {
            println!("{} {:?}", line.at, line.what);
        }
        println!("{:?}, hash {:016x}", report.counts, report.hash());
        check(&report);
        return;
    }
    let (began, seeds) = (Instant::now(), number("FUTURECALL_SIM_SEEDS").unwrap_or(SEEDS));
    let (next, counts) = (AtomicU64::new(1), std::sync::Mutex::new(Counts::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        return;
                    }
                    let report = simulate(seed, Settings::default());
                    check(&report);
                    counts.lock().unwrap().add(report.counts);
                }
            });
        }
    });
    let counts = *counts.lock().unwrap();
    let Counts { operations, faults, starts, rescues, refusals, .. } = counts;
    let Counts { late, at_once, expired, timeouts, reruns, pruned, partitions, .. } = counts;
    println!(
        "\nsimulation seeds={seeds} operations={operations} faults={faults} starts={starts} rescues={rescues} \
         refusals={refusals} late={late} at_once={at_once} expired={expired} timeouts={timeouts} reruns={reruns} \
         pruned={pruned} partitions={partitions} violations=0 seconds={}",
        began.elapsed().as_secs()
    );
    assert!(faults > 10 * seeds && starts > 10 * seeds, "{counts:?}");
    assert!(rescues > seeds / 2 && refusals > seeds / 50, "{counts:?}");
    assert!(partitions > seeds / 2, "{counts:?}");
    assert!(late > seeds && expired > seeds / 10 && timeouts > seeds / 2, "{counts:?}");
    assert!(reruns > seeds / 10 && pruned > seeds && at_once > seeds, "{counts:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (once, again) = (simulate(7, Settings::default()), simulate(7, Settings::default()));
    let differing = once.lines.iter().zip(&again.lines).find(|(one, other)| one != other);
    assert_eq!(differing, None);
    assert_eq!((once.hash(), once.counts), (again.hash(), again.counts));
    assert_ne!(once.hash(), simulate(8, Settings::default()).hash());
}

#[test]
fn nothing_is_run_again_where_nothing_goes_wrong() {
    for seed in 1..=20 {
        let report = simulate(seed, Settings { faults: false, ..Settings::default() });
        check(&report);
        let Counts { rescues, refusals, faults, starts, .. } = report.counts;
        assert_eq!((rescues, refusals, faults), (0, 0, 0), "seed {seed}");
        assert!(starts > 0, "seed {seed}");
    }
}

#[test]
fn a_claim_that_comes_through_late_interrupts_nothing() {
    for seed in 1..=30 {
        let report = simulate(seed, Settings { faults: false, late_claims: true, ..Settings::default() });
        check(&report);
        let Counts { rescues, refusals, late, .. } = report.counts;
        assert!(late > 0, "seed {seed}");
        assert_eq!((rescues, refusals), (0, 0), "seed {seed}: {report:?}");
    }
}

#[test]
fn a_server_that_turns_everybody_away_for_a_moment_interrupts_nothing() {
    for seed in 1..=30 {
        let report = simulate(seed, Settings { faults: false, denials: true, ..Settings::default() });
        check(&report);
        let Counts { rescues, refusals, denials, .. } = report.counts;
        assert!(denials > 0, "seed {seed}");
        assert_eq!((rescues, refusals), (0, 0), "seed {seed}: {report:?}");
    }
}

/// Whether it was done nobody can know: who takes it for done loses an outcome.
#[test]
fn what_was_not_done_although_it_may_have_been_interrupts_nothing() {
    for seed in 1..=30 {
        let report = simulate(seed, Settings { faults: false, unsent: true, ..Settings::default() });
        check(&report);
        let Counts { rescues, refusals, starts, .. } = report.counts;
        assert!(starts > 0, "seed {seed}");
        assert_eq!((rescues, refusals), (0, 0), "seed {seed}: {report:?}");
    }
}

#[test]
fn every_mutant_is_caught() {
    let caught = |mutant| {
        let settings = Settings { mutant: Some(mutant), troubles: 20, slow: 20, ..Settings::default() };
        (1..=CATCH).map(|seed| simulate(seed, settings)).find(|report| !report.violations.is_empty())
    };
    let reports = std::thread::scope(|scope| {
        let searches = Mutant::ALL.map(|mutant| (mutant, scope.spawn(move || caught(mutant))));
        searches.map(|(mutant, search)| (mutant, search.join().unwrap()))
    });
    let mut missed = Vec::new();
    for (mutant, caught) in reports {
        match caught {
            Some(report) => println!("{mutant:?}, seed {}: {}", report.seed, report.violations[0]),
            None => missed.push(mutant),
        }
    }
    println!("\nsimulated mutants caught {} of {}", Mutant::ALL.len() - missed.len(), Mutant::ALL.len());
    assert!(missed.is_empty(), "not caught within {CATCH} seeds: {missed:?}");
}

#[test]
fn delays_count_from_the_clock_that_was_set_back() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        let simulation = Simulation::begin(1, Moment::from_micros(1_798_761_600_000_000).unwrap());
        let journal = Journal::new();
        let builder = Pod::builder().store(MemoryStore::new()).without_discovery().in_process(Process::new());
        let pod = builder.register_future_call("note", Note(journal.clone())).start().await.unwrap();
        pod.future_call_with_delay("note", Some("first"), Duration::ZERO).await.unwrap();
        journal.wait_for(1).await;
        tokio::time::sleep(second).await;

        simulation.set_back(hour);
        let began = tokio::time::Instant::now();
        // Due by the clock as the pod has read it last, and not by the one that it has now.
        let due = simulation.now().checked_add(600 * second).unwrap();
        let later = pod.future_call_at_time("note", Some("later"), due).await.unwrap();
        assert_eq!(pod.future_calls().status(later).await.unwrap(), Some(CallState::Scheduled));
        pod.future_call_with_delay("note", Some("soon"), 2 * second).await.unwrap();
        assert_eq!(journal.wait_for(2).await[1], "soon");
        let soon = began.elapsed();
        assert!(soon >= 2 * second && soon < 3 * second, "{soon:?}");
        tokio::time::sleep_until(began + 599 * second).await;
        assert_eq!(journal.lines().len(), 2);
        assert_eq!(journal.wait_for(3).await[2], "later");
        assert!(simulation.now() >= due && began.elapsed() < 601 * second, "{:?}", began.elapsed());
        pod.shutdown().await;
    });
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn check(report: &Report) {
    let Report { seed, violations, .. } = report;
    assert!(
        violations.is_empty(),
        "seed {seed}: {violations:#?}\n\
         FUTURECALL_SIM_SEED={seed} cargo test -p futurecall-tests --test it simulation::seeds -- --nocapture"
    );
}
