//! What several pages show the same way.

use futurecall_runtime::inspect::CallRecord;
use futurecall_runtime::{CallState, Moment};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::params::Query;
use crate::request_context::Visit;
use crate::text::{brief, distance, plain, safe, span, when};

/// Where a call stands, more finely than its state: the word, and the class that gives it colour and sign.
pub(crate) fn standing(visit: &Visit, call: &CallRecord) -> &'static str {
    match call.state {
        CallState::Scheduled if visit.broken(call).is_some() => "broken",
        CallState::Scheduled if call.next_attempt.is_some() => "retrying",
        CallState::Scheduled if call.due <= visit.now => "due",
        CallState::Running if call.cancel_requested => "cancelling",
        state => state.as_str(),
    }
}

/// A state in its colour, with its sign and its word.
pub(crate) fn pill(word: &str) -> Markup {
    html! { span class=(format!("pill {word}")) data-state=(word) { (word) } }
}

/// The moment that matters now: of a pending call its next attempt, of a finished one its end.
pub(crate) fn moment(call: &CallRecord) -> Moment {
    call.finished.or(call.next_attempt).unwrap_or(call.due)
}

/// A link to a call, by its name.
pub(crate) fn call_link(visit: &Visit, call: &CallRecord) -> Markup {
    html! { a.call href=(visit.to(&format!("calls/{}", call.id))) { (safe(&call.name)) } }
}

/// The address of a call type's page.
pub(crate) fn type_page(name: &str) -> String {
    Query::new().with("name", name).of("type")
}

/// An id whose beginning is enough to tell it from its neighbours.
pub(crate) fn short_id(id: &str) -> Markup {
    // The last group is random; the first ones of version 7 are the time.
    let tail = id.rsplit('-').next().unwrap_or(id);
    html! { code.id title=(id) { "…" (tail) } }
}

/// What is worth saying of a call in a list: what went wrong, or how late it is.
pub(crate) fn remark(visit: &Visit, call: &CallRecord) -> Markup {
    let late = visit.now.saturating_since(call.next_attempt.unwrap_or(call.due));
    html! {
        @if let Some(broken) = visit.broken(call) {
            span.bad { (brief(broken, 120)) }
        } @else if let Some(error) = &call.error {
            span.error { (brief(error, 120)) }
        } @else if call.state == CallState::Scheduled && late.as_secs() > 0 {
            span.warn { "late by " (span(late)) }
        }
    }
}

/// Calls as a table that turns into cards where there is no room.
pub(crate) fn call_table(visit: &Visit, calls: &[CallRecord], choose: bool, label: &str) -> Markup {
    html! {
        table.cards data-test="calls" aria-label=(label) {
            thead { tr {
                @if choose { th scope="col" { span.unseen { "Choose" } } }
                th scope="col" { "Call" }
                th scope="col" { "Identifier" }
                th scope="col" { "State" }
                th scope="col" { "Moment" }
                th.number scope="col" { "Attempt" }
                th scope="col" { "Remark" }
            } }
            tbody { @for call in calls {
                tr data-href=(visit.to(&format!("calls/{}", call.id))) data-call=(call.id) {
                    @if choose {
                        td.choose {
                            input type="checkbox" name="id" value=(call.id) form="bulk"
                                aria-label=(format!("Choose {} {}", plain(&call.name), call.id));
                        }
                    }
                    td data-label="Call" { div { (call_link(visit, call)) " " (short_id(&call.id.to_string())) } }
                    td data-label="Identifier" {
                        @if let Some(identifier) = &call.identifier { span.text { (brief(identifier, 60)) } }
                    }
                    td data-label="State" { (pill(standing(visit, call))) }
                    td data-label="Moment" { (when(visit.now, moment(call))) }
                    td.number data-label="Attempt" { (call.attempt) }
                    td.remark data-label="Remark" { (remark(visit, call)) }
                }
            } }
        }
    }
}

/// A call as JSON, without its arguments. `broken` is what stops it everywhere, not what stops it on this pod.
pub(crate) fn call_json(visit: &Visit, call: &CallRecord) -> Value {
    with(json!(call), json!({ "standing": standing(visit, call), "broken": visit.broken(call) }))
}

/// Several calls.
pub(crate) fn calls_json(visit: &Visit, calls: &[CallRecord]) -> Value {
    calls.iter().map(|call| call_json(visit, call)).collect()
}

/// The fields of a record, and more.
pub(crate) fn with(mut record: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut record, more) {
        fields.extend(more);
    }
    record
}

/// A moment in JSON: RFC 3339 with microseconds.
pub(crate) fn time(moment: Moment) -> String {
    moment.to_string()
}

/// Nothing to show, and what that means.
pub(crate) fn empty(text: &str) -> Markup {
    html! { p.empty data-test="empty" { (text) } }
}

/// What was done, as the page after it says.
pub(crate) fn notice(visit: &Visit, page: &str) -> Markup {
    html! { @if let Some(notice) = visit.notice(page) {
        p.notice.good role="status" data-test="notice" { (safe(notice)) }
    } }
}

/// A moment in the future by its distance, in the past as late.
pub(crate) fn due_in(now: Moment, due: Moment) -> Markup {
    let late = due < now;
    html! { span.warn[late] { time.distance datetime=(due) { (distance(now, due)) } } }
}
