//! The pages, one module each: the queries, the HTML and the JSON.

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
mod schedule;
mod schedules;
mod timeline;
mod types;

use axum::response::Response;

use crate::error_page::Failure;
use crate::params::Params;
use crate::request_context::RequestContext;

/// Answers a GET request.
pub(crate) async fn show(ctx: &RequestContext, segments: &[&str]) -> Result<Response, Failure> {
    match segments {
        ["" | "overview"] => overview::show(ctx).await,
        ["calls"] => calls::show(ctx).await,
        ["calls", "result"] => bulk::result(ctx),
        ["calls", "confirm" | "act"] | ["types", "act"] | ["schedules", _, "act"] => {
            Err(Failure::Method("POST"))
        }
        ["calls", id] => call::show(ctx, id).await,
        ["timeline"] => timeline::show(ctx).await,
        ["schedules"] => schedules::show(ctx).await,
        ["schedules", id] => schedule::show(ctx, id).await,
        ["types"] => types::show(ctx).await,
        ["type"] => types::show_one(ctx).await,
        ["pods"] => Ok(pods::show(ctx)),
        ["health"] => health::show(ctx).await,
        ["actions"] => actions::show(ctx).await,
        ["live"] => ctx.shared.live.listen(),
        _ => Err(missing()),
    }
}

/// Answers a POST request. Only POST changes anything.
pub(crate) async fn act(ctx: &RequestContext, segments: &[&str], form: &Params) -> Result<Response, Failure> {
    match segments {
        ["calls", "confirm"] => bulk::confirm(ctx, form).await,
        ["calls", "act"] => bulk::act(ctx, form).await,
        ["schedules", id, "act"] => schedule::act(ctx, id, form).await,
        ["types", "act"] => types::act(ctx, form).await,
        [
            "" | "overview" | "calls" | "timeline" | "schedules" | "types" | "type" | "pods" | "health"
            | "actions" | "live",
        ]
        | ["calls" | "schedules", _] => Err(Failure::Method("GET, HEAD")),
        _ => Err(missing()),
    }
}

fn missing() -> Failure {
    Failure::Missing("This page does not exist.".to_owned())
}
