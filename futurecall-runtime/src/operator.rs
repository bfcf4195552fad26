//! `pod.operate("ada")`: what an operator does by hand, each action on record.

mod bulk;

use std::fmt;

use crate::error::{ActionSummary, OperateError, ScheduleError};
use crate::facade::When;
use crate::id::{ActionId, CallId, ScheduleId};
use crate::pod::Pod;
use crate::recurring::Rule;
use crate::store::{CallFilter, NewAction, Now, ScheduleChange, ScheduleChanged, Store};

/// How many characters of an operator's name are kept.
const LONGEST_ACTOR: usize = 1_000;

/// Acts in an operator's name: cancels, moves, repeats and deletes calls, pauses and changes schedules, pauses call types.
/// Every action is written down before it is done (who, when, what), and what came of it after:
/// [`Inspector::actions`](crate::inspect::Inspector::actions) lists them for 90 days. Who may do what is for the caller to decide.
///
/// An action that was begun goes on to its end, and its outcome is recorded, even if the future that awaits it is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
/// use std::time::Duration;
/// use futurecall_runtime::operate::{ActionFilter, Selection};
/// use futurecall_runtime::Pod;
///
/// let pod = Pod::builder().database_url("memory:").without_discovery().start().await?;
/// let id = pod.future_call_with_delay("mail.send", Some(&7), Duration::from_secs(3600)).await?;
///
/// let acted = pod.operate("ada").cancel(Selection::call(id)).await?;
/// assert_eq!((acted.done, acted.running, acted.passed_over), (1, 0, 0));
/// let actions = pod.inspect().actions(&ActionFilter::new().call(id)).await?;
/// assert_eq!((actions[0].actor.as_str(), actions[0].verb.as_str()), ("ada", "cancel"));
/// assert_eq!(actions[0].outcome.as_deref(), Some("1 done"));
/// # pod.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Operator {
    pod: Pod,
    actor: String,
}

/// Which calls an action is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection {
    /// These; one that is named twice counts once.
    Calls(Vec<CallId>),
    /// All that a filter lets through when the action begins, whatever its limit and page.
    Matching(CallFilter),
}

impl Selection {
    /// One call.
    pub fn call(id: CallId) -> Self {
        Self::Calls(vec![id])
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(ids) => match ids.as_slice() {
                [id] => id.fmt(f),
                ids => write!(f, "{} chosen calls", ids.len()),
            },
            Self::Matching(filter) => {
                f.write_str("all calls")?;
                let texts = [
                    ("state", filter.state.map(|state| state.as_str().to_owned())),
                    ("name", filter.name.clone()),
                    ("identifier", filter.identifier.clone()),
                    ("schedule", filter.schedule.map(|id| id.to_string())),
                    ("pod", filter.pod.map(|id| id.to_string())),
                    ("since", filter.since.map(|moment| moment.to_string())),
                    ("until", filter.until.map(|moment| moment.to_string())),
                    ("error", filter.error.clone()),
                ];
                texts
                    .into_iter()
                    .try_for_each(|(key, value)| value.map_or(Ok(()), |value| write!(f, " {key}={value}")))
            }
        }
    }
}

impl Operator {
    pub(crate) fn new(pod: Pod, actor: String) -> Self {
        Self { pod, actor }
    }

    /// Cancels what has not started; what runs is told so and gets no further attempt, and counts as `running`.
    ///
    /// # Errors
    ///
    /// [`OperateError`]; what was done before is done, and [`OperateError::summary`] counts it.
    pub async fn cancel(&self, calls: Selection) -> Result<ActionSummary, OperateError> {
        self.drive(|operator| async move { operator.bulk("cancel", calls, bulk::Deed::Cancel).await }).await
    }

    /// Moves what has not started to another moment (a delay from now, or a moment); what runs is left alone.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel); a bad moment before anything is written.
    pub async fn reschedule(&self, calls: Selection, when: impl When) -> Result<ActionSummary, OperateError> {
        let due = when.__due()?;
        let deed = bulk::Deed::Reschedule(due);
        self.drive(|operator| async move { operator.bulk("reschedule", calls, deed).await }).await
    }

    /// Makes what has not started due now.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel).
    pub async fn run_now(&self, calls: Selection) -> Result<ActionSummary, OperateError> {
        let deed = bulk::Deed::Reschedule(crate::store::Due::After(std::time::Duration::ZERO));
        self.drive(|operator| async move { operator.bulk("run_now", calls, deed).await }).await
    }

    /// Does again what finished calls were to do, but for those that succeeded: stores a new call for each, due now.
    /// [`ActionSummary::new_calls`] has their ids.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel).
    pub async fn run_again(&self, calls: Selection) -> Result<ActionSummary, OperateError> {
        self.drive(|operator| async move { operator.bulk("run_again", calls, bulk::Deed::RunAgain).await })
            .await
    }

    /// Removes finished calls from the history, with what their runs have logged (`Config::keep_logs`). Pending ones are
    /// passed over: cancel them first.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel).
    pub async fn delete(&self, calls: Selection) -> Result<ActionSummary, OperateError> {
        self.drive(|operator| async move { operator.bulk("delete", calls, bulk::Deed::Delete).await }).await
    }

    /// Lets a schedule produce no further call until it is resumed, over restarts and declarations. Its pending call is
    /// removed; a run under way goes on.
    ///
    /// # Errors
    ///
    /// [`OperateError`].
    pub async fn pause_schedule(
        &self,
        id: ScheduleId,
        reason: &str,
    ) -> Result<ScheduleChanged, OperateError> {
        self.change("pause_schedule", id, ScheduleChange::Pause { reason: reason.to_owned() }).await
    }

    /// Lets a paused schedule go on, from its rule's next moment; what was missed is not made up for.
    ///
    /// # Errors
    ///
    /// [`OperateError`].
    pub async fn resume_schedule(&self, id: ScheduleId) -> Result<ScheduleChanged, OperateError> {
        self.change("resume_schedule", id, ScheduleChange::Resume).await
    }

    /// Puts another rule in effect, until the code itself declares another one than it does now.
    ///
    /// # Errors
    ///
    /// [`OperateError`]: also where the rule has no further moment.
    pub async fn edit_schedule(&self, id: ScheduleId, rule: Rule) -> Result<ScheduleChanged, OperateError> {
        self.change("edit_schedule", id, ScheduleChange::Edit(rule)).await
    }

    /// Ends a schedule. A declaration in code revives it at the next start: pausing lasts.
    ///
    /// # Errors
    ///
    /// [`OperateError`].
    pub async fn end_schedule(&self, id: ScheduleId, reason: &str) -> Result<ScheduleChanged, OperateError> {
        self.change("end_schedule", id, ScheduleChange::End { reason: reason.to_owned() }).await
    }

    /// Runs a schedule's call once more, now, in addition to the runs of its rule. Works for a paused one as well.
    ///
    /// # Errors
    ///
    /// [`OperateError::UnknownSchedule`], or what the database said.
    pub async fn trigger(&self, id: ScheduleId) -> Result<CallId, OperateError> {
        let triggering = self.drive(move |operator| async move {
            let call = CallId::new();
            let action = operator.action("trigger", id.to_string());
            let action = NewAction { schedule: Some(id), call: Some(call), ..action };
            let stored = operator.recorded(action, async {
                let is_known = operator.pod.engine().trigger(id, call).await?;
                if !is_known {
                    return Err(OperateError::UnknownSchedule(id));
                }
                Ok((call, format!("call {call}")))
            });
            stored.await
        });
        triggering.await
    }

    /// Pauses calls of that stored name until it is resumed: once this has returned, no pod claims one, whenever it was
    /// stored. What a pod has claimed by then goes on: calls that run, and those that it is about to start. Returns
    /// `false` if the name was paused already.
    ///
    /// # Errors
    ///
    /// [`OperateError`].
    pub async fn pause_name(&self, name: &str, reason: &str) -> Result<bool, OperateError> {
        let (name, reason) = (name.to_owned(), reason.to_owned());
        let pausing = self.drive(|operator| async move {
            let paused = operator.recorded(operator.action("pause_name", name.clone()), async {
                let store = operator.store()?;
                let paused = store.pause_name(Now::Database, &name, &operator.actor, &reason).await?;
                Ok((paused, if paused { "paused" } else { "was paused already" }.to_owned()))
            });
            paused.await
        });
        pausing.await
    }

    /// Ends the pause of a name. Pods hear of it at once; one that cannot hear (behind a pooler) claims its calls within a
    /// scan interval. Returns `false` if the name was not paused.
    ///
    /// # Errors
    ///
    /// [`OperateError`].
    pub async fn resume_name(&self, name: &str) -> Result<bool, OperateError> {
        let name = name.to_owned();
        let resuming = self.drive(|operator| async move {
            let resumed = operator.recorded(operator.action("resume_name", name.clone()), async {
                let resumed = operator.store()?.resume_name(&name).await?;
                Ok((resumed, if resumed { "resumed" } else { "was not paused" }.to_owned()))
            });
            let resumed = resumed.await?;
            operator.pod.engine().resumed_name();
            Ok(resumed)
        });
        resuming.await
    }

    async fn change(
        &self,
        verb: &'static str,
        id: ScheduleId,
        change: ScheduleChange,
    ) -> Result<ScheduleChanged, OperateError> {
        let changing = self.drive(|operator| async move {
            let action = NewAction { schedule: Some(id), ..operator.action(verb, id.to_string()) };
            let changed = operator.recorded(action, async {
                let retention = &operator.pod.engine().config.retention;
                let changed =
                    operator.store()?.change_schedule(Now::Database, id, &change, retention).await?;
                match changed {
                    ScheduleChanged::Unknown => Err(OperateError::UnknownSchedule(id)),
                    ScheduleChanged::Unreadable => Err(OperateError::UnreadableSchedule(id)),
                    ScheduleChanged::Changed => Ok((changed, "changed".to_owned())),
                    ScheduleChanged::Unchanged => Ok((changed, "was so already".to_owned())),
                    ScheduleChanged::Ended => Ok((changed, "had ended".to_owned())),
                }
            });
            let changed = changed.await?;
            operator.pod.engine().wake();
            Ok(changed)
        });
        changing.await
    }

    /// Does it in a task of the pod, to its end: its outcome is recorded whether or not the caller waits.
    async fn drive<T, F>(&self, deed: impl FnOnce(Self) -> F) -> Result<T, OperateError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, OperateError>> + Send + 'static,
    {
        self.pod.engine().drive(deed(self.clone())).await?
    }

    fn action(&self, verb: &str, target: String) -> NewAction {
        NewAction {
            id: ActionId::new(),
            actor: self.actor.clone(),
            verb: verb.to_owned(),
            target,
            call: None,
            schedule: None,
        }
    }

    /// Writes an action down, does it, and adds what came of it. An action that cannot be written down is not done; one
    /// whose outcome cannot be added is done, and stands there without.
    async fn recorded<T>(
        &self,
        action: NewAction,
        deed: impl Future<Output = Result<(T, String), OperateError>>,
    ) -> Result<T, OperateError> {
        let store = self.store()?;
        store.note_action(Now::Database, &action).await?;
        let done = deed.await;
        let outcome = match &done {
            Ok((_, outcome)) => outcome.clone(),
            Err(error) => format!("failed: {error}"),
        };
        tracing::info!(actor = %self.actor, verb = action.verb, target = action.target, outcome, "an operator acted");
        if let Err(error) = store.settle_action(action.id, &outcome).await {
            tracing::warn!(%error, action = %action.id, "what came of an action could not be recorded");
        }
        done.map(|(value, _)| value)
    }

    fn store(&self) -> Result<&dyn Store, ScheduleError> {
        let engine = self.pod.engine();
        engine.is_open()?;
        Ok(&*engine.store)
    }
}

impl Pod {
    /// Returns the handle for acting in somebody's name: cancel, move, repeat, delete, pause. Each action is recorded.
    pub fn operate(&self, actor: impl fmt::Display) -> Operator {
        Operator::new(self.clone(), crate::bounded::shown(&actor, LONGEST_ACTOR))
    }
}
