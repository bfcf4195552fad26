//! The writer's thread: one transaction for whatever waits.
//!
//! A commit waits for the disk, and that takes longer than most operations do. So operations that come while one is
//! under way are done in its transaction, and share its commit. One that fails is undone alone, and what befalls the
//! whole transaction is told to each.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::{MutexGuard, mpsc};

use super::change_signal::News;
use super::connect::{self, Source, fault, is_locked};
use super::file_identity::{Identity, Original};
use super::shared_file::{File, Neighbour};
use super::wal_watch::Ear;
use super::writer_message::{Done, Message, Work, gone};
use crate::clock;
use crate::error::StoreError;
use crate::store::Result;

/// The longest pause between two tries for a lock.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// The most operations of one transaction.
const MOST: usize = 64;

/// For how long a transaction takes in more operations: others want the file's lock, too.
const LONGEST: Duration = Duration::from_millis(20);

/// After this long a transaction takes in no more operations, not even those that have waited since before it began. When
/// it has held the file's lock for longer, the next transaction waits for [`REST`].
const LONG: Duration = Duration::from_millis(100);

/// Long enough that another process, which tries again for the lock every [`PAUSE`], gets it in between.
const REST: Duration = Duration::from_millis(15);

type Messages = mpsc::UnboundedReceiver<Message>;

pub(super) struct Pen {
    source: Source,
    file: Arc<File>,
    me: Arc<Neighbour>,
    /// `None` after it broke: the next operation opens another.
    connection: Option<SqliteConnection>,
    /// The log of the connection that is open, from its first transaction on.
    log: Option<Identity>,
    /// Whether anybody wants to hear of what others write.
    listening: bool,
    /// `None` as long as nobody wants to hear, and after the connection broke.
    ear: Option<Ear>,
    /// SQLite's `data_version` as last seen: it changes when anybody else has committed.
    version: Option<i64>,
    news: Arc<News>,
    /// It is to end: nothing new is begun.
    closing: bool,
    /// The last transaction was long: none begins before this.
    rests_until: Option<Instant>,
}

impl Pen {
    pub(super) async fn new(
        source: Source,
        file: Arc<File>,
        me: Arc<Neighbour>,
        connection: SqliteConnection,
        news: Arc<News>,
    ) -> Self {
        let connection = Some(connection);
        let mut pen = Self {
            source,
            file,
            me,
            connection,
            log: None,
            listening: false,
            ear: None,
            version: None,
            news,
            closing: false,
            rests_until: None,
        };
        pen.version = pen.version().await;
        pen
    }

    /// Does what it is told until it is closed, or nobody can tell it anything any more.
    pub(super) async fn serve(mut self, mut messages: Messages) {
        while !self.closing {
            let message = tokio::select! {
                biased;
                message = messages.recv() => message,
                () = look_due(&mut self.ear) => {
                    self.look().await;
                    continue;
                }
            };
            match message {
                Some(Message::Work(work)) => self.transaction(work, &mut messages).await,
                Some(other) => self.note(&other),
                None => break,
            }
        }
        messages.close();
        while let Some(message) = messages.recv().await {
            match message {
                Message::Work(work) => drop(work.done.send(Err(StoreError::closed(work.doing)))),
                other => self.note(&other),
            }
        }
        self.close_connection().await;
    }

    /// Closes the connection. The last one of the file, in all processes, takes the log away; otherwise its content is in
    /// the file all the same, unless somebody reads an older state of it.
    async fn close_connection(&mut self) {
        self.ear = None;
        if self.is_replaced() {
            return self.leave_open();
        }
        let Some(mut connection) = self.connection.take() else { return };
        if self.file.log().is_some() {
            // Waits for nobody: this connection has no patience with locks.
            let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await;
            if let Err(error) = checkpoint {
                tracing::debug!(%error, "the log of the SQLite database stays, with what it holds");
            }
        }
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "closing the SQLite database failed; nothing is lost by it");
        }
    }

    fn is_replaced(&self) -> bool {
        self.source
            .original
            .as_ref()
            .is_some_and(|original| original.check("close the SQLite database").is_err())
    }

    /// Leaves the connection open for good. SQLite's last connection to a file removes the log by its name, and that may
    /// belong to the file that is there now: as long as this one is open, none removes it. It ends with the process.
    fn leave_open(&mut self) {
        std::mem::forget(self.connection.take());
    }

    fn note(&mut self, message: &Message) {
        match message {
            Message::Work(_) => {}
            Message::Listen => {
                self.listening = true;
                self.me.set_listening();
                self.listen();
            }
            Message::Written => {
                self.me.told();
                if let Some(ear) = &mut self.ear {
                    ear.told();
                }
            }
            Message::Close => self.closing = true,
        }
    }

    /// One transaction for an operation and for those that come until it is done.
    async fn transaction(&mut self, first: Work, messages: &mut Messages) {
        if first.done.is_closed() {
            // Who left before it was begun has left nothing.
            return;
        }
        self.rest().await;
        let file = Arc::clone(&self.file);
        let turn = match self.begin(&file, first.doing, first.since).await {
            Ok(turn) => turn,
            Err(error) => return drop(first.done.send(Err(error))),
        };
        let began = clock::instant();
        // What waits now comes along in any case; what comes later, as long as there is time.
        let mut waiting = messages.len();
        let mut done = Vec::new();
        let mut next = Some(first);
        while let Some(work) = next {
            if !self.operate(work, &mut done).await {
                return;
            }
            let lasts = clock::instant().saturating_duration_since(began);
            let full = done.len() >= MOST || lasts >= if waiting == 0 { LONGEST } else { LONG };
            waiting = waiting.saturating_sub(1);
            next = if full { None } else { self.waiting(messages) };
        }
        // Here, and not where it began: some of the operations have come since.
        let committed = match self.check(COMMIT) {
            Ok(()) => self.commit().await,
            Err(error) => {
                self.rollback().await;
                Err(error)
            }
        };
        drop(turn);
        self.tire(began);
        for (doing, done) in done {
            // Whoever stopped waiting does not need the answer.
            let _ = done.send(committed.as_ref().map(|&()| ()).map_err(|error| error.echo_as(doing)));
        }
        if committed.is_ok() {
            self.file.tell_others(&self.me);
        }
        if let Some(ear) = &mut self.ear {
            ear.wrote().await;
        }
    }

    /// Notes whether the transaction that has just ended was a long one.
    fn tire(&mut self, began: Instant) {
        let now = clock::instant();
        let is_long = self.file.log().is_some() && now.saturating_duration_since(began) >= LONG;
        self.rests_until = if is_long { now.checked_add(REST) } else { None };
    }

    /// Leaves the file's lock to other processes for a moment after a long transaction. A writer that has one long
    /// operation after another would otherwise hardly ever be met without it.
    async fn rest(&mut self) {
        if let Some(until) = self.rests_until.take() {
            tokio::time::sleep(until.saturating_duration_since(clock::instant())).await;
        }
    }

    /// The next operation that has come already.
    fn waiting(&mut self, messages: &mut Messages) -> Option<Work> {
        while !self.closing {
            match messages.try_recv().ok()? {
                Message::Work(work) if work.done.is_closed() => {}
                Message::Work(work) => return Some(work),
                other => self.note(&other),
            }
        }
        None
    }

    /// Does one operation in the open transaction, after those that are `done`. `false`: the transaction is over.
    async fn operate(&mut self, work: Work, done: &mut Vec<(&'static str, Done)>) -> bool {
        let Work { doing, task, done: reply, .. } = work;
        // Where it is the first, a rollback undoes nothing else.
        let first = done.is_empty();
        let marked = if first { Ok(()) } else { self.command("SAVEPOINT operation").await };
        let worked = match (marked, &mut self.connection) {
            (Ok(()), Some(connection)) => {
                // A panic (say, of a time zone's arithmetic) is one operation's failure, not the end of all writing.
                let worked = AssertUnwindSafe(async { task(connection).await }).catch_unwind().await;
                worked.unwrap_or_else(|_| Err(StoreError::permanent(doing, "the operation panicked")))
            }
            (Err(error), _) => Err(fault(doing, error)),
            (Ok(()), None) => Err(gone(doing)),
        };
        let error = match worked {
            Ok(()) => {
                done.push((doing, reply));
                return true;
            }
            Err(error) => error,
        };
        let undone = !first && self.command("ROLLBACK TO operation").await.is_ok();
        let _ = reply.send(Err(error));
        if undone {
            return true;
        }
        // SQLite has rolled back by itself, as it does when a disk fails; or there was nothing else in it.
        self.rollback().await;
        for (doing, reply) in done.drain(..) {
            let _ = reply.send(Err(StoreError::transient(doing, "undone together with another operation")));
        }
        false
    }

    /// Takes the file's lock, waiting for it as long as the source says.
    async fn begin<'f>(
        &mut self,
        file: &'f File,
        doing: &'static str,
        since: Instant,
    ) -> Result<MutexGuard<'f, Option<Instant>>> {
        let mut pause = Duration::from_millis(1);
        loop {
            let mut turn = self.turn(file, doing).await?;
            let error = match self.command("BEGIN IMMEDIATE").await {
                Ok(()) => {
                    *turn = None;
                    // A connection that was opened a moment ago may be to the wrong file.
                    if self.log.is_none()
                        && let Err(error) = self.check(doing)
                    {
                        self.rollback().await;
                        self.give_up_connection();
                        return Err(error);
                    }
                    return Ok(turn);
                }
                Err(error) => error,
            };
            if !is_locked(&error) {
                self.give_up_connection();
                // That it is gone says more than what comes of it.
                self.check(doing)?;
                return Err(fault(doing, error));
            }
            let now = clock::instant();
            let blocked = *turn.get_or_insert(now);
            drop(turn);
            if now.saturating_duration_since(blocked.max(since)) >= self.source.patience {
                return Err(fault(doing, error));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// An error where the file, or its log, is not the one any more that was opened.
    fn check(&mut self, doing: &'static str) -> Result<()> {
        let Some(original) = &self.source.original else { return Ok(()) };
        original.check(doing)?;
        let (Some(path), Some(_)) = (self.file.log(), &self.connection) else { return Ok(()) };
        if let Some(log) = self.log {
            return Original::check_log(doing, &path, log);
        }
        // From the first transaction on the log stays for as long as the connection does.
        self.log = Identity::at(&path);
        Ok(())
    }

    /// Waits for the turn among the writers of this process. That of a handler's transaction ends within its limit, unless
    /// the handler blocks the application's runtime.
    async fn turn<'f>(&self, file: &'f File, doing: &'static str) -> Result<MutexGuard<'f, Option<Instant>>> {
        loop {
            match tokio::time::timeout(self.source.patience, file.turn.lock()).await {
                Ok(turn) => return Ok(turn),
                Err(_) if file.is_lent.load(Ordering::Relaxed) => {
                    return Err(StoreError::busy(doing, "the transaction of a call holds the file's lock"));
                }
                Err(_) => {}
            }
        }
    }

    async fn commit(&mut self) -> Result<()> {
        let start = clock::instant();
        let mut pause = Duration::from_millis(1);
        loop {
            let Err(error) = self.command("COMMIT").await else { return Ok(()) };
            let waited = clock::instant().saturating_duration_since(start);
            if is_locked(&error) && waited < self.source.patience {
                // Only without WAL (a network file system): somebody reads. The transaction still stands.
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE);
                continue;
            }
            self.rollback().await;
            return Err(match connect::code(&error) {
                // Written, but not known to be on the disk; or the driver's thread is gone.
                Some(code) if code & 0xff == connect::IOERR => StoreError::unknown(COMMIT, error),
                None => StoreError::unknown(COMMIT, error),
                Some(_) => fault(COMMIT, error),
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

    /// Looks whether anybody else has committed.
    async fn look(&mut self) {
        let version = self.version().await;
        let changed = version.is_some() && self.version != version;
        if changed {
            self.version = version;
            self.news.ring();
        }
        if let Some(ear) = &mut self.ear {
            ear.looked(changed);
        }
    }

    async fn version(&mut self) -> Option<i64> {
        let connection = self.connection.as_mut()?;
        let row = sqlx::query("PRAGMA data_version").fetch_one(connection).await.ok()?;
        row.try_get(0).ok()
    }

    /// Runs a command without parameters, on a new connection where the old one broke.
    async fn command(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        let connection = if let Some(connection) = &mut self.connection {
            connection
        } else {
            let connection = self.source.writing().await?.0;
            self.connection = Some(connection);
            self.listen();
            let Some(connection) = &mut self.connection else { return Err(sqlx::Error::WorkerCrashed) };
            connection
        };
        sqlx::query(text).execute(connection).await.map(drop)
    }

    /// Listens to the log of the connection that is open now.
    fn listen(&mut self) {
        if self.listening && self.connection.is_some() {
            self.ear = self.file.log().map(Ear::new);
        }
    }

    /// The next command opens another connection; a database in memory has no other.
    fn give_up_connection(&mut self) {
        if self.file.log().is_some() {
            if self.is_replaced() {
                self.leave_open();
            }
            self.connection = None;
            self.log = None;
            self.ear = None;
            self.version = None;
        }
    }
}

const COMMIT: &str = "commit";

async fn look_due(ear: &mut Option<Ear>) {
    match ear {
        Some(ear) => ear.due().await,
        None => std::future::pending().await,
    }
}
