//! The frame of every page: head, navigation, footer and keyboard help.

use axum::Json;
use axum::http::HeaderValue;
use axum::http::header::ALLOW;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use serde_json::{Value, json};

use crate::assets;
use crate::error_page::Failure;
use crate::request_context::{Base, RequestContext, Theme};
use crate::text::{plain, safe};

/// The navigation entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NavPage {
    Overview,
    Calls,
    Timeline,
    Schedules,
    Types,
    Pods,
    Health,
    Actions,
}

impl NavPage {
    const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Overview, "overview", "Overview"),
        (Self::Calls, "calls", "Calls"),
        (Self::Timeline, "timeline", "Timeline"),
        (Self::Schedules, "schedules", "Schedules"),
        (Self::Types, "types", "Call types"),
        (Self::Pods, "pods", "Pods"),
        (Self::Health, "health", "Health"),
        (Self::Actions, "actions", "Actions"),
    ];
}

impl RequestContext {
    /// Renders the page as HTML or JSON, as requested.
    pub(crate) fn page(
        &self,
        place: NavPage,
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
    /// Returns the response for a failed request, as HTML or JSON.
    pub(crate) fn response(&self, title: &str, base: &Base, json: bool, theme: Theme) -> Response {
        let status = self.status();
        let (heading, text) = self.heading_and_text();
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

/// Sets the `Allow` header.
fn allow(mut response: Response, methods: &'static str) -> Response {
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// Renders a page with navigation and footer.
pub(crate) fn page(ctx: &RequestContext, place: NavPage, title: &str, body: &Markup) -> Markup {
    let (base, shared) = (&ctx.base, &ctx.shared);
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[ctx.theme.word()] {
            (head(&format!("{title} · {}", shared.title), base))
            body data-live=(base.to("live")) {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    a.brand href=(base.to("overview")) data-test="brand" {
                        (mark()) span { (safe(&shared.title)) }
                    }
                    nav aria-label="Pages" data-test="nav" {
                        @for (at, path, name) in NavPage::ALL {
                            a href=(base.to(path)) aria-current=[(at == place).then_some("page")] { (name) }
                        }
                    }
                    (tools())
                }
                main #main tabindex="-1" data-now=(ctx.now.as_micros()) data-test="main" { (body) }
                (foot(ctx))
                (shortcuts())
            }
        }
    }
}

/// Renders a page without navigation, for failures.
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

/// Renders the controls that need the script; it unhides them.
fn tools() -> Markup {
    html! {
        div.tools data-needs-script hidden {
            button #live type="button" aria-pressed="true" data-test="live" title="Pause live updates (p)" {
                span.pulse aria-hidden="true" {} span.label { "Live" }
            }
            button #zone type="button" data-test="zone" title="Show times in UTC or local time (u)" { "UTC" }
            button #theme type="button" data-test="theme" title="Theme: light, dark or system (t)" { "Auto" }
            button #help type="button" data-test="help" title="Keyboard shortcuts (?)" aria-label="Keyboard shortcuts" { "?" }
        }
    }
}

fn foot(ctx: &RequestContext) -> Markup {
    let changes = ctx.access.changes_anything();
    html! {
        footer data-test="footer" {
            span { "Signed in as " b { (safe(ctx.access.actor())) } @if !changes { ", read only" } }
            span { (ctx.inspect().database()) " · " span #zone-note { "times in UTC" } }
            span { "Futurecall " (env!("CARGO_PKG_VERSION")) }
        }
    }
}

fn shortcuts() -> Markup {
    let shortcuts = [
        ("/", "focus the filter"),
        ("j k", "next and previous row"),
        ("Enter", "open the row"),
        ("x", "select the row"),
        ("p", "pause or resume live updates"),
        ("u", "UTC or local time"),
        ("t", "theme: light, dark or system"),
        ("?", "show this list"),
    ];
    html! {
        dialog #keys aria-labelledby="keys-title" data-test="keys" {
            h2 #keys-title { "Keyboard shortcuts" }
            dl { @for (key, what) in shortcuts { div { dt { kbd { (key) } } dd { (what) } } } }
            form method="dialog" { button { "Close" } }
        }
    }
}
