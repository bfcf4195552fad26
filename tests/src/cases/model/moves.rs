//! Steps that store calls as claimed, reschedule them, and run them again.

use std::time::Duration;

use futurecall_runtime::CallId;
use futurecall_runtime::store::{CancelTarget, ClaimRequest, Due, NewCall, OnVanish, Retention};

use super::{NAMES, Walk};
use crate::make::{SOON, call, identifier, secs};

impl Walk<'_> {
    /// A new call, or one that is known already.
    pub(super) async fn insert_claimed(&mut self) {
        let rerun = OnVanish::Rerun { budget: 2, after: secs(self.dice.below(3) as u64 * 10) };
        let name = *self.dice.one_of(&NAMES).expect("a name");
        self.claim_no += 1;
        let request = ClaimRequest {
            pod: *self.dice.one_of(&self.pods).expect("a pod"),
            claim_no: self.claim_no,
            names: vec![(name.to_owned(), [OnVanish::Keep, rerun][self.dice.below(2)])],
            shapes: std::sync::Arc::default(),
            limit: 1,
            lease: secs(30),
            until: None,
            ahead: Duration::ZERO,
            sweep: false,
            retention: Retention::default(),
        };
        let mut pending = self.listing(&self.model).await;
        pending.retain(|record| record.schedule.is_none() && record.finished.is_none());
        let known = self.dice.one_of(&pending).map(|record| record.id);
        let call = NewCall {
            id: known.filter(|_| self.dice.below(4) == 0).unwrap_or_else(CallId::new),
            due: [Due::At(self.now), Due::After(Duration::ZERO)][self.dice.below(2)],
            identifier: (self.dice.below(3) > 0).then(|| format!("label {}", self.dice.below(3))),
            expires_after: (self.dice.below(4) == 0).then(|| secs(self.dice.below(40) as u64)),
            priority: self.dice.small(3),
            ..call(name)
        };
        let model = self.model.insert_claimed(self.clock(), &call, &request).await.unwrap();
        let store = self.fixture.store.insert_claimed(self.clock(), &call, &request).await.unwrap();
        self.same("stored as claimed", &model, &store);
        self.claimed.extend(model.into_iter().zip(store).map(|(model, store)| (request.pod, model, store)));
    }

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
