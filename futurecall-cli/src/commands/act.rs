//! What is done to calls by hand: each counts first, asks where it cannot be undone or is done to many, and says what it did.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use futurecall_runtime::operate::{ActionSummary, OperateError, Operator, Selection};
use futurecall_runtime::{CallId, CallState, Pod};

use crate::confirm::confirm;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::filters::Choice;
use crate::output::{Answer, Record};
use crate::progress;
use crate::time_arguments::{moment, span_of};

/// Cancels calls: what has not started is removed, what runs is told
#[derive(Debug, Args)]
#[command(
    after_help = "Asks first. Of a schedule it ends one run: `futurecall recurring end` ends the schedule."
)]
pub(crate) struct Cancel {
    #[command(flatten)]
    choice: Choice,
}

/// Moves calls that have not started to another moment
#[derive(Debug, Args)]
pub(crate) struct Reschedule {
    /// How long from now, by the database's clock: 30s, 1h 30m
    #[arg(long = "in", value_name = "DURATION", value_parser = span_of, required_unless_present = "at",
        conflicts_with = "at")]
    delay: Option<Duration>,
    /// When: 2027-01-31T08:00:00Z
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    at: Option<DateTime<Utc>>,
    #[command(flatten)]
    choice: Choice,
}

/// Makes calls that have not started due now
#[derive(Debug, Args)]
pub(crate) struct RunNow {
    #[command(flatten)]
    choice: Choice,
}

/// Does again what calls were to do that ended otherwise than well: a new call for each
#[derive(Debug, Args)]
pub(crate) struct RunAgain {
    #[command(flatten)]
    choice: Choice,
}

/// Removes finished calls from the history
#[derive(Debug, Args)]
#[command(after_help = "Asks first. Pending calls are left alone: `futurecall cancel` is for them.")]
pub(crate) struct Delete {
    #[command(flatten)]
    choice: Choice,
}

/// A thing that can be done to calls.
#[derive(Clone, Copy, Debug)]
struct Deed {
    /// `cancels` 3 calls.
    verb: &'static str,
    /// The calls that it can be done to.
    states: &'static [CallState],
    /// Whether it is asked about even where the calls are named one by one.
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
    let deed = Deed { verb: "cancels", states, destroys: true };
    act(context, &cancel.choice, deed, async |operator, calls| operator.cancel(calls).await).await
}

pub(crate) async fn reschedule(context: &mut Context<'_>, moved: Reschedule) -> Result<Answer, Failure> {
    let deed = Deed { verb: "moves", states: &[CallState::Scheduled], destroys: false };
    let delay = moved.delay.unwrap_or_default();
    act(context, &moved.choice, deed, async |operator, calls| match moved.at {
        Some(at) => operator.reschedule(calls, at).await,
        None => operator.reschedule(calls, delay).await,
    })
    .await
}

pub(crate) async fn run_now(context: &mut Context<'_>, run_now: RunNow) -> Result<Answer, Failure> {
    let deed = Deed { verb: "makes due now", states: &[CallState::Scheduled], destroys: false };
    act(context, &run_now.choice, deed, async |operator, calls| operator.run_now(calls).await).await
}

pub(crate) async fn run_again(context: &mut Context<'_>, again: RunAgain) -> Result<Answer, Failure> {
    if again.choice.ids.is_empty() && again.choice.filter.state.is_none() {
        return Err(Failure::usage("which of them? Give --state failed, or another state that calls end in"));
    }
    let states = FINISHED.get(1..).unwrap_or_default();
    let deed = Deed { verb: "runs again", states, destroys: false };
    act(context, &again.choice, deed, async |operator, calls| operator.run_again(calls).await).await
}

pub(crate) async fn delete(context: &mut Context<'_>, delete: Delete) -> Result<Answer, Failure> {
    let deed = Deed { verb: "deletes from the history", states: FINISHED, destroys: true };
    act(context, &delete.choice, deed, async |operator, calls| operator.delete(calls).await).await
}

/// Counts, asks, does it and says what was done.
async fn act(
    context: &mut Context<'_>,
    choice: &Choice,
    deed: Deed,
    done: impl AsyncFn(&Operator, Selection) -> Result<ActionSummary, OperateError>,
) -> Result<Answer, Failure> {
    choice.check()?;
    let pod = context.pod().await?;
    let (selections, met) = if choice.ids.is_empty() {
        matching(context, &pod, choice, deed).await?
    } else {
        let mut seen = HashSet::new();
        let ids: Vec<CallId> = choice.ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        named(&pod, &ids).await?
    };
    if deed.destroys || choice.ids.is_empty() {
        if met.is_empty() {
            return Ok(answer(&ActionSummary::default()).note("No calls match: nothing was done"));
        }
        confirm(context.globals, &format!("{} {}", deed.verb, in_words(&met)))?;
    }
    let operator = pod.operate(context.globals.actor());
    let spinner = progress::spinner(context.globals.quiet, format!("{} {}", deed.verb, in_words(&met)));
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
    Ok(if nothing && !choice.ids.is_empty() {
        answer.exit(Exit::Failed).note(format!("Nothing was done: they are {}", in_words(&met)))
    } else {
        answer
    })
}

/// How many calls there are in which state.
type Met = Vec<(CallState, u64)>;

/// The calls of a filter, a state at a time, so that no history is read for what concerns pending calls.
async fn matching(
    context: &Context<'_>,
    pod: &Pod,
    choice: &Choice,
    deed: Deed,
) -> Result<(Vec<Selection>, Met), Failure> {
    let inspect = pod.inspect();
    let filter = choice.filter.filter(inspect.now().await?)?;
    let states: Vec<CallState> = match filter.state {
        Some(state) if deed.states.contains(&state) => vec![state],
        Some(state) => {
            let can = deed.states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Failure::usage(format!(
                "that cannot be done to calls that are {}, only to those that are {can}",
                state.as_str()
            )));
        }
        None => deed.states.to_vec(),
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

/// Calls that were named one by one: those that are not there are told before anything is done.
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

/// `3 scheduled and 1 running call`.
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
