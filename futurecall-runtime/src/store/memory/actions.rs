use async_trait::async_trait;

use super::rows::refuse_nul;
use crate::id::ActionId;
use crate::store::{ActionFilter, ActionRecord, ActionStore, MemoryStore, NewAction, Now, Result};

const DOING: &str = "record an action";

#[async_trait]
impl ActionStore for MemoryStore {
    async fn note_action(&self, now: Now, action: &NewAction) -> Result<()> {
        let state = &mut *self.state();
        refuse_nul(DOING, [&action.actor, &action.verb, &action.target].map(String::as_str))?;
        let at = state.now(now);
        state.actions.entry(action.id).or_insert_with(|| ActionRecord {
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

    async fn settle_action(&self, id: ActionId, outcome: &str) -> Result<()> {
        let state = &mut *self.state();
        refuse_nul(DOING, [outcome])?;
        if let Some(action) = state.actions.get_mut(&id) {
            action.outcome = Some(outcome.to_owned());
        }
        Ok(())
    }

    async fn actions(&self, filter: &ActionFilter) -> Result<Vec<ActionRecord>> {
        let state = self.state();
        let key = |action: &ActionRecord| (action.at, action.id);
        let before = match filter.before {
            None => None,
            Some(id) => match state.actions.get(&id) {
                None => return Ok(Vec::new()),
                found => found.map(key),
            },
        };
        let mut found: Vec<_> = state
            .actions
            .values()
            .filter(|action| filter.call.is_none_or(|call| action.call == Some(call)))
            .filter(|action| filter.schedule.is_none_or(|schedule| action.schedule == Some(schedule)))
            .filter(|action| before.is_none_or(|before| key(action) < before))
            .cloned()
            .collect();
        found.sort_by_key(|action| std::cmp::Reverse(key(action)));
        found.truncate(filter.limit.clamp(1, 1_000));
        Ok(found)
    }
}
