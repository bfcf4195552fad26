//! How the database is reached, how a statement and a transaction run, and what an error means.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgPool, Postgres, Transaction};

use super::PostgresStore;
use super::connection_check::{self, PATIENCE, Warm, ping_idle};
use super::driver_error::{Sent, empty, meaning, nothing_done};
use super::settings::Session;
use super::sql::{Query, Row, expanded};
use crate::clock;
use crate::store::Result;

/// How long a connection is kept from its pool.
const KEPT: Duration = Duration::from_mins(10);

impl fmt::Debug for PostgresStore {
    /// Without the connect options, which hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// The pool of one store, and what was found out about the server behind it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) pool: PgPool,
    /// How many connections the pool may open.
    pub(super) connections: u32,
    /// Whether each statement needs a transaction of its own: where the server's default isolation is not READ
    /// COMMITTED, and where a pooler may hand two messages of one statement to two servers.
    guarded: bool,
    /// Whether prepared statements may keep their names between statements.
    named: bool,
    /// Whether the server confirms a commit before it stands on its disk: the connection's `synchronous_commit` is off.
    confirms_early: bool,
    /// The server's version, where it says one: 15.4 is 150,004.
    pub(super) version: Option<u32>,
    /// Connections that were used last. The next statement takes the latest of them: it has the statement prepared
    /// already, and the pool asks the server twice for every statement whether its connection still lives.
    warm: Mutex<Vec<Warm>>,
    /// How many of them there may be; the pool keeps one for transactions.
    most_warm: usize,
    /// Templates by where they stand, expanded.
    texts: Mutex<HashMap<(usize, usize), Arc<str>>>,
    /// How many statements were sent outside of transactions.
    #[cfg(test)]
    pub(super) sent: std::sync::atomic::AtomicUsize,
}

impl Link {
    /// Opens a pool of at most that many connections, the first of them now.
    pub(super) async fn open(options: PgConnectOptions, connections: u32) -> Result<Self> {
        const DOING: &str = "connect to the database";
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("futurecall"),
        };
        // Set by the driver for servers before PostgreSQL 12. Those that we support write every digit by themselves, and
        // PgBouncer refuses the parameter unless it is told to ignore it.
        let options = options.extra_float_digits(None);
        let named = !is_cache_off(&options);
        let pool = ping_idle(PgPoolOptions::new())
            .max_connections(connections.max(1))
            .acquire_timeout(PATIENCE)
            .connect_with(options)
            .await
            .map_err(nothing_done(DOING))?;
        let (session, warm) = Session::ask(DOING, &pool).await?;
        let link = Self {
            pool,
            connections: connections.max(1),
            guarded: !named || !session.is_read_committed,
            named,
            confirms_early: session.confirms_early,
            version: warm.connection.server_version_num(),
            warm: Mutex::default(),
            most_warm: usize::try_from(connections.saturating_sub(1)).unwrap_or(0),
            texts: Mutex::default(),
            #[cfg(test)]
            sent: std::sync::atomic::AtomicUsize::default(),
        };
        // For the next statement of the start: each new connection costs several round trips.
        link.put_back(warm);
        Ok(link)
    }

    /// Warns of settings under which the server forgets what it has confirmed.
    pub(super) fn warn_of_settings(&self) {
        if self.confirms_early {
            tracing::warn!(
                "synchronous_commit is off on this PostgreSQL connection: a crash of the server loses calls whose \
                 scheduling was confirmed, and ends of calls, which then run again. Set it to on for the server, or \
                 end the setting of the role or database that the pod uses (ALTER ROLE … RESET synchronous_commit, \
                 ALTER DATABASE … RESET synchronous_commit), and restart the pod; `futurecall doctor` says where it is set"
            );
        }
    }

    /// Runs one statement that changes something, and is all there is to the change.
    pub(super) async fn write(&self, doing: &'static str, query: Query) -> Result<Vec<Row>> {
        self.run(doing, query, Sent::PerhapsDone).await
    }

    /// A statement that names no table.
    pub(super) fn fixed(&self, text: &'static str) -> Query {
        sqlx::query(text).persistent(self.named)
    }

    async fn begin(&self, doing: &'static str) -> Result<Transaction<'static, Postgres>> {
        self.begin_with(doing, BEGIN).await
    }

    pub(super) async fn begin_with(
        &self,
        doing: &'static str,
        begin: &'static str,
    ) -> Result<Transaction<'static, Postgres>> {
        self.make_room();
        self.pool.begin_with(begin).await.map_err(nothing_done(doing))
    }

    async fn run(&self, doing: &'static str, query: Query, sent: Sent) -> Result<Vec<Row>> {
        #[cfg(test)]
        self.sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if self.guarded {
            let mut transaction = self.begin(doing).await?;
            let rows = step(doing, &mut transaction, query).await?;
            commit(doing, transaction).await?;
            return Ok(rows);
        }
        let mut warm = self.take().await.map_err(nothing_done(doing))?;
        let rows = warm.connection.fetch_all(query).await;
        if rows.is_ok() {
            self.put_back(warm);
        }
        rows.map(|rows| Row::all(doing, rows)).map_err(|error| meaning(doing, error, sent))
    }

    /// Runs a statement without parameters that changes nothing, as one message: it waits for one answer, where one that is
    /// prepared waits for two, and even a pooler sends it to one server.
    pub(super) async fn glance(&self, doing: &'static str, text: String) -> Result<Vec<Row>> {
        let mut warm = self.take().await.map_err(nothing_done(doing))?;
        let rows = warm.connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(text))).await;
        let rows = rows.map_err(nothing_done(doing))?;
        self.put_back(warm);
        Ok(Row::all(doing, rows))
    }

    /// Streams rows into a table, and is all there is to the change.
    pub(super) async fn copy(&self, doing: &'static str, text: String, rows: Vec<u8>) -> Result<()> {
        if self.guarded {
            let mut transaction = self.begin(doing).await?;
            copy_into(&mut transaction, &text, rows)
                .await
                .map_err(|(error, _)| nothing_done(doing)(error))?;
            return commit(doing, transaction).await;
        }
        let mut warm = self.take().await.map_err(nothing_done(doing))?;
        let copied = copy_into(&mut warm.connection, &text, rows).await;
        if copied.is_ok() {
            self.put_back(warm);
        }
        copied.map_err(|(error, sent)| meaning(doing, error, sent))
    }

    /// A connection for one statement.
    async fn take(&self) -> Result<Warm, sqlx::Error> {
        while let Some(mut warm) = self.pop() {
            let now = clock::instant();
            // The pool renews connections that are old.
            if now.saturating_duration_since(warm.taken) > KEPT || connection_check::is_outdated(warm.taken) {
                continue;
            }
            if now.saturating_duration_since(warm.used) <= connection_check::TRUSTED {
                return Ok(warm);
            }
            match connection_check::answers(&mut warm.connection).await {
                Some(Ok(())) => return Ok(warm),
                Some(Err(_)) => {}
                None => self.give_up(warm),
            }
        }
        Warm::of(&self.pool).await
    }

    /// Closes a connection that gives no answer, and those that were used before it. The pool would wait for their answers
    /// as well, and open no others in their place.
    fn give_up(&self, silent: Warm) {
        let others = std::mem::take(&mut *self.lock());
        for warm in others.into_iter().chain([silent]) {
            drop(warm.connection.detach());
        }
    }

    /// A connection that nothing uses at this moment.
    pub(super) fn spare(&self) -> Option<PoolConnection<Postgres>> {
        self.make_room();
        self.pool.try_acquire()
    }

    /// Keeps a connection for the next statement, if there is room.
    fn put_back(&self, mut warm: Warm) {
        warm.used = clock::instant();
        let mut kept = self.lock();
        if kept.len() < self.most_warm && !self.pool.is_closed() {
            kept.push(warm);
        }
    }

    /// Closes all connections, each when the statement on it has ended.
    pub(super) async fn close(&self) {
        // From here on no connection is kept for another statement.
        let closed = self.pool.close();
        let warm = std::mem::take(&mut *self.lock());
        drop(warm);
        closed.await;
    }

    /// Gives the pool a connection back if it has none to spare.
    fn make_room(&self) {
        if self.pool.num_idle() == 0 {
            drop(self.pop());
        }
    }

    fn pop(&self) -> Option<Warm> {
        self.lock().pop()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Warm>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    /// Outside of a runtime a connection cannot go back to its pool: it is closed instead.
    fn drop(&mut self) {
        let warm = self.warm.get_mut().unwrap_or_else(PoisonError::into_inner);
        warm.drain(..).for_each(|warm| drop(warm.connection.leak()));
    }
}

impl PostgresStore {
    pub(super) fn options(&self) -> PgConnectOptions {
        self.link.pool.connect_options().as_ref().clone()
    }

    /// The statement of a template (see [`sql`](super::sql)), which is expanded once.
    pub(super) fn query(&self, template: &'static str) -> Query {
        let mut texts = self.link.texts.lock().unwrap_or_else(PoisonError::into_inner);
        // A template is a constant: where it stands is what it says.
        let text = texts
            .entry((template.as_ptr().addr(), template.len()))
            .or_insert_with(|| expanded(template, &self.schema).into());
        sqlx::query(AssertSqlSafe(Arc::clone(text))).persistent(self.link.named)
    }

    /// The statement of a template that was put together of our own pieces.
    pub(super) fn composed(&self, template: &str) -> Query {
        sqlx::query(AssertSqlSafe(expanded(template, &self.schema))).persistent(self.link.named)
    }

    /// Runs one statement that changes nothing.
    pub(super) async fn read(&self, doing: &'static str, query: Query) -> Result<Vec<Row>> {
        self.link.run(doing, query, Sent::InVain).await
    }

    /// Runs one statement that changes something, and is all there is to the change.
    pub(super) async fn write(&self, doing: &'static str, query: Query) -> Result<Vec<Row>> {
        self.link.write(doing, query).await
    }

    /// The same for a statement that answers with exactly one row.
    pub(super) async fn write_one(&self, doing: &'static str, query: Query) -> Result<Row> {
        self.write(doing, query).await?.pop().ok_or_else(|| empty(doing))
    }

    /// The same of one that changes nothing.
    pub(super) async fn read_one(&self, doing: &'static str, query: Query) -> Result<Row> {
        self.read(doing, query).await?.pop().ok_or_else(|| empty(doing))
    }

    /// Begins a transaction in which each statement sees what was committed before it.
    pub(super) async fn begin(&self, doing: &'static str) -> Result<Transaction<'static, Postgres>> {
        self.link.begin(doing).await
    }
}

/// Commits; a reply that is lost here leaves the outcome unknown.
pub(super) async fn commit(doing: &'static str, transaction: Transaction<'static, Postgres>) -> Result<()> {
    transaction.commit().await.map_err(|error| meaning(doing, error, Sent::PerhapsDone))
}

/// Runs a statement inside a transaction that is yet to be committed.
pub(super) async fn step(
    doing: &'static str,
    connection: &mut sqlx::PgConnection,
    query: Query,
) -> Result<Vec<Row>> {
    let rows = connection.fetch_all(query).await.map_err(nothing_done(doing))?;
    Ok(Row::all(doing, rows))
}

/// The same for a statement that answers with exactly one row.
pub(super) async fn step_one(
    doing: &'static str,
    connection: &mut sqlx::PgConnection,
    query: Query,
) -> Result<Row> {
    step(doing, connection, query).await?.pop().ok_or_else(|| empty(doing))
}

/// Streams rows; an error with what may have been done all the same.
async fn copy_into(
    connection: &mut sqlx::PgConnection,
    text: &str,
    rows: Vec<u8>,
) -> Result<(), (sqlx::Error, Sent)> {
    let in_vain = |error| (error, Sent::InVain);
    let mut copy = connection.copy_in_raw(text).await.map_err(in_vain)?;
    if let Err(error) = copy.send(rows).await {
        return Err(in_vain(error));
    }
    copy.finish().await.map(drop).map_err(|error| (error, Sent::PerhapsDone))
}

pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Whether prepared statements are not to be kept (`?statement-cache-capacity=0`). The driver would still give each a
/// name, which the next transaction, on another server behind a pooler, would find taken.
fn is_cache_off(options: &PgConnectOptions) -> bool {
    // The options tell it in a URL alone. Names are put in that can stand in one; those of the options may not.
    let url = options.clone().username("user").host("localhost").to_url_lossy();
    url.query_pairs().any(|(name, value)| name == "statement-cache-capacity" && value == "0")
}
