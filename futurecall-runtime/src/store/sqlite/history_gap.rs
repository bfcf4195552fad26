//! Repetitions, and times in which the history does not tell what has ended.

use std::collections::HashSet;
use std::time::Duration;

use super::tx::{Tx, after};
use crate::store::Result;
use crate::store::columns::Columns as _;

pub(super) const NOTING: &str = "note a gap in the history";

/// ?1 until when it lasts.
const NOTE: &str = "
INSERT INTO futurecall_history_gap (is_one, until) VALUES (1, ?1)
ON CONFLICT (is_one) DO UPDATE SET until = max(until, excluded.until)";

/// ?1 now.
const IS_OPEN: &str = "SELECT EXISTS (SELECT 1 FROM futurecall_history_gap WHERE until > ?1) AS is_open";

/// Which of the calls ?1 are stored or have ended, by their places in the batch.
pub(super) const KNOWN: &str = "
SELECT key FROM json_each(?1) WHERE EXISTS (SELECT 1 FROM futurecall_call c WHERE c.id = unhex(value ->> 0))
    OR EXISTS (SELECT 1 FROM futurecall_finished f WHERE f.id = unhex(value ->> 0))";

/// The same in a transaction.
pub(super) async fn note(tx: &mut Tx<'_>, lasts: Duration) -> Result<()> {
    let until = after(tx.now, lasts).as_micros();
    tx.run(tx.sql(NOTE).bind(until)).await.map(drop)
}

/// Whether a repetition that finds nothing of a call cannot tell whether it had been stored before.
pub(super) async fn is_open(tx: &mut Tx<'_>) -> Result<bool> {
    tx.one(tx.sql(IS_OPEN).bind(tx.now.as_micros())).await?.get("is_open")
}

/// Which calls of a batch are known, by their places.
pub(super) async fn known(tx: &mut Tx<'_>, rows: String) -> Result<HashSet<i64>> {
    let known = tx.rows(tx.sql(KNOWN).bind(rows)).await?;
    known.iter().map(|row| row.get("key")).collect()
}
