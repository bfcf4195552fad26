//! Whether the database's file is still the one that was opened.
//!
//! A file that was deleted, or replaced by another, goes on working for whoever has it open, and everything that is
//! written to it is gone at the end. SQLite does not look; so each transaction does, which costs one `stat`. Where the
//! system has no numbers for files (outside Unix), only a file that is missing or empty is noticed: an open one can hardly
//! be replaced there.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::SqliteStore;
use crate::error::StoreError;
use crate::store::Result;

/// What tells two files apart, whatever their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The one of the file at that path; `None` where there is no file, or it cannot be looked at.
    pub(super) fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::of)
    }

    #[cfg(unix)]
    fn of(file: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: file.dev(), inode: file.ino() }
    }

    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
}

/// The file as it was opened.
#[derive(Debug)]
pub(super) struct Original {
    path: PathBuf,
    identity: Identity,
    /// Whether anything has stood in it: without a write-ahead log a new file is empty until the first commit.
    is_filled: AtomicBool,
}

impl Original {
    /// The file that SQLite has opened at `path`, and that `asked` names, through symbolic links perhaps. `None` where
    /// there is nothing to look at.
    pub(super) fn new(path: &Path, asked: &Path) -> Option<Self> {
        let identity = Identity::at(path)?;
        // What a later start would open counts. (SQLite's own names for files, `file:…?…`, are none of the system's.)
        let is_same = Identity::at(asked) == Some(identity);
        let path = if is_same { asked } else { path }.to_owned();
        Some(Self { path, identity, is_filled: AtomicBool::new(false) })
    }

    /// An error unless the path still leads to that file.
    pub(super) fn check(&self, doing: &'static str) -> Result<()> {
        let what = match std::fs::metadata(&self.path) {
            Ok(file) if Identity::of(&file) != self.identity => "replaced by another",
            Ok(file) if file.len() > 0 => {
                self.is_filled.store(true, Ordering::Relaxed);
                return Ok(());
            }
            Ok(_) if self.is_filled.load(Ordering::Relaxed) => "emptied",
            Err(error) if error.kind() == ErrorKind::NotFound => "deleted or moved away",
            // A folder that cannot be looked into for now says nothing of the file.
            Ok(_) | Err(_) => return Ok(()),
        };
        let text = format!(
            "the file {} was {what} while the pod had it open, and what is stored now would be lost: put the original \
             file back, or restart the pod to go on with what is there",
            self.path.display()
        );
        Err(StoreError::replaced(doing, text))
    }

    /// An error unless the log at `path` is still the one of that identity.
    pub(super) fn check_log(doing: &'static str, path: &Path, log: Identity) -> Result<()> {
        if Identity::at(path) == Some(log) {
            return Ok(());
        }
        let text = format!(
            "the log {}, which belongs to the database, was deleted or replaced while the pod had it open, and what is \
             stored now would be lost if the process is killed: shut the pod down, which saves what it has stored, and \
             start it again",
            path.display()
        );
        Err(StoreError::replaced(doing, text))
    }
}

impl SqliteStore {
    /// An error where the file is not the one any more that was opened.
    pub(super) fn check(&self, doing: &'static str) -> Result<()> {
        // A store that was closed says that instead.
        let original = self.source.original.as_ref().filter(|_| !self.writer.is_closed());
        original.map_or(Ok(()), |original| original.check(doing))
    }
}
