//! Shifted clocks: a library that is preloaded before the C library gives a process a different wall clock.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use futurecall_testbed::rng::Rng;

/// libfaketime, for programs with threads.
#[derive(Clone, Debug)]
pub(crate) struct Library(PathBuf);

impl Library {
    /// Looks where Debian and Fedora install it, and where `FUTURECALL_FAKETIME` points.
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

    /// Does the same, and prints a warning if there is none.
    pub(crate) fn find_loudly() -> Option<Self> {
        let found = Self::find();
        if found.is_none() {
            eprintln!("NO CLOCK IS SHIFTED: libfaketime was not found (Debian: apt-get install libfaketime)");
        }
        found
    }

    /// Returns the environment of a process whose wall clock is shifted by the file. If that is the process's database
    /// clock (on SQLite), a step is seen at once.
    pub(crate) fn of(&self, file: &Path, is_of_database: bool) -> Vec<(&'static str, OsString)> {
        if is_of_database { self.of_all(file) } else { self.of_one(file) }
    }

    /// Returns the environment in which a process takes its wall clock from the file, reading it once a second. Its
    /// monotonic clock stays true: a shifted one would shift its timers too, and prove nothing.
    fn of_one(&self, file: &Path) -> Vec<(&'static str, OsString)> {
        let mut all = self.of_all(file);
        all.retain(|(name, _)| *name != "FAKETIME_NO_CACHE");
        all.push(("FAKETIME_CACHE_DURATION", "1".into()));
        all
    }

    /// Returns the same for all processes of a server, or of a machine, that share one clock: each reads the file
    /// whenever it reads the time.
    pub(crate) fn of_all(&self, file: &Path) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.0.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", file.into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("FAKETIME_DONT_RESET", "1".into()),
            // Files keep their true times.
            ("NO_FAKE_STAT", "1".into()),
        ]
    }
}

/// Removes what the library leaves behind of a process that was killed: another user's process with the same number
/// could not start.
pub(crate) fn remove_leftovers(pid: u32) {
    for name in ["sem.faketime_sem_", "faketime_shm_"] {
        // A process without a shifted clock leaves nothing.
        let _ = std::fs::remove_file(format!("/dev/shm/{name}{pid}"));
    }
}

/// Names the file that shifts the clock of this process, and of all that it starts.
const MACHINE: &str = "FUTURECALL_TORTURE_CLOCK";

/// Returns the file that shifts the clock of this process and of its children: for a SQLite file, the machine's.
pub(crate) fn machine() -> Option<PathBuf> {
    std::env::var_os(MACHINE).map(PathBuf::from)
}

/// Restarts this program with a clock that can be set, unless it has one already, or there is no library for it.
pub(crate) fn enter() -> Result {
    if machine().is_some() {
        return Ok(());
    }
    let Some(library) = Library::find() else { return Ok(()) };
    let file = tempfile::Builder::new().prefix("futurecall-torture-clock.").tempfile_in("/tmp")?;
    let (_, file) = file.keep()?;
    set_by(&file, 0)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).envs(library.of_all(&file)).env(MACHINE, &file);
    // It returns only if it fails.
    Err(command.exec().into())
}

/// Removes the file.
pub(crate) fn leave() {
    if let Some(file) = machine() {
        // Nothing reads the time from it any more.
        let _ = std::fs::remove_file(file);
    }
}

/// Sets a clock to that many microseconds from the true time. Concurrent readers get the old setting or the new one.
pub(crate) fn set_by(file: &Path, by: i64) -> Result {
    let new = file.with_extension("new");
    let sign = if by < 0 { '-' } else { '+' };
    std::fs::write(&new, format!("{sign}{}.{:06}\n", by.abs() / 1_000_000, by.abs() % 1_000_000))?;
    Ok(std::fs::rename(new, file)?)
}

/// Sets the clock by a quarter of an hour to some days, forward or back; the change is visible within a second.
pub(crate) fn set(file: &Path, rng: &mut Rng) -> Result {
    let seconds = [900, 3_600, 86_400, 400_000].get(rng.below(4)).copied().unwrap_or(900);
    let sign = if rng.percent(50) { '+' } else { '-' };
    Ok(std::fs::write(file, format!("{sign}{seconds}\n"))?)
}

/// Sets the clock right.
pub(crate) fn right(file: &Path) -> Result {
    Ok(std::fs::write(file, "+0\n")?)
}
