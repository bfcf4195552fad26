//! One file, as the stores of this process share it: they take turns at writing, and tell each other of it at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};

use super::file_identity::Identity;
use super::writer_message::Message;

/// A file that writers of this process have open.
#[derive(Debug)]
pub(super) struct File {
    /// `None`: the database lives in memory.
    path: Option<PathBuf>,
    identity: Option<Identity>,
    /// Whose turn it is: fairer than racing for the file's lock. Inside: since when that lock has been in the hands of
    /// others than these.
    pub(super) turn: Arc<Mutex<Option<Instant>>>,
    /// Whose turn it is among handlers that want a transaction: only one of them is in the queue for the other.
    pub(super) lending: Arc<Mutex<Lending>>,
    /// Whether a handler's transaction has the turn.
    pub(super) is_lent: AtomicBool,
    writers: Lock<Vec<Weak<Neighbour>>>,
}

/// What the transactions of handlers have taken of the file's lock.
#[derive(Debug, Default)]
pub(super) struct Lending {
    /// How long they have held it in a row.
    pub(super) held: Duration,
    /// When they last did.
    pub(super) until: Option<Instant>,
}

/// By their canonical paths: the log is found by the path, so that another path to the same file is another database.
static FILES: Lock<BTreeMap<PathBuf, Weak<File>>> = Lock::new(BTreeMap::new());

impl File {
    /// A database that nobody else can open.
    pub(super) fn in_memory() -> Arc<Self> {
        Arc::new(Self::new(None))
    }

    /// The file of that path, which `writer` has opened. What was there before and was deleted is another.
    pub(super) fn shared(path: PathBuf, writer: &Arc<Neighbour>) -> Arc<Self> {
        let path = path.canonicalize().unwrap_or(path);
        let mut files = lock(&FILES);
        files.retain(|_, file| file.strong_count() > 0);
        let identity = Identity::at(&path);
        let known = files.get(&path).and_then(Weak::upgrade).filter(|file| file.identity == identity);
        let file = known.unwrap_or_else(|| {
            let file = Arc::new(Self { identity, ..Self::new(Some(path.clone())) });
            files.insert(path, Arc::downgrade(&file));
            file
        });
        let mut writers = lock(&file.writers);
        writers.retain(|writer| writer.strong_count() > 0);
        writers.push(Arc::downgrade(writer));
        drop(writers);
        file
    }

    fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            identity: None,
            turn: Arc::default(),
            lending: Arc::default(),
            is_lent: AtomicBool::new(false),
            writers: Lock::default(),
        }
    }

    /// Where its write-ahead log is.
    pub(super) fn log(&self) -> Option<PathBuf> {
        let mut log = self.path.as_deref().map(Path::as_os_str)?.to_owned();
        log.push("-wal");
        Some(log.into())
    }

    /// Says to all others of this process who listen that `writer` has committed.
    pub(super) fn tell_others(&self, writer: &Arc<Neighbour>) {
        for other in lock(&self.writers).iter().filter_map(Weak::upgrade) {
            if !Arc::ptr_eq(&other, writer) {
                other.tell();
            }
        }
    }

    /// Says to all of this process who listen that a handler's transaction has committed.
    pub(super) fn tell_all(&self) {
        lock(&self.writers).iter().filter_map(Weak::upgrade).for_each(|writer| writer.tell());
    }
}

/// A writer, as others of the same file see it.
#[derive(Debug)]
pub(super) struct Neighbour {
    inbox: mpsc::WeakUnboundedSender<Message>,
    listening: AtomicBool,
    /// It has been told and has not read it yet.
    told: AtomicBool,
}

impl Neighbour {
    pub(super) fn new(inbox: mpsc::WeakUnboundedSender<Message>) -> Arc<Self> {
        Arc::new(Self { inbox, listening: AtomicBool::new(false), told: AtomicBool::new(false) })
    }

    pub(super) fn set_listening(&self) {
        self.listening.store(true, Ordering::Release);
    }

    fn tell(&self) {
        if self.listening.load(Ordering::Acquire)
            && !self.told.swap(true, Ordering::AcqRel)
            && let Some(inbox) = self.inbox.upgrade()
        {
            // If its thread has ended, it wants to hear nothing.
            let _ = inbox.send(Message::Written);
        }
    }

    /// It has read that it was told.
    pub(super) fn told(&self) {
        self.told.store(false, Ordering::Release);
    }
}

/// Nothing under these locks can panic halfway, so a poisoned one is as good as any.
fn lock<T>(of: &Lock<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
