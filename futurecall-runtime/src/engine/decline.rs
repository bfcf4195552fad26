//! Calls whose arguments do not decode here, while pods of another release may be able to read them.

use super::{Engine, NOW};
use crate::error::StoreError;
use crate::shape::Shape;
use crate::store::ClaimedCall;

/// Returns the hash of this pod's shape of the call if the call should go back to the database: some live pod knows its
/// name under another shape, and no pod of that shape has declined the call.
///
/// While the database does not answer, nothing is known of other pods, and the call goes back as well: a heartbeat opens it
/// again if there is none that could read it. Where it answers with an error that stays, no other pod is relied upon.
pub(super) async fn declining_shape(engine: &Engine, call: &ClaimedCall) -> Option<i64> {
    let own = engine.registry().hashes().get(&call.name).copied()?;
    match is_readable_elsewhere(engine, call, own).await {
        Ok(is_readable) => is_readable.then_some(own),
        Err(error) => {
            tracing::warn!(%error, "could not look for pods that can read the arguments of a call");
            error.may_pass().then_some(own)
        }
    }
}

async fn is_readable_elsewhere(engine: &Engine, call: &ClaimedCall, own: i64) -> Result<bool, StoreError> {
    let pods = engine.store.pods(NOW, engine.pod_live()).await?;
    let live = pods.iter().filter(|pod| pod.live && pod.runs());
    let mut others: Vec<i64> = live.filter_map(|pod| pod.shapes.get(&call.name)).map(Shape::hash).collect();
    others.retain(|shape| *shape != own);
    if others.is_empty() {
        return Ok(false);
    }
    let declined = engine.store.call(NOW, call.id).await?.map(|record| record.declined).unwrap_or_default();
    Ok(others.iter().any(|shape| !declined.contains(shape)))
}
