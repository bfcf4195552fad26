//! Runs of schedules whose rules this version cannot read: they wait for a pod of the version that wrote them. They are
//! remembered, so that not every claim takes them and gives them back, which others would hear of.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::fmt::Simple;

use super::tx::{Row, Tx, batch, hex};
use crate::store::columns::Columns as _;
use crate::store::{Result, codec, policy, records};

const CLAIM: &str = "claim calls";

/// ?1 the runs. Those that still wait, with their schedules' rules.
pub(super) const STILL: &str = "
SELECT c.id, c.due_at, s.effective, s.anchor, s.state FROM json_each(?1) CROSS JOIN futurecall_call c
    ON c.id = unhex(value) AND c.claimed_by IS NULL CROSS JOIN futurecall_schedule s ON s.id = c.schedule_id";

/// Which runs were found so by this handle's claims.
#[derive(Clone, Debug, Default)]
pub(super) struct UnreadableRuns(Arc<Mutex<BTreeSet<Simple>>>);

impl UnreadableRuns {
    /// Those that still are, and still wait.
    pub(super) async fn still(&self, tx: &mut Tx<'_>) -> Result<Vec<Simple>> {
        let known: Vec<Simple> = self.known().iter().copied().collect();
        if known.is_empty() {
            return Ok(known);
        }
        let rows = tx.rows(tx.sql(STILL).bind(batch(CLAIM, &known)?)).await?;
        let mut still = Vec::new();
        for row in &rows {
            if is_unreadable(row)? {
                still.push(hex(row.get("id")?));
            }
        }
        *self.known() = still.iter().copied().collect();
        Ok(still)
    }

    /// Remembers some more.
    pub(super) fn remember(&self, runs: &[Simple]) {
        self.known().extend(runs);
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<Simple>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_unreadable(row: &Row) -> Result<bool> {
    let (state, rule) = (codec::schedule_of(row.get("state")?), records::rule(row, "effective")?);
    Ok(!policy::can_be_read(state, rule.as_ref(), row.get("anchor")?, row.get("due_at")?))
}
