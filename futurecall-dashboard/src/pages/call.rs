//! One call: where it stands and why, its life, its arguments, its attempts, and what can be done to it.

use axum::response::Response;
use futurecall_runtime::inspect::{AttemptRecord, CallRecord, Reason, RunLog, Why};
use futurecall_runtime::operate::{ActionFilter, ActionRecord};
use futurecall_runtime::{CallId, CallState, Moment};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::actions::action_rows;
use super::bulk::Verb;
use super::components::{call_json, notice, pill, standing, type_page, with};
use crate::access::{Arguments, Right};
use crate::arguments::{Seen, seen};
use crate::error_page::{Failure, words_for};
use crate::layout::Place;
use crate::request_context::Visit;
use crate::text::{clock, cut, number, plain, safe, safe_lines, span, when};

/// Of an error, this much is laid out.
const LONGEST_ERROR: usize = 10_000;
/// Of the log of an attempt.
const LONGEST_LOG: usize = 100_000;

struct Page {
    call: CallRecord,
    why: Option<Why>,
    actions: Vec<ActionRecord>,
    arguments: Seen,
    logs: Logs,
}

/// What its attempts have logged: `Err` says why that is not seen.
type Logs = Result<Vec<RunLog>, String>;

pub(crate) async fn show(visit: &Visit, id: &str) -> Result<Response, Failure> {
    let id: CallId = id.parse().map_err(|_| Failure::Missing("That is no call's id.".to_owned()))?;
    let inspect = visit.inspect();
    let call = inspect.call(id).await?.ok_or_else(|| {
        Failure::Missing(format!(
            "There is no call {id}: it never was, was deleted, or its time in the history is over."
        ))
    })?;
    let page = Page {
        why: inspect.why(id).await?,
        actions: inspect.actions(&ActionFilter::new().call(id).limit(50)).await?,
        arguments: seen(visit, &call.name, &call.args),
        logs: logs(visit, id).await,
        call,
    };
    let title = plain(&page.call.name);
    Ok(visit.page(Place::Calls, &title, || page.html(visit), || page.json(visit)))
}

impl Page {
    fn html(&self, visit: &Visit) -> Markup {
        let call = &self.call;
        html! {
            p.crumbs { a href=(visit.to("calls")) { "Calls" } " / " code.id { (call.id) } }
            h1 { span.text { (safe(&call.name)) } " " (pill(standing(visit, call))) }
            (notice(visit, &format!("calls/{}", call.id)))
            (self.why(visit))
            (self.actions_form(visit))
            div.columns {
                section aria-labelledby="facts" {
                    h2 #facts { "Facts" }
                    (self.facts(visit))
                }
                section aria-labelledby="arguments" {
                    h2 #arguments { "Arguments" }
                    (self.arguments.markup())
                }
            }
            @if let Some(error) = &call.error {
                section aria-labelledby="error" {
                    h2 #error { @if call.state == CallState::Scheduled { "What the last attempt said" } @else { "What it said" } }
                    (error_text(error))
                }
            }
            section aria-labelledby="life" {
                h2 #life { "Its life" }
                ol.life data-test="life" { @for event in self.life(visit.now) { (event.markup(visit.now)) } }
            }
            (self.attempts(visit))
            (self.logs(visit))
            section aria-labelledby="actions" {
                h2 #actions { "What operators did" }
                (action_rows(visit, &self.actions, "Nobody has touched it."))
            }
        }
    }

    fn why(&self, visit: &Visit) -> Markup {
        html! { @if let Some(why) = &self.why {
            section.why aria-label="Why it stands where it stands" data-test="why" {
                h2 { "Why" }
                ul { @for reason in &why.reasons { li { (reason_text(visit, reason)) } } }
            }
        } }
    }

    fn actions_form(&self, visit: &Visit) -> Markup {
        let verbs: Vec<_> = Verb::ALL
            .into_iter()
            .filter(|verb| visit.may(verb.right()) && verb.applies_to(self.call.state))
            .collect();
        html! { @if !verbs.is_empty() {
            form.bulk method="post" action=(visit.to("calls/confirm")) data-test="call-actions" {
                (visit.token())
                input type="hidden" name="id" value=(self.call.id);
                span.buttons { @for verb in verbs {
                    button type="submit" name="verb" value=(verb.word()) data-test=(verb.word()) { (verb.label()) "…" }
                } }
            }
        } }
    }

    fn facts(&self, visit: &Visit) -> Markup {
        let call = &self.call;
        let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
        html! {
            dl.facts data-test="facts" {
                (fact("Type", html! { a href=(visit.to(&type_page(&call.name))) { (safe(&call.name)) } }))
                @if let Some(identifier) = &call.identifier {
                    (fact("Identifier", html! {
                        a.text href=(visit.to(&crate::params::Query::new().with("identifier", identifier).of("calls"))) { (safe(identifier)) }
                    }))
                }
                (fact("Due", when(visit.now, call.due)))
                @if let Some(next) = call.next_attempt { (fact("Next attempt", when(visit.now, next))) }
                @if let Some(expires) = call.expires { (fact("Expires", when(visit.now, expires))) }
                (fact("Attempts", html! { (number(call.attempt.into())) }))
                (fact("Priority", html! { (call.priority) @if call.priority == 0 { span.quiet { " normal" } } }))
                @if let Some(schedule) = call.schedule {
                    (fact("Schedule", html! { a href=(visit.to(&format!("recurring/{schedule}"))) { code.id { (schedule) } } }))
                }
                @if let Some(of) = call.rerun_of {
                    (fact("Runs again", html! { a href=(visit.to(&format!("calls/{of}"))) { code.id { (of) } } }))
                }
                @if let Some(pod) = call.pod {
                    (fact("Pod", html! { a href=(visit.to(&format!("calls?pod={pod}"))) { code.id { (pod) } } }))
                }
                @if let Some(lease) = call.lease_until { (fact("Lease until", when(visit.now, lease))) }
            }
        }
    }

    fn attempts(&self, visit: &Visit) -> Markup {
        html! { @if !self.call.attempts.is_empty() {
            section aria-labelledby="attempts" {
                h2 #attempts { "Attempts" }
                table.cards data-test="attempts" {
                    thead { tr {
                        th.number scope="col" { "Attempt" } th scope="col" { "Outcome" } th scope="col" { "Started" }
                        th.number scope="col" { "Ran for" } th scope="col" { "Pod" } th scope="col" { "What it said" }
                    } }
                    tbody { @for attempt in &self.call.attempts { tr {
                        td.number data-label="Attempt" { (attempt.number) }
                        td data-label="Outcome" { (pill(attempt.outcome.as_str())) }
                        td data-label="Started" {
                            @match attempt.started { Some(at) => (when(visit.now, at)), None => span.quiet { "start not proven" } }
                        }
                        td.number data-label="Ran for" { (self.ran_for(attempt, visit.now)) }
                        td data-label="Pod" { @if let Some(pod) = attempt.pod { (super::components::short_id(&pod.to_string())) } }
                        td.remark data-label="What it said" { @if let Some(error) = &attempt.error { (error_text(error)) } }
                    } } }
                }
            }
        } }
    }

    /// Nothing where none are kept, which is the default.
    fn logs(&self, visit: &Visit) -> Markup {
        let kept = self.logs.as_ref().map_or(&[][..], Vec::as_slice);
        html! { @if !kept.is_empty() {
            section aria-labelledby="logs" {
                h2 #logs { "Logs" }
                @for log in kept {
                    details id=(format!("log-{}", log.attempt)) open[log.attempt == self.call.attempt] data-test="log" {
                        summary { "Attempt " (log.attempt) ", " (when(visit.now, log.at)) }
                        (log_text(&log.text))
                    }
                }
            }
        } @else if let Err(why) = &self.logs {
            p.quiet data-test="logs-hidden" { (safe(why)) }
        } }
    }

    fn ran_for(&self, attempt: &AttemptRecord, now: Moment) -> String {
        match (attempt.duration, attempt.started) {
            (Some(duration), _) => span(duration),
            (None, Some(started)) if self.call.state == CallState::Running && attempt.ended.is_none() => {
                format!("{} so far", span(now.saturating_since(started)))
            }
            _ => "–".to_owned(),
        }
    }

    /// What happened to it, in order, and what is to come.
    fn life(&self, now: Moment) -> Vec<Event> {
        let call = &self.call;
        let mut events = vec![Event::new(call.created, "scheduled", "Stored".to_owned())];
        let waited = call.attempts.first().and_then(|first| first.started);
        let due = match waited {
            Some(started) if started >= call.due => {
                format!("Due, and started {} later", span(started.saturating_since(call.due)))
            }
            _ => "Due".to_owned(),
        };
        events.push(Event::new(call.due, if call.due <= now { "due" } else { "scheduled" }, due));
        for attempt in &call.attempts {
            if let Some(started) = attempt.started {
                events.push(Event::new(started, "running", format!("Attempt {} started", attempt.number)));
            }
            if let Some(ended) = attempt.ended {
                let text = format!("Attempt {} {}", attempt.number, attempt.outcome.as_str());
                let text = attempt
                    .duration
                    .map_or(text.clone(), |duration| format!("{text} after {}", span(duration)));
                events.push(Event::new(ended, attempt.outcome.as_str(), text));
            }
        }
        if let Some(next) = call.next_attempt {
            events.push(Event::new(
                next,
                "retrying",
                format!("Attempt {} is due", call.attempt.saturating_add(1)),
            ));
        }
        for action in &self.actions {
            events.push(Event::new(
                action.at,
                "action",
                format!("{}: {}", action.actor, action.verb.replace('_', " ")),
            ));
        }
        if let Some(finished) = call.finished {
            events.push(Event::new(finished, call.state.as_str(), format!("Over: {}", call.state.as_str())));
        }
        events.sort_by_key(|event| event.at);
        events
    }

    fn json(&self, visit: &Visit) -> Value {
        let more = json!({
            // As text: not every reader of JSON keeps every digit of a number.
            "arguments_json": self.arguments.text(),
            "attempts": self.call.attempts,
            "why": self.why.as_ref().map(|why| json!(why)["reasons"].take()),
            "actions": self.actions,
            "logs": self.logs.as_ref().ok(),
        });
        with(call_json(visit, &self.call), more)
    }
}

/// Lines of a log may quote arguments: who may not see those sees no logs.
async fn logs(visit: &Visit, id: CallId) -> Logs {
    if !visit.may(Right::SeeArguments) || visit.desk.arguments == Arguments::Hidden {
        return Err("Logs may quote arguments, which you are not shown.".to_owned());
    }
    visit.inspect().logs(id).await.map_err(|error| words_for(&visit.access, &error))
}

/// A reason with its moments on the visitor's clock; those that need no page of their own say it themselves.
fn reason_text(visit: &Visit, reason: &Reason) -> Markup {
    match reason {
        Reason::NotDue { due, .. } => html! { "It is not due yet: " (when(visit.now, *due)) },
        Reason::WaitsForRetry { attempt, at, .. } => {
            html! { "It waits for attempt " (attempt) ": " (when(visit.now, *at)) }
        }
        Reason::Paused { name, actor, reason, since } => html! {
            "Calls of " a href=(visit.to(&type_page(name))) { (safe(name)) } " are paused by " b { (safe(actor)) } " "
            (when(visit.now, *since)) @if !reason.is_empty() { ": " (safe(reason)) }
        },
        Reason::RunBefore { id } => html! {
            "The run before it is still going: " a href=(visit.to(&format!("calls/{id}"))) { code { (id) } }
        },
        Reason::Finished { at: Some(at), .. } => html! { "It is over: " (when(visit.now, *at)) },
        Reason::Action { actor, verb, at } => {
            html! { b { (safe(actor)) } " did last: " (safe(&verb.replace('_', " "))) ", " (when(visit.now, *at)) }
        }
        other => safe(&capitalised(&other.to_string())),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// One thing that happened, or will.
struct Event {
    at: Moment,
    class: &'static str,
    text: String,
}

impl Event {
    const fn new(at: Moment, class: &'static str, text: String) -> Self {
        Self { at, class, text }
    }

    fn markup(&self, now: Moment) -> Markup {
        html! {
            li class=(self.class) data-ahead[self.at > now] {
                span.what { (safe(&self.text)) }
                span.at { (clock(self.at)) " " time.distance.quiet datetime=(self.at) { (crate::text::distance(now, self.at)) } }
            }
        }
    }
}

fn log_text(text: &str) -> Markup {
    let (head, more) = cut(text, LONGEST_LOG);
    html! { pre tabindex="0" { (safe_lines(head)) @if more { "…" } } }
}

fn error_text(error: &str) -> Markup {
    let (head, more) = cut(error, LONGEST_ERROR);
    html! { pre.error tabindex="0" { (safe_lines(head)) @if more { "…" } } }
}
