//! What stands around every page.

use axum::Json;
use axum::http::HeaderValue;
use axum::http::header::ALLOW;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use serde_json::{Value, json};

use crate::assets;
use crate::error_page::Failure;
use crate::request_context::{Base, Theme, Visit};
use crate::text::{plain, safe};

/// Where a page stands in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Overview,
    Calls,
    Timeline,
    Recurring,
    Types,
    Pods,
    Health,
    Actions,
}

impl Place {
    const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Overview, "overview", "Overview"),
        (Self::Calls, "calls", "Calls"),
        (Self::Timeline, "timeline", "Timeline"),
        (Self::Recurring, "recurring", "Recurring"),
        (Self::Types, "types", "Call types"),
        (Self::Pods, "pods", "Pods"),
        (Self::Health, "health", "Health"),
        (Self::Actions, "actions", "Actions"),
    ];
}

impl Visit {
    /// The page, or what it shows as JSON.
    pub(crate) fn page(
        &self,
        place: Place,
        title: &str,
        html: impl FnOnce() -> Markup,
        json: impl FnOnce() -> Value,
    ) -> Response {
        if self.json {
            Json(json()).into_response()
        } else {
            Html(page(self, place, title, &html()).into_string()).into_response()
        }
    }
}

impl Failure {
    /// The answer to a request that failed, as a page or as JSON.
    pub(crate) fn response(&self, title: &str, base: &Base, json: bool, theme: Theme) -> Response {
        let status = self.status();
        let (heading, text) = self.words();
        let response = if json {
            (status, Json(json!({ "error": text }))).into_response()
        } else {
            let back = !matches!(self, Self::Refused(_));
            let body = html! {
                section.notice.bad data-test="failure" {
                    h1 { (heading) }
                    p { (safe(&text)) }
                    @if back { p { a href=(base.to("overview")) { "Back to the overview" } } }
                }
            };
            (status, Html(bare(title, heading, base, theme, &body).into_string())).into_response()
        };
        match self {
            Self::Method(methods) => allow(response, methods),
            _ => response,
        }
    }
}

/// A refusal of the method names those that are taken.
fn allow(mut response: Response, methods: &'static str) -> Response {
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// A page for somebody who was let in.
pub(crate) fn page(visit: &Visit, place: Place, title: &str, body: &Markup) -> Markup {
    let (base, desk) = (&visit.base, &visit.desk);
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[visit.theme.word()] {
            (head(&format!("{title} · {}", desk.title), base))
            body data-live=(base.to("live")) {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href=(base.to("overview")) data-test="brand" {
                        (mark()) span { (safe(&desk.title)) }
                    }
                    nav aria-label="Pages" data-test="nav" {
                        @for (at, path, name) in Place::ALL {
                            a href=(base.to(path)) aria-current=[(at == place).then_some("page")] { (name) }
                        }
                    }
                    (tools())
                }
                main #main tabindex="-1" data-now=(visit.now.as_micros()) data-test="main" { (body) }
                (foot(visit))
                (keys())
            }
        }
    }
}

/// A page for somebody who was not, or for whom there is none.
pub(crate) fn bare(title: &str, heading: &str, base: &Base, theme: Theme, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme.word()] {
            (head(&format!("{heading} · {title}"), base))
            body.bare {
                header.top { span.brand { (mark()) span { (safe(title)) } } }
                main #main { (body) }
            }
        }
    }
}

fn head(title: &str, base: &Base) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="robots" content="noindex";
            title { (plain(title)) }
            link rel="icon" type="image/svg+xml" href=(ICON);
            link rel="stylesheet" href=(base.to(&assets::style()));
            script type="module" src=(base.to(&assets::script())) {}
        }
    }
}

const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Crect width='24' \
                    height='24' rx='6' fill='%233d5bd9'/%3E%3Cpath d='M6 12h7m-3.5-4 4 4-4 4M17.5 7v10' fill='none' \
                    stroke='white' stroke-width='2.2' stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E";

fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            rect width="24" height="24" rx="6" {}
            path d="M6 12h7m-3.5-4 4 4-4 4M17.5 7v10" {}
        }
    }
}

/// Switches that need the script, and are hidden without it.
fn tools() -> Markup {
    html! {
        div.tools data-needs-script hidden {
            button #live type="button" aria-pressed="true" data-test="live" title="Pause live updates (p)" {
                span.pulse aria-hidden="true" {} span.label { "Live" }
            }
            button #zone type="button" data-test="zone" title="Show times in UTC or on your clock (u)" { "UTC" }
            button #theme type="button" data-test="theme" title="Light, dark, or as the system (t)" { "Auto" }
            button #help type="button" data-test="help" title="Keys (?)" aria-label="Keys" { "?" }
        }
    }
}

fn foot(visit: &Visit) -> Markup {
    let changes = visit.access.changes_anything();
    html! {
        footer data-test="footer" {
            span { "Signed in as " b { (safe(visit.access.actor())) } @if !changes { ", read only" } }
            span { (visit.inspect().database()) " · " span #zone-note { "times in UTC" } }
            span { "Futurecall " (env!("CARGO_PKG_VERSION")) }
        }
    }
}

fn keys() -> Markup {
    let keys = [
        ("/", "go to the filter"),
        ("j k", "next and previous row"),
        ("Enter", "open the row"),
        ("x", "choose the row"),
        ("p", "pause or go on with live updates"),
        ("u", "UTC or your clock"),
        ("t", "light, dark, or as the system"),
        ("?", "this list"),
    ];
    html! {
        dialog #keys aria-labelledby="keys-title" data-test="keys" {
            h2 #keys-title { "Keys" }
            dl { @for (key, what) in keys { div { dt { kbd { (key) } } dd { (what) } } } }
            form method="dialog" { button { "Close" } }
        }
    }
}
