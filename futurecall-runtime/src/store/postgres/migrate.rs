//! Brings the tables up to this version of the library.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use super::PostgresStore;
use super::connect::{commit, step};
use super::driver_error::nothing_done;
use super::sql::{Row, in_schema};
use crate::error::StoreError;
use crate::store::columns::Columns as _;
use crate::store::table_names::renamed;
use crate::store::{MigrationRecord, Result, records};

const DOING: &str = "migrate the database";

/// Each version's file, in order. Each writes its own row into the table `migration`, so that a file applied by hand
/// counts as well.
const MIGRATIONS: [(i32, &str, &str); 1] =
    [(1, "calls", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres/0001_calls.sql")))];

const LISTING: &str = "list the migrations";

/// $1 the schema. By the catalogue's rows: a look-up by name may remember that there was no such table, although whoever
/// held the lock before has made it since.
const IS_TABLE_THERE: &str = "
    SELECT 1 FROM pg_catalog.pg_class AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
    WHERE n.nspname = $1::text AND t.relname = 'migration'";

const VERSIONS: &str = "SELECT version FROM futurecall.migration";

const APPLIED: &str = "SELECT m.version, m.name, {us m.applied_at} AS applied FROM futurecall.migration AS m";

impl PostgresStore {
    pub(super) async fn bring_up(&self) -> Result<()> {
        if self.link.version.is_some_and(|version| version < 140_000) {
            return Err(StoreError::permanent(DOING, "PostgreSQL 14 or newer is needed"));
        }
        // Looked at without the lock first: where all is done, a start writes nothing and needs no right to.
        if self.is_current().await? {
            return Ok(());
        }
        let mut transaction = self.begin(DOING).await?;
        let lock =
            "SELECT pg_advisory_xact_lock(hashtextextended('futurecall migrations of ' || $1::text, 0))";
        step(DOING, &mut transaction, self.query(lock).bind(self.schema.to_string())).await?;
        // Who held the lock before may have done it all.
        let applied = self.applied(&mut transaction).await?;
        let is_schema_there = self.is_schema_there(&mut transaction).await?;
        for (version, _, file) in MIGRATIONS {
            if !applied.contains(&version) {
                let sql = self.with_schema(file, is_schema_there);
                sqlx::raw_sql(AssertSqlSafe(sql))
                    .execute(&mut *transaction)
                    .await
                    .map_err(nothing_done(DOING))?;
            }
        }
        commit(DOING, transaction).await
    }

    /// Whether nothing is left to do; an error where the database is ahead of this library. Asked at every start, so it
    /// waits for two answers only: what it sees may be older than what the second one sees, but no step is ever undone.
    async fn is_current(&self) -> Result<bool> {
        let there = IS_TABLE_THERE.replace("$1::text", &format!("'{}'", self.schema));
        let mut applied = Vec::new();
        if !self.link.glance(DOING, there).await?.is_empty() {
            let rows = self.link.glance(DOING, in_schema(VERSIONS, &self.schema)).await?;
            applied = versions(&rows)?;
        }
        let latest = MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0);
        match applied.iter().max() {
            Some(ahead) if *ahead > latest => {
                let says = format!(
                    "the tables in schema {} are of version {ahead}, and this library knows them up to version \
                     {latest}: deploy the newer library here as well",
                    self.schema
                );
                Err(StoreError::permanent(DOING, says))
            }
            _ => Ok(MIGRATIONS.iter().all(|(version, ..)| applied.contains(version))),
        }
    }

    /// All steps: those of this library, and what a newer one has applied.
    pub(super) async fn migration_records(&self) -> Result<Vec<MigrationRecord>> {
        let mut transaction = self.begin(LISTING).await?;
        let is_schema_there = self.is_schema_there(&mut transaction).await?;
        let mut applied = BTreeMap::new();
        if self.is_table_there(&mut transaction).await? {
            let rows = step(LISTING, &mut transaction, self.query(APPLIED)).await?;
            for row in &rows {
                applied.insert(row.get("version")?, records::migration(row)?);
            }
        }
        for (version, name, file) in MIGRATIONS {
            let number = u32::try_from(version).unwrap_or(0);
            let record = applied
                .entry(version)
                .or_insert_with(|| MigrationRecord::new(number, name.to_owned(), None, String::new()));
            let is_create_left_out = is_schema_there && record.applied.is_none();
            record.sql = self.with_schema(file, is_create_left_out);
        }
        commit(LISTING, transaction).await?;
        Ok(applied.into_values().collect())
    }

    async fn applied(&self, connection: &mut sqlx::PgConnection) -> Result<Vec<i32>> {
        if !self.is_table_there(connection).await? {
            return Ok(Vec::new());
        }
        versions(&step(DOING, connection, self.query(VERSIONS)).await?)
    }

    async fn is_table_there(&self, connection: &mut sqlx::PgConnection) -> Result<bool> {
        let query = self.query(IS_TABLE_THERE).bind(self.schema.to_string());
        let rows = step(DOING, connection, query).await?;
        Ok(!rows.is_empty())
    }

    async fn is_schema_there(&self, connection: &mut sqlx::PgConnection) -> Result<bool> {
        let there = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1::text";
        let rows = step(DOING, connection, self.query(there).bind(self.schema.to_string())).await?;
        Ok(!rows.is_empty())
    }

    /// The file with this store's schema. `CREATE SCHEMA IF NOT EXISTS` needs the right to create schemas even where
    /// the schema exists, so it is left out there.
    fn with_schema(&self, file: &str, is_schema_there: bool) -> String {
        const CREATE: &str = "CREATE SCHEMA IF NOT EXISTS futurecall;";
        let create = format!("CREATE SCHEMA IF NOT EXISTS \"{}\";", self.schema);
        let file = file.replace(CREATE, if is_schema_there { "" } else { &create });
        renamed(&file, |line| in_schema(line, &self.schema))
    }
}

fn versions(rows: &[Row]) -> Result<Vec<i32>> {
    rows.iter().map(|row| row.get("version")).collect()
}
