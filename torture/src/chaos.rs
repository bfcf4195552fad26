//! Measures how soon work continues after a fault, in five scenarios that are commonly used to compare such systems.
//!
//! Load comes at a steady rate throughout. The measure is the number of calls completed in the ten seconds after the
//! fault has ended, divided by the number completed in the ten seconds before it began. The backlog counts as well, so
//! a figure may be above 100 %; the last five of the ten seconds are shown separately.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::fault::{Counted, Kind};
use crate::ledger::What;
use crate::setup::{Setup, SetupOptions};
use crate::{Result, clock, fault_injector, producer};
use futurecall_testbed::rng::Rng;

/// Long enough for a restarted worker to find its own predecessors gone; not the default, which would hold interrupted
/// calls back for longer than the ten seconds that are counted.
const LEASE: Duration = Duration::from_secs(5);
/// Calls per second.
const RATE: u32 = 200;
/// How long is counted before and after.
const WINDOW: Duration = Duration::from_secs(10);
/// The required result, in percent.
const WANTED: f64 = 98.0;

/// The kind of fault.
#[derive(Clone, Copy, Debug)]
enum Scenario {
    PostgresRestart,
    BackendKill,
    PoolExhaustion,
    CrashRecovery,
    RepeatedKills,
}

const ALL: [Scenario; 5] = [
    Scenario::PostgresRestart,
    Scenario::BackendKill,
    Scenario::PoolExhaustion,
    Scenario::CrashRecovery,
    Scenario::RepeatedKills,
];

/// When a scenario's fault began and ended, by the monotonic clock.
struct Played {
    scenario: Scenario,
    begin: i64,
    end: i64,
}

/// Runs all five on one database, prints a table, and checks every call.
pub(crate) async fn chaos(seed: u64) -> Result<ExitCode> {
    let wanted = SetupOptions {
        sqlite: false,
        bends: false,
        disks: false,
        mutant: None,
        workers: 4,
        recurs: false,
        lease: LEASE,
        draws: None,
    };
    let setup = Setup::prepare(wanted).await?;
    let (stop, calls) = (CancellationToken::new(), TaskTracker::new());
    let load = tokio::spawn(load(setup.pods.clone(), Arc::clone(&setup.acks), stop.clone(), calls.clone()));
    // Until every worker has started and caches are warm.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut rng = Rng::part(seed, 1);
    let mut played = Vec::new();
    for scenario in ALL {
        tokio::time::sleep(WINDOW).await;
        let begin = clock::monotonic();
        scenario.play(&setup, &mut rng).await?;
        played.push(Played { scenario, begin, end: clock::monotonic() });
        tokio::time::sleep(WINDOW).await;
    }
    stop.cancel();
    load.await?;
    calls.close();
    calls.wait().await;
    let report = setup.check().await?;

    let mut completed: HashMap<Uuid, i64> = HashMap::new();
    for event in report.events.iter().filter(|event| event.what == What::End) {
        completed.entry(event.run.call).or_insert(event.at);
    }
    let mut completed: Vec<i64> = completed.into_values().collect();
    completed.sort_unstable();
    println!("chaos seed={seed}: {RATE} calls/s, 4 workers, lease {} s", LEASE.as_secs());
    println!("scenario          fault_s  before/s  after/s  recovery  seconds_6_to_10  first_completion_ms");
    let reached = played.iter().filter(|played| played.print(&completed)).count();
    println!("{} | {} | scenarios {reached} of {}", Counted::of(&report.faults), report.verdict, ALL.len());
    if report.verdict.count() > 0 {
        report.complain(&format!("cargo run --release -p futurecall-torture -- chaos --seed {seed}"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(if reached == ALL.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Scenario {
    const fn name(self) -> &'static str {
        match self {
            Self::PostgresRestart => "postgres_restart",
            Self::BackendKill => "pg_backend_kill",
            Self::PoolExhaustion => "pool_exhaustion",
            Self::CrashRecovery => "crash_recovery",
            Self::RepeatedKills => "repeated_kills",
        }
    }

    async fn play(self, setup: &Setup, rng: &mut Rng) -> Result {
        let targets = &setup.targets;
        match self {
            Self::PostgresRestart => {
                fault_injector::break_database(targets, Kind::Crash, Duration::ZERO).await?;
            }
            Self::BackendKill => {
                for _ in 0..10 {
                    fault_injector::break_database(targets, Kind::Terminate, Duration::ZERO).await?;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
            Self::PoolExhaustion => {
                fault_injector::break_database(targets, Kind::Exhaust, Duration::from_secs(8)).await?;
            }
            Self::CrashRecovery => {
                fault_injector::kill(targets, 0..targets.workers.len(), Duration::from_secs(5)).await?;
            }
            Self::RepeatedKills => {
                for _ in 0..8 {
                    let number = rng.below(targets.workers.len());
                    fault_injector::kill(targets, number..number + 1, Duration::from_millis(100)).await?;
                    tokio::time::sleep(Duration::from_millis(1_200)).await;
                }
            }
        }
        Ok(())
    }
}

impl Played {
    /// Prints a line of the table; returns whether the scenario passed.
    fn print(&self, completed: &[i64]) -> bool {
        let window = i64::try_from(WINDOW.as_micros()).unwrap_or(i64::MAX);
        let before = rate(completed, self.begin - window, self.begin);
        let after = rate(completed, self.end, self.end + window);
        let late = rate(completed, self.end + window / 2, self.end + window);
        let first = completed.iter().find(|at| **at >= self.end).map_or(-1, |at| (at - self.end) / 1_000);
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let fault = (self.end - self.begin) as f64 / 1e6;
        let percent = |rate: f64| 100.0 * rate / before.max(1.0);
        println!(
            "{:<17} {fault:>7.1} {before:>9.1} {after:>8.1} {:>8.1}% {:>15.1}% {first:>20}",
            self.scenario.name(),
            percent(after),
            percent(late)
        );
        percent(after) >= WANTED
    }
}

/// Completions per second.
fn rate(completed: &[i64], from: i64, until: i64) -> f64 {
    let count = |until| completed.partition_point(|at| *at < until);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand calls, a few seconds")]
    let rate = (count(until) - count(from)) as f64 * 1e6 / (until - from) as f64;
    rate
}

/// Schedules at a steady rate, whether or not the previous calls have been stored.
async fn load(
    pods: Vec<futurecall_runtime::Pod>,
    acks: Arc<crate::acks::Acks>,
    stop: CancellationToken,
    calls: TaskTracker,
) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for pod in pods.iter().cycle() {
        if stop.run_until_cancelled(ticks.tick()).await.is_none() {
            return;
        }
        calls.spawn(producer::schedule_now(pod.clone(), Arc::clone(&acks)));
    }
}
