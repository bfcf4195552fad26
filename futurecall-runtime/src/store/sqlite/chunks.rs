//! Bulk operations in chunks: one transaction for a hundred thousand calls would hold the file's only write lock for
//! seconds, and leases that have to be renewed meanwhile would end.

use uuid::Uuid;

use super::tx::{Tx, batch, hex};
use crate::store::Result;
use crate::store::columns::Columns as _;

/// The most calls that a bulk operation changes in one transaction.
pub(super) const CHUNK: usize = 2_000;

/// The calls with an identifier that are scheduled or running, the first due first. ?1 the identifier.
pub(super) const GATHER: &str = "
SELECT json_group_array(hex(id)) AS ids FROM (
    SELECT id FROM futurecall_call WHERE identifier = ?1 ORDER BY due_at, id)";

/// The ids of all calls with that identifier. Only these are changed by later chunks, so that the operation ends however
/// many calls are stored meanwhile.
pub(super) async fn gather(tx: &mut Tx<'_>, identifier: &str) -> Result<Vec<Uuid>> {
    let row = tx.one(tx.sql(GATHER).bind(identifier.to_owned())).await?;
    Ok(row.json("ids")?.unwrap_or_default())
}

/// Ids as the statements take them.
pub(super) fn ids(doing: &'static str, ids: &[Uuid]) -> Result<String> {
    batch(doing, &ids.iter().copied().map(hex).collect::<Vec<_>>())
}
