//! `cargo run -p futurecall-example`: the demonstration. `… -- serve`: the service.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use futurecall_example::demo::{self, DemoArgs};
use futurecall_example::serve::{self, ServeArgs};
use tracing_subscriber::EnvFilter;

/// A drip-mail campaign on futurecall.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    demo: DemoArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole campaign with time scaled, checked at the end (also without a subcommand).
    Demo(DemoArgs),
    /// The HTTP service, until Ctrl-C.
    Serve(ServeArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, demo } = Cli::parse();
    let command = command.unwrap_or(Command::Demo(demo));
    // PostgreSQL's notices that a table exists already are of no use to anybody here, nor is it news that statements wait
    // while the demonstration writes a month's mails in half a minute.
    let level =
        if matches!(command, Command::Serve(_)) { "info,sqlx=warn" } else { "warn,sqlx::query=error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();

    let outcome = match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Serve(args) => serve::run(args).await.map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
