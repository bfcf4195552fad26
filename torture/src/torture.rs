//! One run: load, faults, quiet, and the checker.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fault::{Counted, Kind};
use crate::fault_injector::{self, Targets};
use crate::mutant::Mutant;
use crate::producer::{Load, count_waiting, produce};
use crate::recurring::declare_again;
use crate::setup::{Report, Setup, SetupOptions};
use crate::{Result, clock_shim};
use futurecall_testbed::rng::Rng;

/// How long a lease lasts: short, so that faults outlast it; and long enough that a busy machine does not lose it.
const LEASE: Duration = Duration::from_secs(3);
/// How long it lasts for mutants that show where many leases end (as in their statements).
const SHORT_LEASE: Duration = Duration::from_secs(2);

/// Options of a run.
#[expect(clippy::struct_excessive_bools, reason = "each is wanted or not, whatever the others are")]
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) sqlite: bool,
    pub(crate) calm: bool,
    /// Whether disks can be full.
    pub(crate) disks: bool,
    pub(crate) mutant: Option<Mutant>,
    /// Whether ledgers and database are kept even if nothing was found.
    pub(crate) keep: bool,
}

/// Runs, checks, and prints one line; on a violation also where the evidence is, and how to reproduce it.
pub(crate) async fn torture(plan: &Plan) -> Result<ExitCode> {
    if let Some(mutant) = plan.mutant.filter(|mutant| !mutant.is_of(plan.sqlite)) {
        return Err(format!("there is no mutant {} of this database", mutant.name()).into());
    }
    if plan.mutant.is_some_and(|mutant| !can_be_made(mutant)) {
        return Err("the mutant was not made".into());
    }
    let report = run(plan).await?;
    println!("{}", plan.line(&report));
    if report.verdict.count() == 0 && !plan.keep {
        return Ok(ExitCode::SUCCESS);
    }
    let is_sound = report.verdict.count() == 0;
    report.complain(&plan.command());
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every mutant; the checker must catch each by a violation of its own kind.
pub(crate) async fn mutants(seed: u64, time: Duration, sqlite: bool) -> Result<ExitCode> {
    let mut caught = 0;
    let all: Vec<Mutant> = Mutant::value_variants()
        .iter()
        .copied()
        .filter(|mutant| mutant.is_of(sqlite))
        .filter(|mutant| can_be_made(*mutant))
        .collect();
    for mutant in all.iter().copied() {
        let plan = Plan { seed, time, sqlite, calm: false, disks: false, mutant: Some(mutant), keep: false };
        let report = run(&plan).await?;
        let shows: Vec<String> = mutant
            .shows_as()
            .iter()
            .filter_map(|kind| Some(format!("{kind:?}={}", report.verdict.violations.get(kind)?.len())))
            .collect();
        let by = if shows.is_empty() { "NOTHING".to_owned() } else { shows.join(" ") };
        println!("{} | caught by {by}", plan.line(&report));
        caught += usize::from(!shows.is_empty());
    }
    println!("mutants caught {caught} of {}", all.len());
    Ok(if caught == all.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Warns about faults that cannot be injected here.
fn can_be_made(mutant: Mutant) -> bool {
    let can_be_made = mutant != Mutant::ClockRatchet || clock_shim::machine().is_some();
    if !can_be_made {
        eprintln!("NO CLOCK IS SHIFTED: {} is left out (Debian: apt-get install libfaketime)", mutant.name());
    }
    can_be_made
}

impl Plan {
    fn line(&self, report: &Report) -> String {
        let place = if self.sqlite { "sqlite" } else { "postgres" };
        let mutant = self.mutant.map_or_else(String::new, |mutant| format!(" mutant={}", mutant.name()));
        format!(
            "torture {place}{mutant} seed={} seconds={} {} | {} drained_ms={}",
            self.seed,
            self.time.as_secs(),
            Counted::of(&report.faults),
            report.verdict,
            report.drained.as_millis()
        )
    }

    /// Returns the command that repeats the run.
    fn command(&self) -> String {
        let mut command = format!(
            "cargo run --release -p futurecall-torture -- --seconds {} --seed {}",
            self.time.as_secs(),
            self.seed
        );
        if self.sqlite {
            command += " --sqlite";
        }
        if self.calm {
            command += " --calm";
        }
        if let Some(mutant) = self.mutant {
            command.extend([" --mutant ", &mutant.name()]);
        }
        command
    }

    fn wanted(&self) -> SetupOptions {
        SetupOptions {
            sqlite: self.sqlite,
            bends: !self.calm && self.sets_clocks(),
            disks: self.disks,
            mutant: self.mutant,
            workers: if self.sqlite { 2 } else { 4 },
            recurs: true,
            lease: match self.mutant {
                Some(Mutant::FinishWithoutFence | Mutant::NoLeaseCheck) => SHORT_LEASE,
                _ => LEASE,
            },
            draws: Some(self.seed),
        }
    }

    fn sets_clocks(&self) -> bool {
        matches!(self.mutant, None | Some(Mutant::ClockRatchet))
    }

    /// Faults of processes.
    fn of_processes(&self) -> &'static [Kind] {
        match self.mutant {
            None => &[Kind::Kill, Kind::Pause, Kind::Restart, Kind::Kill, Kind::Pause],
            Some(Mutant::FinishWithoutFence) => &[Kind::Pause],
            Some(Mutant::NoLeaseCheck) if !self.sqlite => &[Kind::Pause],
            Some(Mutant::ReleaseLost) => &[Kind::Restart],
            Some(_) => &[],
        }
    }

    /// Faults of the database and of the connections to it.
    fn of_databases(&self) -> &'static [Kind] {
        match self.mutant {
            None if self.sqlite && self.disks => &[Kind::Lock, Kind::Full],
            None if self.sqlite => &[Kind::Lock],
            None if self.disks => &[
                Kind::Cut,
                Kind::Stall,
                Kind::Mute,
                Kind::Mute,
                Kind::Crash,
                Kind::Terminate,
                Kind::Exhaust,
                Kind::Denied,
                Kind::LockedOut,
                Kind::Lock,
                Kind::Full,
                Kind::FullLog,
            ],
            None => &[
                Kind::Cut,
                Kind::Cut,
                Kind::Stall,
                Kind::Stall,
                Kind::Mute,
                Kind::Mute,
                Kind::Mute,
                Kind::Crash,
                Kind::Terminate,
                Kind::Exhaust,
                Kind::Denied,
                Kind::Denied,
                Kind::LockedOut,
                Kind::Lock,
            ],
            Some(Mutant::AsynchronousCommit) => &[Kind::Crash],
            // Each is too short to explain what the mutant does.
            Some(Mutant::OutcomeThrownAway) => &[Kind::Denied],
            Some(Mutant::RenewalNotSent | Mutant::ReleaseLost) if !self.sqlite => &[Kind::Cut],
            Some(Mutant::NoLeaseCheck) if !self.sqlite => &[Kind::Stall],
            Some(_) => &[],
        }
    }
}

/// Runs load and faults at the same time; then everything must end.
async fn run(plan: &Plan) -> Result<Report> {
    let setup = Setup::prepare(plan.wanted()).await?;
    let stop = CancellationToken::new();
    let cancellations = TaskTracker::new();
    // Mutants show while handlers are running and a worker is paused: more handlers take long then, as many as leave
    // slots for those that are rerun.
    let long = match plan.mutant {
        None => 5,
        Some(_) if plan.sqlite => 8,
        Some(_) => 20,
    };
    let load = Load { blocks: plan.calm, long };
    let waiting = count_waiting(Arc::downgrade(&setup.targets.database), stop.clone());
    let producing: Vec<_> = setup
        .pods
        .iter()
        .cycle()
        .take(4)
        .zip(10..)
        .map(|(pod, part)| {
            let (acks, rng) = (Arc::clone(&setup.acks), Rng::part(plan.seed, part));
            let (waiting, stop) = (waiting.clone(), stop.clone());
            tokio::spawn(produce(pod.clone(), acks, rng, load, waiting, stop, cancellations.clone()))
        })
        .collect();
    if let Some(pod) = setup.pods.first() {
        cancellations.spawn(declare_again(pod.clone(), Rng::part(plan.seed, 20), stop.clone()));
    }
    let storm = tokio::spawn(inject_faults(plan.clone(), Arc::clone(&setup.targets), stop.clone()));
    tokio::time::sleep(plan.time).await;
    stop.cancel();
    storm.await??;
    for producing in producing {
        producing.await?;
    }
    cancellations.close();
    cancellations.wait().await;
    setup.check().await
}

async fn inject_faults(plan: Plan, targets: Arc<Targets>, stop: CancellationToken) -> Result {
    if plan.calm {
        return Ok(());
    }
    let rng = |part| Rng::part(plan.seed, part);
    let (processes, databases, clocks, database_clock, apart) = tokio::join!(
        fault_injector::of_processes(&targets, rng(1), &stop, plan.of_processes()),
        fault_injector::of_databases(&targets, rng(2), &stop, plan.of_databases()),
        async { if plan.sqlite { Ok(()) } else { fault_injector::of_clocks(&targets, rng(3), &stop).await } },
        async {
            if plan.sets_clocks() {
                fault_injector::of_database_clock(&targets, rng(4), &stop, plan.mutant.is_some()).await
            } else {
                Ok(())
            }
        },
        fault_injector::of_clocks_apart(&targets, rng(5), &stop)
    );
    processes.and(databases).and(clocks).and(database_clock).and(apart)
}
