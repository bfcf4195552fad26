//! The definition of the command line.

use clap::{Parser, Subcommand};

use crate::commands;
use crate::globals::Globals;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed, or nothing was done
  2  invalid usage, or --yes is required
  3  no such call or schedule
  4  unhealthy: `doctor` found a problem, or `migrate status --check` a missing migration
  5  not confirmed

Times are RFC 3339 (2027-01-31T08:00:00Z), or relative to the database's clock: +2h, -1d, now.
Global options can also be set by environment variables, as FUTURECALL_ and their name: FUTURECALL_OUTPUT=json.
Pass a URL with a password that way: other users of this machine can read command lines.";

/// Inspect and manage the calls of a service that uses Futurecall
#[derive(Debug, Parser)]
#[command(
    name = "futurecall",
    version,
    after_help = EXIT_CODES,
    infer_long_args = false,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) globals: Globals,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows and applies the migrations of the database schema
    #[command(subcommand)]
    Migrate(commands::migrate::Migrate),
    List(commands::list::List),
    Show(commands::show::Show),
    Why(commands::why::Why),
    Schedule(commands::schedule::Schedule),
    Cancel(commands::act::Cancel),
    Reschedule(commands::act::Reschedule),
    RunNow(commands::act::RunNow),
    RunAgain(commands::act::RunAgain),
    Delete(commands::act::Delete),
    /// Shows and changes recurring schedules
    #[command(subcommand)]
    Recurring(commands::recurring::Recurring),
    /// Lists call types by name, and pauses or resumes them
    #[command(subcommand)]
    Names(commands::names::Names),
    Stats(commands::stats::Stats),
    Pods(commands::pods::Pods),
    Actions(commands::actions::Actions),
    Watch(commands::watch::Watch),
    Prune(commands::prune::Prune),
    Doctor(commands::doctor::Doctor),
    #[cfg(feature = "dashboard")]
    Dashboard(commands::dashboard::Dashboard),
    Completions(commands::completions::Completions),
}

/// Ignores empty environment variables: `FUTURECALL_OUTPUT= futurecall list` uses the default.
pub(crate) fn with_environment(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_env() {
        Some(name) if std::env::var_os(name).is_some_and(|value| value.is_empty()) => arg.env(None::<&str>),
        _ => arg,
    });
    command.mut_subcommands(with_environment)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_of_every_command_has_an_environment_name() {
        let command = Cli::command();
        let globals: Vec<_> = command.get_arguments().filter(|arg| arg.is_global_set()).collect();
        assert!(globals.len() >= 10);
        for arg in globals {
            let long = arg.get_long().unwrap();
            let name = format!("FUTURECALL_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(name.as_str()));
        }
    }
}
