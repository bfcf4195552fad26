//! The diagnosis of the library, the database's settings and its schema.

use axum::response::Response;
use futurecall_runtime::inspect::{Finding, Severity};
use maud::{Markup, html};
use serde_json::json;

use super::components::{empty, time};
use crate::error_page::Failure;
use crate::layout::Place;
use crate::params::Query;
use crate::request_context::Visit;
use crate::text::{safe, when};

/// The word for a severity in the style sheet.
const fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "good",
        severity => severity.as_str(),
    }
}

/// Where a visitor sees what a finding is about.
fn page(finding: &Finding) -> Option<String> {
    let first = |figure: &str| finding.figures.get(figure)?.get(0)?.as_str();
    Some(match finding.code {
        "pods" | "versions" => "pods".to_owned(),
        "unknown-names" => Query::new().with("state", "scheduled").with("name", first("names")?).of("calls"),
        "due-calls" => "calls?state=due".to_owned(),
        "stuck-calls" | "long-runs" => "calls?state=running".to_owned(),
        "broken-calls" => format!("calls/{}", first("first_ids")?),
        "paused-names" => "types".to_owned(),
        "paused-schedules" => "recurring?state=paused".to_owned(),
        _ => return None,
    })
}

fn markup(visit: &Visit, finding: &Finding) -> Markup {
    html! {
        (safe(&finding.found)) "."
        @if let Some(means) = finding.means { " " (means) }
        @if let Some(todo) = finding.todo { " " (todo) }
        @if finding.severity > Severity::Ok && let Some(page) = page(finding) {
            " " a href=(visit.to(&page)) { "Look at it" }
        }
    }
}

/// Findings as lines above a page.
pub(crate) fn banners(visit: &Visit, findings: &[Finding]) -> Markup {
    html! { @for finding in findings {
        p class=(format!("notice {}", class(finding.severity))) data-test="banner" data-code=(finding.code) {
            b { (finding.code.replace('-', " ")) ": " } (markup(visit, finding))
        }
    } }
}

pub(crate) async fn show(visit: &Visit) -> Result<Response, Failure> {
    let inspect = visit.inspect();
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
                    td data-label="Finding" { (markup(visit, finding)) }
                } } }
            }
            div.columns {
                section aria-labelledby="settings" {
                    h2 #settings { "The database’s settings" }
                    dl.facts data-test="settings" { @for setting in &settings {
                        div { dt { (safe(&setting.name)) } dd { span.text { (safe(&setting.value)) } } }
                    } }
                }
                section aria-labelledby="schema" {
                    h2 #schema { "Schema" }
                @if migrations.is_empty() { (empty("This store has none.")) } @else {
                    dl.facts data-test="schema" { @for step in &migrations {
                        div { dt { (format!("{:04} ", step.version)) (safe(&step.name)) }
                            dd { @match step.applied { Some(at) => (when(visit.now, at)), None => span.bad { "not applied" } } } }
                    } } }
                }
            }
        }
    };
    let json = || {
        json!({
            "now": time(visit.now),
            "findings": findings,
            "settings": settings,
            "schema": migrations,
        })
    };
    Ok(visit.page(Place::Health, "Health", html, json))
}
