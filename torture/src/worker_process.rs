//! A worker process, as seen by its parent.

use std::ffi::OsString;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::run_folder::Folder;
use crate::worker::WorkerOptions;
use crate::{Result, clock_shim};

/// One process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    /// Closing it ends the worker.
    stdin: Option<ChildStdin>,
}

impl Worker {
    /// Starts one, whose wall clock is shifted by these variables.
    pub(crate) fn start(orders: &WorkerOptions, folder: &Folder, bent: &[(&str, OsString)]) -> Result<Self> {
        let log = File::options().append(true).create(true).open(folder.log(orders.number))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("worker").args(["--url", &orders.url]).args(["--number", &orders.number.to_string()]);
        command.arg("--ledger").arg(&orders.ledger).args(["--lease", &orders.lease.to_string()]);
        command.envs(bent.iter().map(|(name, value)| (name, value)));
        command.args(["--retention", &orders.retention.to_string()]);
        // The panics of handlers are intended.
        command.env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("a worker has no standard output")?;
        // It starts in the middle of faults: its parent does not wait for it.
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(_)) = lines.next_line().await {}
        });
        Ok(Self { child, stdin })
    }

    pub(crate) async fn kill(&mut self) -> Result {
        let pid = self.child.id();
        self.child.kill().await?;
        pid.into_iter().for_each(clock_shim::remove_leftovers);
        Ok(())
    }

    /// Pauses the process, or resumes it.
    pub(crate) fn signal(&self, signal: Signal) -> Result {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        kill_process(pid.ok_or("a worker has ended by itself")?, signal)?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(&mut self) -> Result {
        drop(self.stdin.take());
        let status = tokio::time::timeout(Duration::from_mins(1), self.child.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("a worker ended with {status}").into()) }
    }
}
