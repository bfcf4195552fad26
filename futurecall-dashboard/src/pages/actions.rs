//! The actions page: what operators did, by the dashboard or the command line.

use axum::response::Response;
use futurecall_runtime::operate::{ActionFilter, ActionId, ActionRecord};
use maud::{Markup, html};
use serde_json::json;

use super::components::empty;
use crate::error_page::Failure;
use crate::layout::NavPage;
use crate::params::Query;
use crate::request_context::RequestContext;
use crate::text::{brief, safe, when};

const PAGE: usize = 100;

pub(crate) async fn show(ctx: &RequestContext) -> Result<Response, Failure> {
    let mut filter = ActionFilter::new().limit(PAGE);
    filter.before = ctx.params.read::<ActionId>("before", "action id")?;
    let actions = ctx.inspect().actions(&filter).await?;
    let next = actions.last().filter(|_| actions.len() == PAGE).map(|last| last.id);
    let html = || {
        html! {
            h1 { "Actions" }
            p.quiet { "Actions by operators in the dashboard and on the command line, kept for 90 days." }
            (action_rows(ctx, &actions, "No actions yet."))
            nav.pager aria-label="Pages of the list" { @if let Some(next) = next {
                a.button href=(ctx.to(&Query::new().with("before", next).of("actions"))) rel="next" { "Older" }
            } }
        }
    };
    let json = || json!({ "actions": actions, "next": next });
    Ok(ctx.page(NavPage::Actions, "Actions", html, json))
}

/// Renders actions as a table.
pub(crate) fn action_rows(ctx: &RequestContext, actions: &[ActionRecord], none: &str) -> Markup {
    html! {
        @if actions.is_empty() { (empty(none)) } @else {
            table.cards data-test="actions" {
                thead { tr {
                    th scope="col" { "Time" } th scope="col" { "Actor" } th scope="col" { "Action" }
                    th scope="col" { "Target" } th scope="col" { "Outcome" }
                } }
                tbody { @for action in actions { tr {
                    td data-label="Time" { (when(ctx.now, action.at)) }
                    td data-label="Actor" { span.text { (safe(&action.actor)) } }
                    td data-label="Action" { (safe(&action.verb.replace('_', " "))) }
                    td data-label="Target" { (target(ctx, action)) }
                    td data-label="Outcome" {
                        @match &action.outcome {
                            Some(outcome) => span.text { (brief(outcome, 200)) },
                            None => span.warn { "unknown: the process ended before it recorded the outcome" },
                        }
                    }
                } } }
            }
        }
    }
}

fn target(ctx: &RequestContext, action: &ActionRecord) -> Markup {
    let text = brief(&action.target, 200);
    match (action.schedule, action.call) {
        (Some(schedule), _) => html! { a href=(ctx.to(&format!("schedules/{schedule}"))) { (text) } },
        (None, Some(call)) => html! { a href=(ctx.to(&format!("calls/{call}"))) { (text) } },
        (None, None) => html! { span.text { (text) } },
    }
}
