use std::io::Read;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use futurecall_runtime::Pod;
use serde_json::value::RawValue;

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Record};
use crate::time_arguments::{moment, span_of};

/// Schedules a call by its stored name
#[derive(Debug, Args)]
#[command(after_help = "Without --in or --at the call is due now.")]
pub(crate) struct Schedule {
    /// The stored name, such as `drip.second_mail`
    name: String,
    /// JSON arguments: an object keyed by parameter, or the data of a call by name. @FILE reads a file, - stdin
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    args: Option<String>,
    /// Delay from now, by the database's clock: 30s, 1h 30m
    #[arg(long = "in", value_name = "DURATION", value_parser = span_of, conflicts_with = "at")]
    delay: Option<Duration>,
    /// Due time: 2027-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<DateTime<Utc>>,
    /// A label to find and cancel the call by
    #[arg(long)]
    identifier: Option<String>,
    /// Calls with lower numbers run first
    #[arg(long, allow_hyphen_values = true, default_value_t = 0)]
    priority: i16,
    /// Expire the call if it has not started this long after its due time
    #[arg(long, value_name = "DURATION", value_parser = span_of)]
    expires_after: Option<Duration>,
}

pub(crate) async fn run(context: &mut Context<'_>, schedule: Schedule) -> Result<Answer, Failure> {
    let args = schedule.args.as_deref().map(read).transpose()?;
    let pod = context.pod().await?;
    let args = args.as_deref();
    let mut call = match schedule.at {
        Some(at) => pod.future_call_at_time(&schedule.name, args, at),
        None => pod.future_call_with_delay(&schedule.name, args, schedule.delay.unwrap_or_default()),
    }
    .priority(schedule.priority);
    if let Some(identifier) = &schedule.identifier {
        call = call.identifier(identifier);
    }
    if let Some(time) = schedule.expires_after {
        call = call.expires_after(time);
    }
    let id = call.await?;
    let due = pod.inspect().call(id).await?.map(|call| call.due);
    let record = Record::new()
        .with("id", id)
        .with("name", schedule.name.as_str())
        .with("due", due)
        .with("identifier", schedule.identifier);
    let answer = Answer::new(record);
    Ok(match warning(&pod, &schedule.name).await? {
        Some(warning) => answer.note(warning),
        None => answer,
    })
}

/// Returns a warning if the call will not run for now.
async fn warning(pod: &Pod, name: &str) -> Result<Option<String>, Failure> {
    if pod.inspect().paused_names().await?.iter().any(|paused| paused.name == name) {
        return Ok(Some(format!("{name} is paused: the call waits until it is resumed")));
    }
    let pods = pod.inspect().pods().await?;
    let known = pods.iter().any(|pod| pod.live && pod.runs() && pod.names.iter().any(|known| known == name));
    Ok((!known).then(|| format!("No live pod runs {name}: the call waits for one")))
}

/// Reads the arguments unchanged. Errors contain the position of a mistake but not the text, which may be confidential.
fn read(args: &str) -> Result<Box<RawValue>, Failure> {
    let text = match args.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("--args @{file} cannot be read: {error}")))?,
        None if args == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::usage(format!("--args - cannot be read: {error}")))?;
            text
        }
        None => args.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!(
            "--args is not JSON (line {}, column {}): write an object such as '{{\"user\": 7}}'",
            error.line(),
            error.column()
        ))
    })
}
