//! What the database is set to.

use super::SqliteStore;
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
    store
        .read("read the settings", Now::Database, |mut tx| {
            Box::pin(async move {
                let mut settings = Vec::new();
                let version = tx.row(tx.composed("SELECT sqlite_version()")).await?;
                let version = version.and_then(|row| row.first());
                settings.extend(version.map(|version| DatabaseSetting::new("version", version)));
                for name in PRAGMAS {
                    let row = tx.row(tx.composed(&format!("PRAGMA {name}"))).await?;
                    let value = row.and_then(|row| row.first());
                    settings.extend(value.map(|value| DatabaseSetting::new(name, value)));
                }
                Ok(settings)
            })
        })
        .await
}
