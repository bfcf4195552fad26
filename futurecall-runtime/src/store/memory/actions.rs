use super::rows::{State, refuse_nul};
use crate::error::StoreError;
use crate::id::ActionId;
use crate::store::{ActionFilter, ActionRecord, NewAction, Now};

const DOING: &str = "record an action";

impl State {
    pub(super) fn note_action(&mut self, now: Now, action: &NewAction) -> Result<(), StoreError> {
        refuse_nul(DOING, [&action.actor, &action.verb, &action.target].map(String::as_str))?;
        let at = self.now(now);
        self.actions.entry(action.id).or_insert_with(|| ActionRecord {
            id: action.id,
            at,
            actor: action.actor.clone(),
            verb: action.verb.clone(),
            target: action.target.clone(),
            call: action.call,
            schedule: action.schedule,
            outcome: None,
        });
        Ok(())
    }

    pub(super) fn settle_action(&mut self, id: ActionId, outcome: &str) -> Result<(), StoreError> {
        refuse_nul(DOING, [outcome])?;
        if let Some(action) = self.actions.get_mut(&id) {
            action.outcome = Some(outcome.to_owned());
        }
        Ok(())
    }

    /// By (moment, id), newest first.
    pub(super) fn action_records(&self, filter: &ActionFilter) -> Vec<ActionRecord> {
        let key = |action: &ActionRecord| (action.at, action.id);
        let before = match filter.before {
            None => None,
            Some(id) => match self.actions.get(&id) {
                None => return Vec::new(),
                found => found.map(key),
            },
        };
        let mut found: Vec<_> = self
            .actions
            .values()
            .filter(|action| filter.call.is_none_or(|call| action.call == Some(call)))
            .filter(|action| filter.schedule.is_none_or(|schedule| action.schedule == Some(schedule)))
            .filter(|action| before.is_none_or(|before| key(action) < before))
            .cloned()
            .collect();
        found.sort_by_key(|action| std::cmp::Reverse(key(action)));
        found.truncate(filter.limit.clamp(1, 1_000));
        found
    }
}
