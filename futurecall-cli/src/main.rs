//! `futurecall`: the command line of Futurecall. The README is its tour.

mod arguments;
mod cli;
mod commands;
mod confirm;
mod connect;
mod context;
mod dispatch;
mod doctor;
mod exit;
mod filters;
mod globals;
mod output;
mod progress;
mod records;
mod sanitize;
mod time_arguments;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use self::cli::Cli;
use self::exit::Exit;
use self::output::Printer;
use self::sanitize::{escaped, scrub, scrub_words};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    let mut printer = Printer::new(cli.globals.style());
    match dispatch::run(cli, &mut printer).await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.is_silent() {
                // Nothing can be done if standard error is closed.
                let _ = writeln!(std::io::stderr(), "error: {}", escaped(&failure.to_string()));
            }
            failure.exit.into()
        }
    }
}

/// Parses the command line. The text of an error is clap's, and may quote a URL with a password.
fn parse() -> Result<Cli, ExitCode> {
    let matches = cli::with_environment(Cli::command()).try_get_matches();
    matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| {
        use clap::error::ErrorKind;
        let text = if globals::may_colour(error.use_stderr()) {
            error.render().ansi().to_string()
        } else {
            error.render().to_string()
        };
        let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if asked {
            let _ = std::io::stdout().write_all(text.as_bytes());
            return Exit::Done.into();
        }
        // It quotes arguments verbatim, so passwords are removed.
        let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let _ = std::io::stderr().write_all(scrub(&scrub_words(&text, words)).as_bytes());
        Exit::Usage.into()
    })
}
