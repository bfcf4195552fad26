use std::time::Duration;

use async_trait::async_trait;

use super::rows::{Call, State, refuse_nul};
use crate::error::StoreError;
use crate::moment::Moment;
use crate::store::transaction::TransactionRef;
use crate::store::{
    ClaimRequest, ClaimedCall, Due, InsertStore, Inserted, MemoryStore, NewCall, Now, Result,
};

const DOING: &str = "store calls";

#[async_trait]
impl InsertStore for MemoryStore {
    async fn insert(
        &self,
        now: Now,
        calls: &[NewCall],
        again: bool,
        soon: Duration,
    ) -> Result<Vec<Inserted>> {
        let (inserted, wake) = self.state().insert(now, calls, again, soon)?;
        if wake {
            self.wake_others();
        }
        Ok(inserted)
    }

    async fn insert_claimed(
        &self,
        now: Now,
        call: &NewCall,
        request: &ClaimRequest,
    ) -> Result<Option<ClaimedCall>> {
        let state = &mut *self.state();
        let now = state.now(now);
        let row = row(now, call)?;
        if state.call(row.id).is_some() {
            return Ok(None);
        }
        state.put(row);
        if state.paused.contains_key(&call.name) {
            return Ok(None);
        }
        Ok(state.hold(now, request, request.on_vanish(&call.name), call.id))
    }

    async fn insert_in(
        &self,
        _transaction: TransactionRef<'_>,
        _calls: &[NewCall],
        _soon: Duration,
    ) -> Result<()> {
        Err(StoreError::wrong_database("store calls in the transaction"))
    }
}

impl State {
    /// Stores calls; also says whether one of them is due soon.
    pub(super) fn insert(
        &mut self,
        now: Now,
        calls: &[NewCall],
        again: bool,
        soon: Duration,
    ) -> Result<(Vec<Inserted>, bool)> {
        let now = self.now(now);
        let rows = calls.iter().map(|call| row(now, call)).collect::<Result<Vec<_>, _>>()?;
        let horizon = now.checked_add(soon).unwrap_or(Moment::MAX);
        let mut wake = false;
        let mut results = Vec::with_capacity(rows.len());
        for row in rows {
            let stored = self.call(row.id).is_some();
            // A finished call was stored once: a repetition leaves it alone.
            if again && (stored || self.finished.contains_key(&row.id)) {
                results.push(Inserted::Stored);
            } else if again && self.has_gap(now) {
                results.push(Inserted::Unknown);
            } else if stored {
                results.push(Inserted::Duplicate);
            } else {
                wake |= row.due <= horizon;
                self.put(row);
                results.push(Inserted::Stored);
            }
        }
        Ok((results, wake))
    }
}

fn row(now: Moment, call: &NewCall) -> Result<Call> {
    let texts = [Some(&call.name), call.identifier.as_ref(), Some(&call.args), call.traceparent.as_ref()];
    refuse_nul(DOING, texts.into_iter().flatten().map(String::as_str))?;
    let due = due_at(DOING, now, call.due)?;
    let expires = call.expires_after.map(|time| due.max(now).checked_add(time).unwrap_or(Moment::MAX));
    Ok(Call {
        expires,
        identifier: call.identifier.clone(),
        traceparent: call.traceparent.clone(),
        ..Call::new(call.id, &call.name, call.priority, due, (&call.args, call.format), now)
    })
}

/// The moment that it means when it is stored now.
pub(super) fn due_at(doing: &'static str, now: Moment, due: Due) -> Result<Moment> {
    match due {
        Due::At(moment) => Ok(moment),
        Due::After(delay) => now.checked_add(delay).map_err(|error| StoreError::refused(doing, error)),
    }
}
