//! One schedule: its rule, its next runs, what became of the last ones, and what can be changed.

use std::str::FromStr;
use std::time::Duration;

use axum::response::Response;
use chrono_tz::Tz;
use futurecall_runtime::chrono::{DateTime, Offset};
use futurecall_runtime::inspect::{CallFilter, CallRecord, ScheduleOrigin, ScheduleRecord, ScheduleState};
use futurecall_runtime::operate::{ActionFilter, ActionRecord, ScheduleChanged};
use futurecall_runtime::recurring::{Missed, Overlap, Recurrence, Rule};
use futurecall_runtime::{Moment, ScheduleId};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::actions::action_rows;
use super::components::{call_table, calls_json, empty, notice, pill, with};
use super::recurring::schedule_json;
use crate::access::Right;
use crate::arguments::{Seen, seen};
use crate::error_page::Failure;
use crate::layout::Place;
use crate::params::Params;
use crate::request_context::Visit;
use crate::text::{plain, safe, when};

/// The longest reason that is kept.
const LONGEST_REASON: usize = 500;

struct Page {
    schedule: ScheduleRecord,
    runs: Vec<CallRecord>,
    actions: Vec<ActionRecord>,
    arguments: Seen,
}

pub(crate) async fn show(visit: &Visit, id: &str) -> Result<Response, Failure> {
    let id = read_id(id)?;
    let inspect = visit.inspect();
    let schedule = inspect.schedules().await?.into_iter().find(|schedule| schedule.id == id);
    let schedule = schedule.ok_or_else(|| Failure::Missing(format!("There is no schedule {id}.")))?;
    let page = Page {
        runs: inspect.calls(CallFilter::new().schedule(id).limit(25)).await?.calls,
        actions: inspect.actions(&ActionFilter::new().schedule(id).limit(50)).await?,
        arguments: seen(visit, &schedule.name, &schedule.args),
        schedule,
    };
    let title = plain(&page.schedule.name);
    Ok(visit.page(Place::Recurring, &title, || page.html(visit), || page.json(visit)))
}

fn read_id(id: &str) -> Result<ScheduleId, Failure> {
    id.parse().map_err(|_| Failure::Missing("That is no schedule's id.".to_owned()))
}

impl Page {
    fn html(&self, visit: &Visit) -> Markup {
        let schedule = &self.schedule;
        html! {
            p.crumbs { a href=(visit.to("recurring")) { "Recurring" } " / " code.id { (schedule.id) } }
            h1 { span.text { (safe(&schedule.name)) } " " (pill(schedule.state.as_str())) }
            (notice(visit, &format!("recurring/{}", schedule.id)))
            p.lead data-test="rule" { (safe(&schedule.effective.describe())) }
            (self.changes(visit))
            div.columns {
                section aria-labelledby="upcoming" {
                    h2 #upcoming { "Next runs" }
                    (self.upcoming(visit))
                }
                section aria-labelledby="facts" {
                    h2 #facts { "Facts" }
                    (self.facts(visit))
                }
            }
            section aria-labelledby="arguments" { h2 #arguments { "Arguments of every run" } (self.arguments.markup()) }
            section aria-labelledby="runs" {
                div.head {
                    h2 #runs { "Its runs" }
                    a href=(visit.to(&format!("calls?schedule={}", schedule.id))) { "All of them" }
                }
                @if self.runs.is_empty() { (empty("None is stored.")) } @else {
                    (sparks(visit, &self.runs))
                    (call_table(visit, &self.runs, false, "Runs of this schedule"))
                }
            }
            section aria-labelledby="actions" {
                h2 #actions { "What operators did" }
                (action_rows(visit, &self.actions, "Nobody has touched it."))
            }
        }
    }

    fn upcoming(&self, visit: &Visit) -> Markup {
        let runs = self.schedule.upcoming(visit.now, 5);
        let zone = zone(&self.schedule.effective);
        let mut before = zone.map(|zone| offset(zone, visit.now));
        html! {
            @if self.schedule.state != ScheduleState::Active {
                p.quiet { "It is " (self.schedule.state.as_str()) ". If it were active:" }
            }
            @if runs.is_empty() { (empty("The rule has no further run.")) }
            ol.rows data-test="upcoming" { @for run in runs { li {
                (when(visit.now, run))
                @if let Some(zone) = zone {
                    @let now = offset(zone, run);
                    span.what { (local(zone, run)) " " span.quiet { (zone.name()) } }
                    @if before != Some(now) {
                        span.pill.clock-change data-test="clock-change" {
                            "clocks change: UTC" (hours(before.unwrap_or(now))) " to UTC" (hours(now))
                        }
                    }
                    @let _ = before.replace(now);
                }
            } } }
        }
    }

    fn facts(&self, visit: &Visit) -> Markup {
        let schedule = &self.schedule;
        let edited = schedule.effective != schedule.declared;
        html! {
            dl.facts data-test="facts" {
                @if let Some(identifier) = &schedule.identifier { div { dt { "Identifier" } dd { span.text { (safe(identifier)) } } } }
                div { dt { "In effect" } dd { code.text { (safe(&rule_text(&schedule.effective))) }
                    @if edited { " " span.pill.edited { "edited" } } } }
                @if edited { div { dt { "Declared" } dd { code.text { (safe(&rule_text(&schedule.declared))) } } } }
                div { dt { "Missed runs" } dd { (missed_words(schedule.effective.missed)) } }
                div { dt { "Overlapping runs" } dd { (overlap_words(schedule.effective.overlap)) } }
                div { dt { "Declared by" } dd { @match schedule.origin {
                    ScheduleOrigin::Attribute => "an attribute in the code",
                    _ => "code that ran",
                } } }
                div { dt { "Declared first" } dd { (when(visit.now, schedule.created)) } }
                @if let Some(reason) = &schedule.reason { div { dt { "Reason" } dd { span.text { (safe(reason)) } } } }
            }
        }
    }

    fn changes(&self, visit: &Visit) -> Markup {
        if !visit.may(Right::Schedules) || self.schedule.state == ScheduleState::Ended {
            return html! {};
        }
        let action = visit.to(&format!("recurring/{}/act", self.schedule.id));
        let simple = |verb: &str, label: &str| {
            html! { form method="post" action=(action) { (visit.token())
            button type="submit" name="verb" value=(verb) data-test=(verb) { (label) } } }
        };
        let reasoned = |verb: &str, label: &str, text: &str| {
            html! { details.deed id=(format!("deed-{verb}")) { summary.button data-test=(format!("{verb}-open")) { (label) "…" }
            form method="post" action=(action) { (visit.token())
                p { (text) }
                label { "Reason" input type="text" name="reason" maxlength=(LONGEST_REASON) autocomplete="off"; }
                button.primary type="submit" name="verb" value=(verb) data-test=(verb) { (label) }
            } } }
        };
        html! {
            div.deeds data-test="schedule-actions" {
                (simple("trigger", "Run once more, now"))
                @if self.schedule.state == ScheduleState::Paused { (simple("resume", "Resume")) } @else {
                    (reasoned("pause", "Pause", "It produces no further call until it is resumed, over restarts too. Its pending call is removed; what runs goes on."))
                }
                (self.editor(visit, &action))
                (reasoned("end", "End", "Its pending call is removed. Code that declares it revives it: pausing lasts."))
            }
        }
    }

    fn editor(&self, visit: &Visit, action: &str) -> Markup {
        let rule = &self.schedule.effective;
        let (cron, zone, every) = match &rule.recurrence {
            Recurrence::Cron { expression, time_zone, .. } => {
                (Some(expression.as_str()), Some(time_zone.as_str()), None)
            }
            Recurrence::Every { interval_us, .. } => (
                None,
                None,
                Some(humantime::format_duration(Duration::from_micros(*interval_us)).to_string()),
            ),
            _ => (None, None, None),
        };
        html! {
            details.deed #deed-edit { summary.button data-test="edit-open" { "Edit…" }
                form method="post" action=(action) data-test="edit-form" { (visit.token())
                    p { "The new rule is in effect until the code itself declares another one than it does now." }
                    div.fields {
                        label { "Every" input type="text" name="every" value=[every] placeholder="15m" maxlength="60" autocomplete="off"; }
                        label { "or cron" input type="text" name="cron" value=[cron] placeholder="0 7 * * MON-FRI" maxlength="255" autocomplete="off" spellcheck="false"; }
                        label { "Time zone" input type="text" name="zone" value=[zone] placeholder="Europe/Berlin" maxlength="60" autocomplete="off" spellcheck="false"; }
                        label { "Missed runs" select name="missed" {
                            @for missed in [Missed::RunOnce, Missed::Skip, Missed::RunAll] {
                                option value=(missed_word(missed)) selected[rule.missed == missed] { (missed_words(missed)) }
                            }
                        } }
                        label { "Overlapping runs" select name="overlap" {
                            @for overlap in [Overlap::Skip, Overlap::Allow] {
                                option value=(overlap_word(overlap)) selected[rule.overlap == overlap] { (overlap_words(overlap)) }
                            }
                        } }
                    }
                    button.primary type="submit" name="verb" value="edit" data-test="edit" { "Put in effect" }
                }
            }
        }
    }

    fn json(&self, visit: &Visit) -> Value {
        let more = json!({
            "arguments_json": self.arguments.text(),
            "runs": calls_json(visit, &self.runs),
            "actions": self.actions,
        });
        with(schedule_json(visit, &self.schedule), more)
    }
}

/// What became of the last runs, oldest first, each a link.
fn sparks(visit: &Visit, runs: &[CallRecord]) -> Markup {
    let mut ended: Vec<_> = runs.iter().filter(|call| call.state.is_finished()).collect();
    ended.sort_by_key(|call| call.finished);
    html! { @if !ended.is_empty() {
        p.sparks aria-label="The last runs, oldest first" { @for call in ended {
            a href=(visit.to(&format!("calls/{}", call.id))) { (pill(call.state.as_str())) } " "
        } }
    } }
}

/// Does what a form of this page says.
pub(crate) async fn act(visit: &Visit, id: &str, form: &Params) -> Result<Response, Failure> {
    visit.must(Right::Schedules, "change schedules")?;
    let id = read_id(id)?;
    let operator = visit.operate();
    let reason: String = form.get("reason").unwrap_or_default().chars().take(LONGEST_REASON).collect();
    let page = format!("recurring/{id}");
    let (changed, done) = match form.get("verb").unwrap_or_default() {
        "pause" => (operator.pause_schedule(id, &reason).await?, "Paused."),
        "resume" => (operator.resume_schedule(id).await?, "Resumed."),
        "end" => (operator.end_schedule(id, &reason).await?, "Ended."),
        "edit" => (operator.edit_schedule(id, read_rule(form)?).await?, "The new rule is in effect."),
        "trigger" => {
            let call = operator.trigger(id).await?;
            return Ok(visit.done(&page, &format!("Stored as call {call}, due now.")));
        }
        other => return Err(Failure::Bad(format!("`verb` is no action: {other}"))),
    };
    let notice = match changed {
        ScheduleChanged::Changed => done,
        ScheduleChanged::Unchanged => "Nothing changed: it was so already.",
        _ => "Nothing changed: it has ended. Declare it again to revive it.",
    };
    Ok(visit.done(&page, notice))
}

fn read_rule(form: &Params) -> Result<Rule, Failure> {
    let bad = |error: &dyn std::fmt::Display| Failure::Bad(error.to_string());
    let mut rule = match (form.get("every"), form.get("cron")) {
        (Some(every), None) => {
            let interval = humantime::parse_duration(every.trim()).map_err(|_| {
                Failure::Bad(format!("`every` is no duration: {every}. Write 15m or 2h 30m."))
            })?;
            Rule::every(interval).map_err(|error| bad(&error))?
        }
        (None, Some(cron)) => {
            Rule::cron(cron, form.get("zone").unwrap_or("UTC").trim()).map_err(|error| bad(&error))?
        }
        _ => return Err(Failure::Bad("Give an interval or a cron expression, one of both.".to_owned())),
    };
    rule.missed = choice(form, "missed", [Missed::RunOnce, Missed::Skip, Missed::RunAll], missed_word)?;
    rule.overlap = choice(form, "overlap", [Overlap::Skip, Overlap::Allow], overlap_word)?;
    Ok(rule)
}

fn choice<T: Copy + Default, const N: usize>(
    form: &Params,
    name: &str,
    all: [T; N],
    word: fn(T) -> &'static str,
) -> Result<T, Failure> {
    form.get(name).map_or(Ok(T::default()), |given| {
        let found = all.into_iter().find(|one| word(*one) == given);
        found.ok_or_else(|| Failure::Bad(format!("`{name}` is not one of {}", all.map(word).join(", "))))
    })
}

const fn missed_word(missed: Missed) -> &'static str {
    match missed {
        Missed::Skip => "skip",
        Missed::RunAll => "run_all",
        _ => "run_once",
    }
}

const fn missed_words(missed: Missed) -> &'static str {
    match missed {
        Missed::Skip => "none is made up for",
        Missed::RunAll => "every one is made up for",
        _ => "one run makes up for all",
    }
}

const fn overlap_word(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::Allow => "allow",
        _ => "skip",
    }
}

const fn overlap_words(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::Allow => "start beside the other",
        _ => "are skipped, visibly",
    }
}

/// The rule as it is written.
fn rule_text(rule: &Rule) -> String {
    match &rule.recurrence {
        Recurrence::Cron { expression, time_zone, .. } => format!("{expression} ({time_zone})"),
        Recurrence::Every { interval_us, .. } => {
            format!("every {}", humantime::format_duration(Duration::from_micros(*interval_us)))
        }
        _ => rule.describe(),
    }
}

/// The zone whose clock a rule goes by.
fn zone(rule: &Rule) -> Option<Tz> {
    match &rule.recurrence {
        Recurrence::Cron { time_zone, .. } => Tz::from_str(time_zone).ok(),
        _ => None,
    }
}

fn at(zone: Tz, moment: Moment) -> DateTime<Tz> {
    moment.to_utc().with_timezone(&zone)
}

/// Seconds east of UTC.
fn offset(zone: Tz, moment: Moment) -> i32 {
    at(zone, moment).offset().fix().local_minus_utc()
}

fn local(zone: Tz, moment: Moment) -> String {
    at(zone, moment).format("%a %Y-%m-%d %H:%M:%S").to_string()
}

/// `+2`, `+5:30`, `-3`.
fn hours(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    match minutes % 60 {
        0 => format!("{sign}{}", minutes / 60),
        rest => format!("{sign}{}:{rest:02}", minutes / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_clocks_is_seen() {
        let berlin = Tz::Europe__Berlin;
        let seen = |text: &str| {
            offset(berlin, Moment::try_from(DateTime::parse_from_rfc3339(text).unwrap()).unwrap())
        };
        assert_eq!((seen("2026-10-25T00:30:00Z"), seen("2026-10-25T01:30:00Z")), (7_200, 3_600));
        assert_eq!([3_600, 19_800, -10_800, 0].map(hours), ["+1", "+5:30", "-3", "+0"]);
    }

    #[test]
    fn a_rule_is_read_or_refused_in_words() {
        let read = |text: &str| read_rule(&Params::parse(text.as_bytes()).unwrap());
        assert_eq!(read("every=15m").unwrap(), Rule::every(Duration::from_mins(15)).unwrap());
        let rule = read("cron=0+7+*+*+*&zone=Europe/Berlin&missed=skip&overlap=allow").unwrap();
        assert_eq!((rule.missed, rule.overlap), (Missed::Skip, Overlap::Allow));
        for bad in [
            "",
            "every=soon",
            "every=0s",
            "cron=7",
            "cron=0+7+*+*+*&zone=Mars",
            "every=1m&cron=x",
            "every=1m&missed=<b>",
        ] {
            assert!(matches!(read(bad), Err(Failure::Bad(_))), "{bad}");
        }
    }
}
