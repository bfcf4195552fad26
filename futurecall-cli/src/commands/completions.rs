use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Context;
use crate::cli::Cli;
use crate::exit::{Exit, Failure};

/// Writes the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "For bash: futurecall completions bash > /etc/bash_completion.d/futurecall")]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

pub(crate) fn run(context: &mut Context<'_>, completions: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Cli::command(), "futurecall", &mut script);
    context.printer.write(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
