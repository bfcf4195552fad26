//! The page of one schedule: rule, next and latest runs, and the forms that change it.

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
use super::schedules::schedule_json;
use crate::access::Right;
use crate::arguments::{VisibleArguments, visible_arguments};
use crate::error_page::Failure;
use crate::layout::NavPage;
use crate::params::Params;
use crate::request_context::RequestContext;
use crate::text::{plain, safe, when};

/// Characters of a reason that are kept.
const LONGEST_REASON: usize = 500;

struct Page {
    schedule: ScheduleRecord,
    runs: Vec<CallRecord>,
    actions: Vec<ActionRecord>,
    arguments: VisibleArguments,
}

pub(crate) async fn show(ctx: &RequestContext, id: &str) -> Result<Response, Failure> {
    let id = read_id(id)?;
    let inspect = ctx.inspect();
    let schedule = inspect.schedules().await?.into_iter().find(|schedule| schedule.id == id);
    let schedule = schedule.ok_or_else(|| Failure::Missing(format!("Schedule {id} does not exist.")))?;
    let page = Page {
        runs: inspect.calls(CallFilter::new().schedule(id).limit(25)).await?.calls,
        actions: inspect.actions(&ActionFilter::new().schedule(id).limit(50)).await?,
        arguments: visible_arguments(ctx, &schedule.name, &schedule.args),
        schedule,
    };
    let title = plain(&page.schedule.name);
    Ok(ctx.page(NavPage::Schedules, &title, || page.html(ctx), || page.json(ctx)))
}

fn read_id(id: &str) -> Result<ScheduleId, Failure> {
    id.parse().map_err(|_| Failure::Missing("This is not a schedule id.".to_owned()))
}

impl Page {
    fn html(&self, ctx: &RequestContext) -> Markup {
        let schedule = &self.schedule;
        html! {
            p.crumbs { a href=(ctx.to("schedules")) { "Schedules" } " / " code.id { (schedule.id) } }
            h1 { span.text { (safe(&schedule.name)) } " " (pill(schedule.state.as_str())) }
            (notice(ctx, &format!("schedules/{}", schedule.id)))
            p.lead data-test="rule" { (safe(&schedule.effective.describe())) }
            (self.changes(ctx))
            div.columns {
                section aria-labelledby="upcoming" {
                    h2 #upcoming { "Next runs" }
                    (self.upcoming(ctx))
                }
                section aria-labelledby="details" {
                    h2 #details { "Details" }
                    (self.facts(ctx))
                }
            }
            section aria-labelledby="arguments" { h2 #arguments { "Arguments" } (self.arguments.markup()) }
            section aria-labelledby="runs" {
                div.head {
                    h2 #runs { "Runs" }
                    a href=(ctx.to(&format!("calls?schedule={}", schedule.id))) { "All runs" }
                }
                @if self.runs.is_empty() { (empty("No runs.")) } @else {
                    (sparks(ctx, &self.runs))
                    (call_table(ctx, &self.runs, false, "Runs of this schedule"))
                }
            }
            section aria-labelledby="actions" {
                h2 #actions { "Actions" }
                (action_rows(ctx, &self.actions, "No actions yet."))
            }
        }
    }

    fn upcoming(&self, ctx: &RequestContext) -> Markup {
        let runs = self.schedule.upcoming(ctx.now, 5);
        let zone = zone(&self.schedule.effective);
        let mut before = zone.map(|zone| offset(zone, ctx.now));
        html! {
            @if self.schedule.state != ScheduleState::Active {
                p.quiet { "The schedule is " (self.schedule.state.as_str()) ". Next runs if it were active:" }
            }
            @if runs.is_empty() { (empty("No further runs.")) }
            ol.rows data-test="upcoming" { @for run in runs { li {
                (when(ctx.now, run))
                @if let Some(zone) = zone {
                    @let now = offset(zone, run);
                    span.what { (local(zone, run)) " " span.quiet { (zone.name()) } }
                    @if before != Some(now) {
                        span.pill.clock-change data-test="clock-change" {
                            "clock change: UTC" (hours(before.unwrap_or(now))) " to UTC" (hours(now))
                        }
                    }
                    @let _ = before.replace(now);
                }
            } } }
        }
    }

    fn facts(&self, ctx: &RequestContext) -> Markup {
        let schedule = &self.schedule;
        let edited = schedule.effective != schedule.declared;
        html! {
            dl.facts data-test="facts" {
                @if let Some(identifier) = &schedule.identifier { div { dt { "Identifier" } dd { span.text { (safe(identifier)) } } } }
                div { dt { "Rule" } dd { code.text { (safe(&rule_text(&schedule.effective))) }
                    @if edited { " " span.pill.edited { "edited" } } } }
                @if edited { div { dt { "Declared rule" } dd { code.text { (safe(&rule_text(&schedule.declared))) } } } }
                div { dt { "Missed runs" } dd { (missed_words(schedule.effective.missed)) } }
                div { dt { "Overlapping runs" } dd { (overlap_words(schedule.effective.overlap)) } }
                div { dt { "Declared by" } dd { @match schedule.origin {
                    ScheduleOrigin::Attribute => "attribute",
                    _ => "code",
                } } }
                div { dt { "Created" } dd { (when(ctx.now, schedule.created)) } }
                @if let Some(reason) = &schedule.reason { div { dt { "Reason" } dd { span.text { (safe(reason)) } } } }
            }
        }
    }

    fn changes(&self, ctx: &RequestContext) -> Markup {
        if !ctx.may(Right::Schedules) || self.schedule.state == ScheduleState::Ended {
            return html! {};
        }
        let action = ctx.to(&format!("schedules/{}/act", self.schedule.id));
        let simple = |verb: &str, label: &str| {
            html! { form method="post" action=(action) { (ctx.token())
            button type="submit" name="verb" value=(verb) data-test=(verb) { (label) } } }
        };
        let reasoned = |verb: &str, label: &str, text: &str| {
            html! { details.control id=(format!("control-{verb}")) { summary.button data-test=(format!("{verb}-open")) { (label) "…" }
            form method="post" action=(action) { (ctx.token())
                p { (text) }
                label { "Reason" input type="text" name="reason" maxlength=(LONGEST_REASON) autocomplete="off"; }
                button.primary type="submit" name="verb" value=(verb) data-test=(verb) { (label) }
            } } }
        };
        html! {
            div.controls data-test="schedule-actions" {
                (simple("trigger", "Trigger a run"))
                @if self.schedule.state == ScheduleState::Paused { (simple("resume", "Resume")) } @else {
                    (reasoned("pause", "Pause", "No further runs are scheduled until it is resumed, not even after a restart. Its pending call is removed; a running one continues."))
                }
                (self.editor(ctx, &action))
                (reasoned("end", "End", "Its pending call is removed. Code that declares the schedule again revives it; to stop it for longer, pause it."))
            }
        }
    }

    fn editor(&self, ctx: &RequestContext, action: &str) -> Markup {
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
            details.control #control-edit { summary.button data-test="edit-open" { "Edit…" }
                form method="post" action=(action) data-test="edit-form" { (ctx.token())
                    p { "The new rule applies until the code declares a different rule." }
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
                    button.primary type="submit" name="verb" value="edit" data-test="edit" { "Save" }
                }
            }
        }
    }

    fn json(&self, ctx: &RequestContext) -> Value {
        let more = json!({
            "arguments_json": self.arguments.text(),
            "runs": calls_json(ctx, &self.runs),
            "actions": self.actions,
        });
        with(schedule_json(ctx, &self.schedule), more)
    }
}

/// Renders the outcomes of the latest runs, oldest first, as links.
fn sparks(ctx: &RequestContext, runs: &[CallRecord]) -> Markup {
    let mut ended: Vec<_> = runs.iter().filter(|call| call.state.is_finished()).collect();
    ended.sort_by_key(|call| call.finished);
    html! { @if !ended.is_empty() {
        p.sparks aria-label="Latest runs, oldest first" { @for call in ended {
            a href=(ctx.to(&format!("calls/{}", call.id))) { (pill(call.state.as_str())) } " "
        } }
    } }
}

/// Does the action of a form on this page.
pub(crate) async fn act(ctx: &RequestContext, id: &str, form: &Params) -> Result<Response, Failure> {
    ctx.must(Right::Schedules, "change schedules")?;
    let id = read_id(id)?;
    let operator = ctx.operate();
    let reason: String = form.get("reason").unwrap_or_default().chars().take(LONGEST_REASON).collect();
    let page = format!("schedules/{id}");
    let (changed, done) = match form.get("verb").unwrap_or_default() {
        "pause" => (operator.pause_schedule(id, &reason).await?, "Paused."),
        "resume" => (operator.resume_schedule(id).await?, "Resumed."),
        "end" => (operator.end_schedule(id, &reason).await?, "Ended."),
        "edit" => (operator.edit_schedule(id, read_rule(form)?).await?, "Rule changed."),
        "trigger" => {
            let call = operator.trigger(id).await?;
            return Ok(ctx.done(&page, &format!("Triggered call {call}, due now.")));
        }
        other => return Err(Failure::Bad(format!("unknown action: {other}"))),
    };
    let notice = match changed {
        ScheduleChanged::Changed => done,
        ScheduleChanged::Unchanged => "Nothing changed: this was already so.",
        _ => "Nothing changed: the schedule has ended. Declare it again to revive it.",
    };
    Ok(ctx.done(&page, notice))
}

fn read_rule(form: &Params) -> Result<Rule, Failure> {
    let bad = |error: &dyn std::fmt::Display| Failure::Bad(error.to_string());
    let mut rule = match (form.get("every"), form.get("cron")) {
        (Some(every), None) => {
            let interval = humantime::parse_duration(every.trim()).map_err(|_| {
                Failure::Bad(format!("`every` is not a duration: {every}. Write 15m or 2h 30m."))
            })?;
            Rule::every(interval).map_err(|error| bad(&error))?
        }
        (None, Some(cron)) => {
            Rule::cron(cron, form.get("zone").unwrap_or("UTC").trim()).map_err(|error| bad(&error))?
        }
        _ => return Err(Failure::Bad("Enter either an interval or a cron expression.".to_owned())),
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
        found.ok_or_else(|| Failure::Bad(format!("`{name}` must be one of {}", all.map(word).join(", "))))
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
        Missed::Skip => "skip all",
        Missed::RunAll => "run all",
        _ => "run once for all",
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
        Overlap::Allow => "run concurrently",
        _ => "skip",
    }
}

/// Returns the rule as code writes it.
fn rule_text(rule: &Rule) -> String {
    match &rule.recurrence {
        Recurrence::Cron { expression, time_zone, .. } => format!("{expression} ({time_zone})"),
        Recurrence::Every { interval_us, .. } => {
            format!("every {}", humantime::format_duration(Duration::from_micros(*interval_us)))
        }
        _ => rule.describe(),
    }
}

/// Returns the time zone of a cron rule.
fn zone(rule: &Rule) -> Option<Tz> {
    match &rule.recurrence {
        Recurrence::Cron { time_zone, .. } => Tz::from_str(time_zone).ok(),
        _ => None,
    }
}

fn at(zone: Tz, moment: Moment) -> DateTime<Tz> {
    moment.to_utc().with_timezone(&zone)
}

/// Returns the offset from UTC in seconds, positive to the east.
fn offset(zone: Tz, moment: Moment) -> i32 {
    at(zone, moment).offset().fix().local_minus_utc()
}

fn local(zone: Tz, moment: Moment) -> String {
    at(zone, moment).format("%a %Y-%m-%d %H:%M:%S").to_string()
}

/// Formats an offset from UTC: `+2`, `+5:30`, `-3`.
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
    fn a_clock_change_is_found() {
        let berlin = Tz::Europe__Berlin;
        let offset_at = |text: &str| {
            offset(berlin, Moment::try_from(DateTime::parse_from_rfc3339(text).unwrap()).unwrap())
        };
        assert_eq!((offset_at("2026-10-25T00:30:00Z"), offset_at("2026-10-25T01:30:00Z")), (7_200, 3_600));
        assert_eq!([3_600, 19_800, -10_800, 0].map(hours), ["+1", "+5:30", "-3", "+0"]);
    }

    #[test]
    fn a_rule_is_read_or_refused() {
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
