use clap::{Args, Command};
use clap_complete::Shell;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Generates shell completions
#[derive(Debug, Args)]
#[command(after_help = "For bash: futurecall completions bash > /etc/bash_completion.d/futurecall")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Runs the command; `program` is the whole command line.
pub(crate) fn run(
    context: &mut Context<'_>,
    completions: &Completions,
    mut program: Command,
) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut program, "futurecall", &mut script);
    context.printer.write(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
