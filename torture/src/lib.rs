//! Breaks real processes and real databases under load, and checks the result of every call.
//!
//! The parent starts its own PostgreSQL (or uses a SQLite file), workers as separate processes, and between them a
//! proxy; it schedules and cancels calls, and injects faults meanwhile. Handlers write events to a ledger outside of
//! any database; producers write down the results they got; the times of faults are recorded. In the end the checker
//! compares all of that with the contents of the database. `docs/GUARANTEES.md` lists what is promised.

mod acks;
mod chaos;
mod checker;
mod clock;
mod clock_shim;
mod clocks;
mod database;
mod disk;
mod fault;
mod fault_injector;
mod follow_ups;
mod lease_log;
mod ledger;
mod mutant;
mod postgres;
mod producer;
mod proxy;
mod recurring;
mod retry;
mod run_folder;
mod settings;
mod setup;
mod strangers;
mod sweep;
mod torture;
mod victim;
mod worker;
mod worker_process;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use futurecall_runtime::BoxError;

use crate::mutant::Mutant;

type Result<T = ()> = std::result::Result<T, BoxError>;

/// Options of the command line.
#[derive(Debug, Parser)]
#[command(
    about = "Breaks real processes and real databases under load, and checks what became of every call"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// How long faults are injected.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The same in minutes, for a soak.
    #[arg(long, conflicts_with = "seconds")]
    minutes: Option<u64>,
    /// The same seed draws the same faults.
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// SQLite instead of PostgreSQL.
    #[arg(long, global = true)]
    sqlite: bool,
    /// Without faults: nothing may run twice then.
    #[arg(long)]
    calm: bool,
    /// With a mistake in the protocol, which the checker must find.
    #[arg(long)]
    mutant: Option<Mutant>,
    /// Keeps ledgers and database even if nothing was found.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs every mutant, and prints which of them the checker caught.
    Mutants {
        /// How long each lasts.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Runs the five scenarios of recovery, and prints how soon work continued after each.
    Chaos,
    /// Kills a process before, within and after every operation of a store, and checks what its successor makes of it.
    Sweep,
    /// Sets the machine's clock back between two processes of a SQLite file, and checks their calls.
    Clocks,
    /// Runs pods behind a pooler, next to an application, another service, another release and careless callers.
    Strangers {
        /// How long it lasts.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Leaves parts out.
        #[arg(long, value_delimiter = ',')]
        without: Vec<strangers::Part>,
    },
    #[command(hide = true)]
    Guest(strangers::GuestOptions),
    #[command(hide = true)]
    Worker(worker::WorkerOptions),
    #[command(hide = true)]
    Victim(victim::VictimOptions),
    #[command(hide = true)]
    Peer(clocks::PeerOptions),
}

/// Executes the command line.
///
/// # Errors
///
/// Any error that ends a run early; violations are not errors, but a failure.
pub async fn command() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| clock::real().unsigned_abs() % 1_000_000);
    match arguments.command {
        Some(Command::Worker(orders)) => worker::work(orders).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Mutants { seconds }) => {
            if arguments.sqlite {
                clock_shim::enter()?;
            }
            let caught = torture::mutants(seed, Duration::from_secs(seconds), arguments.sqlite).await;
            clock_shim::leave();
            caught
        }
        Some(Command::Victim(orders)) => victim::live(orders).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Sweep) => sweep::sweep(arguments.sqlite).await,
        Some(Command::Strangers { seconds, without }) => {
            let time = Duration::from_secs(seconds);
            strangers::strangers(&strangers::Plan { seed, time, sqlite: arguments.sqlite, without }).await
        }
        Some(Command::Guest(orders)) => strangers::live(orders).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Clocks) => clocks::clocks().await,
        Some(Command::Peer(orders)) => clocks::live(orders).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Chaos) => chaos::chaos(seed).await,
        None => {
            let seconds = arguments.minutes.map_or(arguments.seconds, |minutes| minutes.saturating_mul(60));
            let is_whole = !arguments.calm && arguments.mutant.is_none();
            if arguments.sqlite && !arguments.calm {
                clock_shim::enter()?;
            }
            let plan = torture::Plan {
                disks: is_whole && disk::enter(),
                seed,
                time: Duration::from_secs(seconds),
                sqlite: arguments.sqlite,
                calm: arguments.calm,
                mutant: arguments.mutant,
                keep: arguments.keep,
            };
            let verdict = torture::torture(&plan).await;
            clock_shim::leave();
            verdict
        }
    }
}
