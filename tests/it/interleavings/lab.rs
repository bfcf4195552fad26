//! A database in which two operations are stopped and resumed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futurecall_runtime::CallId;
use futurecall_runtime::store::{PostgresStore, Store};
use futurecall_tests::database::{self, TestDatabase};
use futurecall_tests::proxy::Proxy;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Postgres};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::operations::{Cast, Op, Side, Way};
use super::states::{State, rows};

/// The point at which two operations meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// Both begin while a third connection has the row of the call locked, and continue once it is unlocked.
    AtTheCall,
    /// The same with the row of the schedule.
    AtTheSchedule,
    /// The first is stopped before its statement of that number while the second does what it can.
    BeforeStatement(usize),
    /// The first is stopped inside a statement while the second does what it can: before it reads a row for the time of
    /// that number. What it has read by then, it read before the second began.
    BeforeRow(usize),
}

/// The result of a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) answers: [String; 2],
    pub(super) rows: Vec<String>,
}

pub(super) struct Lab {
    database: TestDatabase,
    pub(super) cast: Cast,
    pub(super) target: CallId,
    observer: PoolConnection<Postgres>,
    proxy: Proxy,
    /// Through the proxy.
    proxied: Way,
    /// Without the proxy.
    _open: Proxy,
    /// As a role with a row policy that decides when to stop.
    stepping: Way,
    direct: Way,
    role: String,
    /// Rows as text, from the tables: the library's own queries cost more than all else here.
    seen: HashMap<String, Vec<String>>,
}

/// An operation in progress.
pub(super) struct Running {
    task: JoinHandle<String>,
    has_ended: Arc<Notify>,
}

impl Running {
    pub(super) fn start(way: Way, op: Op, cast: Cast, target: CallId, side: Side) -> Self {
        let has_ended = Arc::new(Notify::new());
        let ends = Arc::clone(&has_ended);
        let task = tokio::spawn(async move {
            let answer = op.run(way, cast, target, side).await;
            ends.notify_one();
            answer
        });
        Self { task, has_ended }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    pub(super) async fn ended(self) -> String {
        self.task.await.expect("no operation panics")
    }
}

/// The timeout of anything. The server finds a deadlock much sooner.
const PATIENCE: Duration = Duration::from_secs(30);

const TABLES: [&str; 5] = ["call", "finished", "schedule", "log", "history_gap"];

impl Lab {
    /// Creates a database in that state, with these changes to its statements.
    pub(super) async fn new(state: State, changes: &[(&str, &str)]) -> Self {
        let database = database::postgres().await;
        let setup = PostgresStore::open(&database.url, &database.schema).await.expect("a store");
        setup.migrate().await.expect("the tables");
        let cast = Cast::at(setup.now().await.expect("the server's clock"));
        let target = state.set_up(&setup, &cast).await;
        let role = format!("stepping_{}", uuid::Uuid::new_v4().simple());
        let mut admin = database.pool.acquire().await.expect("a connection");
        run(&mut admin, &prepared(&database.schema, &role)).await;
        let (proxy, open) = (Proxy::before(&database).await, Proxy::before(&database).await);
        for (from, to) in changes {
            let from = from.replace("futurecall.", &format!("\"{}\".", database.schema));
            proxy.change(&from, to);
            open.change(&from, to);
        }
        let as_role = format!("options[role]={role}");
        let proxied = way(&with(&proxy.url, "application_name=first"), &database.schema).await;
        // What changes nothing needs no proxy.
        let url = if changes.is_empty() { &database.url } else { &open.url };
        let stepping = with(&with(url, "application_name=first"), &as_role);
        let stepping = way(&stepping, &database.schema).await;
        let direct = way(&with(url, "application_name=second"), &database.schema).await;
        setup.close().await;
        let observer = database.pool.acquire().await.expect("a connection");
        Self {
            database,
            cast,
            target,
            observer,
            proxy,
            proxied,
            _open: open,
            stepping,
            direct,
            role,
            seen: HashMap::new(),
        }
    }

    /// Lets two operations meet; returns `None` if the first ended before it reached that point.
    pub(super) async fn meet(&mut self, first: Op, second: Op, point: Point) -> Option<Met> {
        self.reset().await;
        let met = async {
            match point {
                Point::AtTheCall => self.meet_at_a_row(first, second, "call", "finished").await,
                Point::AtTheSchedule => self.meet_at_a_row(first, second, "schedule", "schedule").await,
                Point::BeforeStatement(number) => self.meet_before_statement(first, second, number).await,
                Point::BeforeRow(number) => self.meet_before_row(first, second, number).await,
            }
        };
        let met = tokio::time::timeout(PATIENCE, met).await;
        let answers = met.unwrap_or_else(|_| panic!("{first:?} and {second:?} are stuck: {point:?}"))?;
        Some(Met { answers, rows: self.rows().await })
    }

    /// Returns the URL for a store with that application name.
    pub(super) fn url(&self, application: &str) -> String {
        with(&self.database.url, &format!("application_name={application}"))
    }

    pub(super) fn schema(&self) -> &str {
        &self.database.schema
    }

    /// Begins a transaction that has the row of the call locked.
    pub(super) async fn lock_the_call(&self) -> PoolConnection<Postgres> {
        self.lock("call", "finished").await
    }

    pub(super) async fn end(self) {
        drop(self.observer);
        for way in [self.proxied, self.stepping, self.direct] {
            way.store.close().await;
            if let Some(pool) = way.pool {
                pool.close().await;
            }
        }
        let mut admin = self.database.pool.acquire().await.expect("a connection");
        run(&mut admin, &format!("DROP OWNED BY {0}; DROP ROLE {0}", self.role)).await;
        drop(admin);
        self.database.drop().await;
    }

    async fn rows(&mut self) -> Vec<String> {
        let schema = &self.database.schema;
        let row = |table| {
            format!(
                "SELECT '{table} ' || CASE WHEN t.id = ANY ($1) THEN t.id::text ELSE '' END \
                     || (to_jsonb(t) - 'id')::text FROM {schema}.{table} AS t"
            )
        };
        let all = [row("call"), row("finished"), row("schedule")].join(" UNION ALL ");
        let digest = format!("SELECT string_agg(row, ' ' ORDER BY row) FROM ({all}) AS of (row)");
        let query = sqlx::query_scalar(AssertSqlSafe(digest)).bind(self.cast.calls());
        let digest: Option<String> = query.fetch_one(&mut *self.observer).await.expect("the rows");
        let digest = digest.unwrap_or_default();
        if let Some(rows) = self.seen.get(&digest) {
            return rows.clone();
        }
        let rows = rows(&self.direct.store, &self.cast).await;
        self.seen.insert(digest, rows.clone());
        rows
    }

    /// Restores the initial rows.
    async fn reset(&mut self) {
        let schema = &self.database.schema;
        let back = TABLES.map(|table| {
            format!(
                "DELETE FROM {schema}.{table}; INSERT INTO {schema}.{table} SELECT * FROM {schema}.saved_{table};"
            )
        });
        let sql = back.concat();
        run(&mut self.observer, &sql).await;
    }

    async fn meet_at_a_row(
        &mut self,
        first: Op,
        second: Op,
        table: &str,
        other: &str,
    ) -> Option<[String; 2]> {
        let mut holder = self.lock(table, other).await;
        let one = self.start(&self.proxied, first, Side::First);
        self.ended_or_waits(&one, "first").await;
        let two = self.start(&self.direct, second, Side::Second);
        self.ended_or_waits(&two, "second").await;
        run(&mut holder, "COMMIT").await;
        Some([one.ended().await, two.ended().await])
    }

    async fn lock(&self, table: &str, other: &str) -> PoolConnection<Postgres> {
        let schema = &self.database.schema;
        let id = if table == "schedule" { self.cast.schedule.as_uuid() } else { self.target.as_uuid() };
        let lock = |table| format!("SELECT FROM {schema}.{table} WHERE id = '{id}' FOR UPDATE;");
        let lock = format!("BEGIN; {} {}", lock(table), lock(other));
        let mut holder = self.database.pool.acquire().await.expect("a connection");
        run(&mut holder, &lock).await;
        holder
    }

    async fn meet_before_statement(&mut self, first: Op, second: Op, number: usize) -> Option<[String; 2]> {
        self.proxy.hold_back(number);
        let one = self.start(&self.proxied, first, Side::First);
        let is_held = tokio::select! {
            () = self.proxy.holds() => true,
            () = one.has_ended.notified() => false,
        };
        if !is_held {
            self.proxy.go_on();
            return None;
        }
        let two = self.start(&self.direct, second, Side::Second);
        self.ended_or_waits(&two, "second").await;
        self.proxy.go_on();
        Some([one.ended().await, two.ended().await])
    }

    async fn meet_before_row(&mut self, first: Op, second: Op, number: usize) -> Option<[String; 2]> {
        let schema = self.database.schema.clone();
        let mut holder = self.database.pool.acquire().await.expect("a connection");
        let arm = format!(
            "SELECT setval('{schema}.step', -{number}); SELECT pg_advisory_lock(hashtext('{schema}'))"
        );
        run(&mut holder, &arm).await;
        let one = self.start(&self.stepping, first, Side::First);
        self.ended_or_waits(&one, "first").await;
        let free = format!("SELECT pg_advisory_unlock(hashtext('{schema}'))");
        if one.is_finished() {
            run(&mut holder, &free).await;
            return None;
        }
        let two = self.start(&self.direct, second, Side::Second);
        self.ended_or_waits(&two, "second").await;
        run(&mut holder, &free).await;
        Some([one.ended().await, two.ended().await])
    }

    fn start(&self, way: &Way, op: Op, side: Side) -> Running {
        Running::start(way.clone(), op, self.cast, self.target, side)
    }

    /// Waits until it has ended, or waits for a lock.
    pub(super) async fn ended_or_waits(&mut self, running: &Running, application: &str) {
        const WAITING: &str = "
            SELECT EXISTS (SELECT FROM pg_stat_activity AS a
                WHERE a.datname = current_database() AND a.application_name = $1
                    AND a.wait_event_type = 'Lock' AND cardinality(pg_blocking_pids(a.pid)) > 0)";
        loop {
            let _ = tokio::time::timeout(Duration::from_millis(1), running.has_ended.notified()).await;
            if running.is_finished() {
                return;
            }
            let waiting = sqlx::query_scalar(WAITING).bind(application).fetch_one(&mut *self.observer).await;
            if waiting.expect("the server says who waits") {
                return;
            }
        }
    }
}

async fn way(url: &str, schema: &str) -> Way {
    let store = PostgresStore::open_with(url, schema, 3).await.expect("a store");
    let pool = PgPoolOptions::new().max_connections(2).connect_lazy(url).expect("a URL");
    Way { store: Arc::new(store), pool: Some(pool) }
}

fn with(url: &str, parameter: &str) -> String {
    format!("{url}{}{parameter}", if url.contains('?') { '&' } else { '?' })
}

/// Saves the rows, and creates a role whose statements stop before they read a row for the time that `step` counts down
/// to 0.
fn prepared(schema: &str, role: &str) -> String {
    let tables = TABLES.map(|table| {
        format!(
            "CREATE TABLE {schema}.saved_{table} AS SELECT * FROM {schema}.{table};
             ALTER TABLE {schema}.{table} ENABLE ROW LEVEL SECURITY;
             CREATE POLICY step ON {schema}.{table} TO {role} USING ({schema}.step()) WITH CHECK (true);"
        )
    });
    format!(
        "CREATE ROLE {role};
         GRANT USAGE ON SCHEMA {schema} TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role};
         CREATE SEQUENCE {schema}.step MINVALUE -1000000 START -1000000;
         CREATE FUNCTION {schema}.step() RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
         BEGIN
             IF nextval('{schema}.step') = 0 THEN
                 PERFORM pg_advisory_lock_shared(hashtext('{schema}'));
                 PERFORM pg_advisory_unlock_shared(hashtext('{schema}'));
             END IF;
             RETURN true;
         END $$;
         {}",
        tables.concat()
    )
}

pub(super) async fn run(connection: &mut sqlx::PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.expect("the server does it");
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab").finish_non_exhaustive()
    }
}
