//! The one connection that writes, and the thread that owns it.
//!
//! An operation is sent there whole and answered after its commit: a caller that goes away leaves it done or not
//! begun. The thread has a runtime of its own, so that a handler that blocks the application's runtime can never stop
//! a transaction midway, with the file's lock in its hands.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::connect::{self, OPEN, Source, fault};
use crate::clock;
use crate::error::StoreError;

/// The longest pause between two tries for a lock.
const PAUSE: Duration = Duration::from_millis(10);

type Done = oneshot::Sender<Result<(), StoreError>>;
type Task = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<(), StoreError>> + Send>;

enum Message {
    Work { doing: &'static str, since: Instant, task: Task, done: Done },
    Version(oneshot::Sender<i64>),
}

/// A way to the writer's thread, which ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    inbox: mpsc::UnboundedSender<Message>,
    /// Whether the database lives in memory, so that this connection is the only one.
    pub(super) in_memory: bool,
    /// Whose turn it is among the writers of this process on one file: fairer than racing for the file's lock.
    pub(super) turn: Arc<Mutex<()>>,
}

impl Writer {
    /// Opens the connection on a thread of its own.
    pub(super) async fn start(source: Source, turn: Arc<Mutex<()>>) -> Result<Self, StoreError> {
        let (inbox, messages) = mpsc::unbounded_channel();
        let (ready, opened) = oneshot::channel();
        let its_turn = Arc::clone(&turn);
        std::thread::Builder::new()
            .name("futurecall-sqlite".into())
            .spawn(move || {
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(ready.send(Err(StoreError::transient(OPEN, error)))),
                };
                runtime.block_on(async move {
                    match open(&source).await {
                        Err(error) => drop(ready.send(Err(error))),
                        Ok((connection, in_memory)) => {
                            drop(ready.send(Ok(in_memory)));
                            let connection = Some(connection);
                            Pen { source, in_memory, connection, turn: its_turn, blocked: None }
                                .serve(messages)
                                .await;
                        }
                    }
                });
            })
            .map_err(|error| StoreError::transient(OPEN, error))?;
        let in_memory = opened.await.map_err(|_| gone(OPEN))??;
        Ok(Self { inbox, in_memory, turn })
    }

    /// Runs `work` in a transaction of its own and answers after the commit.
    pub(super) async fn run<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
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
        let message = Message::Work { doing, since: clock::instant(), task, done };
        self.inbox.send(message).map_err(|_| gone(doing))?;
        answer.await.map_err(|_| lost(doing))??;
        result.await.map_err(|_| gone(doing))
    }

    /// SQLite's `data_version` as the writer sees it: it changes when anybody else has committed.
    pub(super) async fn version(&self) -> Option<i64> {
        let (reply, version) = oneshot::channel();
        self.inbox.send(Message::Version(reply)).ok()?;
        version.await.ok()
    }
}

/// The thread's own side.
struct Pen {
    source: Source,
    in_memory: bool,
    /// `None` after it broke: the next operation opens another.
    connection: Option<SqliteConnection>,
    turn: Arc<Mutex<()>>,
    /// Since when the file's lock has been in other hands.
    blocked: Option<Instant>,
}

impl Pen {
    async fn serve(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        while let Some(message) = messages.recv().await {
            match message {
                // Who left before it was begun has left nothing.
                Message::Work { done, .. } if done.is_closed() => {}
                Message::Work { doing, since, task, done } => {
                    drop(done.send(self.transaction(doing, since, task).await));
                }
                Message::Version(reply) if reply.is_closed() => {}
                Message::Version(reply) => {
                    if let Some(version) = self.version().await {
                        // Nobody waits any more: then nobody misses it.
                        let _ = reply.send(version);
                    }
                }
            }
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "closing the SQLite database failed; nothing is lost by it");
        }
    }

    async fn transaction(
        &mut self,
        doing: &'static str,
        since: Instant,
        task: Task,
    ) -> Result<(), StoreError> {
        let turn = Arc::clone(&self.turn);
        let _turn = turn.lock().await;
        self.begin(doing, since).await?;
        let Some(connection) = &mut self.connection else { return Err(gone(doing)) };
        // A panic (say, of a time zone's arithmetic) is one operation's failure, not the end of all writing.
        let worked = AssertUnwindSafe(async { task(connection).await }).catch_unwind().await;
        let worked = worked.unwrap_or_else(|_| Err(StoreError::permanent(doing, "the operation panicked")));
        match worked {
            Ok(()) => self.commit(doing, since).await,
            Err(error) => {
                self.rollback().await;
                Err(error)
            }
        }
    }

    /// Takes the file's lock, waiting for it as long as the source says.
    async fn begin(&mut self, doing: &'static str, since: Instant) -> Result<(), StoreError> {
        let mut pause = Duration::from_millis(1);
        loop {
            let error = match self.command("BEGIN IMMEDIATE").await {
                Ok(()) => {
                    self.blocked = None;
                    return Ok(());
                }
                Err(error) => error,
            };
            if !is_locked(&error) {
                self.give_up_connection();
                return Err(fault(doing, error));
            }
            self.wait(doing, since, &mut pause, error).await?;
        }
    }

    async fn commit(&mut self, doing: &'static str, since: Instant) -> Result<(), StoreError> {
        let mut pause = Duration::from_millis(1);
        loop {
            let Err(error) = self.command("COMMIT").await else { return Ok(()) };
            if is_locked(&error) {
                // Only without WAL (a network file system): somebody reads. The transaction still stands.
                if let Err(error) = self.wait(doing, since, &mut pause, error).await {
                    self.rollback().await;
                    return Err(error);
                }
                continue;
            }
            self.rollback().await;
            return Err(match connect::code(&error) {
                // Written, but not known to be on the disk; or the driver's thread is gone.
                Some(code) if code & 0xff == connect::IOERR => StoreError::unknown(doing, error),
                None => StoreError::unknown(doing, error),
                Some(_) => fault(doing, error),
            });
        }
    }

    async fn rollback(&mut self) {
        match self.command("ROLLBACK").await {
            Ok(()) => {}
            // SQLite has rolled back by itself, as it does on a full disk.
            Err(error) if connect::code(&error) == Some(1) => {}
            Err(error) => {
                tracing::debug!(%error, "rolling back failed; the connection is given up instead");
                self.give_up_connection();
            }
        }
    }

    async fn version(&mut self) -> Option<i64> {
        let connection = self.connection.as_mut()?;
        let row = sqlx::query("PRAGMA data_version").fetch_one(connection).await.ok()?;
        row.try_get(0).ok()
    }

    /// Runs a command without parameters, on a new connection where the old one broke.
    async fn command(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.source.writing().await?.0),
        };
        sqlx::query(text).execute(connection).await.map(drop)
    }

    /// Pauses before the next try, or gives up with `error`.
    async fn wait(
        &mut self,
        doing: &'static str,
        since: Instant,
        pause: &mut Duration,
        error: sqlx::Error,
    ) -> Result<(), StoreError> {
        let now = clock::instant();
        let blocked = *self.blocked.get_or_insert(now);
        if now.saturating_duration_since(blocked.max(since)) >= self.source.patience {
            return Err(fault(doing, error));
        }
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(PAUSE);
        Ok(())
    }

    /// The next command opens another connection; a database in memory has no other.
    fn give_up_connection(&mut self) {
        if !self.in_memory {
            self.connection = None;
        }
    }
}

/// Opens the connection; several processes that start at once wait for each other.
async fn open(source: &Source) -> Result<(SqliteConnection, bool), StoreError> {
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

/// The driver's own words.
fn reason(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn is_locked(error: &sqlx::Error) -> bool {
    connect::code(error).is_some_and(|code| matches!(code & 0xff, connect::BUSY | connect::LOCKED))
}

fn gone(doing: &'static str) -> StoreError {
    StoreError::permanent(doing, "the thread that writes to the SQLite database has ended")
}

fn lost(doing: &'static str) -> StoreError {
    StoreError::unknown(doing, "the thread that writes to the SQLite database has ended")
}
