//! Steps that move calls, and that run them again.

use futurecall_runtime::CallId;
use futurecall_runtime::store::{CancelTarget, Due};

use super::Walk;
use crate::make::{SOON, identifier, secs};

impl Walk<'_> {
    /// One call, or all of a label. Those of one schedule are moved singly: of two that are due at once, only their ids
    /// say which comes first, and these are each store's own.
    pub(super) async fn reschedule(&mut self) {
        let due = match self.dice.below(3) {
            0 => Due::At(self.now),
            _ => Due::After(secs(self.dice.below(200) as u64)),
        };
        let label = identifier(&format!("label {}", self.dice.below(3)));
        let mut targets = (label.clone(), label);
        if self.dice.below(2) == 0 {
            let Some((model, store)) = self.some_call().await else { return };
            targets = (CancelTarget::Call(model.id), CancelTarget::Call(store.id));
        }
        self.done.push(format!("    {due:?} {:?}", targets.1));
        let expected = self.model.reschedule(self.clock(), &targets.0, due, SOON).await.unwrap();
        let actual = self.fixture.store.reschedule(self.clock(), &targets.1, due, SOON).await.unwrap();
        self.same("rescheduled", &expected, &actual);
    }

    /// Whatever there is or was, but for calls of schedules, whose ids are each store's own.
    pub(super) async fn run_again(&mut self) {
        let mut known = self.listing(&self.model).await;
        known.retain(|record| record.schedule.is_none());
        let of = self.dice.one_of(&known).map_or_else(CallId::new, |record| record.id);
        let id = CallId::new();
        for again in [false, true].into_iter().take(self.dice.below(2) + 1) {
            let expected = self.model.run_again(self.clock(), of, id, again).await.unwrap();
            let actual = self.fixture.store.run_again(self.clock(), of, id, again).await.unwrap();
            self.same("run again", &expected, &actual);
        }
    }
}
