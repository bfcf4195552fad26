//! Is all well, and if not, what is to be done?

use std::time::{Duration, SystemTime};

use axum::response::Response;
use futurecall_runtime::{
    CallFilter, CallState, MigrationRecord, Moment, PodRecord, ScheduleState, ToMoment,
};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::parts::{empty, time};
use crate::failure::Failure;
use crate::layout::Place;
use crate::params::Query;
use crate::text::{capped, safe, span, when};
use crate::visit::Visit;

/// Late calls are worth a word from here.
const LATE: Duration = Duration::from_mins(1);
/// A call that runs for longer than this may be stuck.
const LONG: Duration = Duration::from_hours(1);
/// Clocks that differ by more are worth a word.
const SKEW: Duration = Duration::from_millis(500);
/// How many calls of a name are counted, and how many are looked through.
const CAP: u64 = 1_000;
const SAMPLE: usize = 500;
/// Names listed in one finding.
const NAMES: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    Good,
    Note,
    Warning,
    Problem,
}

impl Grade {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
pub(crate) struct Finding {
    grade: Grade,
    what: &'static str,
    text: String,
    /// Where to look, or what to do.
    link: Option<(String, &'static str)>,
}

impl Finding {
    fn new(grade: Grade, what: &'static str, text: impl Into<String>) -> Self {
        Self { grade, what, text: text.into(), link: None }
    }

    fn link(mut self, page: impl Into<String>, words: &'static str) -> Self {
        self.link = Some((page.into(), words));
        self
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "grade": self.grade.word(), "what": self.what, "text": self.text })
    }

    fn markup(&self, visit: &Visit) -> Markup {
        html! {
            (safe(&self.text))
            @if let Some((page, words)) = &self.link { " " a href=(visit.to(page)) { (words) } }
        }
    }
}

/// What stands in the way now: for the top of the first page. Cheap.
pub(crate) async fn urgent(visit: &Visit) -> Result<Vec<Finding>, Failure> {
    let inspect = visit.inspect();
    let pending = inspect.pending_names(CAP).await?;
    let mut findings = vec![alive(&visit.pods), known(visit, &pending)];
    findings.push(paused(visit, false).await?);
    findings.push(late(visit).await?);
    findings.retain(|finding| finding.grade != Grade::Good);
    Ok(findings)
}

/// Findings as lines above a page.
pub(crate) fn banners(visit: &Visit, findings: &[Finding]) -> Markup {
    html! { @for finding in findings {
        p class=(format!("notice {}", finding.grade.word())) data-test="banner" {
            b { (finding.what) ": " } (finding.markup(visit))
        }
    } }
}

pub(crate) async fn show(visit: &Visit) -> Result<Response, Failure> {
    let inspect = visit.inspect();
    let pending = inspect.pending_names(CAP).await?;
    let migrations = inspect.migrations().await?;
    let settings = inspect.settings().await?;
    let findings = vec![
        alive(&visit.pods),
        known(visit, &pending),
        late(visit).await?,
        stuck(visit).await?,
        broken(visit).await?,
        paused(visit, true).await?,
        schema(&migrations),
        clock(visit.now),
    ];
    let html = || {
        html! {
            h1 { "Health" }
            table.cards data-test="findings" {
                thead { tr { th scope="col" { "Grade" } th scope="col" { "What" } th scope="col" { "Finding" } } }
                tbody { @for finding in &findings { tr {
                    td data-label="Grade" { span class=(format!("pill {}", finding.grade.word())) { (finding.grade.word()) } }
                    td data-label="What" { (finding.what) }
                    td data-label="Finding" { (finding.markup(visit)) }
                } } }
            }
            div.columns {
                section aria-labelledby="settings" {
                    h2 #settings { "The database’s settings" }
                    dl.facts data-test="settings" { @for (name, value) in &settings {
                        div { dt { (safe(name)) } dd { span.text { (safe(value)) } } }
                    } }
                }
                section aria-labelledby="schema" {
                    h2 #schema { "Schema" }
                @if migrations.is_empty() { (empty("This store has none.")) } @else {
                    dl.facts data-test="schema" { @for step in &migrations {
                        div { dt { (format!("{:04} ", step.version)) (safe(&step.name)) }
                            dd { @match step.applied { Some(at) => (when(visit.now, at)), None => span.bad { "not applied" } } } }
                    } } }
                }
            }
        }
    };
    let json = || {
        let step = |step: &MigrationRecord| json!({ "version": step.version, "name": step.name, "applied": step.applied.map(time) });
        json!({
            "now": time(visit.now),
            "findings": findings.iter().map(Finding::json).collect::<Vec<_>>(),
            "settings": settings.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
            "schema": migrations.iter().map(step).collect::<Vec<_>>(),
        })
    };
    Ok(visit.page(Place::Health, "Health", html, json))
}

fn alive(pods: &[PodRecord]) -> Finding {
    let runs = pods.iter().filter(|pod| pod.live && pod.runs()).count();
    match runs {
        0 => Finding::new(Grade::Problem, "Pods", "No live pod runs calls: start one.").link("pods", "Pods"),
        1 => Finding::new(Grade::Good, "Pods", "One live pod runs calls."),
        runs => Finding::new(Grade::Good, "Pods", format!("{runs} live pods run calls.")),
    }
}

fn known(visit: &Visit, pending: &[(String, u64)]) -> Finding {
    let known = visit.known();
    let unknown: Vec<_> = pending.iter().filter(|(name, _)| !known.contains(name.as_str())).collect();
    let Some((first, _)) = unknown.first() else {
        return Finding::new(Grade::Good, "Names", "Each pending call’s name is known to a live pod.");
    };
    let told: Vec<_> = unknown
        .iter()
        .take(NAMES)
        .map(|(name, count)| format!("{name} ({} pending)", capped(*count, CAP)))
        .collect();
    let more =
        if unknown.len() > NAMES { format!(", and {} more", unknown.len() - NAMES) } else { String::new() };
    let text =
        format!("No live pod knows {}{more}: deploy one that does, or cancel the calls.", told.join(", "));
    Finding::new(Grade::Problem, "Names", text)
        .link(Query::new().with("state", "scheduled").with("name", first).of("calls"), "Look at them")
}

async fn late(visit: &Visit) -> Result<Finding, Failure> {
    let counts = visit.inspect().counts_up_to(CAP).await?;
    let late = counts.oldest_due.map(|oldest| visit.now.saturating_since(oldest));
    Ok(match late {
        Some(late) if late >= LATE => {
            let text = format!("{} due, the oldest for {}.", capped(counts.due, CAP), span(late));
            Finding::new(Grade::Warning, "Late", text).link("calls?state=due", "Look at them")
        }
        _ => Finding::new(Grade::Good, "Late", "No call has been due for longer than a minute."),
    })
}

async fn stuck(visit: &Visit) -> Result<Finding, Failure> {
    let running =
        visit.inspect().calls(CallFilter::new().state(CallState::Running).limit(SAMPLE)).await?.calls;
    let unheld =
        running.iter().filter(|call| call.lease_until.is_some_and(|until| until < visit.now)).count();
    let long = running
        .iter()
        .filter(|call| {
            visit.now.saturating_since(call.next_attempt.unwrap_or(call.due)) > LONG
                && call.start_proven == Some(true)
        })
        .count();
    Ok(if unheld > 0 {
        let text = format!(
            "{unheld} running calls have no pod that holds them any more: the next look of any pod finds them."
        );
        Finding::new(Grade::Warning, "Stuck", text).link("calls?state=running", "Look at them")
    } else if long > 0 {
        let text = format!("{long} running calls have been due for more than an hour.");
        Finding::new(Grade::Note, "Stuck", text).link("calls?state=running", "Look at them")
    } else {
        Finding::new(Grade::Good, "Stuck", "No running call looks stuck.")
    })
}

async fn broken(visit: &Visit) -> Result<Finding, Failure> {
    let next =
        visit.inspect().calls(CallFilter::new().state(CallState::Scheduled).limit(SAMPLE)).await?.calls;
    // Names that nobody knows are a finding of their own.
    let known = visit.known();
    let known = next.iter().filter(|call| known.contains(call.name.as_str()));
    let mut broken = known.filter_map(|call| Some((call, visit.broken(call)?)));
    Ok(match broken.next() {
        Some((call, why)) => {
            let text = format!(
                "{} of the next {} calls cannot run here, the first because: {why}",
                broken.count() + 1,
                next.len()
            );
            Finding::new(Grade::Problem, "Broken", text).link(format!("calls/{}", call.id), "Look at it")
        }
        None => Finding::new(Grade::Good, "Broken", "Each of the next calls can run on this pod."),
    })
}

/// Schedules are many where each customer has some: only their own page and this one look through all.
async fn paused(visit: &Visit, look_through_schedules: bool) -> Result<Finding, Failure> {
    let names = visit.inspect().paused_names().await?;
    let schedules = if look_through_schedules { visit.inspect().schedules().await? } else { Vec::new() };
    let schedules = schedules.iter().filter(|schedule| schedule.state == ScheduleState::Paused).count();
    if names.is_empty() && schedules == 0 {
        return Ok(Finding::new(Grade::Good, "Paused", "Nothing is paused."));
    }
    let mut told: Vec<_> =
        names.iter().take(NAMES).map(|paused| format!("{} (by {})", paused.name, paused.actor)).collect();
    if names.len() > NAMES {
        told.push(format!("{} more call types", names.len() - NAMES));
    }
    if schedules > 0 {
        told.push(if schedules == 1 { "one schedule".to_owned() } else { format!("{schedules} schedules") });
    }
    let page = if names.is_empty() { "recurring?state=paused" } else { "types" };
    Ok(Finding::new(Grade::Note, "Paused", format!("{}.", told.join(", "))).link(page, "Look at them"))
}

fn schema(migrations: &[MigrationRecord]) -> Finding {
    let missing = migrations.iter().filter(|step| step.applied.is_none()).count();
    let newer = migrations.iter().filter(|step| step.sql.is_empty()).count();
    if missing > 0 {
        Finding::new(
            Grade::Problem,
            "Schema",
            format!("{missing} steps are not applied: run `futurecall migrate up`."),
        )
    } else if newer > 0 && migrations.len() > newer {
        Finding::new(
            Grade::Note,
            "Schema",
            format!("{newer} steps were applied by a newer version than this pod’s."),
        )
    } else {
        Finding::new(Grade::Good, "Schema", "Every step is applied.")
    }
}

/// The database said what time it is a moment ago: this process's own clock should agree.
fn clock(now: Moment) -> Finding {
    let Ok(own) = SystemTime::now().to_moment() else {
        return Finding::new(
            Grade::Warning,
            "Clock",
            "This machine’s clock is outside the years 1970 to 9999.",
        );
    };
    let apart = own.saturating_since(now).max(now.saturating_since(own));
    if apart > SKEW {
        let text = format!(
            "This machine’s clock and the database’s are {} apart. Calls start by the database’s; logs do not.",
            span(apart),
        );
        Finding::new(Grade::Warning, "Clock", text)
    } else {
        Finding::new(Grade::Good, "Clock", "This machine’s clock agrees with the database’s.")
    }
}
