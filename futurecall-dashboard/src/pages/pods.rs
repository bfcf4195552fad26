//! Who runs calls: pods, and how they are.

use axum::response::Response;
use futurecall_runtime::inspect::PodRecord;
use maud::{Markup, html};
use serde_json::json;

use super::components::{empty, short_id, time, type_page};
use crate::layout::Place;
use crate::request_context::Visit;
use crate::text::{safe, when};

/// Names that are shown without unfolding.
const NAMES: usize = 6;

pub(crate) fn show(visit: &Visit) -> Response {
    let pods = &visit.pods;
    let (live, gone): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| pod.live);
    let html = || {
        html! {
            h1 { "Pods" }
            @if live.is_empty() { (empty("No pod is alive.")) } @else { (table(visit, &live)) }
            @if !gone.is_empty() {
                section aria-labelledby="gone" {
                    h2 #gone { "Not heard of any more" }
                    p.quiet { "Ended, or vanished, within the last day." }
                    (table(visit, &gone))
                }
            }
        }
    };
    let json = || json!({ "now": time(visit.now), "pods": pods });
    visit.page(Place::Pods, "Pods", html, json)
}

fn table(visit: &Visit, pods: &[&PodRecord]) -> Markup {
    html! {
        table.cards data-test="pods" {
            thead { tr {
                th scope="col" { "Pod" } th scope="col" { "Heartbeat" } th scope="col" { "Role" } th.number scope="col" { "Running" }
                th scope="col" { "Version" } th scope="col" { "Started" } th scope="col" { "Names" }
            } }
            tbody { @for pod in pods { tr data-href=(visit.to(&format!("calls?pod={}", pod.id))) {
                td data-label="Pod" { div {
                    a href=(visit.to(&format!("calls?pod={}", pod.id))) { (safe(&pod.label)) } " " (short_id(&pod.id.to_string()))
                    @if pod.id == visit.desk.pod.id() { " " span.quiet { "this one" } }
                } }
                td data-label="Heartbeat" { div {
                    span class=(if pod.live { "pill live" } else { "pill gone" }) { @if pod.live { "live" } @else { "gone" } }
                    " " (when(visit.now, pod.beat))
                } }
                td data-label="Role" { (safe(&pod.role)) }
                td.number data-label="Running" { div { (pod.running) " of " (pod.slots)
                    @if pod.live { " " (meter(pod)) }
                } }
                td data-label="Version" { (safe(&pod.version)) }
                td data-label="Started" { (when(visit.now, pod.started)) }
                td data-label="Names" { (names(visit, pod)) }
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

fn names(visit: &Visit, pod: &PodRecord) -> Markup {
    let link = |name: &String| html! { a href=(visit.to(&type_page(name))) { (safe(name)) } };
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
