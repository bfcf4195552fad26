//! The pages of call types: counts, durations, lateness, failures grouped by error, and pausing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::response::Response;
use futurecall_runtime::inspect::{CallFilter, PausedName, Span, Statistics};
use futurecall_runtime::{CallId, CallState, Moment};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::components::{call_table, calls_json, empty, notice, pill, time, type_page, with};
use super::forecast::before;
use super::overview::quantile;
use crate::access::Right;
use crate::error_page::Failure;
use crate::layout::NavPage;
use crate::params::{Params, Query};
use crate::request_context::RequestContext;
use crate::text::{capped, cut, number, plain, safe, when};

const CAP: u64 = 10_000;
/// Latest failures that are grouped by error.
const SAMPLE: usize = 500;
/// Groups of errors that are shown.
const GROUPS: usize = 20;
const LONGEST_REASON: usize = 500;
const LONGEST_NAME: usize = 255;

/// A call type with its statistics.
struct Type {
    name: String,
    counted: Statistics,
    pending: u64,
    known: bool,
    paused: Option<PausedName>,
}

/// The period of the statistics.
struct Window {
    word: &'static str,
    /// Length of the rows that are added up: a day is read by the hour, which takes fewer rows.
    span: Span,
    since: Moment,
}

impl Window {
    fn read(ctx: &RequestContext) -> Result<Self, Failure> {
        let (word, span, length) = match ctx.params.get("window").unwrap_or("hour") {
            "hour" => ("hour", Span::Minute, Duration::from_hours(1)),
            "day" => ("day", Span::Hour, Duration::from_hours(24)),
            _ => return Err(Failure::Bad("`window` must be hour or day".to_owned())),
        };
        // Rounded down: the first minute or hour counts in full.
        Ok(Self { word, span, since: span.start_of(before(ctx.now, length)) })
    }
}

async fn gather(ctx: &RequestContext, only: Option<&str>) -> Result<Vec<Type>, Failure> {
    let inspect = ctx.inspect();
    let window = Window::read(ctx)?;
    let known = ctx.known();
    let pending: BTreeMap<_, _> =
        inspect.pending_names(CAP).await?.into_iter().map(|pending| (pending.name, pending.calls)).collect();
    let paused: BTreeMap<_, _> =
        inspect.paused_names().await?.into_iter().map(|paused| (paused.name.clone(), paused)).collect();
    let mut counted: BTreeMap<String, Statistics> = BTreeMap::new();
    for one in inspect.statistics(window.span, window.since, only).await? {
        let fresh = || Statistics::new(one.name.clone(), one.span, one.start);
        counted.entry(one.name.clone()).or_insert_with(fresh).merge(&one);
    }
    let mut names: BTreeSet<&str> = known.clone();
    names.extend(pending.keys().map(String::as_str));
    names.extend(paused.keys().map(String::as_str));
    names.extend(counted.keys().map(String::as_str));
    let names = names.into_iter().filter(|name| only.is_none_or(|only| only == *name));
    Ok(names
        .map(|name| Type {
            counted: counted
                .get(name)
                .cloned()
                .unwrap_or_else(|| Statistics::new(name.to_owned(), window.span, window.since)),
            pending: pending.get(name).copied().unwrap_or(0),
            known: known.contains(name),
            paused: paused.get(name).cloned(),
            name: name.to_owned(),
        })
        .collect())
}

pub(crate) async fn show(ctx: &RequestContext) -> Result<Response, Failure> {
    let Window { word, since, .. } = Window::read(ctx)?;
    let types = gather(ctx, None).await?;
    let html = || {
        html! {
            h1 { "Call types" }
            (notice(ctx, "types"))
            nav.tabs aria-label="Period" { @for choice in ["hour", "day"] {
                a href=(ctx.to(&Query::new().with("window", choice).of("types"))) aria-current=[(choice == word).then_some("true")] { "Last " (choice) }
            } }
            p.quiet data-test="since" { "Counted since " (when(ctx.now, since)) "." }
            @if types.is_empty() { (empty("No call types.")) } @else { (table(ctx, &types)) }
        }
    };
    let json = || {
        json!({
            "now": time(ctx.now),
            "window": word,
            "since": time(since),
            "count_cap": CAP,
            "types": types.iter().map(Type::json).collect::<Vec<_>>(),
        })
    };
    Ok(ctx.page(NavPage::Types, "Call types", html, json))
}

fn table(ctx: &RequestContext, types: &[Type]) -> Markup {
    html! {
        table.cards data-test="types" {
            thead { tr {
                th scope="col" { "Call type" } th.number scope="col" { "Pending" } th.number scope="col" { "Finished" }
                th.number scope="col" { "Failed" } th.number scope="col" { "Retried" }
                th.number scope="col" { "Duration p50" } th.number scope="col" { "p95" }
                th.number scope="col" { "Lateness p50" } th.number scope="col" { "p95" } th scope="col" { "Status" }
            } }
            tbody { @for one in types {
                @let page = ctx.to(&type_page(&one.name));
                tr data-href=(page) {
                    td data-label="Call type" { a.call href=(page) { (safe(&one.name)) } }
                    td.number data-label="Pending" { (capped(one.pending, CAP)) }
                    td.number data-label="Finished" { (number(one.finished())) }
                    td.number data-label="Failed" { span.bad[one.bad() > 0] { (one.failure_rate()) } }
                    td.number data-label="Retried" { (number(one.counted.retried)) }
                    td.number data-label="Duration p50" { (quantile(&one.counted.durations, 0.5)) }
                    td.number data-label="Duration p95" { (quantile(&one.counted.durations, 0.95)) }
                    td.number data-label="Lateness p50" { (quantile(&one.counted.lateness, 0.5)) }
                    td.number data-label="Lateness p95" { (quantile(&one.counted.lateness, 0.95)) }
                    td data-label="Status" { (pill(one.status())) }
                }
            } }
        }
    }
}

impl Type {
    fn finished(&self) -> u64 {
        self.counted.succeeded.saturating_add(self.bad())
    }

    fn bad(&self) -> u64 {
        [self.counted.failed, self.counted.interrupted, self.counted.expired]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Returns the share of finished calls that failed, expired or were interrupted.
    fn failure_rate(&self) -> String {
        match (self.bad(), self.finished()) {
            (_, 0) => "–".to_owned(),
            (0, _) => "0 %".to_owned(),
            (bad, finished) => {
                let tenths = bad.saturating_mul(1_000).div_ceil(finished);
                format!("{}.{} %", tenths / 10, tenths % 10)
            }
        }
    }

    const fn status(&self) -> &'static str {
        match (&self.paused, self.known, self.pending) {
            (Some(_), _, _) => "paused",
            (None, true, _) => "active",
            (None, false, 0) => "gone",
            (None, false, _) => "unknown",
        }
    }

    fn json(&self) -> Value {
        let more = json!({ "status": self.status(), "pending": self.pending, "paused": self.paused });
        let mut json = with(json!(self.counted), more);
        // The statistics are a sum of several rows.
        for field in ["span", "start"] {
            json.as_object_mut().and_then(|fields| fields.remove(field));
        }
        json
    }
}

/// Failed calls whose errors differ only in numbers and ids.
struct Group {
    text: String,
    count: u64,
    newest: CallId,
    at: Option<Moment>,
}

pub(crate) async fn show_one(ctx: &RequestContext) -> Result<Response, Failure> {
    let name = ctx.params.get("name").ok_or_else(|| Failure::Bad("`name` is missing".to_owned()))?;
    let one = gather(ctx, Some(name)).await?.into_iter().next();
    let failed = CallFilter::new().name(name).state(CallState::Failed).limit(SAMPLE);
    let failed = ctx.inspect().calls(failed).await?.calls;
    let next = ctx.inspect().calls(CallFilter::new().name(name).limit(10)).await?.calls;
    if one.is_none() && failed.is_empty() && next.is_empty() {
        return Err(Failure::Missing(format!(
            "There is no call type {name}: no pod runs it, and no call of it is stored."
        )));
    }
    let one = one.unwrap_or_else(|| Type {
        name: name.to_owned(),
        counted: Statistics::new(name.to_owned(), Span::Hour, ctx.now),
        pending: 0,
        known: false,
        paused: None,
    });
    let groups =
        group(failed.iter().map(|call| (call.error.as_deref().unwrap_or(""), call.id, call.finished)));
    let html = || {
        html! {
            p.crumbs { a href=(ctx.to("types")) { "Call types" } }
            h1 { span.text { (safe(name)) } " " (pill(one.status())) }
            (notice(ctx, &type_page(name)))
            @if let Some(paused) = &one.paused {
                p.notice.note { "Paused by " b { (safe(&paused.actor)) } " " (when(ctx.now, paused.since))
                    @if !paused.reason.is_empty() { ": " (safe(&paused.reason)) } }
            }
            (pause_form(ctx, &one))
            (table(ctx, std::slice::from_ref(&one)))
            section aria-labelledby="errors" {
                h2 #errors { "Errors" }
                p.quiet { "The latest " (failed.len()) " failures, grouped by error." }
                (group_table(ctx, &groups))
            }
            section aria-labelledby="next" {
                div.head { h2 #next { "Calls" } a href=(ctx.to(&Query::new().with("name", name).of("calls"))) { "All calls" } }
                @if next.is_empty() { (empty("No calls.")) } @else { (call_table(ctx, &next, false, "Calls of this type")) }
            }
        }
    };
    let json = || {
        let groups: Vec<_> = groups.iter().map(|group| {
            json!({ "text": group.text, "count": group.count, "newest": group.newest, "at": group.at.map(time) })
        }).collect();
        json!({
            "now": time(ctx.now),
            "type": one.json(),
            "errors": groups,
            "calls": calls_json(ctx, &next),
        })
    };
    Ok(ctx.page(NavPage::Types, &plain(name), html, json))
}

fn group_table(ctx: &RequestContext, groups: &[Group]) -> Markup {
    html! { @if groups.is_empty() { (empty("No failures.")) } @else {
        table.cards data-test="errors" {
            thead { tr { th.number scope="col" { "Calls" } th scope="col" { "Error" } th scope="col" { "Latest" } } }
            tbody { @for group in groups { tr data-href=(ctx.to(&format!("calls/{}", group.newest))) {
                td.number data-label="Calls" { (number(group.count)) }
                td.details data-label="Error" { span.error { @if group.text.is_empty() { "(no text)" } @else { (safe(&group.text)) } } }
                td data-label="Latest" { a href=(ctx.to(&format!("calls/{}", group.newest))) {
                    @match group.at { Some(at) => (when(ctx.now, at)), None => "the call" }
                } }
            } } }
        }
    } }
}

fn group<'a>(errors: impl Iterator<Item = (&'a str, CallId, Option<Moment>)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (error, id, at) in errors {
        let text = normalized(error);
        match groups.iter_mut().find(|group| group.text == text) {
            Some(group) => {
                group.count += 1;
                if at > group.at {
                    (group.newest, group.at) = (id, at);
                }
            }
            None => groups.push(Group { text, count: 1, newest: id, at }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups.truncate(GROUPS);
    groups
}

/// Returns the first line of an error with numbers and ids replaced by `#`.
fn normalized(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    let mut text = String::new();
    for word in line.split_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let id = word.len() >= 16
            && digits >= 4
            && word.chars().all(|c| c.is_ascii_hexdigit() || !c.is_alphanumeric());
        if id {
            text.push('#');
            continue;
        }
        let mut within = false;
        for character in word.chars() {
            if !character.is_ascii_digit() {
                text.push(character);
            } else if !within {
                text.push('#');
            }
            within = character.is_ascii_digit();
        }
    }
    cut(&text, 200).0.to_owned()
}

fn pause_form(ctx: &RequestContext, one: &Type) -> Markup {
    if !ctx.may(Right::Names) {
        return html! {};
    }
    html! {
        div.controls data-test="type-actions" {
            @if one.paused.is_some() {
                form method="post" action=(ctx.to("types/act")) { (ctx.token())
                    input type="hidden" name="name" value=(one.name);
                    button.primary type="submit" name="verb" value="resume" data-test="resume" { "Resume" }
                }
            } @else {
                details.control #control-pause { summary.button data-test="pause-open" { "Pause…" }
                    form method="post" action=(ctx.to("types/act")) { (ctx.token())
                        p { "Pods run no calls of this type until it is resumed; they wait and become late. Running calls continue." }
                        input type="hidden" name="name" value=(one.name);
                        label { "Reason" input type="text" name="reason" maxlength=(LONGEST_REASON) autocomplete="off"; }
                        button.primary type="submit" name="verb" value="pause" data-test="pause" { "Pause" }
                    }
                }
            }
        }
    }
}

pub(crate) async fn act(ctx: &RequestContext, form: &Params) -> Result<Response, Failure> {
    ctx.must(Right::Names, "pause call types")?;
    let name = form.get("name").filter(|name| name.chars().count() <= LONGEST_NAME);
    let name = name.ok_or_else(|| Failure::Bad("`name` is not the name of a call type".to_owned()))?;
    let reason: String = form.get("reason").unwrap_or_default().chars().take(LONGEST_REASON).collect();
    let notice = match form.get("verb").unwrap_or_default() {
        "pause" if ctx.operate().pause_name(name, &reason).await? => "Paused.",
        "pause" => "Already paused.",
        "resume" if ctx.operate().resume_name(name).await? => "Resumed.",
        "resume" => "Not paused.",
        other => return Err(Failure::Bad(format!("unknown action: {other}"))),
    };
    Ok(ctx.done(&type_page(name), notice))
}

#[cfg(test)]
mod tests {
    use futurecall_runtime::CallId;

    use super::{group, normalized};

    #[test]
    fn errors_that_differ_only_in_numbers_are_grouped() {
        assert_eq!(normalized("timed out after 31 ms (attempt 2)\nmore"), "timed out after # ms (attempt #)");
        assert_eq!(normalized("no account 0197a4c2-93c1-7d0e-8c4b-0a1b2c3d4e5f"), "no account #");
        assert_eq!(normalized("a  b"), "a b");
        let ids = [CallId::new(), CallId::new(), CallId::new()];
        let groups = group([("e 1", ids[0], None), ("f", ids[1], None), ("e 22", ids[2], None)].into_iter());
        assert_eq!((groups.len(), groups[0].count, groups[0].text.as_str()), (2, 2, "e #"));
    }
}
