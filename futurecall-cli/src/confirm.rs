//! Confirmation of destructive actions.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::exit::{Exit, Failure};
use crate::globals::Globals;
use crate::sanitize::escaped;

/// Asks for confirmation unless `--yes` was given. `what` is the action with its numbers, starting with a verb.
pub(crate) fn confirm(globals: &Globals, what: &str) -> Result<(), Failure> {
    if globals.yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::usage(format!(
            "confirmation required to {what}; there is no terminal to ask on, so add --yes"
        )));
    }
    let refused = || Failure::new(Exit::Refused, "nothing was done");
    let mut stderr = io::stderr();
    write!(stderr, "{}? [y/N] ", escaped(&capitalised(what)))?;
    stderr.flush()?;
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer).unwrap_or(0) == 0 {
        return Err(refused());
    }
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(refused()) }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
