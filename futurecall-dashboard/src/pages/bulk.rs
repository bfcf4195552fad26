//! What can be done to calls, one or many: the question before, with exact numbers, the deed, and what came of it.

use std::time::Duration;

use axum::response::Response;
use futurecall_runtime::operate::{ActionSummary, OperateError, Selection};
use futurecall_runtime::{CallId, CallState, Moment, ScheduleError};
use maud::{Markup, html};
use serde_json::json;

use super::components::pill;
use super::filter::{Wanted, field_value, moment};
use super::forecast::after;
use crate::access::Right;
use crate::error_page::Failure;
use crate::layout::Place;
use crate::params::{Params, Query};
use crate::request_context::Visit;
use crate::text::{calls, capped, number, safe};

/// More are not counted, and not changed in one go.
const CAP: u64 = 1_000_000;

/// What is done to calls.
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
            Self::RunNow => "made due now",
            Self::RunAgain => "stored again",
            Self::Delete => "deleted",
        }
    }

    /// Whether it does anything to a call in that state.
    pub(crate) const fn applies_to(self, state: CallState) -> bool {
        match self {
            Self::Cancel => matches!(state, CallState::Scheduled | CallState::Running),
            Self::Reschedule | Self::RunNow => matches!(state, CallState::Scheduled),
            Self::RunAgain => state.is_finished() && !matches!(state, CallState::Succeeded),
            Self::Delete => state.is_finished(),
        }
    }

    /// What happens to calls in that state.
    const fn happens(self, state: CallState) -> &'static str {
        match (self, state) {
            (Self::Cancel, CallState::Running) => "told so while running; no further attempt",
            (_, CallState::Running) => "running already: passed over",
            (Self::Delete | Self::RunAgain, CallState::Scheduled) => "not over yet: passed over",
            (Self::Cancel, CallState::Scheduled) => "cancelled, never to run; kept in the history",
            (Self::Reschedule, CallState::Scheduled) => "moved to the moment below",
            (Self::RunNow, CallState::Scheduled) => "due now, to run as soon as a slot is free",
            (Self::RunAgain, CallState::Succeeded) => "succeeded: passed over",
            (Self::RunAgain, _) => "done again, by a new call that is due now",
            (Self::Delete, _) => "removed from the history for good, with attempts, errors and logs",
            (Self::Cancel | Self::Reschedule | Self::RunNow, _) => "over: passed over",
        }
    }

    fn read(form: &Params, visit: &Visit) -> Result<Self, Failure> {
        let word = form.get("verb").unwrap_or_default();
        let verb = Self::ALL.into_iter().find(|verb| verb.word() == word);
        let verb = verb.ok_or_else(|| Failure::Bad(format!("`verb` is no action: {word}")))?;
        visit.must(verb.right(), &format!("{} calls", verb.label().to_lowercase()))?;
        Ok(verb)
    }
}

/// Which calls a form is about.
enum Chosen {
    Calls(Vec<CallId>),
    All(Wanted),
}

impl Chosen {
    fn read(form: &Params) -> Result<Self, Failure> {
        if form.get("all").is_some() {
            return Wanted::read(form).map(Self::All);
        }
        let ids: Result<Vec<CallId>, _> = form.all("id").map(str::parse).collect();
        let mut ids = ids.map_err(|_| Failure::Bad("`id` is no call's id".to_owned()))?;
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Err(Failure::Bad("No call was chosen. Go back, and choose some.".to_owned()));
        }
        Ok(Self::Calls(ids))
    }

    /// How many in each state, in the order of a call's life, and how many there are no more.
    async fn count(&self, visit: &Visit) -> Result<(Vec<(CallState, u64)>, u64), Failure> {
        let inspect = visit.inspect();
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
            Self::All(wanted) => {
                let filter = wanted.filter(visit.now);
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

    fn selection(&self, visit: &Visit) -> Selection {
        match self {
            Self::Calls(ids) => Selection::Calls(ids.clone()),
            Self::All(wanted) => Selection::Matching(wanted.filter(visit.now)),
        }
    }

    fn hidden(&self) -> Markup {
        match self {
            Self::Calls(ids) => html! { @for id in ids { input type="hidden" name="id" value=(id); } },
            Self::All(wanted) => html! { input type="hidden" name="all" value="1"; (wanted.hidden()) },
        }
    }

    /// Where its calls are listed.
    fn list(&self) -> String {
        match self {
            Self::Calls(ids) => match ids.as_slice() {
                [id] => format!("calls/{id}"),
                _ => "calls".to_owned(),
            },
            Self::All(wanted) => wanted.query().of("calls"),
        }
    }
}

/// Asks before anything is done, with the exact numbers.
pub(crate) async fn confirm(visit: &Visit, form: &Params) -> Result<Response, Failure> {
    let verb = Verb::read(form, visit)?;
    let chosen = Chosen::read(form)?;
    ask(visit, verb, &chosen, None).await
}

async fn ask(visit: &Visit, verb: Verb, chosen: &Chosen, expected: Option<u64>) -> Result<Response, Failure> {
    let (counts, gone) = chosen.count(visit).await?;
    let total = counts.iter().fold(gone, |total, (_, count)| total.saturating_add(*count));
    let touched = touched(verb, &counts);
    if total >= CAP {
        return Err(Failure::Bad(format!("{} or more calls match: narrow the filter first.", number(CAP))));
    }
    let title = format!("{} {}?", verb.label(), calls(touched));
    let html = || {
        html! {
            h1 { (title) }
            @if let Some(expected) = expected {
                p.notice.warn role="alert" data-test="changed" {
                    "Nothing was done: when you were asked, it would have been done to " (calls(expected)) ", and now there are more. Look again."
                }
            }
            section.confirm data-test="confirm" {
                (description(chosen, total))
                ul.happens {
                    @for (state, count) in &counts {
                        li data-state=(state.as_str()) { (pill(state.as_str())) " " b { (number(*count)) } " " (verb.happens(*state))  }
                    }
                    @if gone > 0 { li { b { (number(gone)) } " not there any more: passed over" } }
                    @if total == 0 { li { "No call matches any more." } }
                }
                form method="post" action=(visit.to("calls/act")) data-test="confirm-form" {
                    (visit.token()) (chosen.hidden())
                    input type="hidden" name="verb" value=(verb.word());
                    input type="hidden" name="expected" value=(touched);
                    @if verb == Verb::Reschedule { (moment_fields(visit.now)) }
                    div.buttons {
                        @if touched > 0 {
                            button.primary.danger[matches!(verb, Verb::Cancel | Verb::Delete)] type="submit" data-test="do" {
                                (verb.label()) " " (calls(touched))
                            }
                        }
                        a.button href=(visit.to(&chosen.list())) data-test="back" { "Back, and do nothing" }
                    }
                }
            }
        }
    };
    let json = || json!({ "verb": verb.word(), "matching": total, "touched": touched });
    Ok(visit.page(Place::Calls, verb.label(), html, json))
}

fn touched(verb: Verb, counts: &[(CallState, u64)]) -> u64 {
    counts
        .iter()
        .filter(|(state, _)| verb.applies_to(*state))
        .fold(0, |total, (_, count)| total.saturating_add(*count))
}

fn description(chosen: &Chosen, total: u64) -> Markup {
    match chosen {
        Chosen::Calls(ids) => html! { p { "Of " (calls(ids.len() as u64)) " that you have chosen:" } },
        Chosen::All(wanted) => html! {
            p { "Of " b { "all " (capped(total, CAP)) } " that match"
                @if wanted.words().is_empty() { ", without any condition" }
                ":" }
            dl.facts { @for (name, value) in wanted.words() { div { dt { (name) } dd { span.text { (safe(&value)) } } } } }
        },
    }
}

/// Two ways to name a moment.
pub(crate) fn moment_fields(now: Moment) -> Markup {
    html! {
        fieldset.fields {
            legend { "To when" }
            label { "After" input type="text" name="after" placeholder="15m, 2h 30m, 7d" maxlength="60" autocomplete="off" data-test="after"; }
            label { "or at (UTC)" input type="datetime-local" name="at" step="1" min=(field_value(now)) data-test="at"; }
        }
    }
}

/// The moment that the two fields name.
fn when(visit: &Visit, form: &Params) -> Result<Moment, Failure> {
    match (form.get("after"), moment(form, "at")?) {
        (None, Some(at)) => Ok(at),
        (Some(text), None) => {
            let delay: Duration = humantime::parse_duration(text.trim()).map_err(|_| {
                Failure::Bad(format!("`after` is no duration: {text}. Write 15m, 2h 30m or 7d."))
            })?;
            Ok(after(visit.now, delay))
        }
        (None, None) => Err(Failure::Bad("Say when: after a duration, or at a moment.".to_owned())),
        (Some(_), Some(_)) => {
            Err(Failure::Bad("Say when in one way: after a duration, or at a moment.".to_owned()))
        }
    }
}

/// Does it, if no more would be met than were asked about.
pub(crate) async fn act(visit: &Visit, form: &Params) -> Result<Response, Failure> {
    let verb = Verb::read(form, visit)?;
    let chosen = Chosen::read(form)?;
    let expected: u64 = form.need("expected", "number")?;
    let to = if verb == Verb::Reschedule { Some(when(visit, form)?) } else { None };
    if matches!(chosen, Chosen::All(_)) {
        let (counts, _) = chosen.count(visit).await?;
        if touched(verb, &counts) > expected {
            return ask(visit, verb, &chosen, Some(expected)).await;
        }
    }
    let acted = operate(visit, verb, chosen.selection(visit), to).await?;
    Ok(done(visit, verb, &chosen, &acted))
}

/// On a task of its own: what was begun is not left halfway because a browser has gone.
async fn operate(
    visit: &Visit,
    verb: Verb,
    selection: Selection,
    to: Option<Moment>,
) -> Result<ActionSummary, Failure> {
    let (operator, now) = (visit.operate(), visit.now);
    let deed = tokio::spawn(async move {
        match verb {
            Verb::Cancel => operator.cancel(selection).await,
            Verb::Reschedule => operator.reschedule(selection, to.unwrap_or(now)).await,
            Verb::RunNow => operator.run_now(selection).await,
            Verb::RunAgain => operator.run_again(selection).await,
            Verb::Delete => operator.delete(selection).await,
        }
    });
    match deed.await {
        Ok(acted) => acted.map_err(Failure::from),
        Err(error) => {
            tracing::error!(%error, "an operator's action ended before it was done");
            let (summary, source) = (ActionSummary::default(), ScheduleError::Stopped);
            Err(OperateError::Partly { summary, source }.into())
        }
    }
}

fn done(visit: &Visit, verb: Verb, chosen: &Chosen, acted: &ActionSummary) -> Response {
    if let Chosen::Calls(ids) = chosen
        && let [id] = ids.as_slice()
        && verb != Verb::Delete
    {
        // One call's own page shows what became of it; of a new one, its own.
        let page = format!("calls/{}", acted.new_calls.first().unwrap_or(id));
        return visit.done(&page, &sentence(verb, acted));
    }
    let page = Query::new()
        .with("verb", verb.word())
        .with("done", acted.done)
        .with("running", acted.running)
        .with("passed_over", acted.passed_over)
        .with("list", if verb == Verb::Delete { "calls".to_owned() } else { chosen.list() })
        .of("calls/result");
    visit.done(&page, &sentence(verb, acted))
}

fn sentence(verb: Verb, acted: &ActionSummary) -> String {
    let told = if verb == Verb::Cancel { "told while running" } else { "running, and left alone" };
    let more = [(acted.running, told), (acted.passed_over, "passed over")];
    let more = more.into_iter().filter(|(count, _)| *count > 0);
    let parts = more.map(|(count, what)| format!("{} {what}", number(count)));
    let first = format!("{} {}", calls(acted.done), verb.done());
    std::iter::once(first).chain(parts).collect::<Vec<_>>().join(", ") + "."
}

/// What came of it. The address is sealed, so that no link can tell of what was not done.
pub(crate) fn result(visit: &Visit) -> Result<Response, Failure> {
    let params = &visit.params;
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
    let Some(notice) = visit.notice(&page) else {
        return Err(Failure::Missing(
            "That is no result of this dashboard: look at the record of actions.".to_owned(),
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
                    a.button.primary href=(visit.to(list)) { "Back to the calls" }
                    a.button href=(visit.to("actions")) { "Record of actions" }
                }
            }
        }
    };
    let json = || json!({ "verb": verb, "done": acted, "running": running, "passed_over": passed_over });
    Ok(visit.page(Place::Calls, "Done", html, json))
}
