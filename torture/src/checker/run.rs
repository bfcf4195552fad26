//! One run of a handler, as recorded in the ledger.

use uuid::Uuid;

use crate::ledger::Event;

/// One run of the handler.
#[derive(Clone, Copy)]
pub(super) struct Run<'h> {
    pub(super) start: &'h Event,
    /// Its last event.
    pub(super) last: &'h Event,
}

impl Run<'_> {
    pub(super) fn is(&self, pod: Option<Uuid>, attempt: u32) -> bool {
        Some(self.start.run.pod) == pod && self.start.run.attempt == attempt
    }
}
