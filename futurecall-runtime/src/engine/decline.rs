//! Declines calls whose arguments do not decode here while pods of another release may be able to decode them.

use super::readers::Readers;
use super::{Engine, NOW};
use crate::store::{ClaimedCall, Result};

/// Returns the hash of this pod's shape of the call if the call should be given back: some live pod has its name
/// under another shape, and no pod of that shape has declined the call.
///
/// If the database does not answer, the other pods are unknown, and the call is given back as well: a later heartbeat
/// makes it claimable again if no pod could decode it. If the database answers with a permanent error, the call is
/// not given back.
pub(super) async fn declining_shape(engine: &Engine, call: &ClaimedCall) -> Option<i64> {
    let own = engine.runner.hashes().get(&call.name).copied()?;
    match is_readable_elsewhere(engine, call, own).await {
        Ok(is_readable) => is_readable.then_some(own),
        Err(error) => {
            tracing::warn!(%error, "could not look for pods that can read the arguments of a call");
            error.may_pass().then_some(own)
        }
    }
}

async fn is_readable_elsewhere(engine: &Engine, call: &ClaimedCall, own: i64) -> Result<bool> {
    let readers = Readers::of(engine).await?;
    if !readers.may_read(&call.name, Some(own), &[]) {
        return Ok(false);
    }
    let declined = engine.store.call(NOW, call.id).await?.map(|record| record.declined).unwrap_or_default();
    Ok(readers.may_read(&call.name, Some(own), &declined))
}
