//! The timeline page: calls due in the next hour, day or week, by call type.

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
use crate::layout::NavPage;
use crate::params::Query;
use crate::request_context::RequestContext;
use crate::text::{capped, number, plain, safe};

/// Counting stops here, per bucket and name.
const CAP: u64 = 10_000;
/// Call types that get a chart of their own; the rest is in the sum.
const NAMES: usize = 40;

/// How far the page looks ahead.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Horizon {
    Hour,
    Day,
    Week,
}

impl Horizon {
    const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    const fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// Returns the length of a bucket and the number of buckets.
    const fn buckets(self) -> (Duration, u32) {
        match self {
            Self::Hour => (Duration::from_mins(1), 60),
            Self::Day => (Duration::from_mins(30), 48),
            Self::Week => (Duration::from_hours(3), 56),
        }
    }

    const fn bucket_words(self) -> &'static str {
        match self {
            Self::Hour => "one bar per minute",
            Self::Day => "one bar per 30 minutes",
            Self::Week => "one bar per 3 hours",
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
    horizon: Horizon,
    edges: Vec<Moment>,
    /// By name, (stored, expected from schedules) per bucket.
    names: BTreeMap<String, Vec<(u64, u64)>>,
    overdue: u64,
    more: bool,
}

pub(crate) async fn show(ctx: &RequestContext) -> Result<Response, Failure> {
    let word = ctx.params.get("horizon").unwrap_or("day");
    let horizon = Horizon::ALL.into_iter().find(|horizon| horizon.word() == word);
    let horizon = horizon.ok_or_else(|| Failure::Bad("`horizon` must be hour, day or week".to_owned()))?;
    let (step, count) = horizon.buckets();
    let first = floor(ctx.now, step);
    // The first bucket has begun: calls that were due in it are counted as overdue.
    let mut edges: Vec<_> = (0..=count).map(|n| after(first, step * n)).collect();
    if let Some(first) = edges.first_mut() {
        *first = ctx.now;
    }
    edges.dedup();
    let inspect = ctx.inspect();
    let stored = inspect.timeline(&edges, CAP).await?;
    let forecast = forecast(&inspect.schedules().await?, &edges);
    let overdue = CallFilter::new().state(CallState::Scheduled).until(ctx.now);
    let mut timeline = Timeline {
        horizon,
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
        for (bucket, runs) in counts.into_iter().enumerate().filter(|(_, runs)| *runs > 0) {
            timeline.add(name.clone(), bucket, |cell| cell.1 = cell.1.saturating_add(runs));
        }
    }
    Ok(ctx.page(NavPage::Timeline, "Timeline", || timeline.html(ctx), || timeline.json(ctx)))
}

impl Timeline {
    fn buckets(&self) -> usize {
        self.edges.len().saturating_sub(1)
    }

    fn add(&mut self, name: String, bucket: usize, add: impl FnOnce(&mut (u64, u64))) {
        let buckets = self.buckets();
        let cells = self.names.entry(name).or_insert_with(|| vec![(0, 0); buckets]);
        if let Some(cell) = cells.get_mut(bucket) {
            add(cell);
        }
    }

    fn sums(&self) -> Vec<(u64, u64)> {
        (0..self.buckets())
            .map(|n| self.names.values().filter_map(|cells| cells.get(n)).fold((0, 0), plus))
            .collect()
    }

    fn label(&self, n: usize) -> String {
        let edge = |n: usize| {
            self.edges
                .get(n)
                .map_or_else(String::new, |edge| edge.to_utc().format(self.horizon.format()).to_string())
        };
        format!("{} to {}", edge(n), edge(n + 1))
    }

    fn link(&self, ctx: &RequestContext, n: usize, name: Option<&str>) -> Option<String> {
        let (since, until) = (self.edges.get(n)?, self.edges.get(n + 1)?);
        let query = Query::new()
            .with("state", "scheduled")
            .with("since", since)
            .with("until", until)
            .maybe("name", name);
        Some(ctx.to(&query.of("calls")))
    }

    fn bars(&self, ctx: &RequestContext, cells: &[(u64, u64)], name: Option<&str>) -> Vec<Bar> {
        cells
            .iter()
            .enumerate()
            .map(|(n, (stored, expected))| Bar {
                parts: vec![*stored, *expected],
                title: format!(
                    "{}: {} stored, {} expected",
                    self.label(n),
                    capped(*stored, CAP),
                    number(*expected)
                ),
                link: self.link(ctx, n, name),
            })
            .collect()
    }

    fn html(&self, ctx: &RequestContext) -> Markup {
        let sums = self.sums();
        let (stored, expected) = total(&sums);
        let summary = format!("{} stored, {} expected", capped(stored, u64::MAX), number(expected));
        html! {
            h1 { "Timeline" }
            nav.tabs aria-label="How far ahead" data-test="horizon" { @for horizon in Horizon::ALL {
                a href=(ctx.to(&Query::new().with("horizon", horizon.word()).of("timeline")))
                    aria-current=[(horizon == self.horizon).then_some("true")] { "Next " (horizon.word()) }
            } }
            @if self.overdue > 0 {
                p.notice.warning data-test="overdue" { (capped(self.overdue, CAP)) " overdue. " a href=(ctx.to("calls?state=due")) { "View" } }
            }
            section.figure aria-labelledby="density" {
                div.head { h2 #density { "All calls" } span.quiet { (self.horizon.bucket_words()) ", UTC" } }
                (chart::bars(&self.bars(ctx, &sums, None), &["stored", "rule"], 160, &format!("Calls of the next {}: {summary}", self.horizon.word())))
                (self.axis())
                p.legend {
                    span.key.stored { "stored calls" } span.key.rule { "expected from schedules" }
                    span.quiet { (summary) @if self.more { ", and more" } }
                }
            }
            (self.by_name(ctx))
            (self.table(ctx, &sums))
        }
    }

    fn axis(&self) -> Markup {
        let edge = |share: usize| self.edges.get(self.buckets() * share / 4);
        html! { div.axis aria-hidden="true" { @for share in 0..=4 {
            span { @if let Some(edge) = edge(share) { (edge.to_utc().format(self.horizon.format())) } }
        } } }
    }

    fn by_name(&self, ctx: &RequestContext) -> Markup {
        let mut names: Vec<_> = self.names.iter().map(|(name, cells)| (total(cells), name, cells)).collect();
        names.sort_by_key(|((stored, expected), name, _)| {
            (std::cmp::Reverse(stored.saturating_add(*expected)), *name)
        });
        let hidden = names.len().saturating_sub(NAMES);
        html! {
            section aria-labelledby="by-name" {
                h2 #by-name { "By call type" }
                @if names.is_empty() { (empty("No upcoming calls.")) }
                ul.densities data-test="densities" { @for ((stored, expected), name, cells) in names.into_iter().take(NAMES) { li {
                    a.name href=(ctx.to(&type_page(name))) { (safe(name)) }
                    span.total { (number(stored.saturating_add(expected))) }
                    (chart::bars(&self.bars(ctx, cells, Some(name)), &["stored", "rule"], 40,
                        &format!("{}: {stored} stored, {expected} expected", plain(name))))
                } } }
                @if hidden > 0 { p.quiet { "and " (hidden) " more call types" } }
            }
        }
    }

    fn table(&self, ctx: &RequestContext, sums: &[(u64, u64)]) -> Markup {
        html! {
            details #numbers {
                summary { "Show as table" }
                table data-test="timeline-table" {
                    thead { tr { th scope="col" { "Time (UTC)" } th.number scope="col" { "Stored" } th.number scope="col" { "Expected" } } }
                    tbody { @for (n, (stored, expected)) in sums.iter().enumerate().filter(|(_, sum)| **sum != (0, 0)) { tr {
                        td { @match self.link(ctx, n, None) { Some(link) => a href=(link) { (self.label(n)) }, None => (self.label(n)) } }
                        td.number { (number(*stored)) }
                        td.number { (number(*expected)) }
                    } } }
                }
            }
        }
    }

    fn json(&self, ctx: &RequestContext) -> Value {
        let names: Vec<_> = self
            .names
            .iter()
            .map(|(name, cells)| {
                json!({
                    "name": name,
                    "stored": cells.iter().map(|cell| cell.0).collect::<Vec<_>>(),
                    "expected": cells.iter().map(|cell| cell.1).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "now": time(ctx.now),
            "horizon": self.horizon.word(),
            "edges": self.edges.iter().copied().map(time).collect::<Vec<_>>(),
            "count_cap": CAP,
            "overdue": self.overdue,
            "names": names,
            "more_expected": self.more,
        })
    }
}

fn total(cells: &[(u64, u64)]) -> (u64, u64) {
    cells.iter().fold((0, 0), plus)
}

const fn plus(sum: (u64, u64), cell: &(u64, u64)) -> (u64, u64) {
    (sum.0.saturating_add(cell.0), sum.1.saturating_add(cell.1))
}
