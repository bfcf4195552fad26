//! The overview: findings, figures, charts of the last hour, next calls and latest failures.

use std::time::Duration;

use axum::response::Response;
use futurecall_runtime::inspect::{CallFilter, CallRecord, Counts, Finding, Histogram, Span, Statistics};
use futurecall_runtime::{CallState, Moment};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::components::{call_link, calls_json, details, due_in, empty, pill, short_id, status, time};
use super::{forecast, health};
use crate::chart::{self, Bar};
use crate::error_page::Failure;
use crate::layout::NavPage;
use crate::request_context::RequestContext;
use crate::text::{brief, capped, clock, span};

/// Counting stops here.
pub(crate) const CAP: u64 = 10_000;
const MINUTES: usize = 60;
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

struct Overview {
    counts: Counts,
    hour: Hour,
    failed_hour: u64,
    failed_day: u64,
    next: Vec<CallRecord>,
    failed: Vec<CallRecord>,
    findings: Vec<Finding>,
}

/// The last hour, minute by minute.
struct Hour {
    minutes: Vec<Statistics>,
    total: Statistics,
}

impl Hour {
    fn gather(now: Moment, counted: &[Statistics]) -> Self {
        let first = forecast::before(forecast::floor(now, MINUTE), Duration::from_mins(59));
        let minute =
            |n: usize| first.checked_add(MINUTE * u32::try_from(n).unwrap_or(0)).unwrap_or(Moment::MAX);
        let mut minutes: Vec<_> =
            (0..MINUTES).map(|n| Statistics::new(String::new(), Span::Minute, minute(n))).collect();
        let mut total = Statistics::new(String::new(), Span::Hour, first);
        for one in counted {
            let at = usize::try_from(one.start.saturating_since(first).as_secs() / 60).unwrap_or(usize::MAX);
            if let Some(into) = minutes.get_mut(at).filter(|_| one.start >= first) {
                into.merge(one);
                total.merge(one);
            }
        }
        Self { minutes, total }
    }
}

pub(crate) async fn show(ctx: &RequestContext) -> Result<Response, Failure> {
    let inspect = ctx.inspect();
    let counted = inspect.statistics(Span::Minute, forecast::before(ctx.now, HOUR), None).await?;
    let failed = |within| CallFilter::new().state(CallState::Failed).since(forecast::before(ctx.now, within));
    let overview = Overview {
        counts: inspect.counts_up_to(CAP).await?,
        hour: Hour::gather(ctx.now, &counted),
        failed_hour: inspect.count(&failed(HOUR), CAP).await?,
        failed_day: inspect.count(&failed(DAY), CAP).await?,
        next: inspect.calls(CallFilter::new().state(CallState::Scheduled).limit(10)).await?.calls,
        failed: inspect.calls(CallFilter::new().state(CallState::Failed).limit(5)).await?.calls,
        findings: inspect.alerts().await?.findings,
    };
    Ok(ctx.page(NavPage::Overview, "Overview", || overview.html(ctx), || overview.json(ctx)))
}

impl Overview {
    fn slots(ctx: &RequestContext) -> (u64, u64) {
        let live = ctx.pods.iter().filter(|pod| pod.live && pod.runs());
        live.fold((0, 0), |(pods, slots), pod| (pods + 1, slots + u64::from(pod.slots)))
    }

    fn html(&self, ctx: &RequestContext) -> Markup {
        html! {
            h1 { "Overview" }
            (health::banners(ctx, &self.findings))
            (self.tiles(ctx))
            div.columns {
                (self.chart_of_runs())
                (self.chart_of_lateness())
            }
            div.columns {
                section aria-labelledby="next" {
                    div.head { h2 #next { "Next calls" } a href=(ctx.to("timeline")) { "Timeline" } }
                    @if self.next.is_empty() { (empty("No scheduled calls.")) }
                    ol.rows data-test="next" { @for call in &self.next { li {
                        span.at { (due_in(ctx.now, call.next_attempt.unwrap_or(call.due))) }
                        div.what {
                            (call_link(ctx, call)) " "
                            @match &call.identifier {
                                Some(identifier) => span.text.quiet { (brief(identifier, 40)) },
                                None => (short_id(&call.id.to_string())),
                            }
                        }
                        (pill(status(ctx, call)))
                    } } }
                }
                section aria-labelledby="failed" {
                    div.head { h2 #failed { "Latest failures" } a href=(ctx.to("calls?state=failed")) { "All failed" } }
                    @if self.failed.is_empty() { (empty("No failed calls.")) }
                    ol.rows data-test="failures" { @for call in &self.failed { li {
                        span.at { @if let Some(at) = call.finished { (due_in(at, at)) (clock(at)) } }
                        div.what { (call_link(ctx, call)) div.error { (details(ctx, call)) } }
                    } } }
                }
            }
        }
    }

    fn tiles(&self, ctx: &RequestContext) -> Markup {
        let (pods, slots) = Self::slots(ctx);
        let late = self.counts.oldest_due.map(|oldest| ctx.now.saturating_since(oldest));
        let lateness = |share| quantile(&self.hour.total.lateness, share);
        let tile = |test: &str, link: &str, name: &str, figure: &str, note: &str, bad: bool| {
            html! {
                a.tile.bad[bad] href=(ctx.to(link)) data-test=(test) {
                    span.name { (name) } strong { (figure) } span.note { (note) }
                }
            }
        };
        let oldest = late.map_or("none waiting".to_owned(), |late| format!("oldest waiting {}", span(late)));
        html! {
            div.tiles {
                (tile("due", "calls?state=due", "Due now", &capped(self.counts.due, CAP), &oldest,
                    late.is_some_and(|late| late >= MINUTE)))
                (tile("running", "calls?state=running", "Running", &capped(self.counts.running, CAP),
                    &format!("{slots} slots on {}", pods_text(pods)), pods == 0))
                (tile("scheduled", "calls?state=scheduled", "Scheduled", &capped(self.counts.scheduled, CAP),
                    "due or upcoming", false))
                (tile("lateness", "types", "Lateness p99", &lateness(0.99),
                    &format!("median {}, last hour", lateness(0.5)), false))
                (tile("failed", "calls?state=failed", "Failed, last 24 h", &capped(self.failed_day, CAP),
                    &format!("{} in the last hour", capped(self.failed_hour, CAP)), self.failed_hour > 0))
            }
        }
    }

    fn chart_of_runs(&self) -> Markup {
        let bars: Vec<_> = self
            .hour
            .minutes
            .iter()
            .map(|minute| {
                let (good, bad) = (minute.succeeded, minute.failed + minute.interrupted);
                let title = format!(
                    "{}: {good} succeeded, {bad} failed or interrupted",
                    minute.start.to_utc().format("%H:%M")
                );
                Bar { parts: vec![good, bad], title, link: None }
            })
            .collect();
        let total = &self.hour.total;
        let summary = format!(
            "{} succeeded, {} failed or interrupted, {} retried",
            total.succeeded,
            total.failed + total.interrupted,
            total.retried,
        );
        html! {
            section.figure aria-labelledby="runs" {
                div.head { h2 #runs { "Runs per minute" } span.quiet { "last hour" } }
                @if total.succeeded + total.failed + total.interrupted == 0 { p.nothing { "No runs." } }
                (chart::bars(&bars, &["ok", "bad"], 140, &format!("Runs per minute of the last hour: {summary}")))
                (axis())
                p.legend { span.key.ok { "succeeded" } span.key.bad { "failed or interrupted" } span.quiet { (summary) } }
            }
        }
    }

    fn chart_of_lateness(&self) -> Markup {
        let late: Vec<_> = self
            .hour
            .minutes
            .iter()
            .map(|minute| {
                minute.lateness.quantile(0.99).map(|late| u64::try_from(late.as_micros()).unwrap_or(u64::MAX))
            })
            .collect();
        let highest =
            late.iter().flatten().max().map_or("no runs".to_owned(), |most| {
                format!("maximum {}", span(Duration::from_micros(*most)))
            });
        html! {
            section.figure aria-labelledby="lateness" {
                div.head { h2 #lateness { "Lateness p99" } span.quiet { "last hour" } }
                @if late.iter().all(Option::is_none) { p.nothing { "No runs." } }
                (chart::line(&late, "late", 140, &format!("99th percentile of lateness, by minute: {highest}")))
                (axis())
                p.legend { span.key.late { "from due to start, 99th percentile" } span.quiet { (highest) } }
            }
        }
    }

    fn json(&self, ctx: &RequestContext) -> Value {
        let (pods, slots) = Self::slots(ctx);
        json!({
            "now": time(ctx.now),
            "counts": self.counts,
            "count_cap": CAP,
            "live_pods": pods,
            "slots": slots,
            "lateness_p50_seconds": seconds(&self.hour.total.lateness, 0.5),
            "lateness_p99_seconds": seconds(&self.hour.total.lateness, 0.99),
            "failed_last_hour": self.failed_hour,
            "failed_last_day": self.failed_day,
            "minutes": self.hour.minutes,
            "next": calls_json(ctx, &self.next),
            "newest_failures": calls_json(ctx, &self.failed),
            "findings": self.findings,
        })
    }
}

/// Formats a quantile for people.
pub(crate) fn quantile(histogram: &Histogram, share: f64) -> String {
    histogram.quantile(share).map_or("–".to_owned(), span)
}

/// Returns a quantile in seconds, for JSON.
pub(crate) fn seconds(histogram: &Histogram, share: f64) -> Option<f64> {
    histogram.quantile(share).map(|duration| duration.as_secs_f64())
}

fn axis() -> Markup {
    html! { div.axis aria-hidden="true" { span { "60 min ago" } span { "30" } span { "now" } } }
}

fn pods_text(pods: u64) -> String {
    if pods == 1 { "1 live pod".to_owned() } else { format!("{pods} live pods") }
}
