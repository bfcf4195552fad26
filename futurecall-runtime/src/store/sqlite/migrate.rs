//! Bringing the tables up to this version, with bookkeeping of our own.

use std::collections::BTreeMap;

use super::SqliteStore;
use super::tx::{Tx, run};
use crate::error::StoreError;
use crate::store::columns::Columns as _;
use crate::store::table_names::renamed;
use crate::store::{MigrationRecord, Now, Result, records};

const DOING: &str = "migrate the SQLite database";

/// Every version, oldest first: the version's number is its place, counted from 1. Each script writes its own row.
static VERSIONS: [&str; 1] =
    [include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/0001_calls.sql"))];

/// What they are called in their rows.
const NAMES: [&str; 1] = ["calls"];

const LISTING: &str = "list the migrations";

const TABLE: &str =
    "SELECT count(*) AS found FROM sqlite_schema WHERE type = 'table' AND name = 'futurecall_migration'";

const APPLIED: &str = "SELECT version, name, applied_at AS applied FROM futurecall_migration";

const LATEST: &str = "SELECT max(version) AS version FROM futurecall_migration";

pub(super) async fn migrate(store: &SqliteStore) -> Result<()> {
    let lacking = run!(store.read, DOING, Now::Database, |tx| missing(&mut tx).await).await?;
    if lacking.is_empty() {
        return Ok(());
    }
    // The writer's transaction is the lock: of several pods that start at once, the others find the work done.
    run!(store.write, DOING, Now::Database, |tx| {
        for script in missing(&mut tx).await? {
            tx.script(script).await?;
        }
        Ok(())
    })
    .await
}

/// The versions that the database lacks.
async fn missing(tx: &mut Tx<'_>) -> Result<&'static [&'static str]> {
    let version =
        if is_table_there(tx).await? { tx.one(tx.sql(LATEST)).await?.find("version")? } else { None };
    let version: usize = version.unwrap_or(0);
    VERSIONS.get(version..).ok_or_else(|| {
        let message = format!(
            "its tables are of version {version}, and this version of Futurecall knows versions up to {}: \
             a newer pod has migrated it, so update this one",
            VERSIONS.len()
        );
        StoreError::permanent(DOING, message)
    })
}

async fn is_table_there(tx: &mut Tx<'_>) -> Result<bool> {
    tx.one(tx.sql(TABLE)).await?.get("found")
}

/// All steps: those of this library, and what a newer one has applied.
pub(super) async fn migrations(store: &SqliteStore) -> Result<Vec<MigrationRecord>> {
    let tables = store.tables.clone();
    run!(store.read, LISTING, Now::Database, |tx| {
        let mut steps = BTreeMap::new();
        if is_table_there(&mut tx).await? {
            for row in tx.rows(tx.sql(APPLIED)).await? {
                let step = records::migration(&row)?;
                steps.insert(step.version, step);
            }
        }
        for ((version, name), script) in (1..).zip(NAMES).zip(VERSIONS) {
            let step = steps
                .entry(version)
                .or_insert_with(|| MigrationRecord::new(version, name.to_owned(), None, String::new()));
            step.sql = renamed(script, |line| tables.composed(line).as_str().to_owned());
        }
        Ok(steps.into_values().collect())
    })
    .await
}
