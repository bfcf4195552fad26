//! What the server is set to, and a session.

use std::time::Duration;

use sqlx::{Executor, PgPool, Row as _};

use super::PostgresStore;
use super::connection_check::{PATIENCE, Warm};
use super::driver_error::nothing_done;
use super::sql::Row;
use crate::clock::{self, Deadline};
use crate::store::columns::Columns as _;
use crate::store::{DatabaseSetting, Result};

const READING: &str = "read the settings";

/// In this order. A setting that the server does not know is left out. Sizes are in bytes, with indexes. At the end, what
/// roles that may use the tables, and the database, are set to themselves: sessions of theirs begin with it.
const SETTINGS: &str = "
    SELECT u.name, s.setting AS value FROM unnest(ARRAY['server_version_num', 'fsync', 'synchronous_commit',
        'full_page_writes', 'wal_level', 'synchronous_standby_names', 'transaction_read_only',
        'default_transaction_isolation', 'max_connections', 'shared_buffers', 'max_wal_size', 'autovacuum', 'jit', 'TimeZone'])
        WITH ORDINALITY AS u(name, place)
    CROSS JOIN LATERAL (SELECT current_setting(u.name, true) AS setting) AS s WHERE s.setting IS NOT NULL
    UNION ALL
    SELECT 'database_size', pg_database_size(current_database())::text
    UNION ALL
    SELECT 'size of ' || t.relname, pg_total_relation_size(t.oid)::text
    FROM pg_catalog.pg_class AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
    WHERE n.nspname = $1::text AND t.relkind = 'r'
    UNION ALL
    SELECT 'synchronous_commit' || coalesce(' of role ' || quote_ident(r.rolname), '')
            || coalesce(' in database ' || quote_ident(d.datname), ''), split_part(one.setting, '=', 2)
    FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN LATERAL unnest(s.setconfig) AS one(setting)
        LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
        LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
        LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = $1::text
    WHERE one.setting LIKE 'synchronous_commit=%' AND (d.oid IS NULL OR d.datname = current_database())
        AND (r.oid IS NULL OR (r.rolcanlogin AND (n.oid IS NULL OR has_schema_privilege(r.oid, n.oid, 'USAGE'))))";

impl PostgresStore {
    pub(super) async fn server_settings(&self) -> Result<Vec<DatabaseSetting>> {
        let version = self.read(READING, self.query("SELECT version() AS value, 'version' AS name")).await?;
        let rest = self.read(READING, self.query(SETTINGS).bind(self.schema.to_string())).await?;
        let setting = |row: &Row| Ok(DatabaseSetting { name: row.get("name")?, value: row.get("value")? });
        version.iter().chain(&rest).map(setting).collect()
    }
}

/// What a session is set to, by the server, the database, the role or the URL.
pub(super) struct Session {
    /// Whether transactions that do not say otherwise see what was committed before each of their statements.
    pub(super) is_read_committed: bool,
    /// Whether the server confirms a commit before it stands on its disk.
    pub(super) confirms_early: bool,
}

impl Session {
    /// Asks a new connection, and again where it breaks: a pooler that restarts is a delay, too. Returns the connection as
    /// well.
    pub(super) async fn ask(doing: &'static str, pool: &PgPool) -> Result<(Self, Warm)> {
        const PAUSE: Duration = Duration::from_millis(100);
        let give_up = Deadline::new(clock::read(), PATIENCE);
        loop {
            let error = match Self::of(pool).await {
                Ok(session) => return Ok(session),
                Err(error) => nothing_done(doing)(error),
            };
            if !error.is_transient() || give_up.left(clock::read()) < PAUSE {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn of(pool: &PgPool) -> Result<(Self, Warm), sqlx::Error> {
        const SETTINGS: &str = "
            SELECT current_setting('default_transaction_isolation') = 'read committed' AS is_read_committed,
                current_setting('synchronous_commit') = 'off' AS confirms_early";
        let mut warm = Warm::of(pool).await?;
        // Not prepared: one message, which a pooler sends to one server, and one answer to wait for.
        let rows = warm.connection.fetch_all(sqlx::raw_sql(SETTINGS)).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let session = Self {
            is_read_committed: row.try_get("is_read_committed")?,
            confirms_early: row.try_get("confirms_early")?,
        };
        Ok((session, warm))
    }
}
