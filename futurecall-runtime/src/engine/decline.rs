//! Calls whose arguments do not decode here, while pods of another release may be able to read them.

use super::readers::Readers;
use super::{Engine, NOW};
use crate::store::{ClaimedCall, Result};

/// Returns the hash of this pod's shape of the call if the call should go back to the database: some live pod knows its
/// name under another shape, and no pod of that shape has declined the call.
///
/// While the database does not answer, nothing is known of other pods, and the call goes back as well: a heartbeat opens it
/// again if there is none that could read it. Where it answers with an error that stays, no other pod is relied upon.
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
