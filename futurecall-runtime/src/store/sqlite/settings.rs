//! What the database is set to.

use sqlx::Row as _;

use super::SqliteStore;
use super::tx::{Row, run};
use crate::store::{DatabaseSetting, Now, Result};

/// What SQLite calls its own settings, in this order; `synchronous` is that of every connection of ours.
const PRAGMAS: [&str; 8] = [
    "journal_mode",
    "synchronous",
    "page_size",
    "page_count",
    "freelist_count",
    "wal_autocheckpoint",
    "auto_vacuum",
    "foreign_keys",
];

pub(super) async fn settings(store: &SqliteStore) -> Result<Vec<DatabaseSetting>> {
    run!(store.read, "read the settings", Now::Database, |tx| {
        let version = tx.one(tx.composed("SELECT sqlite_version()")).await?;
        let mut settings = vec![DatabaseSetting::new("version", first(&version)?)];
        for name in PRAGMAS {
            if let Some(row) = tx.row(tx.composed(&format!("PRAGMA {name}"))).await? {
                settings.push(DatabaseSetting::new(name, first(&row)?));
            }
        }
        Ok(settings)
    })
    .await
}

/// The first column, as a number or a text.
pub(super) fn first(row: &Row) -> Result<String> {
    let number = row.row.try_get::<i64, _>(0).map(|number| number.to_string());
    number.or_else(|_| row.row.try_get(0)).map_err(|error| row.misfit("", error))
}
