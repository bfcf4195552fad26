//! On SQLite: a write-ahead log with every commit on the disk, one thread that stores calls and one that runs them.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime};

use peer_work::{Call, Due, Log, Order, Peer, Result};
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use crate::payload;

const TABLE: &str = "
    CREATE TABLE job (
        id INTEGER PRIMARY KEY,
        due_at INTEGER NOT NULL,
        payload TEXT NOT NULL,
        claimed_at INTEGER
    );
    CREATE INDEX job_due ON job (due_at) WHERE claimed_at IS NULL;";

const INSERT: &str = "INSERT INTO job (due_at, payload) VALUES (?1, ?2)";

const CLAIM: &str = "
    UPDATE job SET claimed_at = ?1
    WHERE id IN (SELECT id FROM job WHERE claimed_at IS NULL AND due_at <= ?1 ORDER BY due_at LIMIT ?2)
    RETURNING id, payload";

const END: &str = "DELETE FROM job WHERE id = ?1";

const NEXT: &str = "SELECT min(due_at) FROM job WHERE claimed_at IS NULL";

/// How long a worker sleeps that knows of no call.
const POLL: Duration = Duration::from_secs(1);

pub(crate) struct Raw {
    path: String,
    batch: u32,
    writer: Sender<Stored>,
    /// Of the worker, if there is one.
    wake: Option<Sender<()>>,
}

/// Calls that are to be stored in one transaction, and who waits for that.
struct Stored {
    calls: Vec<Call>,
    reply: oneshot::Sender<()>,
}

impl Peer for Raw {
    const NAME: &'static str = "raw SQL (rusqlite 0.39)";

    fn settings(order: &Order) -> String {
        let (batch, together) = size(order);
        let commit = if together {
            "what callers want at the same time is one commit"
        } else {
            "one commit for each call"
        };
        format!(
            "WAL, synchronous=FULL; 1 worker thread claims {batch} with one UPDATE and ends them with DELETEs in one \
             transaction; a table without history, retries or leases; {commit}; bulk: one transaction"
        )
    }

    async fn open(order: &Order) -> Result<Self> {
        let path = order.database.trim_start_matches("sqlite://").to_owned();
        let connection = connect(&path)?;
        connection.execute_batch(TABLE)?;
        let (batch, together) = size(order);
        let (writer, wanted) = channel();
        std::thread::spawn(move || told(|| write(&connection, &wanted, together)));
        Ok(Self { path, batch, writer, wake: None })
    }

    async fn enqueue(&self, _caller: usize, call: Call) -> Result {
        self.store(vec![call]).await
    }

    async fn bulk(&self, calls: Vec<Call>) -> Result {
        self.store(calls).await
    }

    async fn work(&mut self, log: Arc<Log>) -> Result {
        let (connection, batch) = (connect(&self.path)?, self.batch);
        let (wake, woken) = channel();
        self.wake = Some(wake);
        std::thread::spawn(move || {
            told(|| {
                while work(&connection, batch, &log, &woken)?.is_continue() {}
                Ok(())
            });
        });
        Ok(())
    }

    async fn left(&self) -> Result<u64> {
        let connection = connect(&self.path)?;
        let count: i64 = connection.query_row("SELECT count(*) FROM job", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }
}

impl Raw {
    async fn store(&self, calls: Vec<Call>) -> Result {
        let (reply, stored) = oneshot::channel();
        self.writer.send(Stored { calls, reply })?;
        stored.await?;
        if let Some(wake) = &self.wake {
            wake.send(())?;
        }
        Ok(())
    }
}

/// How many calls a claim takes, and whether calls of different callers share a commit.
fn size(order: &Order) -> (u32, bool) {
    if order.is_tuned() { (1_000, true) } else { (100, false) }
}

/// Threads have nobody who looks at their results.
fn told(thread: impl FnOnce() -> Result) {
    if let Err(error) = thread() {
        eprintln!("a thread ended: {error}");
    }
}

fn connect(path: &str) -> Result<Connection> {
    let connection = Connection::open(Path::new(path))?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn write(connection: &Connection, wanted: &Receiver<Stored>, together: bool) -> Result {
    while let Ok(first) = wanted.recv() {
        let mut batch = vec![first];
        if together {
            batch.extend(wanted.try_iter());
        }
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut insert = connection.prepare_cached(INSERT)?;
        for call in batch.iter().flat_map(|stored| &stored.calls) {
            let due = match call.due {
                Due::Now => micros(SystemTime::now())?,
                Due::At(moment) => micros(moment)?,
            };
            insert.execute(params![due, payload::text(call.number)])?;
        }
        connection.execute_batch("COMMIT")?;
        for stored in batch {
            // A caller who went away needs no reply.
            let _ = stored.reply.send(());
        }
    }
    Ok(())
}

/// One claim and what follows from it; breaks when nobody is left to store calls.
fn work(connection: &Connection, batch: u32, log: &Log, woken: &Receiver<()>) -> Result<ControlFlow<()>> {
    let now = micros(SystemTime::now())?;
    let calls: Vec<(i64, String)> = connection
        .prepare_cached(CLAIM)?
        .query_map(params![now, batch], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    if calls.is_empty() {
        let next: Option<i64> = connection.prepare_cached(NEXT)?.query_row([], |row| row.get(0))?;
        let until_next = next.map(|next| Duration::from_micros(u64::try_from(next - now).unwrap_or(0)));
        let sleep = until_next.map_or(POLL, |sleep| sleep.min(POLL));
        return Ok(match woken.recv_timeout(sleep) {
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
    }
    for (_, payload) in &calls {
        log.ran(payload::number(payload)?);
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let mut end = connection.prepare_cached(END)?;
    for (id, _) in calls {
        end.execute([id])?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(ControlFlow::Continue(()))
}

fn micros(moment: SystemTime) -> Result<i64> {
    Ok(i64::try_from(moment.duration_since(SystemTime::UNIX_EPOCH)?.as_micros())?)
}
