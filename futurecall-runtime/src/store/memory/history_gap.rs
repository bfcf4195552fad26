use std::time::Duration;

use super::rows::State;
use crate::moment::Moment;
use crate::store::Now;

impl State {
    pub(super) fn note_gap(&mut self, now: Now, lasts: Duration) {
        let until = self.now(now).checked_add(lasts).unwrap_or(Moment::MAX);
        self.gap_until = self.gap_until.max(Some(until));
    }

    /// Whether a repetition that finds nothing of a call cannot tell whether it had been stored before.
    pub(super) fn has_gap(&self, now: Moment) -> bool {
        self.gap_until.is_some_and(|until| until > now)
    }
}
