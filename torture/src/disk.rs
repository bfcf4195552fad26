//! Disks that can be full: in-memory file systems whose size is cut to their contents, and restored.
//!
//! They are mounted in this program's own mount namespace, which ends with it, however it ends.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// Set if this program runs in its own namespace.
const INSIDE: &str = "FUTURECALL_TORTURE_MOUNTS";
/// More than any run needs. Memory is allocated only when it is written.
const SIZE: u64 = 8 << 30;
/// The space left on a full disk, so that it can be cut while others write.
const ROOM: u64 = 64 << 10;
/// How often cutting is tried: it fails if more was written meanwhile.
const TRIES: usize = 50;

/// One file system. Dropping it unmounts it.
#[derive(Debug)]
pub(crate) struct Disk {
    place: PathBuf,
}

/// Restarts this program in its own namespace, unless it is there already. Returns whether it is, and warns if not.
pub(crate) fn enter() -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--"]).env(INSIDE, "1");
        command
    };
    let mut probe = unshare();
    probe.args(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/tmp"]);
    let is_allowed = run(&mut probe).is_ok();
    if let Some(program) = std::env::current_exe().ok().filter(|_| is_allowed) {
        // It returns only if it fails.
        let error = unshare().arg(program).args(std::env::args_os().skip(1)).exec();
        eprintln!("NO DISK IS FULL: {error}");
        return false;
    }
    eprintln!(
        "NO DISK IS FULL: that needs root and the rights to mount; everything else is tortured all the same"
    );
    false
}

impl Disk {
    /// Mounts an empty one there.
    pub(crate) fn mount(place: &Path) -> Result<Self> {
        let options = format!("size={SIZE},mode=755");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(place))?;
        Ok(Self { place: place.to_owned() })
    }

    /// Leaves no room on it.
    pub(crate) fn fill(&self) -> Result {
        let mut result = Ok(());
        for _ in 0..TRIES {
            result = self.set_size(self.used()? + ROOM);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Restores the room.
    pub(crate) fn free(&self) -> Result {
        self.set_size(SIZE)
    }

    fn set_size(&self, size: u64) -> Result {
        run(Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.place))
    }

    fn used(&self) -> Result<u64> {
        let told =
            Command::new("stat").args(["--file-system", "--format=%S %b %f"]).arg(&self.place).output()?;
        let told = String::from_utf8(told.stdout)?;
        let mut numbers = told.split_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next().ok_or("stat says nothing of the file system");
        let (block, all, free) = (next()??, next()??, next()??);
        Ok(block * (all - free))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let place: &OsStr = self.place.as_os_str();
        if let Err(error) = run(Command::new("umount").arg("--lazy").arg(place)) {
            eprintln!("{}: {error}", self.place.display());
        }
    }
}

fn run(command: &mut Command) -> Result {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
