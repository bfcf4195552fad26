//! Repetitions, and times in which the history does not tell what has ended.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::PostgresStore;
use super::connect::step;
use super::sql::at;
use crate::store::columns::Columns as _;
use crate::store::{Now, Result};

/// $2 what a repetition has just stored. Deletes what had finished before, and while there is a gap all of it, as nobody can
/// know: the latter it lists.
const TAKE_BACK: &str = "
    WITH back AS (
        DELETE FROM futurecall.call AS c WHERE c.id = ANY ($2::uuid[]) AND c.claimed_by IS NULL AND (
            EXISTS (SELECT FROM futurecall.finished AS f WHERE f.id = c.id)
            OR EXISTS (SELECT FROM futurecall.history_gap AS g WHERE g.until > {now}))
        RETURNING c.id
    )
    SELECT b.id FROM back AS b WHERE NOT EXISTS (SELECT FROM futurecall.finished AS f WHERE f.id = b.id)";

impl PostgresStore {
    /// Takes back what a repetition has just stored, where that had ended before, or may have. Returns of which calls nobody
    /// knows. It needs a snapshot of its own, to see what ended while the repetition waited for the first try.
    pub(super) async fn take_back(
        &self,
        doing: &'static str,
        connection: &mut PgConnection,
        now: Now,
        stored: Vec<Uuid>,
    ) -> Result<HashSet<Uuid>> {
        let rows = step(doing, connection, self.query(TAKE_BACK).bind(at(now)).bind(stored)).await?;
        rows.iter().map(|row| row.get("id")).collect()
    }
}
