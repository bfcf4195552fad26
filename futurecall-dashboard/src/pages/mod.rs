//! The pages, each in its file: what it asks, how it shows it, and the same as JSON.

mod actions;
mod bulk;
mod call;
mod calls;
mod components;
mod filter;
mod forecast;
mod health;
mod overview;
mod pods;
mod recurring;
mod schedule;
mod timeline;
mod types;

use axum::response::Response;

use crate::error_page::Failure;
use crate::params::Params;
use crate::request_context::Visit;

/// Answers `GET`.
pub(crate) async fn show(visit: &Visit, segments: &[&str]) -> Result<Response, Failure> {
    match segments {
        ["" | "overview"] => overview::show(visit).await,
        ["calls"] => calls::show(visit).await,
        ["calls", "result"] => bulk::result(visit),
        ["calls", "confirm" | "act"] | ["types", "act"] | ["recurring", _, "act"] => {
            Err(Failure::Method("POST"))
        }
        ["calls", id] => call::show(visit, id).await,
        ["timeline"] => timeline::show(visit).await,
        ["recurring"] => recurring::show(visit).await,
        ["recurring", id] => schedule::show(visit, id).await,
        ["types"] => types::show(visit).await,
        ["type"] => types::show_one(visit).await,
        ["pods"] => Ok(pods::show(visit)),
        ["health"] => health::show(visit).await,
        ["actions"] => actions::show(visit).await,
        ["live"] => visit.desk.live.listen(),
        _ => Err(missing()),
    }
}

/// Answers `POST`, which alone changes anything.
pub(crate) async fn act(visit: &Visit, segments: &[&str], form: &Params) -> Result<Response, Failure> {
    match segments {
        ["calls", "confirm"] => bulk::confirm(visit, form).await,
        ["calls", "act"] => bulk::act(visit, form).await,
        ["recurring", id, "act"] => schedule::act(visit, id, form).await,
        ["types", "act"] => types::act(visit, form).await,
        [
            "" | "overview" | "calls" | "timeline" | "recurring" | "types" | "type" | "pods" | "health"
            | "actions" | "live",
        ]
        | ["calls" | "recurring", _] => Err(Failure::Method("GET, HEAD")),
        _ => Err(missing()),
    }
}

fn missing() -> Failure {
    Failure::Missing("There is no such page.".to_owned())
}
