//! That something goes on, for whoever waits for it: on stderr, where that is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line that turns while something of unknown length goes on.
pub(crate) fn spinner(quiet: bool, message: impl Into<String>) -> ProgressBar {
    let bar = if visible(quiet) { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    styled(bar, "{spinner} {msg} {elapsed}", message)
}

/// A bar towards a known end.
pub(crate) fn bar(quiet: bool, length: u64, message: impl Into<String>) -> ProgressBar {
    let bar = if visible(quiet) { ProgressBar::new(length) } else { ProgressBar::hidden() };
    styled(bar, "{msg} {wide_bar} {human_pos}/{human_len} {eta}", message)
}

fn visible(quiet: bool) -> bool {
    !quiet && std::io::stderr().is_terminal()
}

fn styled(bar: ProgressBar, template: &str, message: impl Into<String>) -> ProgressBar {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(message.into());
    if !bar.is_hidden() {
        // Even where no step ends for a while.
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}
