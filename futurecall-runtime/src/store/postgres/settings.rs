//! What the server is set to.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::connect::nothing_done;
use super::sql::Reading;
use crate::error::StoreError;

const READING: &str = "read the settings";

/// In this order. A setting that the server does not know is left out. Sizes are in bytes, with indexes.
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
    WHERE n.nspname = $1::text AND t.relkind = 'r'";

impl PostgresStore {
    pub(super) async fn server_settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        let version = self.read(READING, self.query("SELECT version() AS value, 'version' AS name")).await?;
        let rest = self.read(READING, self.query(SETTINGS).bind(self.schema.to_string())).await?;
        let setting = |row: &PgRow| Ok((row.try_get("name")?, row.try_get("value")?));
        let settings = version.iter().chain(&rest).map(setting).collect::<Reading<_>>();
        settings.map_err(nothing_done(READING))
    }
}
