//! Call types: how often, how long, how late, how often wrongly; and why.

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
use crate::layout::Place;
use crate::params::{Params, Query};
use crate::request_context::Visit;
use crate::text::{capped, cut, number, plain, safe, when};

const CAP: u64 = 10_000;
/// Failures that are looked through for what they have in common.
const SAMPLE: usize = 500;
/// Groups that are shown.
const GROUPS: usize = 20;
const LONGEST_REASON: usize = 500;
const LONGEST_NAME: usize = 255;

/// What was counted of a type, what waits, and whether it is paused.
struct Type {
    name: String,
    counted: Statistics,
    pending: u64,
    known: bool,
    paused: Option<PausedName>,
}

/// Over how long it was counted.
struct Window {
    word: &'static str,
    /// What is added up: a day of minutes would be many rows.
    span: Span,
    since: Moment,
}

impl Window {
    fn read(visit: &Visit) -> Result<Self, Failure> {
        let (word, span, length) = match visit.params.get("window").unwrap_or("hour") {
            "hour" => ("hour", Span::Minute, Duration::from_hours(1)),
            "day" => ("day", Span::Hour, Duration::from_hours(24)),
            _ => return Err(Failure::Bad("`window` is one of hour, day".to_owned())),
        };
        // No less than was asked for: the minute or hour in which it begins is counted whole.
        Ok(Self { word, span, since: span.start_of(before(visit.now, length)) })
    }
}

async fn gather(visit: &Visit, only: Option<&str>) -> Result<Vec<Type>, Failure> {
    let inspect = visit.inspect();
    let window = Window::read(visit)?;
    let known = visit.known();
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

pub(crate) async fn show(visit: &Visit) -> Result<Response, Failure> {
    let Window { word, since, .. } = Window::read(visit)?;
    let types = gather(visit, None).await?;
    let html = || {
        html! {
            h1 { "Call types" }
            (notice(visit, "types"))
            nav.tabs aria-label="Counted over" { @for choice in ["hour", "day"] {
                a href=(visit.to(&Query::new().with("window", choice).of("types"))) aria-current=[(choice == word).then_some("true")] { "Last " (choice) }
            } }
            p.quiet data-test="since" { "Counted since " (when(visit.now, since)) "." }
            @if types.is_empty() { (empty("No pod knows a call, and none is stored.")) } @else { (table(visit, &types)) }
        }
    };
    let json = || {
        json!({
            "now": time(visit.now),
            "window": word,
            "since": time(since),
            "count_cap": CAP,
            "types": types.iter().map(Type::json).collect::<Vec<_>>(),
        })
    };
    Ok(visit.page(Place::Types, "Call types", html, json))
}

fn table(visit: &Visit, types: &[Type]) -> Markup {
    html! {
        table.cards data-test="types" {
            thead { tr {
                th scope="col" { "Call type" } th.number scope="col" { "Pending" } th.number scope="col" { "Ended" }
                th.number scope="col" { "Failed" } th.number scope="col" { "Retried" }
                th.number scope="col" { "Ran p50" } th.number scope="col" { "p95" }
                th.number scope="col" { "Late p50" } th.number scope="col" { "p95" } th scope="col" { "Standing" }
            } }
            tbody { @for one in types {
                @let page = visit.to(&type_page(&one.name));
                tr data-href=(page) {
                    td data-label="Call type" { a.call href=(page) { (safe(&one.name)) } }
                    td.number data-label="Pending" { (capped(one.pending, CAP)) }
                    td.number data-label="Ended" { (number(one.ended())) }
                    td.number data-label="Failed" { span.bad[one.bad() > 0] { (one.share()) } }
                    td.number data-label="Retried" { (number(one.counted.retried)) }
                    td.number data-label="Ran p50" { (quantile(&one.counted.durations, 0.5)) }
                    td.number data-label="Ran p95" { (quantile(&one.counted.durations, 0.95)) }
                    td.number data-label="Late p50" { (quantile(&one.counted.lateness, 0.5)) }
                    td.number data-label="Late p95" { (quantile(&one.counted.lateness, 0.95)) }
                    td data-label="Standing" { (pill(one.standing())) }
                }
            } }
        }
    }
}

impl Type {
    fn ended(&self) -> u64 {
        self.counted.succeeded.saturating_add(self.bad())
    }

    fn bad(&self) -> u64 {
        [self.counted.failed, self.counted.interrupted, self.counted.expired]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// The share of ended calls that did not end well.
    fn share(&self) -> String {
        match (self.bad(), self.ended()) {
            (_, 0) => "–".to_owned(),
            (0, _) => "0 %".to_owned(),
            (bad, ended) => {
                let tenths = bad.saturating_mul(1_000).div_ceil(ended);
                format!("{}.{} %", tenths / 10, tenths % 10)
            }
        }
    }

    const fn standing(&self) -> &'static str {
        match (&self.paused, self.known, self.pending) {
            (Some(_), _, _) => "paused",
            (None, true, _) => "active",
            (None, false, 0) => "gone",
            (None, false, _) => "unknown",
        }
    }

    fn json(&self) -> Value {
        let more = json!({ "standing": self.standing(), "pending": self.pending, "paused": self.paused });
        let mut json = with(json!(self.counted), more);
        // It is a sum of several.
        for field in ["span", "start"] {
            json.as_object_mut().and_then(|fields| fields.remove(field));
        }
        json
    }
}

/// Failures that say the same but for their numbers.
struct Group {
    text: String,
    count: u64,
    newest: CallId,
    at: Option<Moment>,
}

pub(crate) async fn show_one(visit: &Visit) -> Result<Response, Failure> {
    let name = visit.params.get("name").ok_or_else(|| Failure::Bad("`name` is missing".to_owned()))?;
    let one = gather(visit, Some(name)).await?.into_iter().next();
    let failed = CallFilter::new().name(name).state(CallState::Failed).limit(SAMPLE);
    let failed = visit.inspect().calls(failed).await?.calls;
    let next = visit.inspect().calls(CallFilter::new().name(name).limit(10)).await?.calls;
    if one.is_none() && failed.is_empty() && next.is_empty() {
        return Err(Failure::Missing(format!("No pod knows {name}, and no call of it is stored.")));
    }
    let one = one.unwrap_or_else(|| Type {
        name: name.to_owned(),
        counted: Statistics::new(name.to_owned(), Span::Hour, visit.now),
        pending: 0,
        known: false,
        paused: None,
    });
    let groups =
        group(failed.iter().map(|call| (call.error.as_deref().unwrap_or(""), call.id, call.finished)));
    let html = || {
        html! {
            p.crumbs { a href=(visit.to("types")) { "Call types" } }
            h1 { span.text { (safe(name)) } " " (pill(one.standing())) }
            (notice(visit, &type_page(name)))
            @if let Some(paused) = &one.paused {
                p.notice.note { "Paused by " b { (safe(&paused.actor)) } " " (when(visit.now, paused.since))
                    @if !paused.reason.is_empty() { ": " (safe(&paused.reason)) } }
            }
            (pausing(visit, &one))
            (table(visit, std::slice::from_ref(&one)))
            section aria-labelledby="errors" {
                h2 #errors { "What failed calls said" }
                p.quiet { "The newest " (failed.len()) ", those alike together." }
                (group_table(visit, &groups))
            }
            section aria-labelledby="next" {
                div.head { h2 #next { "Its calls" } a href=(visit.to(&Query::new().with("name", name).of("calls"))) { "All of them" } }
                @if next.is_empty() { (empty("None is stored.")) } @else { (call_table(visit, &next, false, "Calls of this type")) }
            }
        }
    };
    let json = || {
        let groups: Vec<_> = groups.iter().map(|group| {
            json!({ "text": group.text, "count": group.count, "newest": group.newest, "at": group.at.map(time) })
        }).collect();
        json!({
            "now": time(visit.now),
            "type": one.json(),
            "errors": groups,
            "calls": calls_json(visit, &next),
        })
    };
    Ok(visit.page(Place::Types, &plain(name), html, json))
}

fn group_table(visit: &Visit, groups: &[Group]) -> Markup {
    html! { @if groups.is_empty() { (empty("None has failed.")) } @else {
        table.cards data-test="errors" {
            thead { tr { th.number scope="col" { "Calls" } th scope="col" { "What they said" } th scope="col" { "Newest" } } }
            tbody { @for group in groups { tr data-href=(visit.to(&format!("calls/{}", group.newest))) {
                td.number data-label="Calls" { (number(group.count)) }
                td.remark data-label="What they said" { span.error { @if group.text.is_empty() { "(nothing)" } @else { (safe(&group.text)) } } }
                td data-label="Newest" { a href=(visit.to(&format!("calls/{}", group.newest))) {
                    @match group.at { Some(at) => (when(visit.now, at)), None => "the call" }
                } }
            } } }
        }
    } }
}

fn group<'a>(errors: impl Iterator<Item = (&'a str, CallId, Option<Moment>)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (error, id, at) in errors {
        let text = alike(error);
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

/// An error's first line without what differs from call to call: numbers, ids, what stands in quotes.
fn alike(error: &str) -> String {
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

fn pausing(visit: &Visit, one: &Type) -> Markup {
    if !visit.may(Right::Names) {
        return html! {};
    }
    html! {
        div.deeds data-test="type-actions" {
            @if one.paused.is_some() {
                form method="post" action=(visit.to("types/act")) { (visit.token())
                    input type="hidden" name="name" value=(one.name);
                    button.primary type="submit" name="verb" value="resume" data-test="resume" { "Resume" }
                }
            } @else {
                details.deed #deed-pause { summary.button data-test="pause-open" { "Pause…" }
                    form method="post" action=(visit.to("types/act")) { (visit.token())
                        p { "No pod claims its calls until it is resumed; they wait, and are late. What runs goes on." }
                        input type="hidden" name="name" value=(one.name);
                        label { "Reason" input type="text" name="reason" maxlength=(LONGEST_REASON) autocomplete="off"; }
                        button.primary type="submit" name="verb" value="pause" data-test="pause" { "Pause" }
                    }
                }
            }
        }
    }
}

pub(crate) async fn act(visit: &Visit, form: &Params) -> Result<Response, Failure> {
    visit.must(Right::Names, "pause call types")?;
    let name = form.get("name").filter(|name| name.chars().count() <= LONGEST_NAME);
    let name = name.ok_or_else(|| Failure::Bad("`name` is no call type's name".to_owned()))?;
    let reason: String = form.get("reason").unwrap_or_default().chars().take(LONGEST_REASON).collect();
    let notice = match form.get("verb").unwrap_or_default() {
        "pause" if visit.operate().pause_name(name, &reason).await? => "Paused.",
        "pause" => "It was paused already.",
        "resume" if visit.operate().resume_name(name).await? => "Resumed.",
        "resume" => "It was not paused.",
        other => return Err(Failure::Bad(format!("`verb` is no action: {other}"))),
    };
    Ok(visit.done(&type_page(name), notice))
}

#[cfg(test)]
mod tests {
    use futurecall_runtime::CallId;

    use super::{alike, group};

    #[test]
    fn errors_that_differ_in_numbers_alone_are_alike() {
        assert_eq!(alike("timed out after 31 ms (attempt 2)\nmore"), "timed out after # ms (attempt #)");
        assert_eq!(alike("no account 0197a4c2-93c1-7d0e-8c4b-0a1b2c3d4e5f"), "no account #");
        assert_eq!(alike("a  b"), "a b");
        let ids = [CallId::new(), CallId::new(), CallId::new()];
        let groups = group([("e 1", ids[0], None), ("f", ids[1], None), ("e 22", ids[2], None)].into_iter());
        assert_eq!((groups.len(), groups[0].count, groups[0].text.as_str()), (2, 2, "e #"));
    }
}
