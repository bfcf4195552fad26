//! What the server is set to.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::connect::nothing_done;
use super::sql::Reading;
use crate::error::StoreError;

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
    pub(super) async fn server_settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        let version = self.read(READING, self.query("SELECT version() AS value, 'version' AS name")).await?;
        let rest = self.read(READING, self.query(SETTINGS).bind(self.schema.to_string())).await?;
        let setting = |row: &PgRow| Ok((row.try_get("name")?, row.try_get("value")?));
        let settings = version.iter().chain(&rest).map(setting).collect::<Reading<_>>();
        settings.map_err(nothing_done(READING))
    }
}
