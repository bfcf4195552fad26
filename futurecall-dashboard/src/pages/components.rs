//! Components that several pages share.

use futurecall_runtime::inspect::CallRecord;
use futurecall_runtime::{CallState, Moment};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::params::Query;
use crate::request_context::RequestContext;
use crate::text::{brief, distance, plain, safe, span, when};

/// Returns the status of a call, which is finer than its state. It is also the CSS class of its pill.
pub(crate) fn status(ctx: &RequestContext, call: &CallRecord) -> &'static str {
    match call.state {
        CallState::Scheduled if ctx.broken(call).is_some() => "broken",
        CallState::Scheduled if call.next_attempt.is_some() => "retrying",
        CallState::Scheduled if call.due <= ctx.now => "due",
        CallState::Running if call.cancel_requested => "cancelling",
        state => state.as_str(),
    }
}

/// Renders a status as a coloured pill.
pub(crate) fn pill(word: &str) -> Markup {
    html! { span class=(format!("pill {word}")) data-state=(word) { (word) } }
}

/// Returns the time shown in lists: the next attempt of a pending call, the end of a finished one.
pub(crate) fn listed_time(call: &CallRecord) -> Moment {
    call.finished.or(call.next_attempt).unwrap_or(call.due)
}

/// Renders a link to a call, labelled with its name.
pub(crate) fn call_link(ctx: &RequestContext, call: &CallRecord) -> Markup {
    html! { a.call href=(ctx.to(&format!("calls/{}", call.id))) { (safe(&call.name)) } }
}

/// Returns the address of a call type's page.
pub(crate) fn type_page(name: &str) -> String {
    Query::new().with("name", name).of("type")
}

/// Renders an id by its last group.
pub(crate) fn short_id(id: &str) -> Markup {
    // In a version 7 UUID the first groups are the time, and so alike in a list; the last one is random.
    let tail = id.rsplit('-').next().unwrap_or(id);
    html! { code.id title=(id) { "…" (tail) } }
}

/// Renders the details column of a call: its error, or how late it is.
pub(crate) fn details(ctx: &RequestContext, call: &CallRecord) -> Markup {
    let late = ctx.now.saturating_since(call.next_attempt.unwrap_or(call.due));
    html! {
        @if let Some(broken) = ctx.broken(call) {
            span.bad { (brief(broken, 120)) }
        } @else if let Some(error) = &call.error {
            span.error { (brief(error, 120)) }
        } @else if call.state == CallState::Scheduled && late.as_secs() > 0 {
            span.warn { "late by " (span(late)) }
        }
    }
}

/// Renders calls as a table, which the stylesheet turns into cards on narrow screens.
pub(crate) fn call_table(ctx: &RequestContext, calls: &[CallRecord], choose: bool, label: &str) -> Markup {
    html! {
        table.cards data-test="calls" aria-label=(label) {
            thead { tr {
                @if choose { th scope="col" { span.unseen { "Select" } } }
                th scope="col" { "Call" }
                th scope="col" { "Identifier" }
                th scope="col" { "Status" }
                th scope="col" { "Time" }
                th.number scope="col" { "Attempt" }
                th scope="col" { "Details" }
            } }
            tbody { @for call in calls {
                tr data-href=(ctx.to(&format!("calls/{}", call.id))) data-call=(call.id) {
                    @if choose {
                        td.choose {
                            input type="checkbox" name="id" value=(call.id) form="bulk"
                                aria-label=(format!("Select {} {}", plain(&call.name), call.id));
                        }
                    }
                    td data-label="Call" { div { (call_link(ctx, call)) " " (short_id(&call.id.to_string())) } }
                    td data-label="Identifier" {
                        @if let Some(identifier) = &call.identifier { span.text { (brief(identifier, 60)) } }
                    }
                    td data-label="Status" { (pill(status(ctx, call))) }
                    td data-label="Time" { (when(ctx.now, listed_time(call))) }
                    td.number data-label="Attempt" { (call.attempt) }
                    td.details data-label="Details" { (details(ctx, call)) }
                }
            } }
        }
    }
}

/// Returns a call as JSON, without its arguments. `broken` is set only if no live pod can run the call.
pub(crate) fn call_json(ctx: &RequestContext, call: &CallRecord) -> Value {
    with(json!(call), json!({ "status": status(ctx, call), "broken": ctx.broken(call) }))
}

/// Returns calls as JSON.
pub(crate) fn calls_json(ctx: &RequestContext, calls: &[CallRecord]) -> Value {
    calls.iter().map(|call| call_json(ctx, call)).collect()
}

/// Returns the record with the fields of `more` added.
pub(crate) fn with(mut record: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut record, more) {
        fields.extend(more);
    }
    record
}

/// Returns a time as JSON has it: RFC 3339 with microseconds.
pub(crate) fn time(moment: Moment) -> String {
    moment.to_string()
}

/// Renders an empty state.
pub(crate) fn empty(text: &str) -> Markup {
    html! { p.empty data-test="empty" { (text) } }
}

/// Renders the notice about the action that led to this page, if there is one.
pub(crate) fn notice(ctx: &RequestContext, page: &str) -> Markup {
    html! { @if let Some(notice) = ctx.notice(page) {
        p.notice.good role="status" data-test="notice" { (safe(notice)) }
    } }
}

/// Renders a due time by its distance from now, marked when it has passed.
pub(crate) fn due_in(now: Moment, due: Moment) -> Markup {
    let late = due < now;
    html! { span.warn[late] { time.distance datetime=(due) { (distance(now, due)) } } }
}
