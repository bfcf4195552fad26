//! One action on many calls, a step at a time.

use std::collections::HashSet;

use super::{OperateError, Operator, Selection};
use crate::error::{ActionSummary, ScheduleError};
use crate::id::CallId;
use crate::store::{CallFilter, CancelTarget, Due, NewAction, Now};

/// Calls of one step: a long transaction would hold up others.
const STEP: usize = 1_000;
/// Calls of one look.
const PAGE: usize = 10_000;
/// How many new ids are given back.
const IDS_GIVEN: usize = 1_000;

impl ActionSummary {
    fn add(&mut self, step: Self) {
        self.done = self.done.saturating_add(step.done);
        self.running = self.running.saturating_add(step.running);
        self.passed_over = self.passed_over.saturating_add(step.passed_over);
        let room = IDS_GIVEN.saturating_sub(self.new_calls.len());
        self.new_calls.extend(step.new_calls.into_iter().take(room));
    }

    fn text(&self) -> String {
        let mut text = format!("{} done", self.done);
        for (count, word) in [(self.running, "running"), (self.passed_over, "passed over")] {
            if count > 0 {
                for part in [", ", &count.to_string(), " ", word] {
                    text += part;
                }
            }
        }
        text
    }
}

/// These in their order, each of them where it stands first.
fn each_once(mut ids: Vec<CallId>) -> Vec<CallId> {
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(*id));
    ids
}

/// What is done to each call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Cancel,
    Reschedule(Due),
    RunAgain,
    Delete,
}

impl Operator {
    /// Does it to all, in steps of a thousand. The action's record counts what was done also where a step fails.
    pub(super) async fn bulk(
        &self,
        verb: &str,
        calls: Selection,
        deed: Deed,
    ) -> Result<ActionSummary, OperateError> {
        let calls = match calls {
            Selection::Calls(ids) => Selection::Calls(each_once(ids)),
            all @ Selection::Matching(_) => all,
        };
        let call = match &calls {
            Selection::Calls(ids) => ids.first().copied().filter(|_| ids.len() == 1),
            Selection::Matching(_) => None,
        };
        let action = NewAction { call, ..self.action(verb, calls.to_string()) };
        self.recorded(action, async {
            let mut summary = ActionSummary::default();
            match self.each_step(calls, deed, &mut summary).await {
                Ok(()) => {
                    let text = summary.text();
                    Ok((summary, text))
                }
                Err(error) => Err(OperateError::Partly { summary, source: error }),
            }
        })
        .await
    }

    async fn each_step(
        &self,
        calls: Selection,
        deed: Deed,
        summary: &mut ActionSummary,
    ) -> Result<(), ScheduleError> {
        let ids = match calls {
            Selection::Calls(ids) => ids,
            Selection::Matching(filter) => self.matching(filter).await?,
        };
        for step in ids.chunks(STEP) {
            summary.add(self.step(step, deed).await?);
        }
        Ok(())
    }

    /// The ids of all calls that the filter lets through now. Gathered before the first is touched, because an action moves
    /// calls within the listing, or out of it. Others do so meanwhile: each page goes on from the place where the one before
    /// has ended, wherever the call is by then that stood there.
    async fn matching(&self, filter: CallFilter) -> Result<Vec<CallId>, ScheduleError> {
        let mut filter = CallFilter { after: None, limit: PAGE, ..filter };
        let mut ids = Vec::new();
        loop {
            let page = self.store()?.calls(Now::Database, &filter).await?;
            ids.extend(page.calls.iter().map(|call| call.id));
            (filter.after, filter.beyond) = (page.next, page.end);
            if page.next.is_none() {
                // One that was moved meanwhile may have been met twice.
                return Ok(each_once(ids));
            }
        }
    }

    async fn step(&self, ids: &[CallId], deed: Deed) -> Result<ActionSummary, ScheduleError> {
        if ids.is_empty() {
            return Ok(ActionSummary::default());
        }
        let engine = self.pod.engine();
        let target = CancelTarget::Calls(ids.to_vec());
        let mut summary = ActionSummary::default();
        match deed {
            Deed::Cancel => {
                self.store()?;
                let cancelled = engine.cancel(&target).await?;
                (summary.done, summary.running) = (cancelled.calls, cancelled.running);
                if cancelled.running > 0 {
                    engine.renew_now();
                }
            }
            Deed::Reschedule(due) => {
                self.store()?;
                let moved = engine.reschedule(&target, due).await?;
                (summary.done, summary.running) = (moved.calls, moved.running);
                engine.wake();
            }
            Deed::Delete => summary.done = self.store()?.delete(Now::Database, ids).await?,
            Deed::RunAgain => self.run_each_again(ids, &mut summary).await?,
        }
        let met = summary.done.saturating_add(summary.running);
        summary.passed_over = u64::try_from(ids.len()).unwrap_or(u64::MAX).saturating_sub(met);
        Ok(summary)
    }

    async fn run_each_again(&self, ids: &[CallId], summary: &mut ActionSummary) -> Result<(), ScheduleError> {
        for id in ids {
            self.store()?;
            match self.pod.engine().run_again(*id).await {
                Ok(call) => {
                    summary.new_calls.push(call);
                    summary.done = summary.done.saturating_add(1);
                }
                Err(
                    ScheduleError::UnknownCall { .. }
                    | ScheduleError::StillPending { .. }
                    | ScheduleError::AlreadySucceeded { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
