//! The health page: the findings of `inspect().diagnose()`, database settings and schema.

use axum::response::Response;
use futurecall_runtime::inspect::{Finding, Severity};
use maud::{Markup, html};
use serde_json::json;

use super::components::{empty, time};
use crate::error_page::Failure;
use crate::layout::NavPage;
use crate::params::Query;
use crate::request_context::RequestContext;
use crate::text::{safe, when};

/// Returns the CSS class of a severity.
const fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "good",
        severity => severity.as_str(),
    }
}

/// Returns the page that shows what a finding is about.
fn page(finding: &Finding) -> Option<String> {
    let first = |figure: &str| finding.figures.get(figure)?.get(0)?.as_str();
    Some(match finding.code {
        "pods" | "versions" => "pods".to_owned(),
        "unknown-names" => Query::new().with("state", "scheduled").with("name", first("names")?).of("calls"),
        "due-calls" => "calls?state=due".to_owned(),
        "stuck-calls" | "long-runs" => "calls?state=running".to_owned(),
        "broken-calls" => format!("calls/{}", first("first_ids")?),
        "paused-names" => "types".to_owned(),
        "paused-schedules" => "schedules?state=paused".to_owned(),
        _ => return None,
    })
}

fn markup(ctx: &RequestContext, finding: &Finding) -> Markup {
    html! {
        (safe(&finding.found)) "."
        @if let Some(means) = finding.means { " " (means) }
        @if let Some(todo) = finding.todo { " " (todo) }
        @if finding.severity > Severity::Ok && let Some(page) = page(finding) {
            " " a href=(ctx.to(&page)) { "View" }
        }
    }
}

/// Renders findings as banners.
pub(crate) fn banners(ctx: &RequestContext, findings: &[Finding]) -> Markup {
    html! { @for finding in findings {
        p class=(format!("notice {}", class(finding.severity))) data-test="banner" data-code=(finding.code) {
            b { (finding.code.replace('-', " ")) ": " } (markup(ctx, finding))
        }
    } }
}

pub(crate) async fn show(ctx: &RequestContext) -> Result<Response, Failure> {
    let inspect = ctx.inspect();
    let findings = inspect.diagnose().await?.findings;
    let migrations = inspect.migrations().await?;
    let settings = inspect.settings().await?;
    let html = || {
        html! {
            h1 { "Health" }
            table.cards data-test="findings" {
                thead { tr { th scope="col" { "Severity" } th scope="col" { "Check" } th scope="col" { "Finding" } } }
                tbody { @for finding in &findings { tr {
                    td data-label="Severity" {
                        span class=(format!("pill {}", class(finding.severity))) { (finding.severity.as_str()) }
                    }
                    td data-label="Check" { (finding.code.replace('-', " ")) }
                    td data-label="Finding" { (markup(ctx, finding)) }
                } } }
            }
            div.columns {
                section aria-labelledby="settings" {
                    h2 #settings { "Database settings" }
                    dl.facts data-test="settings" { @for setting in &settings {
                        div { dt { (safe(&setting.name)) } dd { span.text { (safe(&setting.value)) } } }
                    } }
                }
                section aria-labelledby="schema" {
                    h2 #schema { "Schema" }
                @if migrations.is_empty() { (empty("This store has no migrations.")) } @else {
                    dl.facts data-test="schema" { @for step in &migrations {
                        div { dt { (format!("{:04} ", step.version)) (safe(&step.name)) }
                            dd { @match step.applied { Some(at) => (when(ctx.now, at)), None => span.bad { "not applied" } } } }
                    } } }
                }
            }
        }
    };
    let json = || {
        json!({
            "now": time(ctx.now),
            "findings": findings,
            "settings": settings,
            "schema": migrations,
        })
    };
    Ok(ctx.page(NavPage::Health, "Health", html, json))
}
