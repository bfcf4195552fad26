//! What recurs: all schedules.

use axum::response::Response;
use futurecall_runtime::inspect::{ScheduleRecord, ScheduleState};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::components::{empty, pill, time, with};
use crate::error_page::Failure;
use crate::layout::Place;
use crate::params::Query;
use crate::request_context::Visit;
use crate::text::{brief, number, safe, when};

/// What one page shows; the filter narrows the rest.
const PAGE: usize = 200;
const STATES: [&str; 3] = ["active", "paused", "ended"];

pub(crate) async fn show(visit: &Visit) -> Result<Response, Failure> {
    let state = visit.params.get("state").filter(|state| *state != "all");
    if state.is_some_and(|state| !STATES.contains(&state)) {
        return Err(Failure::Bad("`state` is one of active, paused, ended".to_owned()));
    }
    let text = visit.params.get("q").map(str::to_lowercase);
    let holds = |schedule: &ScheduleRecord| {
        text.as_ref().is_none_or(|text| {
            [Some(&schedule.name), schedule.identifier.as_ref()]
                .into_iter()
                .flatten()
                .any(|own| own.to_lowercase().contains(text))
        })
    };
    let mut all = visit.inspect().schedules().await?;
    let counts = STATES.map(|state| all.iter().filter(|schedule| schedule.state.as_str() == state).count());
    all.retain(|schedule| {
        state.map_or(schedule.state != ScheduleState::Ended, |state| schedule.state.as_str() == state)
            && holds(schedule)
    });
    // What is next stands first; what is not active has no next, and stands last.
    all.sort_by_key(|schedule| (schedule.next.is_none(), schedule.next, schedule.id));
    let found = all.len();
    all.truncate(PAGE);
    let html = || {
        html! {
            h1 { "Recurring" }
            (tabs(visit, state, &counts))
            form.filter method="get" action=(visit.to("recurring")) role="search" aria-label="Filter schedules" data-test="filter" {
                @if let Some(state) = state { input type="hidden" name="state" value=(state); }
                div.fields {
                    label { "Name or identifier holds" input #filter-q type="text" name="q" maxlength="255" value=[visit.params.get("q")] data-filter; }
                    div.buttons { button.primary type="submit" { "Filter" } }
                }
            }
            @if all.is_empty() { (empty("Nothing recurs here.")) } @else { (table(visit, &all)) }
            @if found > PAGE { p.quiet { (number(PAGE as u64)) " of " (number(found as u64)) " are shown: filter to see others." } }
        }
    };
    let json = || {
        json!({
            "now": time(visit.now),
            "found": found,
            "schedules": all.iter().map(|schedule| schedule_json(visit, schedule)).collect::<Vec<_>>(),
        })
    };
    Ok(visit.page(Place::Recurring, "Recurring", html, json))
}

fn tabs(visit: &Visit, state: Option<&str>, counts: &[usize; 3]) -> Markup {
    html! {
        nav.tabs aria-label="States" {
            a href=(visit.to("recurring")) aria-current=[state.is_none().then_some("true")] { "Active and paused" }
            @for (word, count) in STATES.into_iter().zip(counts) {
                a href=(visit.to(&Query::new().with("state", word).of("recurring"))) aria-current=[(state == Some(word)).then_some("true")] {
                    (word) " " span.count { (count) }
                }
            }
        }
    }
}

fn table(visit: &Visit, schedules: &[ScheduleRecord]) -> Markup {
    html! {
        table.cards data-test="schedules" {
            thead { tr {
                th scope="col" { "Call" } th scope="col" { "Identifier" } th scope="col" { "Rule" } th scope="col" { "Next" } th scope="col" { "State" }
            } }
            tbody { @for schedule in schedules {
                @let page = visit.to(&format!("recurring/{}", schedule.id));
                tr data-href=(page) {
                    td data-label="Call" { a.call href=(page) { (safe(&schedule.name)) } }
                    td data-label="Identifier" { @if let Some(identifier) = &schedule.identifier { span.text { (brief(identifier, 60)) } } }
                    td data-label="Rule" { div {
                        (safe(&schedule.effective.describe()))
                        @if schedule.effective != schedule.declared { " " span.pill.edited { "edited" } }
                    } }
                    td data-label="Next" { @match schedule.next { Some(next) => (when(visit.now, next)), None => span.quiet { "none" } } }
                    td data-label="State" { (pill(schedule.state.as_str())) }
                }
            } }
        }
    }
}

pub(crate) fn schedule_json(visit: &Visit, schedule: &ScheduleRecord) -> Value {
    let upcoming: Vec<_> = schedule.upcoming(visit.now, 5).into_iter().map(time).collect();
    with(json!(schedule), json!({ "upcoming": upcoming }))
}
