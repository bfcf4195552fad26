//! The way to the one connection that writes, and to the thread that owns it.
//!
//! An operation is sent there whole and answered after its commit: a caller that goes away leaves it done or not
//! begun. The thread has a runtime of its own, so that a handler that blocks the application's runtime can never stop
//! a transaction midway, with the file's lock in its hands.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::change_signal::News;
use super::connect::{OPEN, Source, fault, is_locked};
use super::file_identity::Original;
use super::shared_file::{File, Neighbour};
use super::writer_message::{Message, Task, Work, gone};
use super::writer_thread::{PAUSE, Pen};
use crate::clock;
use crate::error::StoreError;
use crate::store::Result;

/// A way to the writer's thread, which ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    inbox: mpsc::UnboundedSender<Message>,
    /// Whether the database lives in memory, so that this connection is the only one.
    pub(super) in_memory: bool,
    pub(super) file: Arc<File>,
    /// The file that is open; `None` in memory.
    pub(super) original: Option<Arc<Original>>,
    news: Arc<News>,
    listening: Arc<AtomicBool>,
    is_closed: Arc<AtomicBool>,
    /// The thread has ended.
    ended: CancellationToken,
}

impl Writer {
    /// Opens the connection on a thread of its own.
    pub(super) async fn start(source: Source) -> Result<Self> {
        let (inbox, messages) = mpsc::unbounded_channel();
        let (ready, opened) = oneshot::channel();
        let (news, ended) = (Arc::new(News::default()), CancellationToken::new());
        let ends = ended.clone().drop_guard();
        let (its_news, its_inbox) = (Arc::clone(&news), inbox.downgrade());
        std::thread::Builder::new()
            .name("futurecall-sqlite".into())
            .spawn(move || {
                let _ends = ends;
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(ready.send(Err(StoreError::transient(OPEN, error)))),
                };
                runtime.block_on(async move {
                    let (connection, path) = match open(&source).await {
                        Ok(opened) => opened,
                        Err(error) => return drop(ready.send(Err(error))),
                    };
                    let original = match original(&source, path.as_deref()) {
                        Ok(original) => original,
                        Err(error) => return drop(ready.send(Err(error))),
                    };
                    let source = source.opened(original.clone());
                    let me = Neighbour::new(its_inbox);
                    let file = path.map_or_else(File::in_memory, |path| File::shared(path, &me));
                    drop(ready.send(Ok((original, Arc::clone(&file)))));
                    Pen::new(source, file, me, connection, its_news).await.serve(messages).await;
                });
            })
            .map_err(|error| StoreError::transient(OPEN, error))?;
        let (original, file) = opened.await.map_err(|_| gone(OPEN))??;
        let (listening, is_closed) = (Arc::default(), Arc::default());
        let in_memory = file.log().is_none();
        Ok(Self { inbox, in_memory, file, original, news, listening, is_closed, ended })
    }

    /// Runs `work` in a transaction, which it may share with others, and answers after the commit.
    pub(super) async fn run<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        let (value, result) = oneshot::channel();
        let (done, answer) = oneshot::channel();
        let task: Task = Box::new(move |connection| {
            Box::pin(async move {
                // Nobody waits any more: then nobody misses the value either.
                drop(value.send(work(connection).await?));
                Ok(())
            })
        });
        let work = Work { doing, since: clock::instant(), task, done };
        self.inbox
            .send(Message::Work(work))
            .map_err(|_| if self.is_closed() { StoreError::closed(doing) } else { gone(doing) })?;
        answer.await.map_err(|_| lost(doing))??;
        result.await.map_err(|_| gone(doing))
    }

    /// Whether it was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Ends the thread after what it was sent before, and waits until the connection is closed.
    pub(super) async fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        // If it cannot be told, it has ended, or is about to.
        let _ = self.inbox.send(Message::Close);
        self.ended.cancelled().await;
    }

    /// Waits until somebody else has written to the file since this was last asked. Cancel-safe.
    pub(super) async fn others_wrote(&self) {
        if self.in_memory {
            return std::future::pending().await;
        }
        if !self.listening.swap(true, Ordering::Relaxed) {
            // If the thread has ended, there is nothing to hear any more.
            let _ = self.inbox.send(Message::Listen);
        }
        self.news.heard().await;
    }
}

/// Opens the connection; several processes that start at once wait for each other.
async fn open(source: &Source) -> Result<(SqliteConnection, Option<PathBuf>)> {
    let start = clock::instant();
    let mut pause = Duration::from_millis(1);
    loop {
        match source.writing().await {
            Ok(opened) => return Ok(opened),
            Err(error)
                if is_locked(&error)
                    && clock::instant().saturating_duration_since(start) < source.patience =>
            {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE);
            }
            Err(error) => {
                if let Some(original) = &source.original {
                    // It says more than that there is nothing to open.
                    original.check(OPEN)?;
                }
                let file = source.options.get_filename().display();
                tracing::debug!(%file, %error, "the SQLite database could not be opened");
                return Err(match fault(OPEN, error) {
                    error if error.is_transient() => error,
                    error => StoreError::permanent(OPEN, format!("file {file}: {}", reason(&error))),
                });
            }
        }
    }
}

/// The file that was opened, which is to be the one that this source has opened before.
fn original(source: &Source, path: Option<&Path>) -> Result<Option<Arc<Original>>> {
    if let Some(original) = &source.original {
        original.check(OPEN)?;
        return Ok(Some(Arc::clone(original)));
    }
    Ok(path.and_then(|path| Original::new(path, source.options.get_filename())).map(Arc::new))
}

/// The driver's own words.
fn reason(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn lost(doing: &'static str) -> StoreError {
    StoreError::unknown(doing, "the thread that writes to the SQLite database has ended")
}
