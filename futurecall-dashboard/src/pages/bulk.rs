//! Actions on one or many calls: the confirmation with exact numbers, the action, and its result.

use std::time::Duration;

use axum::response::Response;
use futurecall_runtime::operate::{ActionSummary, OperateError, Selection};
use futurecall_runtime::{CallId, CallState, Moment, ScheduleError};
use maud::{Markup, html};
use serde_json::json;

use super::components::pill;
use super::filter::{Conditions, field_value, moment};
use super::forecast::after;
use crate::access::Right;
use crate::error_page::Failure;
use crate::layout::NavPage;
use crate::params::{Params, Query};
use crate::request_context::RequestContext;
use crate::text::{calls, capped, number, safe};

/// Largest number of calls that one action counts and changes.
const CAP: u64 = 1_000_000;

/// An action on calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Cancel,
    Reschedule,
    RunNow,
    RunAgain,
    Delete,
}

impl Verb {
    pub(crate) const ALL: [Self; 5] =
        [Self::RunNow, Self::Reschedule, Self::Cancel, Self::RunAgain, Self::Delete];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Reschedule => "reschedule",
            Self::RunNow => "run_now",
            Self::RunAgain => "run_again",
            Self::Delete => "delete",
        }
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Cancel => "Cancel",
            Self::Reschedule => "Reschedule",
            Self::RunNow => "Run now",
            Self::RunAgain => "Run again",
            Self::Delete => "Delete",
        }
    }

    pub(crate) const fn right(self) -> Right {
        match self {
            Self::Cancel => Right::Cancel,
            Self::Reschedule => Right::Reschedule,
            Self::RunNow => Right::RunNow,
            Self::RunAgain => Right::RunAgain,
            Self::Delete => Right::Delete,
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Cancel => "cancelled",
            Self::Reschedule => "rescheduled",
            Self::RunNow => "due now",
            Self::RunAgain => "scheduled again",
            Self::Delete => "deleted",
        }
    }

    /// Returns the confirmation as a question.
    fn question(self, count: u64) -> String {
        format!("{}?", self.imperative(count))
    }

    fn imperative(self, count: u64) -> String {
        match self {
            Self::RunNow => format!("Run {} now", calls(count)),
            Self::RunAgain => format!("Run {} again", calls(count)),
            verb => format!("{} {}", verb.label(), calls(count)),
        }
    }

    /// Returns whether it changes a call in that state.
    pub(crate) const fn applies_to(self, state: CallState) -> bool {
        match self {
            Self::Cancel => matches!(state, CallState::Scheduled | CallState::Running),
            Self::Reschedule | Self::RunNow => matches!(state, CallState::Scheduled),
            Self::RunAgain => state.is_finished() && !matches!(state, CallState::Succeeded),
            Self::Delete => state.is_finished(),
        }
    }

    /// Describes what happens to calls in that state.
    const fn happens(self, state: CallState) -> &'static str {
        match (self, state) {
            (Self::Cancel, CallState::Running) => "running: asked to stop; no further attempt",
            (_, CallState::Running) => "already running: passed over",
            (Self::Delete | Self::RunAgain, CallState::Scheduled) => "not finished: passed over",
            (Self::Cancel, CallState::Scheduled) => "cancelled and never run; kept in the history",
            (Self::Reschedule, CallState::Scheduled) => "moved to the time below",
            (Self::RunNow, CallState::Scheduled) => "due now; run as soon as a slot is free",
            (Self::RunAgain, CallState::Succeeded) => "succeeded: passed over",
            (Self::RunAgain, _) => "run again by a new call that is due now",
            (Self::Delete, _) => "permanently deleted, with attempts, errors and logs",
            (Self::Cancel | Self::Reschedule | Self::RunNow, _) => "already finished: passed over",
        }
    }

    fn read(form: &Params, ctx: &RequestContext) -> Result<Self, Failure> {
        let word = form.get("verb").unwrap_or_default();
        let verb = Self::ALL.into_iter().find(|verb| verb.word() == word);
        let verb = verb.ok_or_else(|| Failure::Bad(format!("unknown action: {word}")))?;
        ctx.must(verb.right(), &format!("{} calls", verb.label().to_lowercase()))?;
        Ok(verb)
    }
}

/// The calls that a form selects.
enum Targets {
    Calls(Vec<CallId>),
    All(Conditions),
}

impl Targets {
    fn read(form: &Params) -> Result<Self, Failure> {
        if form.get("all").is_some() {
            return Conditions::read(form).map(Self::All);
        }
        let ids: Result<Vec<CallId>, _> = form.all("id").map(str::parse).collect();
        let mut ids = ids.map_err(|_| Failure::Bad("`id` is not a call id".to_owned()))?;
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Err(Failure::Bad("No calls selected. Go back and select some.".to_owned()));
        }
        Ok(Self::Calls(ids))
    }

    /// Counts the calls by state, and those that no longer exist.
    async fn count(&self, ctx: &RequestContext) -> Result<(Vec<(CallState, u64)>, u64), Failure> {
        let inspect = ctx.inspect();
        let mut counts: Vec<(CallState, u64)> = CallState::ALL.map(|state| (state, 0)).to_vec();
        let mut gone = 0;
        match self {
            Self::Calls(ids) => {
                for id in ids {
                    match inspect.call(*id).await? {
                        Some(call) => counts
                            .iter_mut()
                            .filter(|(state, _)| *state == call.state)
                            .for_each(|(_, n)| *n += 1),
                        None => gone += 1,
                    }
                }
            }
            Self::All(conditions) => {
                let filter = conditions.filter(ctx.now);
                for (state, count) in &mut counts {
                    if filter.state.is_none_or(|only| only == *state) {
                        *count = inspect.count(&filter.clone().state(*state), CAP).await?;
                    }
                }
            }
        }
        counts.retain(|(_, count)| *count > 0);
        Ok((counts, gone))
    }

    fn selection(&self, ctx: &RequestContext) -> Selection {
        match self {
            Self::Calls(ids) => Selection::Calls(ids.clone()),
            Self::All(conditions) => Selection::Matching(conditions.filter(ctx.now)),
        }
    }

    fn hidden(&self) -> Markup {
        match self {
            Self::Calls(ids) => html! { @for id in ids { input type="hidden" name="id" value=(id); } },
            Self::All(conditions) => {
                html! { input type="hidden" name="all" value="1"; (conditions.hidden()) }
            }
        }
    }

    /// Returns the address of the page that lists the calls.
    fn list(&self) -> String {
        match self {
            Self::Calls(ids) => match ids.as_slice() {
                [id] => format!("calls/{id}"),
                _ => "calls".to_owned(),
            },
            Self::All(conditions) => conditions.query().of("calls"),
        }
    }
}

/// Asks for confirmation, with exact numbers.
pub(crate) async fn confirm(ctx: &RequestContext, form: &Params) -> Result<Response, Failure> {
    let verb = Verb::read(form, ctx)?;
    let targets = Targets::read(form)?;
    ask(ctx, verb, &targets, None).await
}

async fn ask(
    ctx: &RequestContext,
    verb: Verb,
    targets: &Targets,
    expected: Option<u64>,
) -> Result<Response, Failure> {
    let (counts, gone) = targets.count(ctx).await?;
    let total = counts.iter().fold(gone, |total, (_, count)| total.saturating_add(*count));
    let touched = touched(verb, &counts);
    if total >= CAP {
        return Err(Failure::Bad(format!("{} or more calls match. Narrow the filter first.", number(CAP))));
    }
    let title = verb.question(touched);
    let html = || {
        html! {
            h1 { (title) }
            @if let Some(expected) = expected {
                p.notice.warn role="alert" data-test="changed" {
                    "Nothing was changed: you confirmed " (calls(expected)) ", and now more match. Please confirm again."
                }
            }
            section.confirm data-test="confirm" {
                (description(targets, total))
                ul.happens {
                    @for (state, count) in &counts {
                        li data-state=(state.as_str()) { (pill(state.as_str())) " " b { (number(*count)) } " " (verb.happens(*state))  }
                    }
                    @if gone > 0 { li { b { (number(gone)) } " no longer exist: passed over" } }
                    @if total == 0 { li { "No calls match." } }
                }
                form method="post" action=(ctx.to("calls/act")) data-test="confirm-form" {
                    (ctx.token()) (targets.hidden())
                    input type="hidden" name="verb" value=(verb.word());
                    input type="hidden" name="expected" value=(touched);
                    @if verb == Verb::Reschedule { (moment_fields(ctx.now)) }
                    div.buttons {
                        @if touched > 0 {
                            button.primary.danger[matches!(verb, Verb::Cancel | Verb::Delete)] type="submit" data-test="do" {
                                (verb.imperative(touched))
                            }
                        }
                        a.button href=(ctx.to(&targets.list())) data-test="back" { "Go back" }
                    }
                }
            }
        }
    };
    let json = || json!({ "verb": verb.word(), "matching": total, "touched": touched });
    Ok(ctx.page(NavPage::Calls, verb.label(), html, json))
}

fn touched(verb: Verb, counts: &[(CallState, u64)]) -> u64 {
    counts
        .iter()
        .filter(|(state, _)| verb.applies_to(*state))
        .fold(0, |total, (_, count)| total.saturating_add(*count))
}

fn description(targets: &Targets, total: u64) -> Markup {
    match targets {
        Targets::Calls(ids) => html! { p { (calls(ids.len() as u64)) " selected:" } },
        Targets::All(conditions) => html! {
            p { b { "All " (capped(total, CAP)) } " matching calls"
                @if conditions.entries().is_empty() { ", without any filter" }
                ":" }
            dl.facts { @for (name, value) in conditions.entries() { div { dt { (name) } dd { span.text { (safe(&value)) } } } } }
        },
    }
}

/// Renders the fields for a new time: a delay, or a date and time.
pub(crate) fn moment_fields(now: Moment) -> Markup {
    html! {
        fieldset.fields {
            legend { "New time" }
            label { "After" input type="text" name="after" placeholder="15m, 2h 30m, 7d" maxlength="60" autocomplete="off" data-test="after"; }
            label { "or at (UTC)" input type="datetime-local" name="at" step="1" min=(field_value(now)) data-test="at"; }
        }
    }
}

/// Reads the new time.
fn when(ctx: &RequestContext, form: &Params) -> Result<Moment, Failure> {
    match (form.get("after"), moment(form, "at")?) {
        (None, Some(at)) => Ok(at),
        (Some(text), None) => {
            let delay: Duration = humantime::parse_duration(text.trim()).map_err(|_| {
                Failure::Bad(format!("`after` is not a duration: {text}. Write 15m, 2h 30m or 7d."))
            })?;
            Ok(after(ctx.now, delay))
        }
        (None, None) => Err(Failure::Bad("Enter a new time: a delay, or a date and time.".to_owned())),
        (Some(_), Some(_)) => {
            Err(Failure::Bad("Enter either a delay or a date and time, not both.".to_owned()))
        }
    }
}

/// Does the action, unless more calls match than were confirmed.
pub(crate) async fn act(ctx: &RequestContext, form: &Params) -> Result<Response, Failure> {
    let verb = Verb::read(form, ctx)?;
    let targets = Targets::read(form)?;
    let expected: u64 = form.need("expected", "number")?;
    let to = if verb == Verb::Reschedule { Some(when(ctx, form)?) } else { None };
    if matches!(targets, Targets::All(_)) {
        let (counts, _) = targets.count(ctx).await?;
        if touched(verb, &counts) > expected {
            return ask(ctx, verb, &targets, Some(expected)).await;
        }
    }
    let acted = operate(ctx, verb, targets.selection(ctx), to).await?;
    Ok(done(ctx, verb, &targets, &acted))
}

/// Runs in a task of its own, so that the action completes even if the browser disconnects.
async fn operate(
    ctx: &RequestContext,
    verb: Verb,
    selection: Selection,
    to: Option<Moment>,
) -> Result<ActionSummary, Failure> {
    let (operator, now) = (ctx.operate(), ctx.now);
    let task = tokio::spawn(async move {
        match verb {
            Verb::Cancel => operator.cancel(selection).await,
            Verb::Reschedule => operator.reschedule(selection, to.unwrap_or(now)).await,
            Verb::RunNow => operator.run_now(selection).await,
            Verb::RunAgain => operator.run_again(selection).await,
            Verb::Delete => operator.delete(selection).await,
        }
    });
    match task.await {
        Ok(acted) => acted.map_err(Failure::from),
        Err(error) => {
            tracing::error!(%error, "an operator's action did not complete");
            let (summary, source) = (ActionSummary::default(), ScheduleError::Stopped);
            Err(OperateError::Partly { summary, source }.into())
        }
    }
}

fn done(ctx: &RequestContext, verb: Verb, targets: &Targets, acted: &ActionSummary) -> Response {
    if let Targets::Calls(ids) = targets
        && let [id] = ids.as_slice()
        && verb != Verb::Delete
    {
        // The call's own page shows the result; of a call that is run again, the new call's page.
        let page = format!("calls/{}", acted.new_calls.first().unwrap_or(id));
        return ctx.done(&page, &sentence(verb, acted));
    }
    let page = Query::new()
        .with("verb", verb.word())
        .with("done", acted.done)
        .with("running", acted.running)
        .with("passed_over", acted.passed_over)
        .with("list", if verb == Verb::Delete { "calls".to_owned() } else { targets.list() })
        .of("calls/result");
    ctx.done(&page, &sentence(verb, acted))
}

fn sentence(verb: Verb, acted: &ActionSummary) -> String {
    let running = if verb == Verb::Cancel { "running and asked to stop" } else { "running and unchanged" };
    let more = [(acted.running, running), (acted.passed_over, "passed over")];
    let more = more.into_iter().filter(|(count, _)| *count > 0);
    let parts = more.map(|(count, what)| format!("{} {what}", number(count)));
    let first = format!("{} {}", calls(acted.done), verb.done());
    std::iter::once(first).chain(parts).collect::<Vec<_>>().join(", ") + "."
}

/// Shows the result. Its figures are signed, so that a forged link cannot report an action that never happened.
pub(crate) fn result(ctx: &RequestContext) -> Result<Response, Failure> {
    let params = &ctx.params;
    let (verb, list) = (params.get("verb").unwrap_or_default(), params.get("list").unwrap_or("calls"));
    let count = |name: &str| params.need::<u64>(name, "number");
    let (acted, running, passed_over) = (count("done")?, count("running")?, count("passed_over")?);
    let page = Query::new()
        .with("verb", verb)
        .with("done", acted)
        .with("running", running)
        .with("passed_over", passed_over)
        .with("list", list)
        .of("calls/result");
    let Some(notice) = ctx.notice(&page) else {
        return Err(Failure::Missing(
            "This is not a valid result. The actions page lists what was done.".to_owned(),
        ));
    };
    let html = || {
        html! {
            h1 { (notice) }
            section.confirm data-test="result" {
                dl.facts {
                    div { dt { "Done" } dd data-test="result-done" { (number(acted)) } }
                    div { dt { "Running" } dd data-test="result-running" { (number(running)) } }
                    div { dt { "Passed over" } dd data-test="result-passed-over" { (number(passed_over)) } }
                }
                div.buttons {
                    a.button.primary href=(ctx.to(list)) { "Back to calls" }
                    a.button href=(ctx.to("actions")) { "Actions" }
                }
            }
        }
    };
    let json = || json!({ "verb": verb, "done": acted, "running": running, "passed_over": passed_over });
    Ok(ctx.page(NavPage::Calls, "Done", html, json))
}
