//! Progress on standard error, if it is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Returns a spinner for work of unknown length.
pub(crate) fn spinner(quiet: bool, message: impl Into<String>) -> ProgressBar {
    let bar = if visible(quiet) { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    styled(bar, "{spinner} {msg} {elapsed}", message)
}

/// Returns a progress bar.
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
        // Keeps moving between steps.
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}
