//! The pods page: live pods, and those that stopped within the last day.

use axum::response::Response;
use futurecall_runtime::inspect::PodRecord;
use maud::{Markup, html};
use serde_json::json;

use super::components::{empty, short_id, time, type_page};
use crate::layout::NavPage;
use crate::request_context::RequestContext;
use crate::text::{safe, when};

/// Call types that are listed before the rest is folded.
const NAMES: usize = 6;

pub(crate) fn show(ctx: &RequestContext) -> Response {
    let pods = &ctx.pods;
    let (live, gone): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| pod.live);
    let html = || {
        html! {
            h1 { "Pods" }
            @if live.is_empty() { (empty("No live pods.")) } @else { (table(ctx, &live)) }
            @if !gone.is_empty() {
                section aria-labelledby="gone" {
                    h2 #gone { "Gone" }
                    p.quiet { "Shut down or crashed within the last day." }
                    (table(ctx, &gone))
                }
            }
        }
    };
    let json = || json!({ "now": time(ctx.now), "pods": pods });
    ctx.page(NavPage::Pods, "Pods", html, json)
}

fn table(ctx: &RequestContext, pods: &[&PodRecord]) -> Markup {
    html! {
        table.cards data-test="pods" {
            thead { tr {
                th scope="col" { "Pod" } th scope="col" { "Heartbeat" } th scope="col" { "Role" } th.number scope="col" { "Running" }
                th scope="col" { "Version" } th scope="col" { "Started" } th scope="col" { "Call types" }
            } }
            tbody { @for pod in pods { tr data-href=(ctx.to(&format!("calls?pod={}", pod.id))) {
                td data-label="Pod" { div {
                    a href=(ctx.to(&format!("calls?pod={}", pod.id))) { (safe(&pod.label)) } " " (short_id(&pod.id.to_string()))
                    @if pod.id == ctx.shared.pod.id() { " " span.quiet { "this pod" } }
                } }
                td data-label="Heartbeat" { div {
                    span class=(if pod.live { "pill live" } else { "pill gone" }) { @if pod.live { "live" } @else { "gone" } }
                    " " (when(ctx.now, pod.beat))
                } }
                td data-label="Role" { (safe(&pod.role)) }
                td.number data-label="Running" { div { (pod.running) " of " (pod.slots)
                    @if pod.live { " " (meter(pod)) }
                } }
                td data-label="Version" { (safe(&pod.version)) }
                td data-label="Started" { (when(ctx.now, pod.started)) }
                td data-label="Call types" { (names(ctx, pod)) }
            } } }
        }
    }
}

fn meter(pod: &PodRecord) -> Markup {
    let share = f64::from(pod.running.min(pod.slots)) / f64::from(pod.slots.max(1)) * 60.0;
    html! {
        svg.meter viewBox="0 0 60 6" width="60" height="6" aria-hidden="true" {
            rect.ground width="60" height="6" rx="3" {}
            rect.full width=(format!("{share:.1}")) height="6" rx="3" {}
        }
    }
}

fn names(ctx: &RequestContext, pod: &PodRecord) -> Markup {
    let link = |name: &String| html! { a href=(ctx.to(&type_page(name))) { (safe(name)) } };
    let (shown, folded) = pod.names.split_at(pod.names.len().min(NAMES));
    html! {
        div.names {
            @if pod.names.is_empty() { span.quiet { "none" } }
            @for name in shown { (link(name)) " " }
            @if !folded.is_empty() {
                details id=(format!("names-{}", pod.id)) {
                    summary { (folded.len()) " more" }
                    @for name in folded { (link(name)) " " }
                }
            }
        }
    }
}
