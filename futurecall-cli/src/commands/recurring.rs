use chrono::Offset;
use chrono_tz::Tz;
use clap::{Args, Subcommand};
use futurecall_runtime::inspect::{ScheduleRecord, ScheduleState};
use futurecall_runtime::operate::ScheduleChanged;
use futurecall_runtime::recurring::Recurrence;
use futurecall_runtime::{Pod, ScheduleId};

use super::rule::RuleArgs;
use crate::arguments::Arguments;
use crate::confirm::confirm;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Answer, Record, Rows, Tone};
use crate::records;

/// Recurring schedules.
#[derive(Debug, Subcommand)]
pub(crate) enum Recurring {
    /// Lists schedules
    List(List),
    /// Shows a schedule
    Show(One),
    /// Shows the next runs of a schedule, in UTC and in its time zone
    Next(Next),
    /// Pauses a schedule: it has no further runs until it is resumed
    Pause(WithReason),
    /// Resumes a paused schedule
    Resume(One),
    /// Triggers an extra run of a schedule, now
    Trigger(One),
    /// Changes the rule of a schedule, until the code declares a different one
    Edit(Edit),
    /// Ends a schedule, until the code declares it again
    End(WithReason),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Include ended schedules
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// Id, identifier, or call name if it is unique
    schedule: String,
}

#[derive(Debug, Args)]
pub(crate) struct WithReason {
    /// Id, identifier, or call name if it is unique
    schedule: String,
    /// The reason, which is shown with the schedule
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Next {
    /// Id, identifier, or call name if it is unique
    schedule: String,
    /// Number of runs
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    count: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Id, identifier, or call name if it is unique
    schedule: String,
    #[command(flatten)]
    rule: RuleArgs,
}

pub(crate) async fn run(context: &mut Context<'_>, recurring: Recurring) -> Result<Answer, Failure> {
    let pod = context.pod().await?;
    let operator = pod.operate(context.globals.actor());
    match recurring {
        Recurring::List(list) => self::list(context, &pod, &list).await,
        Recurring::Show(one) => show(context, &pod, &one.schedule).await,
        Recurring::Next(next) => self::next(&pod, &next).await,
        Recurring::Pause(pause) => {
            let id = find(&pod, &pause.schedule).await?.id;
            let changed = operator.pause_schedule(id, pause.reason.as_deref().unwrap_or_default()).await?;
            changed_schedule(context, &pod, id, changed).await
        }
        Recurring::Resume(one) => {
            let id = find(&pod, &one.schedule).await?.id;
            let changed = operator.resume_schedule(id).await?;
            changed_schedule(context, &pod, id, changed).await
        }
        Recurring::Trigger(one) => {
            let found = find(&pod, &one.schedule).await?;
            let call = operator.trigger(found.id).await?;
            Ok(Answer::new(
                Record::new().with("call", call).with("schedule", found.id).with("name", found.name),
            ))
        }
        Recurring::Edit(edit) => {
            let found = find(&pod, &edit.schedule).await?;
            let rule = edit.rule.rule(&found.effective)?;
            let changed = operator.edit_schedule(found.id, rule).await?;
            changed_schedule(context, &pod, found.id, changed).await
        }
        Recurring::End(end) => {
            let found = find(&pod, &end.schedule).await?;
            if found.state != ScheduleState::Ended {
                let what = format!(
                    "end the schedule of {} ({}) and remove its pending call",
                    found.name,
                    found.effective.describe()
                );
                confirm(context.globals, &what)?;
            }
            let changed = operator.end_schedule(found.id, end.reason.as_deref().unwrap_or_default()).await?;
            changed_schedule(context, &pod, found.id, changed).await
        }
    }
}

async fn list(context: &Context<'_>, pod: &Pod, list: &List) -> Result<Answer, Failure> {
    let arguments = Arguments::new(context.globals.arguments, &pod.inspect().pods().await?);
    let found = pod.inspect().schedules().await?;
    let shown = found.iter().filter(|schedule| list.all || schedule.state != ScheduleState::Ended);
    let rows = shown.map(|schedule| records::schedule(schedule, &arguments));
    let columns = &["id", "name", "identifier", "state", "words", "next", "~next", "reason"];
    Ok(Answer::list("schedules", Rows::new(columns, "no schedules", rows)))
}

async fn show(context: &Context<'_>, pod: &Pod, which: &str) -> Result<Answer, Failure> {
    let found = find(pod, which).await?;
    record(context, pod, &found).await.map(Answer::new)
}

async fn record(context: &Context<'_>, pod: &Pod, found: &ScheduleRecord) -> Result<Record, Failure> {
    let arguments = Arguments::new(context.globals.arguments, &pod.inspect().pods().await?);
    Ok(records::schedule(found, &arguments))
}

/// Returns the schedule after a change.
async fn changed_schedule(
    context: &Context<'_>,
    pod: &Pod,
    id: ScheduleId,
    changed: ScheduleChanged,
) -> Result<Answer, Failure> {
    let found = find(pod, &id.to_string()).await?;
    let answer = Answer::new(record(context, pod, &found).await?);
    Ok(match changed {
        ScheduleChanged::Unchanged => answer.note("Nothing changed: this was already so"),
        ScheduleChanged::Ended => answer
            .exit(Exit::Failed)
            .note("Nothing was done: the schedule has ended; a declaration in code revives it"),
        _ => answer,
    })
}

async fn next(pod: &Pod, next: &Next) -> Result<Answer, Failure> {
    let found = find(pod, &next.schedule).await?;
    let now = pod.inspect().now().await?;
    let zone = match &found.effective.recurrence {
        Recurrence::Cron { time_zone, .. } => time_zone.parse::<Tz>().ok(),
        _ => None,
    };
    let mut offset_before = zone.map(|zone| now.to_utc().with_timezone(&zone).offset().fix());
    let runs = found.upcoming(now, next.count.into()).into_iter().map(|run| {
        let record = Record::new().with("run", run);
        let Some(zone) = zone else { return record };
        let wall = run.to_utc().with_timezone(&zone);
        let offset = wall.offset().fix();
        let changed = offset_before.replace(offset).is_some_and(|before| before != offset);
        record
            .with("local_time", wall.format("%a %Y-%m-%d %H:%M:%S %Z").to_string())
            .with("clock_changed", changed)
            .tone(if changed { Tone::Doubtful } else { Tone::Plain })
    });
    let columns: &[&str] =
        if zone.is_some() { &["run", "~run", "local_time", "clock_changed"] } else { &["run", "~run"] };
    let answer = Answer::list("runs", Rows::new(columns, "no further runs", runs));
    Ok(match found.state {
        ScheduleState::Active => answer,
        state => {
            answer.note(format!("The schedule is {}: these are the runs if it were active", state.as_str()))
        }
    })
}

/// Finds a schedule by id, identifier or name.
async fn find(pod: &Pod, which: &str) -> Result<ScheduleRecord, Failure> {
    let all = pod.inspect().schedules().await?;
    let id = which.parse::<ScheduleId>().ok();
    let by_id = |schedule: &ScheduleRecord| Some(schedule.id) == id;
    let by_identifier = |schedule: &ScheduleRecord| schedule.identifier.as_deref() == Some(which);
    let by_name = |schedule: &ScheduleRecord| schedule.name == which;
    let ways: [&dyn Fn(&ScheduleRecord) -> bool; 3] = [&by_id, &by_identifier, &by_name];
    for way in ways {
        let mut found: Vec<_> = all.iter().filter(|schedule| way(schedule)).cloned().collect();
        match found.len() {
            0 => {}
            1 => return Ok(found.remove(0)),
            _ => {
                let ids: Vec<String> = found.iter().map(|schedule| schedule.id.to_string()).collect();
                return Err(Failure::usage(format!(
                    "{which} matches several schedules; give one of these ids: {}",
                    ids.join(", ")
                )));
            }
        }
    }
    Err(Failure::not_found(format!(
        "there is no schedule {which}: `futurecall recurring list --all` lists them"
    )))
}
