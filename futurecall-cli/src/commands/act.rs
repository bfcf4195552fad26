//! Actions on calls. Each counts the calls first and asks for confirmation if it is destructive or uses a filter.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use futurecall_runtime::operate::{ActionSummary, OperateError, Operator, Selection};
use futurecall_runtime::{CallId, CallState, Pod};

use crate::confirm::confirm;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::filters::Selected;
use crate::output::{Answer, Record};
use crate::progress;
use crate::time_arguments::{moment, span_of};

/// Cancels pending calls, and asks running ones to stop
#[derive(Debug, Args)]
#[command(
    after_help = "Asks for confirmation. Cancels single runs of a schedule; `futurecall recurring end` ends the schedule."
)]
pub(crate) struct Cancel {
    #[command(flatten)]
    selected: Selected,
}

/// Moves pending calls to another time
#[derive(Debug, Args)]
pub(crate) struct Reschedule {
    /// Delay from now, by the database's clock: 30s, 1h 30m
    #[arg(long = "in", value_name = "DURATION", value_parser = span_of, required_unless_present = "at",
        conflicts_with = "at")]
    delay: Option<Duration>,
    /// Due time: 2027-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<DateTime<Utc>>,
    #[command(flatten)]
    selected: Selected,
}

/// Makes pending calls due now
#[derive(Debug, Args)]
pub(crate) struct RunNow {
    #[command(flatten)]
    selected: Selected,
}

/// Runs unsuccessful calls again, each as a new call
#[derive(Debug, Args)]
pub(crate) struct RunAgain {
    #[command(flatten)]
    selected: Selected,
}

/// Deletes finished calls from the history
#[derive(Debug, Args)]
#[command(after_help = "Asks for confirmation. Pending calls are not deleted; use `futurecall cancel`.")]
pub(crate) struct Delete {
    #[command(flatten)]
    selected: Selected,
}

/// An action on calls.
#[derive(Clone, Copy, Debug)]
struct Action {
    /// The start of the question, as in `Cancel 3 scheduled calls?`.
    verb: &'static str,
    /// The states that it applies to.
    states: &'static [CallState],
    /// Whether it needs confirmation even for calls given by id.
    destroys: bool,
}

const FINISHED: &[CallState] = &[
    CallState::Succeeded,
    CallState::Failed,
    CallState::Interrupted,
    CallState::Cancelled,
    CallState::Expired,
    CallState::Skipped,
];

pub(crate) async fn cancel(context: &mut Context<'_>, cancel: Cancel) -> Result<Answer, Failure> {
    let states = &[CallState::Scheduled, CallState::Running];
    let action = Action { verb: "cancel", states, destroys: true };
    act(context, &cancel.selected, action, async |operator, calls| operator.cancel(calls).await).await
}

pub(crate) async fn reschedule(context: &mut Context<'_>, moved: Reschedule) -> Result<Answer, Failure> {
    let action = Action { verb: "reschedule", states: &[CallState::Scheduled], destroys: false };
    let delay = moved.delay.unwrap_or_default();
    act(context, &moved.selected, action, async |operator, calls| match moved.at {
        Some(at) => operator.reschedule(calls, at).await,
        None => operator.reschedule(calls, delay).await,
    })
    .await
}

pub(crate) async fn run_now(context: &mut Context<'_>, run_now: RunNow) -> Result<Answer, Failure> {
    let action = Action { verb: "make due now", states: &[CallState::Scheduled], destroys: false };
    act(context, &run_now.selected, action, async |operator, calls| operator.run_now(calls).await).await
}

pub(crate) async fn run_again(context: &mut Context<'_>, again: RunAgain) -> Result<Answer, Failure> {
    if again.selected.ids.is_empty() && again.selected.filter.state.is_none() {
        return Err(Failure::usage("give --state failed, or another state of finished calls"));
    }
    let states = FINISHED.get(1..).unwrap_or_default();
    let action = Action { verb: "run again", states, destroys: false };
    act(context, &again.selected, action, async |operator, calls| operator.run_again(calls).await).await
}

pub(crate) async fn delete(context: &mut Context<'_>, delete: Delete) -> Result<Answer, Failure> {
    let action = Action { verb: "delete from the history", states: FINISHED, destroys: true };
    act(context, &delete.selected, action, async |operator, calls| operator.delete(calls).await).await
}

/// Counts the calls, asks for confirmation and does the action.
async fn act(
    context: &mut Context<'_>,
    selected: &Selected,
    action: Action,
    done: impl AsyncFn(&Operator, Selection) -> Result<ActionSummary, OperateError>,
) -> Result<Answer, Failure> {
    selected.check()?;
    let pod = context.pod().await?;
    let (selections, met) = if selected.ids.is_empty() {
        matching(context, &pod, selected, action).await?
    } else {
        let mut seen = HashSet::new();
        let ids: Vec<CallId> = selected.ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        named(&pod, &ids).await?
    };
    if action.destroys || selected.ids.is_empty() {
        if met.is_empty() {
            return Ok(answer(&ActionSummary::default()).note("Nothing was done: no calls match"));
        }
        confirm(context.globals, &format!("{} {}", action.verb, in_words(&met)))?;
    }
    let operator = pod.operate(context.globals.actor());
    let spinner = progress::spinner(context.globals.quiet, format!("{} {}", action.verb, in_words(&met)));
    let mut total = ActionSummary::default();
    for selection in selections {
        let acted = done(&operator, selection).await?;
        total.done += acted.done;
        total.running += acted.running;
        total.passed_over += acted.passed_over;
        total.new_calls.extend(acted.new_calls);
    }
    spinner.finish_and_clear();
    let nothing = total.done == 0 && total.running == 0;
    let answer = answer(&total);
    Ok(if nothing && !selected.ids.is_empty() {
        answer.exit(Exit::Failed).note(format!("Nothing was done: {}", in_words(&met)))
    } else {
        answer
    })
}

/// Numbers of calls by state.
type Met = Vec<(CallState, u64)>;

/// Selects the calls of a filter, one state at a time, so that actions on pending calls do not read the history.
async fn matching(
    context: &Context<'_>,
    pod: &Pod,
    selected: &Selected,
    action: Action,
) -> Result<(Vec<Selection>, Met), Failure> {
    let inspect = pod.inspect();
    let filter = selected.filter.filter(inspect.now().await?)?;
    let states: Vec<CallState> = match filter.state {
        Some(state) if action.states.contains(&state) => vec![state],
        Some(state) => {
            let can = action.states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Failure::usage(format!(
                "cannot be done to {} calls, only to {can} ones",
                state.as_str()
            )));
        }
        None => action.states.to_vec(),
    };
    let spinner = progress::spinner(context.globals.quiet, "counting calls");
    let (mut selections, mut met) = (Vec::new(), Met::new());
    for state in states {
        let filter = filter.clone().state(state);
        let count = inspect.count(&filter, u64::MAX).await?;
        if count > 0 {
            met.push((state, count));
            selections.push(Selection::Matching(filter));
        }
    }
    spinner.finish_and_clear();
    Ok((selections, met))
}

/// Selects calls by id. Fails before anything is done if one does not exist.
async fn named(pod: &Pod, ids: &[CallId]) -> Result<(Vec<Selection>, Met), Failure> {
    let mut met = Met::new();
    for id in ids {
        let call = pod.inspect().call(*id).await?.ok_or_else(|| super::show::unknown(*id))?;
        match met.iter_mut().find(|(state, _)| *state == call.state) {
            Some((_, count)) => *count += 1,
            None => met.push((call.state, 1)),
        }
    }
    Ok((vec![Selection::Calls(ids.to_vec())], met))
}

/// Formats numbers of calls: `3 scheduled and 1 running calls`.
fn in_words(met: &Met) -> String {
    let counts: Vec<String> =
        met.iter().map(|(state, count)| format!("{count} {}", state.as_str())).collect();
    let calls = if met.iter().map(|(_, count)| count).sum::<u64>() == 1 { "call" } else { "calls" };
    format!("{} {calls}", counts.join(" and "))
}

fn answer(acted: &ActionSummary) -> Answer {
    let mut record = Record::new()
        .with("done", acted.done)
        .with("running", acted.running)
        .with("passed_over", acted.passed_over);
    if !acted.new_calls.is_empty() {
        let ids: Vec<String> = acted.new_calls.iter().map(ToString::to_string).collect();
        record = record.with("new_calls", ids);
    }
    Answer::new(record)
}
