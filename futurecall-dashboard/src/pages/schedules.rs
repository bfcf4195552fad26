//! The list of schedules.

use axum::response::Response;
use futurecall_runtime::inspect::{ScheduleRecord, ScheduleState};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::components::{empty, pill, time, with};
use crate::error_page::Failure;
use crate::layout::NavPage;
use crate::params::Query;
use crate::request_context::RequestContext;
use crate::text::{brief, number, safe, when};

/// Schedules on the page; the filter narrows the rest.
const PAGE: usize = 200;
const STATES: [&str; 3] = ["active", "paused", "ended"];

pub(crate) async fn show(ctx: &RequestContext) -> Result<Response, Failure> {
    let state = ctx.params.get("state").filter(|state| *state != "all");
    if state.is_some_and(|state| !STATES.contains(&state)) {
        return Err(Failure::Bad("`state` is one of active, paused, ended".to_owned()));
    }
    let text = ctx.params.get("q").map(str::to_lowercase);
    let holds = |schedule: &ScheduleRecord| {
        text.as_ref().is_none_or(|text| {
            [Some(&schedule.name), schedule.identifier.as_ref()]
                .into_iter()
                .flatten()
                .any(|own| own.to_lowercase().contains(text))
        })
    };
    let mut all = ctx.inspect().schedules().await?;
    let counts = STATES.map(|state| all.iter().filter(|schedule| schedule.state.as_str() == state).count());
    all.retain(|schedule| {
        state.map_or(schedule.state != ScheduleState::Ended, |state| schedule.state.as_str() == state)
            && holds(schedule)
    });
    // By next run; inactive schedules have none and come last.
    all.sort_by_key(|schedule| (schedule.next.is_none(), schedule.next, schedule.id));
    let found = all.len();
    all.truncate(PAGE);
    let html = || {
        html! {
            h1 { "Schedules" }
            (tabs(ctx, state, &counts))
            form.filter method="get" action=(ctx.to("schedules")) role="search" aria-label="Filter schedules" data-test="filter" {
                @if let Some(state) = state { input type="hidden" name="state" value=(state); }
                div.fields {
                    label { "Name or identifier contains" input #filter-q type="text" name="q" maxlength="255" value=[ctx.params.get("q")] data-filter; }
                    div.buttons { button.primary type="submit" { "Filter" } }
                }
            }
            @if all.is_empty() { (empty("No matching schedules.")) } @else { (table(ctx, &all)) }
            @if found > PAGE { p.quiet { (number(PAGE as u64)) " of " (number(found as u64)) " shown. Use the filter to see others." } }
        }
    };
    let json = || {
        json!({
            "now": time(ctx.now),
            "found": found,
            "schedules": all.iter().map(|schedule| schedule_json(ctx, schedule)).collect::<Vec<_>>(),
        })
    };
    Ok(ctx.page(NavPage::Schedules, "Schedules", html, json))
}

fn tabs(ctx: &RequestContext, state: Option<&str>, counts: &[usize; 3]) -> Markup {
    html! {
        nav.tabs aria-label="States" {
            a href=(ctx.to("schedules")) aria-current=[state.is_none().then_some("true")] { "Active and paused" }
            @for (word, count) in STATES.into_iter().zip(counts) {
                a href=(ctx.to(&Query::new().with("state", word).of("schedules"))) aria-current=[(state == Some(word)).then_some("true")] {
                    (word) " " span.count { (count) }
                }
            }
        }
    }
}

fn table(ctx: &RequestContext, schedules: &[ScheduleRecord]) -> Markup {
    html! {
        table.cards data-test="schedules" {
            thead { tr {
                th scope="col" { "Call type" } th scope="col" { "Identifier" } th scope="col" { "Rule" } th scope="col" { "Next run" } th scope="col" { "State" }
            } }
            tbody { @for schedule in schedules {
                @let page = ctx.to(&format!("schedules/{}", schedule.id));
                tr data-href=(page) {
                    td data-label="Call type" { a.call href=(page) { (safe(&schedule.name)) } }
                    td data-label="Identifier" { @if let Some(identifier) = &schedule.identifier { span.text { (brief(identifier, 60)) } } }
                    td data-label="Rule" { div {
                        (safe(&schedule.effective.describe()))
                        @if schedule.effective != schedule.declared { " " span.pill.edited { "edited" } }
                    } }
                    td data-label="Next run" { @match schedule.next { Some(next) => (when(ctx.now, next)), None => span.quiet { "none" } } }
                    td data-label="State" { (pill(schedule.state.as_str())) }
                }
            } }
        }
    }
}

pub(crate) fn schedule_json(ctx: &RequestContext, schedule: &ScheduleRecord) -> Value {
    let upcoming: Vec<_> = schedule.upcoming(ctx.now, 5).into_iter().map(time).collect();
    with(json!(schedule), json!({ "upcoming": upcoming }))
}
