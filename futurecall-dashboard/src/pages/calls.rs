//! The list of calls: state tabs, filter, paging and bulk actions.

use std::collections::BTreeSet;

use axum::response::Response;
use futurecall_runtime::inspect::{CallPage, Counts};
use futurecall_runtime::{CallId, CallState};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::bulk::Verb;
use super::components::{call_table, calls_json, empty, notice, time};
use super::filter::{Conditions, StateChoice, field_value};
use super::overview::CAP;
use crate::error_page::Failure;
use crate::layout::NavPage;
use crate::params::Query;
use crate::request_context::RequestContext;
use crate::text::{capped, safe};

/// Default and largest number of calls on one page.
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 200;

struct List {
    conditions: Conditions,
    counts: Counts,
    /// Number of calls that match the filter; `None` where counting them would need a full scan.
    matching: Option<u64>,
    page: CallPage,
    limit: usize,
    names: BTreeSet<String>,
}

pub(crate) async fn show(ctx: &RequestContext) -> Result<Response, Failure> {
    let conditions = Conditions::read(&ctx.params)?;
    let after: Option<CallId> = ctx.params.read("after", "call id")?;
    let limit = ctx.params.read::<usize>("limit", "number")?.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let mut filter = conditions.filter(ctx.now).limit(limit);
    filter.after = after;
    let inspect = ctx.inspect();
    let list = List {
        counts: inspect.counts_up_to(CAP).await?,
        matching: if conditions.is_cheap() { Some(inspect.count(&filter, CAP).await?) } else { None },
        page: inspect.calls(filter).await?,
        names: ctx.pods.iter().flat_map(|pod| &pod.names).cloned().collect(),
        limit,
        conditions,
    };
    Ok(ctx.page(NavPage::Calls, "Calls", || list.html(ctx), || list.json(ctx)))
}

impl List {
    fn html(&self, ctx: &RequestContext) -> Markup {
        html! {
            h1 { "Calls" }
            (notice(ctx, "calls"))
            (self.tabs(ctx))
            (self.filter(ctx))
            @if self.page.calls.is_empty() {
                (empty(if self.page.next.is_some() {
                    "No match on this page. The search continues on the next one."
                } else {
                    "No matching calls."
                }))
            } @else {
                (self.bulk(ctx))
                (call_table(ctx, &self.page.calls, !self.verbs(ctx).is_empty(), "Calls"))
            }
            (self.pager(ctx))
        }
    }

    fn tabs(&self, ctx: &RequestContext) -> Markup {
        let counts = &self.counts;
        let count = |choice: StateChoice| match choice {
            StateChoice::Due => counts.due,
            StateChoice::State(CallState::Scheduled) => counts.scheduled,
            StateChoice::State(CallState::Running) => counts.running,
            StateChoice::State(CallState::Succeeded) => counts.succeeded,
            StateChoice::State(CallState::Failed) => counts.failed,
            StateChoice::State(CallState::Interrupted) => counts.interrupted,
            StateChoice::State(CallState::Cancelled) => counts.cancelled,
            StateChoice::State(CallState::Expired) => counts.expired,
            StateChoice::State(_) => counts.skipped,
        };
        let link = |state: Option<StateChoice>| ctx.to(&self.conditions.in_state(state).query().of("calls"));
        html! {
            nav.tabs aria-label="States" data-test="tabs" {
                a href=(link(None)) aria-current=[self.conditions.state.is_none().then_some("true")] { "All" }
                @for choice in StateChoice::ALL {
                    a href=(link(Some(choice))) aria-current=[(self.conditions.state == Some(choice)).then_some("true")]
                        data-state=(choice.word()) {
                        (capitalised(choice.word())) " " span.count { (capped(count(choice), CAP)) }
                    }
                }
            }
        }
    }

    fn filter(&self, ctx: &RequestContext) -> Markup {
        let conditions = &self.conditions;
        let moment = |moment: Option<futurecall_runtime::Moment>| moment.map(field_value);
        html! {
            form.filter method="get" action=(ctx.to("calls")) role="search" aria-label="Filter calls" data-test="filter" {
                @if let Some(state) = conditions.state { input type="hidden" name="state" value=(state.word()); }
                @if let Some(schedule) = conditions.schedule { input type="hidden" name="schedule" value=(schedule); }
                div.fields {
                    label { "Name" input #filter-name type="text" name="name" list="names" maxlength="255"
                        value=[conditions.name.as_deref()] autocomplete="off" spellcheck="false" data-filter; }
                    label { "Identifier" input #filter-identifier type="text" name="identifier" maxlength="255"
                        value=[conditions.identifier.as_deref()] autocomplete="off" spellcheck="false"; }
                    div.buttons {
                        button.primary type="submit" { "Filter" }
                        @if conditions.narrows() { a.button href=(ctx.to(&Conditions::default().in_state(conditions.state).query().of("calls"))) data-test="clear" { "Clear" } }
                    }
                }
                details #filter-more open[conditions.details()] {
                    summary { "More filters" }
                    div.fields {
                        label { "Since (UTC)" input type="datetime-local" name="since" step="1" value=[moment(conditions.since)]; }
                        label { "Until (UTC)" input type="datetime-local" name="until" step="1" value=[moment(conditions.until)]; }
                        label { "Error contains" input type="text" name="error" maxlength="255" value=[conditions.error.as_deref()]; }
                        label { "Pod" input type="text" name="pod" maxlength="36" value=[conditions.pod] spellcheck="false"; }
                    }
                    p.quiet { "Times are the next due time of pending calls and the finish time of finished ones." }
                }
                datalist id="names" { @for name in self.names.iter().take(500) { option value=(name) {} } }
                @if let Some(schedule) = conditions.schedule {
                    p.quiet { "Runs of " a href=(ctx.to(&format!("schedules/{schedule}"))) { "this schedule" } " only." }
                }
            }
        }
    }

    /// Returns the actions that apply to at least one of the listed states and that the user may do.
    fn verbs(&self, ctx: &RequestContext) -> Vec<Verb> {
        let state = self.conditions.state.map(StateChoice::state);
        let fits = |verb: &Verb| ctx.may(verb.right()) && state.is_none_or(|state| verb.applies_to(state));
        Verb::ALL.into_iter().filter(fits).collect()
    }

    fn bulk(&self, ctx: &RequestContext) -> Markup {
        let verbs = self.verbs(ctx);
        html! { @if !verbs.is_empty() {
            form #bulk.bulk method="post" action=(ctx.to("calls/confirm")) data-test="bulk" {
                (ctx.token()) (self.conditions.hidden())
                label.check data-needs-script hidden { input #choose-all type="checkbox"; " Select page" }
                label.check {
                    input type="checkbox" name="all" value="1" data-test="all-matching";
                    " All matching"
                    @if let Some(matching) = self.matching { " (" (capped(matching, CAP)) ")" }
                }
                span.buttons { @for verb in verbs {
                    button type="submit" name="verb" value=(verb.word()) data-test=(verb.word()) { (verb.label()) "…" }
                } }
                span.quiet { "You will be asked to confirm." }
            }
        } }
    }

    fn pager(&self, ctx: &RequestContext) -> Markup {
        let paged = |after: Option<CallId>| -> Query {
            let query = self.conditions.query().maybe("after", after);
            if self.limit == PAGE { query } else { query.with("limit", self.limit) }
        };
        let first = ctx.params.get("after").is_none();
        html! {
            nav.pager aria-label="Pages of the list" {
                @if !first { a.button href=(ctx.to(&paged(None).of("calls"))) rel="first" data-test="first" { "First page" } }
                @if let Some(next) = self.page.next {
                    a.button href=(ctx.to(&paged(Some(next)).of("calls"))) rel="next" data-test="next-page" { "Next page" }
                }
                span.quiet {
                    (self.page.calls.len()) " on this page"
                    @if let Some(matching) = self.matching { ", " (capped(matching, CAP)) " in total" }
                }
            }
        }
    }

    fn json(&self, ctx: &RequestContext) -> Value {
        let filter: serde_json::Map<_, _> = self
            .conditions
            .entries()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Value::String(value)))
            .collect();
        json!({
            "now": time(ctx.now),
            "filter": filter,
            "counts": self.counts,
            "count_cap": CAP,
            "matching": self.matching,
            "calls": calls_json(ctx, &self.page.calls),
            "next": self.page.next,
        })
    }
}

fn capitalised(word: &str) -> Markup {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    html! { @if let Some(first) = first { (first) } (safe(characters.as_str())) }
}
