use async_trait::async_trait;

use super::rows::{State, refuse_nul};
use crate::id::CallId;
use crate::store::{LogStore, MemoryStore, NewLog, Now, Result, Retention, RunLog};

#[async_trait]
impl LogStore for MemoryStore {
    async fn keep_logs(&self, now: Now, logs: &[NewLog]) -> Result<()> {
        let state = &mut *self.state();
        refuse_nul("keep logs", logs.iter().map(|log| log.text.as_str()))?;
        let at = state.now(now);
        for NewLog { id, attempt, text } in logs {
            state.logs.entry((*id, *attempt)).or_insert_with(|| RunLog {
                attempt: *attempt,
                text: text.clone(),
                at,
            });
        }
        Ok(())
    }

    async fn logs(&self, id: CallId) -> Result<Vec<RunLog>> {
        let state = self.state();
        Ok(state.logs.range((id, 0)..=(id, u32::MAX)).map(|(_, log)| log.clone()).collect())
    }
}

impl State {
    /// Of calls that leave the history, and those that are older than any call in it may be.
    pub(super) fn prune_logs(&mut self, now: Now, retention: &Retention, gone: &[CallId]) {
        let (now, longest) = (self.now(now), retention.longest());
        self.logs.retain(|(id, _), log| !gone.contains(id) && now.saturating_since(log.at) <= longest);
    }
}
