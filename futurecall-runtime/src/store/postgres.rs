//! The PostgreSQL store: many pods on one database.
//!
//! The server decides: its clock, its row locks. Every method is one statement, or one short transaction in READ
//! COMMITTED; nothing outlives a transaction on a connection, so that a pooler in transaction mode changes nothing but
//! the wake-ups.

mod actions;
mod cancel;
mod claim;
mod claim_cursors;
mod claim_rows;
mod claim_scheduled;
mod commit_outcome;
mod connect;
mod connection_check;
mod copy;
mod counting;
mod driver_error;
mod encoding;
mod finish;
mod history;
mod history_gap;
mod insert;
mod inspect;
mod listen;
mod listing;
mod logs;
mod migrate;
mod operate;
mod pending;
mod pods;
mod requeue;
mod reschedule;
mod rights;
mod schedule;
mod session;
mod settings;
mod snapshot_read;
mod sql;
mod statistics;
#[cfg(test)]
mod tests;
mod timetable;
mod transaction;

use std::str::FromStr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures_util::future::OptionFuture;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::OnceCell;

use self::claim_cursors::Lanes;
use self::connect::Link;
use self::driver_error::nothing_done;
use self::listen::Wake;
use super::table_names::check_schema;
use super::{DatabaseSetting, MigrationRecord, Store};
use crate::error::StoreError;
use crate::store::Result;

use crate::moment::Moment;

/// How many connections a store opens unless told.
const CONNECTIONS: u32 = 4;

/// Calls in a PostgreSQL database (14 or newer), shared by all pods that reach it.
///
/// The tables stand in a schema of their own; [`migrate`](Store::migrate) makes them, and asks for no right to where they
/// are there: a pod needs no more than the rights that `migrations/roles.sql` grants to its kind. A handle opens a small pool of
/// its own, and one more connection to hear of other pods' calls once [`changed`](Store::changed) is first waited for.
///
/// # Behind a connection pooler
///
/// In transaction mode everything works except hearing of others at once: calls of other pods are found by the poll, up
/// to a scan interval later. Nothing is left behind on the sessions that a pod shares with others: before a pod listens it
/// makes sure that its session is its own. The pooler must track prepared statements (PgBouncer 1.21 and newer:
/// `max_prepared_statements`); for one that does not, add `?statement-cache-capacity=0` to the URL: nothing is then
/// prepared beyond a transaction. What a handler sends in [`Session::transaction`](crate::Session::transaction) needs
/// `.persistent(false)` there, as every statement of sqlx does behind such a pooler.
///
/// In session mode pods hear of each other as on a direct connection. Each connection of a pod keeps one of the pooler's
/// (`default_pool_size`): those of the pod's pool, one for leases, one to listen.
/// PgBouncer needs no `ignore_startup_parameters` for a pod; parameters in the URL (`options`) it refuses.
///
/// ```no_run
/// use futurecall_runtime::store::{PostgresStore, Store};
/// # async fn example() -> Result<(), futurecall_runtime::StoreError> {
/// let store = PostgresStore::open("postgres://app@localhost/app", "futurecall").await?;
/// store.migrate().await?;
/// println!("the database's clock says {}", store.now().await?);
/// # Ok(())
/// # }
/// ```
pub struct PostgresStore {
    link: Arc<Link>,
    schema: Arc<str>,
    wake: Wake,
    lanes: Arc<Lanes>,
    /// How many claims in a row found nothing but rows that others had locked.
    crowded: AtomicU32,
    /// Connections for the transactions of handlers, opened when the first is wanted.
    lending: OnceLock<PgPool>,
    /// Whether the database role may read arguments; asked when they are first to be shown.
    sees_arguments: OnceCell<bool>,
}

impl PostgresStore {
    /// Connects to the database of that URL (waiting up to 10 seconds for a server that is starting), with 4
    /// connections of its own at most.
    ///
    /// `schema` is the name of the schema for the tables: `a` to `z`, `0` to `9` and `_`, 48 characters at most, not
    /// beginning with a digit or with `pg_`.
    pub async fn open(url: &str, schema: &str) -> Result<Self> {
        Self::open_with(url, schema, CONNECTIONS).await
    }

    /// [`open`](Self::open) with up to `connections` connections; at least one.
    pub async fn open_with(url: &str, schema: &str, connections: u32) -> Result<Self> {
        let options = PgConnectOptions::from_str(url).map_err(nothing_done("read the database URL"))?;
        Self::with_options(options, schema, connections).await
    }

    /// Connects to the database that the application's pool is connected to, with up to `connections` connections of
    /// its own; at least one. Of the pool it takes the connect options alone, and never a connection: what
    /// the application does on its connections (`SET ROLE`, hooks of the pool) does not hold on these.
    pub async fn from_pool(pool: &PgPool, schema: &str, connections: u32) -> Result<Self> {
        Self::with_options(pool.connect_options().as_ref().clone(), schema, connections).await
    }

    async fn with_options(options: PgConnectOptions, schema: &str, connections: u32) -> Result<Self> {
        check_schema(schema).map_err(|fault| {
            StoreError::permanent("use the database", format!("schema `{}` {fault}", schema.escape_debug()))
        })?;
        let link = Link::open(options, connections).await?;
        link.warn_of_settings();
        Ok(Self::on(link, schema.into()))
    }

    fn on(link: Link, schema: Arc<str>) -> Self {
        let lanes = Arc::new(Lanes::default());
        let wake = Wake::new(&schema, Arc::clone(&lanes));
        let (crowded, lending, sees_arguments) = (AtomicU32::new(0), OnceLock::new(), OnceCell::new());
        Self { link: Arc::new(link), schema, wake, lanes, crowded, lending, sees_arguments }
    }
}

impl super::sealed::Sealed for PostgresStore {}

#[async_trait]
impl Store for PostgresStore {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn migrate(&self) -> Result<()> {
        self.bring_up().await
    }

    async fn separate(&self) -> Result<Box<dyn Store>> {
        let link = Link::open(self.options(), 1).await?;
        Ok(Box::new(Self::on(link, Arc::clone(&self.schema))))
    }

    async fn close(&self) {
        let lending = OptionFuture::from(self.lending.get().map(PgPool::close));
        self.wake.said().await;
        self.wake.close().await;
        self.link.close().await;
        lending.await;
    }

    async fn now(&self) -> Result<Moment> {
        self.clock().await
    }

    fn hears(&self) -> bool {
        self.wake.hears()
    }

    fn reconnections(&self) -> u64 {
        self.wake.reconnections()
    }

    async fn changed(&self) {
        self.wake.changed(self.options(), &self.link).await;
    }

    async fn settings(&self) -> Result<Vec<DatabaseSetting>> {
        self.server_settings().await
    }

    async fn migrations(&self) -> Result<Vec<MigrationRecord>> {
        self.migration_records().await
    }
}
