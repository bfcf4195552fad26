//! What operators did: the record.

use axum::response::Response;
use futurecall_runtime::operate::{ActionFilter, ActionId, ActionRecord};
use maud::{Markup, html};
use serde_json::json;

use super::components::empty;
use crate::error_page::Failure;
use crate::layout::Place;
use crate::params::Query;
use crate::request_context::Visit;
use crate::text::{brief, safe, when};

const PAGE: usize = 100;

pub(crate) async fn show(visit: &Visit) -> Result<Response, Failure> {
    let mut filter = ActionFilter::new().limit(PAGE);
    filter.before = visit.params.read::<ActionId>("before", "action's id")?;
    let actions = visit.inspect().actions(&filter).await?;
    let next = actions.last().filter(|_| actions.len() == PAGE).map(|last| last.id);
    let html = || {
        html! {
            h1 { "Actions" }
            p.quiet { "What operators did, here and by the command line, for 90 days." }
            (action_rows(visit, &actions, "Nobody has done anything yet."))
            nav.pager aria-label="Pages of the list" { @if let Some(next) = next {
                a.button href=(visit.to(&Query::new().with("before", next).of("actions"))) rel="next" { "Older" }
            } }
        }
    };
    let json = || json!({ "actions": actions, "next": next });
    Ok(visit.page(Place::Actions, "Actions", html, json))
}

/// Actions as a table.
pub(crate) fn action_rows(visit: &Visit, actions: &[ActionRecord], none: &str) -> Markup {
    html! {
        @if actions.is_empty() { (empty(none)) } @else {
            table.cards data-test="actions" {
                thead { tr {
                    th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" }
                    th scope="col" { "To what" } th scope="col" { "What came of it" }
                } }
                tbody { @for action in actions { tr {
                    td data-label="When" { (when(visit.now, action.at)) }
                    td data-label="Who" { span.text { (safe(&action.actor)) } }
                    td data-label="What" { (safe(&action.verb.replace('_', " "))) }
                    td data-label="To what" { (target(visit, action)) }
                    td data-label="What came of it" {
                        @match &action.outcome {
                            Some(outcome) => span.text { (brief(outcome, 200)) },
                            None => span.warn { "unknown: whoever did it vanished before they could say" },
                        }
                    }
                } } }
            }
        }
    }
}

fn target(visit: &Visit, action: &ActionRecord) -> Markup {
    let text = brief(&action.target, 200);
    match (action.schedule, action.call) {
        (Some(schedule), _) => html! { a href=(visit.to(&format!("recurring/{schedule}"))) { (text) } },
        (None, Some(call)) => html! { a href=(visit.to(&format!("calls/{call}"))) { (text) } },
        (None, None) => html! { span.text { (text) } },
    }
}
