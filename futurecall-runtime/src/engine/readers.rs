//! Finds the live pods that may be able to decode the arguments of a call.

use super::{Engine, NOW};
use crate::shape::Shape;
use crate::store::{PodRecord, Result};

/// The live pods that run calls, including this one.
#[derive(Debug, Default)]
pub(crate) struct Readers(Vec<PodRecord>);

impl Readers {
    /// Creates the list from all pods, keeping those that are live and run calls.
    pub(crate) fn new(mut pods: Vec<PodRecord>) -> Self {
        pods.retain(|pod| pod.live && pod.runs());
        Self(pods)
    }

    /// Loads the list from the database.
    pub(crate) async fn of(engine: &Engine) -> Result<Self> {
        Ok(Self::new(engine.store.pods(NOW, engine.pod_live()).await?))
    }

    /// Returns all of them.
    pub(crate) fn pods(&self) -> &[PodRecord] {
        &self.0
    }

    /// Returns those that may be able to decode a call of this name which pods of the shape `own` cannot: they have
    /// the name under another shape, and no pod of that shape has declined the call.
    pub(crate) fn of_call(
        &self,
        name: &str,
        own: Option<i64>,
        declined: &[i64],
    ) -> impl Iterator<Item = &PodRecord> {
        self.0.iter().filter(move |pod| {
            let shape = pod.shapes.get(name).map(Shape::hash);
            shape.is_some_and(|shape| Some(shape) != own && !declined.contains(&shape))
        })
    }

    /// Returns whether there is [any](Self::of_call).
    pub(crate) fn may_read(&self, name: &str, own: Option<i64>, declined: &[i64]) -> bool {
        self.of_call(name, own, declined).next().is_some()
    }
}
