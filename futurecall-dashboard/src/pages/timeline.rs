//! What fires when: the next hour, day or week, by name.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::Response;
use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::{CallState, Moment};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::components::{empty, time, type_page};
use super::forecast::{Forecast, after, floor, forecast};
use crate::chart::{self, Bar};
use crate::error_page::Failure;
use crate::layout::Place;
use crate::params::Query;
use crate::request_context::Visit;
use crate::text::{capped, number, plain, safe};

/// Counting stops here, in each stretch of each name.
const CAP: u64 = 10_000;
/// Names that are shown; the rest is in the sum.
const NAMES: usize = 40;

/// How far one looks ahead.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Hour,
    Day,
    Week,
}

impl Reach {
    const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    const fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// The length of a stretch, and how many there are.
    const fn stretches(self) -> (Duration, u32) {
        match self {
            Self::Hour => (Duration::from_mins(1), 60),
            Self::Day => (Duration::from_mins(30), 48),
            Self::Week => (Duration::from_hours(3), 56),
        }
    }

    const fn stretch_words(self) -> &'static str {
        match self {
            Self::Hour => "a bar is a minute",
            Self::Day => "a bar is half an hour",
            Self::Week => "a bar is three hours",
        }
    }

    const fn format(self) -> &'static str {
        match self {
            Self::Hour | Self::Day => "%H:%M",
            Self::Week => "%a %d, %H:%M",
        }
    }
}

struct Timeline {
    reach: Reach,
    edges: Vec<Moment>,
    /// By name, (stored, by rule) in each stretch.
    names: BTreeMap<String, Vec<(u64, u64)>>,
    overdue: u64,
    more: bool,
}

pub(crate) async fn show(visit: &Visit) -> Result<Response, Failure> {
    let word = visit.params.get("reach").unwrap_or("day");
    let reach = Reach::ALL.into_iter().find(|reach| reach.word() == word);
    let reach = reach.ok_or_else(|| Failure::Bad("`reach` is one of hour, day, week".to_owned()))?;
    let (step, count) = reach.stretches();
    let first = floor(visit.now, step);
    // The first stretch has begun: what was due in it stands under overdue.
    let mut edges: Vec<_> = (0..=count).map(|n| after(first, step * n)).collect();
    if let Some(first) = edges.first_mut() {
        *first = visit.now;
    }
    edges.dedup();
    let inspect = visit.inspect();
    let stored = inspect.timeline(&edges, CAP).await?;
    let forecast = forecast(&inspect.schedules().await?, &edges);
    let overdue = CallFilter::new().state(CallState::Scheduled).until(visit.now);
    let mut timeline = Timeline {
        reach,
        names: BTreeMap::new(),
        overdue: inspect.count(&overdue, CAP).await?,
        more: forecast.more,
        edges,
    };
    for count in stored {
        timeline.add(count.name, count.stretch, |cell| cell.0 = cell.0.saturating_add(count.calls));
    }
    let Forecast { runs, .. } = forecast;
    for (name, counts) in runs {
        for (stretch, runs) in counts.into_iter().enumerate().filter(|(_, runs)| *runs > 0) {
            timeline.add(name.clone(), stretch, |cell| cell.1 = cell.1.saturating_add(runs));
        }
    }
    Ok(visit.page(Place::Timeline, "Timeline", || timeline.html(visit), || timeline.json(visit)))
}

impl Timeline {
    fn stretches(&self) -> usize {
        self.edges.len().saturating_sub(1)
    }

    fn add(&mut self, name: String, stretch: usize, add: impl FnOnce(&mut (u64, u64))) {
        let stretches = self.stretches();
        let cells = self.names.entry(name).or_insert_with(|| vec![(0, 0); stretches]);
        if let Some(cell) = cells.get_mut(stretch) {
            add(cell);
        }
    }

    fn sums(&self) -> Vec<(u64, u64)> {
        (0..self.stretches())
            .map(|n| self.names.values().filter_map(|cells| cells.get(n)).fold((0, 0), plus))
            .collect()
    }

    fn label(&self, n: usize) -> String {
        let edge = |n: usize| {
            self.edges
                .get(n)
                .map_or_else(String::new, |edge| edge.to_utc().format(self.reach.format()).to_string())
        };
        format!("{} to {}", edge(n), edge(n + 1))
    }

    fn link(&self, visit: &Visit, n: usize, name: Option<&str>) -> Option<String> {
        let (since, until) = (self.edges.get(n)?, self.edges.get(n + 1)?);
        let query = Query::new()
            .with("state", "scheduled")
            .with("since", since)
            .with("until", until)
            .maybe("name", name);
        Some(visit.to(&query.of("calls")))
    }

    fn bars(&self, visit: &Visit, cells: &[(u64, u64)], name: Option<&str>) -> Vec<Bar> {
        cells
            .iter()
            .enumerate()
            .map(|(n, (stored, by_rule))| Bar {
                parts: vec![*stored, *by_rule],
                title: format!(
                    "{}: {} stored, {} by rule",
                    self.label(n),
                    capped(*stored, CAP),
                    number(*by_rule)
                ),
                link: self.link(visit, n, name),
            })
            .collect()
    }

    fn html(&self, visit: &Visit) -> Markup {
        let sums = self.sums();
        let (stored, by_rule) = total(&sums);
        let summary = format!("{} stored, {} by rule", capped(stored, u64::MAX), number(by_rule));
        html! {
            h1 { "Timeline" }
            nav.tabs aria-label="How far ahead" data-test="reach" { @for reach in Reach::ALL {
                a href=(visit.to(&Query::new().with("reach", reach.word()).of("timeline")))
                    aria-current=[(reach == self.reach).then_some("true")] { "Next " (reach.word()) }
            } }
            @if self.overdue > 0 {
                p.notice.warning data-test="overdue" { (capped(self.overdue, CAP)) " should have fired already. " a href=(visit.to("calls?state=due")) { "Look at them" } }
            }
            section.figure aria-labelledby="density" {
                div.head { h2 #density { "All calls" } span.quiet { (self.reach.stretch_words()) ", UTC" } }
                (chart::bars(&self.bars(visit, &sums, None), &["stored", "rule"], 160, &format!("Calls of the next {}: {summary}", self.reach.word())))
                (self.axis())
                p.legend {
                    span.key.stored { "stored calls" } span.key.rule { "runs that schedules will add" }
                    span.quiet { (summary) @if self.more { ", and more than were worked out" } }
                }
            }
            (self.by_name(visit))
            (self.table(visit, &sums))
        }
    }

    fn axis(&self) -> Markup {
        let edge = |share: usize| self.edges.get(self.stretches() * share / 4);
        html! { div.axis aria-hidden="true" { @for share in 0..=4 {
            span { @if let Some(edge) = edge(share) { (edge.to_utc().format(self.reach.format())) } }
        } } }
    }

    fn by_name(&self, visit: &Visit) -> Markup {
        let mut names: Vec<_> = self.names.iter().map(|(name, cells)| (total(cells), name, cells)).collect();
        names.sort_by_key(|((stored, by_rule), name, _)| {
            (std::cmp::Reverse(stored.saturating_add(*by_rule)), *name)
        });
        let hidden = names.len().saturating_sub(NAMES);
        html! {
            section aria-labelledby="by-name" {
                h2 #by-name { "By call type" }
                @if names.is_empty() { (empty("Nothing is to fire.")) }
                ul.densities data-test="densities" { @for ((stored, by_rule), name, cells) in names.into_iter().take(NAMES) { li {
                    a.name href=(visit.to(&type_page(name))) { (safe(name)) }
                    span.total { (number(stored.saturating_add(by_rule))) }
                    (chart::bars(&self.bars(visit, cells, Some(name)), &["stored", "rule"], 40,
                        &format!("{}: {stored} stored, {by_rule} by rule", plain(name))))
                } } }
                @if hidden > 0 { p.quiet { "And " (hidden) " names more." } }
            }
        }
    }

    fn table(&self, visit: &Visit, sums: &[(u64, u64)]) -> Markup {
        html! {
            details #numbers {
                summary { "The same in numbers" }
                table data-test="timeline-table" {
                    thead { tr { th scope="col" { "When (UTC)" } th.number scope="col" { "Stored" } th.number scope="col" { "By rule" } } }
                    tbody { @for (n, (stored, by_rule)) in sums.iter().enumerate().filter(|(_, sum)| **sum != (0, 0)) { tr {
                        td { @match self.link(visit, n, None) { Some(link) => a href=(link) { (self.label(n)) }, None => (self.label(n)) } }
                        td.number { (number(*stored)) }
                        td.number { (number(*by_rule)) }
                    } } }
                }
            }
        }
    }

    fn json(&self, visit: &Visit) -> Value {
        let names: Vec<_> = self
            .names
            .iter()
            .map(|(name, cells)| {
                json!({
                    "name": name,
                    "stored": cells.iter().map(|cell| cell.0).collect::<Vec<_>>(),
                    "by_rule": cells.iter().map(|cell| cell.1).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "now": time(visit.now),
            "reach": self.reach.word(),
            "edges": self.edges.iter().copied().map(time).collect::<Vec<_>>(),
            "count_cap": CAP,
            "overdue": self.overdue,
            "names": names,
            "more_by_rule": self.more,
        })
    }
}

fn total(cells: &[(u64, u64)]) -> (u64, u64) {
    cells.iter().fold((0, 0), plus)
}

const fn plus(sum: (u64, u64), cell: &(u64, u64)) -> (u64, u64) {
    (sum.0.saturating_add(cell.0), sum.1.saturating_add(cell.1))
}
