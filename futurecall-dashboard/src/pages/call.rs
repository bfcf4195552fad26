//! The page of one call: status, details, arguments, timeline, attempts, logs and actions.

use axum::response::Response;
use futurecall_runtime::inspect::{AttemptRecord, CallRecord, Reason, RunLog, Why};
use futurecall_runtime::operate::{ActionFilter, ActionRecord};
use futurecall_runtime::{CallId, CallState, Moment};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::actions::action_rows;
use super::bulk::Verb;
use super::components::{call_json, notice, pill, status, type_page, with};
use crate::access::{Arguments, Right};
use crate::arguments::{VisibleArguments, visible_arguments};
use crate::error_page::{Failure, text_for};
use crate::layout::NavPage;
use crate::request_context::RequestContext;
use crate::text::{clock, cut, number, plain, safe, safe_lines, span, when};

/// Characters of an error that are shown.
const LONGEST_ERROR: usize = 10_000;
/// Characters of an attempt's log that are shown.
const LONGEST_LOG: usize = 100_000;

struct Page {
    call: CallRecord,
    why: Option<Why>,
    actions: Vec<ActionRecord>,
    arguments: VisibleArguments,
    logs: Logs,
}

/// The logs of the attempts, or the reason why they are not shown.
type Logs = Result<Vec<RunLog>, String>;

pub(crate) async fn show(ctx: &RequestContext, id: &str) -> Result<Response, Failure> {
    let id: CallId = id.parse().map_err(|_| Failure::Missing("This is not a call id.".to_owned()))?;
    let inspect = ctx.inspect();
    let call = inspect.call(id).await?.ok_or_else(|| {
        Failure::Missing(format!(
            "Call {id} does not exist. It may have been deleted, or removed from the history after its retention."
        ))
    })?;
    let page = Page {
        why: inspect.why(id).await?,
        actions: inspect.actions(&ActionFilter::new().call(id).limit(50)).await?,
        arguments: visible_arguments(ctx, &call.name, &call.args),
        logs: logs(ctx, id).await,
        call,
    };
    let title = plain(&page.call.name);
    Ok(ctx.page(NavPage::Calls, &title, || page.html(ctx), || page.json(ctx)))
}

impl Page {
    fn html(&self, ctx: &RequestContext) -> Markup {
        let call = &self.call;
        html! {
            p.crumbs { a href=(ctx.to("calls")) { "Calls" } " / " code.id { (call.id) } }
            h1 { span.text { (safe(&call.name)) } " " (pill(status(ctx, call))) }
            (notice(ctx, &format!("calls/{}", call.id)))
            (self.status(ctx))
            (self.actions_form(ctx))
            div.columns {
                section aria-labelledby="details" {
                    h2 #details { "Details" }
                    (self.facts(ctx))
                }
                section aria-labelledby="arguments" {
                    h2 #arguments { "Arguments" }
                    (self.arguments.markup())
                }
            }
            @if let Some(error) = &call.error {
                section aria-labelledby="error" {
                    h2 #error { @if call.state == CallState::Scheduled { "Last error" } @else { "Error" } }
                    (error_text(error))
                }
            }
            section aria-labelledby="timeline" {
                h2 #timeline { "Timeline" }
                ol.timeline data-test="timeline" { @for event in self.timeline(ctx.now) { (event.markup(ctx.now)) } }
            }
            (self.attempts(ctx))
            (self.logs(ctx))
            section aria-labelledby="actions" {
                h2 #actions { "Actions" }
                (action_rows(ctx, &self.actions, "No actions yet."))
            }
        }
    }

    fn status(&self, ctx: &RequestContext) -> Markup {
        html! { @if let Some(why) = &self.why {
            section.status aria-labelledby="status" data-test="status" {
                h2 #status { "Status" }
                ul { @for reason in &why.reasons { li { (reason_text(ctx, reason)) } } }
            }
        } }
    }

    fn actions_form(&self, ctx: &RequestContext) -> Markup {
        let verbs: Vec<_> = Verb::ALL
            .into_iter()
            .filter(|verb| ctx.may(verb.right()) && verb.applies_to(self.call.state))
            .collect();
        html! { @if !verbs.is_empty() {
            form.bulk method="post" action=(ctx.to("calls/confirm")) data-test="call-actions" {
                (ctx.token())
                input type="hidden" name="id" value=(self.call.id);
                span.buttons { @for verb in verbs {
                    button type="submit" name="verb" value=(verb.word()) data-test=(verb.word()) { (verb.label()) "…" }
                } }
            }
        } }
    }

    fn facts(&self, ctx: &RequestContext) -> Markup {
        let call = &self.call;
        let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
        html! {
            dl.facts data-test="facts" {
                (fact("Type", html! { a href=(ctx.to(&type_page(&call.name))) { (safe(&call.name)) } }))
                @if let Some(identifier) = &call.identifier {
                    (fact("Identifier", html! {
                        a.text href=(ctx.to(&crate::params::Query::new().with("identifier", identifier).of("calls"))) { (safe(identifier)) }
                    }))
                }
                (fact("Due", when(ctx.now, call.due)))
                @if let Some(next) = call.next_attempt { (fact("Next attempt", when(ctx.now, next))) }
                @if let Some(expires) = call.expires { (fact("Expires", when(ctx.now, expires))) }
                (fact("Attempts", html! { (number(call.attempt.into())) }))
                (fact("Priority", html! { (call.priority) @if call.priority == 0 { span.quiet { " normal" } } }))
                @if let Some(schedule) = call.schedule {
                    (fact("Schedule", html! { a href=(ctx.to(&format!("schedules/{schedule}"))) { code.id { (schedule) } } }))
                }
                @if let Some(of) = call.rerun_of {
                    (fact("Rerun of", html! { a href=(ctx.to(&format!("calls/{of}"))) { code.id { (of) } } }))
                }
                @if let Some(pod) = call.pod {
                    (fact("Pod", html! { a href=(ctx.to(&format!("calls?pod={pod}"))) { code.id { (pod) } } }))
                }
                @if let Some(lease) = call.lease_until { (fact("Lease until", when(ctx.now, lease))) }
            }
        }
    }

    fn attempts(&self, ctx: &RequestContext) -> Markup {
        html! { @if !self.call.attempts.is_empty() {
            section aria-labelledby="attempts" {
                h2 #attempts { "Attempts" }
                table.cards data-test="attempts" {
                    thead { tr {
                        th.number scope="col" { "Attempt" } th scope="col" { "Outcome" } th scope="col" { "Started" }
                        th.number scope="col" { "Duration" } th scope="col" { "Pod" } th scope="col" { "Error" }
                    } }
                    tbody { @for attempt in &self.call.attempts { tr {
                        td.number data-label="Attempt" { (attempt.number) }
                        td data-label="Outcome" { (pill(attempt.outcome.as_str())) }
                        td data-label="Started" {
                            @match attempt.started { Some(at) => (when(ctx.now, at)), None => span.quiet { "start not proven" } }
                        }
                        td.number data-label="Duration" { (self.duration(attempt, ctx.now)) }
                        td data-label="Pod" { @if let Some(pod) = attempt.pod { (super::components::short_id(&pod.to_string())) } }
                        td.details data-label="Error" { @if let Some(error) = &attempt.error { (error_text(error)) } }
                    } } }
                }
            }
        } }
    }

    /// Renders the logs; nothing if none are kept, which is the default.
    fn logs(&self, ctx: &RequestContext) -> Markup {
        let kept = self.logs.as_ref().map_or(&[][..], Vec::as_slice);
        html! { @if !kept.is_empty() {
            section aria-labelledby="logs" {
                h2 #logs { "Logs" }
                @for log in kept {
                    details id=(format!("log-{}", log.attempt)) open[log.attempt == self.call.attempt] data-test="log" {
                        summary { "Attempt " (log.attempt) ", " (when(ctx.now, log.at)) }
                        (log_text(&log.text))
                    }
                }
            }
        } @else if let Err(why) = &self.logs {
            p.quiet data-test="logs-hidden" { (safe(why)) }
        } }
    }

    fn duration(&self, attempt: &AttemptRecord, now: Moment) -> String {
        match (attempt.duration, attempt.started) {
            (Some(duration), _) => span(duration),
            (None, Some(started)) if self.call.state == CallState::Running && attempt.ended.is_none() => {
                format!("{} so far", span(now.saturating_since(started)))
            }
            _ => "–".to_owned(),
        }
    }

    /// Returns past and future events of the call, in order.
    fn timeline(&self, now: Moment) -> Vec<Event> {
        let call = &self.call;
        let mut events = vec![Event::new(call.created, "scheduled", "Created".to_owned())];
        let waited = call.attempts.first().and_then(|first| first.started);
        let due = match waited {
            Some(started) if started >= call.due => {
                format!("Due, started {} late", span(started.saturating_since(call.due)))
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
                format!("Attempt {} due", call.attempt.saturating_add(1)),
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
            events.push(Event::new(
                finished,
                call.state.as_str(),
                format!("Finished: {}", call.state.as_str()),
            ));
        }
        events.sort_by_key(|event| event.at);
        events
    }

    fn json(&self, ctx: &RequestContext) -> Value {
        let more = json!({
            // As text, because many JSON readers round large numbers.
            "arguments_json": self.arguments.text(),
            "attempts": self.call.attempts,
            "why": self.why.as_ref().map(|why| json!(why)["reasons"].take()),
            "actions": self.actions,
            "logs": self.logs.as_ref().ok(),
        });
        with(call_json(ctx, &self.call), more)
    }
}

/// Reads the logs. They may quote arguments, so they need the right to see arguments.
async fn logs(ctx: &RequestContext, id: CallId) -> Logs {
    if !ctx.may(Right::SeeArguments) || ctx.shared.arguments == Arguments::Hidden {
        return Err(
            "Logs are hidden because they may quote arguments, which you are not allowed to see.".to_owned()
        );
    }
    ctx.inspect().logs(id).await.map_err(|error| text_for(&ctx.access, &error))
}

/// Renders a reason with links and times; reasons without either use their own text.
fn reason_text(ctx: &RequestContext, reason: &Reason) -> Markup {
    match reason {
        Reason::NotDue { due, .. } => html! { "Not due yet: " (when(ctx.now, *due)) },
        Reason::WaitsForRetry { attempt, at, .. } => {
            html! { "Waiting for attempt " (attempt) ": " (when(ctx.now, *at)) }
        }
        Reason::Paused { name, actor, reason, since } => html! {
            "Calls of " a href=(ctx.to(&type_page(name))) { (safe(name)) } " are paused by " b { (safe(actor)) } " "
            (when(ctx.now, *since)) @if !reason.is_empty() { ": " (safe(reason)) }
        },
        Reason::RunBefore { id } => html! {
            "The previous run is still running: " a href=(ctx.to(&format!("calls/{id}"))) { code { (id) } }
        },
        Reason::Finished { at: Some(at), .. } => html! { "Finished: " (when(ctx.now, *at)) },
        Reason::Action { actor, verb, at } => {
            html! { "Last action: " (safe(&verb.replace('_', " "))) " by " b { (safe(actor)) } ", " (when(ctx.now, *at)) }
        }
        other => safe(&capitalised(&other.to_string())),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// One event of the timeline, past or future.
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
