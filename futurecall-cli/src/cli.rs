//! The command line as it is read: what is common to all commands.

use std::io::IsTerminal;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::output::{Format, Style};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed, or not done
  2  the command was not understood, or needs --yes
  3  there is no such call or schedule
  4  unhealthy: `doctor` found a problem, `migrate status --check` a missing step
  5  you said no

Moments are RFC 3339 (2027-01-31T08:00:00Z), or counted from the database's clock: +2h, -1d, now.
The options of every command can also be set by the environment, as FUTURECALL_ and their name: FUTURECALL_OUTPUT=json.
A URL with a password is best given so: others on this machine can read command lines.";

/// See what calls will happen, why one has not, and act on them: on the database of a service that uses Futurecall
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

/// Options of every command.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Globals {
    #[arg(
        long,
        help = "Where the calls are: postgres://…, or sqlite:calls.db [else: DATABASE_URL]",
        global = true,
        value_name = "URL",
        env = "FUTURECALL_DATABASE_URL",
        hide_env = true,
        hide_env_values = true
    )]
    pub(crate) database_url: Option<String>,
    /// The PostgreSQL schema of the tables
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "FUTURECALL_SCHEMA",
        hide_env = true,
        default_value = "futurecall"
    )]
    pub(crate) schema: String,
    /// The SQLite prefix of the tables
    #[arg(
        long,
        global = true,
        value_name = "PREFIX",
        env = "FUTURECALL_TABLE_PREFIX",
        hide_env = true,
        default_value = "futurecall_"
    )]
    pub(crate) table_prefix: String,
    /// The shape of the output: table, json, or ndjson (a line for each row)
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        value_name = "SHAPE",
        env = "FUTURECALL_OUTPUT",
        hide_env = true,
        default_value = "table",
        hide_possible_values = true
    )]
    pub(crate) output: Format,
    /// Says nothing beside the answer: no notes, no progress
    #[arg(long, short, global = true, env = "FUTURECALL_QUIET", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) quiet: bool,
    /// Does what would otherwise be asked about first
    #[arg(long, short, global = true, env = "FUTURECALL_YES", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) yes: bool,
    /// In whose name actions are recorded; user@host unless given
    #[arg(long, global = true, value_name = "NAME", env = "FUTURECALL_ACTOR", hide_env = true)]
    pub(crate) actor: Option<String>,
    /// What is shown of arguments: hidden (nothing), redacted (what the code does not redact), or shown (everything)
    #[arg(
        long,
        global = true,
        value_enum,
        env = "FUTURECALL_ARGUMENTS",
        hide_env = true,
        default_value = "redacted",
        value_name = "POLICY",
        hide_possible_values = true
    )]
    pub(crate) arguments: crate::arguments::Policy,
    /// Shows moments in this machine's time zone instead of UTC (JSON stays in UTC)
    #[arg(long, global = true, env = "FUTURECALL_LOCAL", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) local: bool,
    #[arg(long, global = true, env = "FUTURECALL_NO_COLOR", hide_env = true, value_parser = BoolishValueParser::new(),
        help = "Uses no colours [also: NO_COLOR]")]
    pub(crate) no_color: bool,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The steps of the database's schema: which are missing, and applying them
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
    /// Recurring schedules: what they are, when they run next, and changing them
    #[command(subcommand)]
    Recurring(commands::recurring::Recurring),
    /// The names of calls: what waits for whom, and pausing one
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

impl Globals {
    pub(crate) fn style(&self) -> Style {
        let colour = !self.no_color && may_colour(false);
        Style { format: self.output, local: self.local, colour, quiet: self.quiet }
    }

    /// Who acts: as told, or the user of this machine.
    pub(crate) fn actor(&self) -> String {
        let said = self.actor.clone().filter(|actor| !actor.trim().is_empty());
        said.unwrap_or_else(|| {
            let user = whoami::username().unwrap_or_else(|_| "someone".to_owned());
            let host = whoami::hostname().unwrap_or_else(|_| "somewhere".to_owned());
            format!("{user}@{host}")
        })
    }
}

/// Whether the stream is a screen that may have colours.
pub(crate) fn may_colour(stderr: bool) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let screen = if stderr { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
    screen && !refused
}

/// An empty variable is no variable: `FUTURECALL_OUTPUT= futurecall list` is the default, not a mistake. A flag's variable
/// takes words as pods' settings do.
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
