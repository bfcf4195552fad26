//! The folder of a run's files, which is kept if something was found.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Result;

/// The folder of a run.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        // Short, because the path of a socket may have about 100 characters; and accessible to the user that runs
        // PostgreSQL.
        let folder = tempfile::Builder::new().prefix("futurecall-torture.").tempdir_in("/tmp")?;
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        std::fs::create_dir(folder.path().join("database"))?;
        Ok(Self(folder))
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.path().join("ledger")
    }

    pub(crate) fn acks(&self) -> PathBuf {
        self.path().join("acks")
    }

    pub(crate) fn faults(&self) -> PathBuf {
        self.path().join("faults")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("database")
    }

    /// Returns the log file of a worker.
    pub(crate) fn log(&self, worker: usize) -> PathBuf {
        self.path().join(format!("worker-{worker}.log"))
    }

    /// Returns the log file of a process that runs pods next to ours.
    pub(crate) fn said_by(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.log"))
    }

    /// Returns the file that shifts a worker's wall clock.
    pub(crate) fn clock(&self, worker: usize) -> PathBuf {
        self.path().join(format!("clock-{worker}"))
    }

    /// Returns the file that shifts the database server's clock.
    pub(crate) fn server_clock(&self) -> PathBuf {
        self.path().join("clock-server")
    }

    /// Returns the folder for a database whose disk ends with this program.
    pub(crate) fn kept(&self) -> PathBuf {
        self.path().join("database-kept")
    }

    /// Leaves everything in place, and prints where that is.
    pub(crate) fn keep(self) -> PathBuf {
        self.0.keep()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}
