//! The list of calls: tabs, filter, pages, and what can be done to many at once.

use std::collections::BTreeSet;

use axum::response::Response;
use futurecall_runtime::inspect::{CallPage, Counts};
use futurecall_runtime::{CallId, CallState};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::bulk::Verb;
use super::components::{call_table, calls_json, empty, notice, time};
use super::filter::{Wanted, Wish, field_value};
use super::overview::CAP;
use crate::error_page::Failure;
use crate::layout::Place;
use crate::params::Query;
use crate::request_context::Visit;
use crate::text::{capped, safe};

/// Calls of one page, unless it is told otherwise; and at most.
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 200;

struct List {
    wanted: Wanted,
    counts: Counts,
    /// How many the whole filter lets through, where that is cheap to know.
    matching: Option<u64>,
    page: CallPage,
    limit: usize,
    names: BTreeSet<String>,
}

pub(crate) async fn show(visit: &Visit) -> Result<Response, Failure> {
    let wanted = Wanted::read(&visit.params)?;
    let after: Option<CallId> = visit.params.read("after", "call's id")?;
    let limit = visit.params.read::<usize>("limit", "number")?.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let mut filter = wanted.filter(visit.now).limit(limit);
    filter.after = after;
    let inspect = visit.inspect();
    let list = List {
        counts: inspect.counts_up_to(CAP).await?,
        matching: if wanted.is_cheap() { Some(inspect.count(&filter, CAP).await?) } else { None },
        page: inspect.calls(filter).await?,
        names: visit.pods.iter().flat_map(|pod| &pod.names).cloned().collect(),
        limit,
        wanted,
    };
    Ok(visit.page(Place::Calls, "Calls", || list.html(visit), || list.json(visit)))
}

impl List {
    fn html(&self, visit: &Visit) -> Markup {
        html! {
            h1 { "Calls" }
            (notice(visit, "calls"))
            (self.tabs(visit))
            (self.filter(visit))
            @if self.page.calls.is_empty() {
                (empty(if self.page.next.is_some() {
                    "Nothing on this stretch; there is more to look through."
                } else {
                    "No call matches."
                }))
            } @else {
                (self.bulk(visit))
                (call_table(visit, &self.page.calls, !self.verbs(visit).is_empty(), "Calls"))
            }
            (self.pager(visit))
        }
    }

    fn tabs(&self, visit: &Visit) -> Markup {
        let counts = &self.counts;
        let count = |wish: Wish| match wish {
            Wish::Due => counts.due,
            Wish::State(CallState::Scheduled) => counts.scheduled,
            Wish::State(CallState::Running) => counts.running,
            Wish::State(CallState::Succeeded) => counts.succeeded,
            Wish::State(CallState::Failed) => counts.failed,
            Wish::State(CallState::Interrupted) => counts.interrupted,
            Wish::State(CallState::Cancelled) => counts.cancelled,
            Wish::State(CallState::Expired) => counts.expired,
            Wish::State(_) => counts.skipped,
        };
        let link = |state: Option<Wish>| visit.to(&self.wanted.in_state(state).query().of("calls"));
        html! {
            nav.tabs aria-label="States" data-test="tabs" {
                a href=(link(None)) aria-current=[self.wanted.state.is_none().then_some("true")] { "All" }
                @for wish in Wish::ALL {
                    a href=(link(Some(wish))) aria-current=[(self.wanted.state == Some(wish)).then_some("true")]
                        data-state=(wish.word()) {
                        (capitalised(wish.word())) " " span.count { (capped(count(wish), CAP)) }
                    }
                }
            }
        }
    }

    fn filter(&self, visit: &Visit) -> Markup {
        let wanted = &self.wanted;
        let moment = |moment: Option<futurecall_runtime::Moment>| moment.map(field_value);
        html! {
            form.filter method="get" action=(visit.to("calls")) role="search" aria-label="Filter calls" data-test="filter" {
                @if let Some(state) = wanted.state { input type="hidden" name="state" value=(state.word()); }
                @if let Some(schedule) = wanted.schedule { input type="hidden" name="schedule" value=(schedule); }
                div.fields {
                    label { "Name" input #filter-name type="text" name="name" list="names" maxlength="255"
                        value=[wanted.name.as_deref()] autocomplete="off" spellcheck="false" data-filter; }
                    label { "Identifier" input #filter-identifier type="text" name="identifier" maxlength="255"
                        value=[wanted.identifier.as_deref()] autocomplete="off" spellcheck="false"; }
                    div.buttons {
                        button.primary type="submit" { "Filter" }
                        @if wanted.narrows() { a.button href=(visit.to(&Wanted::default().in_state(wanted.state).query().of("calls"))) data-test="clear" { "Clear" } }
                    }
                }
                details #filter-more open[wanted.details()] {
                    summary { "More conditions" }
                    div.fields {
                        label { "Since (UTC)" input type="datetime-local" name="since" step="1" value=[moment(wanted.since)]; }
                        label { "Until (UTC)" input type="datetime-local" name="until" step="1" value=[moment(wanted.until)]; }
                        label { "Error holds" input type="text" name="error" maxlength="255" value=[wanted.error.as_deref()]; }
                        label { "Pod" input type="text" name="pod" maxlength="36" value=[wanted.pod] spellcheck="false"; }
                    }
                    p.quiet { "Moments are when pending calls are due next, and when finished ones ended." }
                }
                datalist id="names" { @for name in self.names.iter().take(500) { option value=(name) {} } }
                @if let Some(schedule) = wanted.schedule {
                    p.quiet { "Runs of " a href=(visit.to(&format!("recurring/{schedule}"))) { "this schedule" } " alone." }
                }
            }
        }
    }

    /// What can be done to what is listed: what no listed state admits is not offered.
    fn verbs(&self, visit: &Visit) -> Vec<Verb> {
        let state = self.wanted.state.map(Wish::state);
        let fits = |verb: &Verb| visit.may(verb.right()) && state.is_none_or(|state| verb.applies_to(state));
        Verb::ALL.into_iter().filter(fits).collect()
    }

    fn bulk(&self, visit: &Visit) -> Markup {
        let verbs = self.verbs(visit);
        html! { @if !verbs.is_empty() {
            form #bulk.bulk method="post" action=(visit.to("calls/confirm")) data-test="bulk" {
                (visit.token()) (self.wanted.hidden())
                label.check data-needs-script hidden { input #choose-all type="checkbox"; " This page" }
                label.check {
                    input type="checkbox" name="all" value="1" data-test="all-matching";
                    " All matching"
                    @if let Some(matching) = self.matching { " (" (capped(matching, CAP)) ")" }
                }
                span.buttons { @for verb in verbs {
                    button type="submit" name="verb" value=(verb.word()) data-test=(verb.word()) { (verb.label()) "…" }
                } }
                span.quiet { "You will see what happens first." }
            }
        } }
    }

    fn pager(&self, visit: &Visit) -> Markup {
        let paged = |after: Option<CallId>| -> Query {
            let query = self.wanted.query().maybe("after", after);
            if self.limit == PAGE { query } else { query.with("limit", self.limit) }
        };
        let first = visit.params.get("after").is_none();
        html! {
            nav.pager aria-label="Pages of the list" {
                @if !first { a.button href=(visit.to(&paged(None).of("calls"))) rel="first" data-test="first" { "First page" } }
                @if let Some(next) = self.page.next {
                    a.button href=(visit.to(&paged(Some(next)).of("calls"))) rel="next" data-test="next-page" { "Next page" }
                }
                span.quiet {
                    (self.page.calls.len()) " on this page"
                    @if let Some(matching) = self.matching { ", " (capped(matching, CAP)) " in all" }
                }
            }
        }
    }

    fn json(&self, visit: &Visit) -> Value {
        let filter: serde_json::Map<_, _> = self
            .wanted
            .words()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Value::String(value)))
            .collect();
        json!({
            "now": time(visit.now),
            "filter": filter,
            "counts": self.counts,
            "count_cap": CAP,
            "matching": self.matching,
            "calls": calls_json(visit, &self.page.calls),
            "next": self.page.next,
        })
    }
}

fn capitalised(word: &str) -> Markup {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    html! { @if let Some(first) = first { (first) } (safe(characters.as_str())) }
}
