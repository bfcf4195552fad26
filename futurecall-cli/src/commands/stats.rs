use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use futurecall_runtime::Moment;
use futurecall_runtime::inspect::{Span, Statistics};

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Record, Rows, Value, roughly};
use crate::records;
use crate::time_arguments::{When, span_of};

/// Shows counts of calls, and rates, durations and lateness by name
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Period, up to 48 h; 6 h and more are rounded to whole hours
    #[arg(long, value_name = "DURATION", value_parser = span_of, default_value = "1h", env = "FUTURECALL_SINCE", hide_env = true)]
    since: Duration,
    /// Only calls of this stored name
    #[arg(long)]
    name: Option<String>,
    /// Count exactly, however many calls there are
    #[arg(long)]
    exact: bool,
}

/// From this period on, hourly rows are added up; the first hour counts in full.
const BY_HOUR: Duration = Duration::from_hours(6);

/// Counting stops here without `--exact`.
const CAP: u64 = 1_000_000;

pub(crate) async fn run(context: &mut Context<'_>, stats: Stats) -> Result<Answer, Failure> {
    let pod = context.pod().await?;
    let inspect = pod.inspect();
    let cap = if stats.exact { u64::MAX } else { CAP };
    let spinner = crate::progress::spinner(context.globals.quiet, "counting calls");
    let counts = inspect.counts_up_to(cap).await?;
    let now = inspect.now().await?;
    let since = When::Back(stats.since).moment(now)?;
    let (span, since) =
        if stats.since < BY_HOUR { (Span::Minute, since) } else { (Span::Hour, Span::Hour.start_of(since)) };
    let by_name = by_name(inspect.statistics(span, since, stats.name.as_deref()).await?);
    let looked_back = now.saturating_since(since);
    spinner.finish_and_clear();
    let columns = &[
        "name",
        "succeeded",
        "failed",
        "retried",
        "interrupted",
        "expired",
        "per_minute",
        "duration_p50_seconds",
        "duration_p95_seconds",
        "duration_p99_seconds",
        "lateness_p50_seconds",
        "lateness_p95_seconds",
        "lateness_p99_seconds",
    ];
    let rows = by_name.values().map(|counted| row(counted, looked_back));
    let record = Record::new()
        .with("counts", records::counts(&counts, cap))
        .with("since", since)
        .with("names", Rows::new(columns, "no runs in this period", rows));
    let answer = Answer { lines: Some("names"), ..Answer::new(record) };
    let capped = answer.record.get("counts").is_some_and(|counts| match counts {
        Value::Record(counts) => counts.get("counted_up_to") != Some(&Value::Null),
        _ => false,
    });
    let answer = answer
        .note(format!("Figures by name are of the last {}, up to ten seconds old", roughly(looked_back)));
    Ok(if capped {
        answer.note(format!("{CAP} means that many or more: use --exact to count all"))
    } else {
        answer
    })
}

/// Adds up the statistics by name.
fn by_name(counted: Vec<Statistics>) -> BTreeMap<String, Statistics> {
    let mut names: BTreeMap<String, Statistics> = BTreeMap::new();
    for one in counted {
        let total = names
            .entry(one.name.clone())
            .or_insert_with(|| Statistics::new(one.name.clone(), one.span, Moment::MIN));
        total.merge(&one);
    }
    names
}

fn row(counted: &Statistics, since: Duration) -> Record {
    let finished = counted.succeeded + counted.failed + counted.retried + counted.interrupted;
    let minutes = (since.as_secs_f64() / 60.0).max(1.0 / 60.0);
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with two digits")]
    let per_minute = finished as f64 / minutes;
    // The statistics are a sum of several rows.
    Record::of(counted).without(&["span", "start"]).with("per_minute", per_minute)
}
