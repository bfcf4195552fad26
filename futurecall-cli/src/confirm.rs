//! Asking before something is done that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::exit::{Exit, Failure};
use crate::globals::Globals;
use crate::sanitize::escaped;

/// Goes on if `--yes` was given, or if a person says so; `what` says exactly what is done, and to how many.
pub(crate) fn confirm(globals: &Globals, what: &str) -> Result<(), Failure> {
    if globals.yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::usage(format!("this {what}. Nobody can be asked here: add --yes")));
    }
    let refused = || Failure::new(Exit::Refused, "nothing was done");
    let mut stderr = io::stderr();
    write!(stderr, "This {}. Go on? [y/N] ", escaped(what))?;
    stderr.flush()?;
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer).unwrap_or(0) == 0 {
        return Err(refused());
    }
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(refused()) }
}
