//! Bent clocks: a library that is put before the C library tells a process another time of day.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::Result;
use crate::dice::Dice;

/// libfaketime, for programs with threads.
#[derive(Clone, Debug)]
pub(crate) struct Library(PathBuf);

impl Library {
    /// Looks where Debian and Fedora install it, and where `FUTURECALL_FAKETIME` says.
    pub(crate) fn find() -> Option<Self> {
        if let Some(path) = std::env::var_os("FUTURECALL_FAKETIME") {
            return Some(PathBuf::from(path)).filter(|path| path.is_file()).map(Self);
        }
        let name = "faketime/libfaketimeMT.so.1";
        let architectures =
            ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(|folder| format!("/usr/lib/{folder}/{name}"));
        let folders = ["/usr/lib64", "/usr/lib", "/usr/local/lib"].map(|folder| format!("{folder}/{name}"));
        architectures.into_iter().chain(folders).map(PathBuf::from).find(|path| path.is_file()).map(Self)
    }

    /// Lets a process read its wall clock as the file says. Its monotonic clock stays true: a bent one would bend its
    /// timers too, and prove nothing.
    pub(crate) fn bend(&self, command: &mut Command, file: &Path) {
        command
            .env("LD_PRELOAD", &self.0)
            .env("FAKETIME_TIMESTAMP_FILE", file)
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_RESET", "1");
    }
}

/// Sets the clock by some time, from a quarter of an hour to some days, forward or back; it is seen within a second.
pub(crate) fn set(file: &Path, dice: &mut Dice) -> Result {
    let seconds = [900, 3_600, 86_400, 400_000].get(dice.below(4)).copied().unwrap_or(900);
    let sign = if dice.percent(50) { '+' } else { '-' };
    Ok(std::fs::write(file, format!("{sign}{seconds}\n"))?)
}

/// Sets the clock right.
pub(crate) fn right(file: &Path) -> Result {
    Ok(std::fs::write(file, "+0\n")?)
}
