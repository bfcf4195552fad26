use super::rows::{State, refuse_nul};
use crate::error::StoreError;
use crate::id::CallId;
use crate::store::{NewLog, Now, Retention, RunLog};

impl State {
    pub(super) fn keep_logs(&mut self, now: Now, logs: &[NewLog]) -> Result<(), StoreError> {
        refuse_nul("keep logs", logs.iter().map(|log| log.text.as_str()))?;
        let at = self.now(now);
        for NewLog { id, attempt, text } in logs {
            self.logs.entry((*id, *attempt)).or_insert_with(|| RunLog {
                attempt: *attempt,
                text: text.clone(),
                at,
            });
        }
        Ok(())
    }

    pub(super) fn logs(&self, id: CallId) -> Vec<RunLog> {
        self.logs.range((id, 0)..=(id, u32::MAX)).map(|(_, log)| log.clone()).collect()
    }

    /// Of calls that leave the history, and those that are older than any call in it may be.
    pub(super) fn prune_logs(&mut self, now: Now, retention: &Retention, gone: &[CallId]) {
        let (now, longest) = (self.now(now), retention.longest());
        self.logs.retain(|(id, _), log| !gone.contains(id) && now.saturating_since(log.at) <= longest);
    }
}
