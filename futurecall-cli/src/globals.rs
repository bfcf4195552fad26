//! Global options.

use std::io::IsTerminal;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::arguments::Policy;
use crate::output::{Format, Style};

/// Global options.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    #[arg(
        long,
        help = "The database: postgres://… or sqlite:calls.db [default: DATABASE_URL]",
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
    /// The prefix of the SQLite tables
    #[arg(
        long,
        global = true,
        value_name = "PREFIX",
        env = "FUTURECALL_TABLE_PREFIX",
        hide_env = true,
        default_value = "futurecall_"
    )]
    pub(crate) table_prefix: String,
    /// Output format: table, json or ndjson (one line per row)
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        value_name = "FORMAT",
        env = "FUTURECALL_OUTPUT",
        hide_env = true,
        default_value = "table",
        hide_possible_values = true
    )]
    pub(crate) output: Format,
    /// Suppress notes and progress
    #[arg(long, short, global = true, env = "FUTURECALL_QUIET", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) quiet: bool,
    /// Do not ask for confirmation
    #[arg(long, short, global = true, env = "FUTURECALL_YES", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) yes: bool,
    /// The name that actions are recorded under (default: user@host)
    #[arg(long, global = true, value_name = "NAME", env = "FUTURECALL_ACTOR", hide_env = true)]
    pub(crate) actor: Option<String>,
    /// Which arguments are shown: hidden (none), redacted (all but redacted parameters) or shown (all)
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
    pub(crate) arguments: Policy,
    /// Show times in the local time zone instead of UTC (JSON is always in UTC)
    #[arg(long, global = true, env = "FUTURECALL_LOCAL", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) local: bool,
    #[arg(long, global = true, env = "FUTURECALL_NO_COLOR", hide_env = true, value_parser = BoolishValueParser::new(),
        help = "Do not use colours [also: NO_COLOR]")]
    pub(crate) no_color: bool,
}

impl Globals {
    pub(crate) fn style(&self) -> Style {
        let colour = !self.no_color && may_colour(false);
        Style { format: self.output, local: self.local, colour, quiet: self.quiet }
    }

    /// Returns the actor: the given name, or the user and host of this process.
    pub(crate) fn actor(&self) -> String {
        let given = self.actor.clone().filter(|actor| !actor.trim().is_empty());
        given.unwrap_or_else(|| {
            let user = whoami::username().unwrap_or_else(|_| "someone".to_owned());
            let host = whoami::hostname().unwrap_or_else(|_| "somewhere".to_owned());
            format!("{user}@{host}")
        })
    }
}

/// Returns whether the stream is a terminal that may have colours.
pub(crate) fn may_colour(stderr: bool) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let screen = if stderr { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
    screen && !refused
}
