use std::time::Duration;

use clap::Args;
use futurecall_runtime::CallState;
use futurecall_runtime::inspect::{Counts, Inspector};

use crate::arguments::Arguments;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::filters::FilterArgs;
use crate::output::{Answer, Record, Rows};
use crate::records;
use crate::time_arguments::span_of;

/// Shows counts, running and next calls, refreshed until Ctrl-C
#[derive(Debug, Args)]
#[command(after_help = "With JSON output, each refresh is one line.")]
pub(crate) struct Watch {
    /// Interval between refreshes
    #[arg(long, value_name = "DURATION", value_parser = span_of, default_value = "2s", env = "FUTURECALL_EVERY", hide_env = true)]
    every: Duration,
    /// Number of refreshes [default: until Ctrl-C]
    #[arg(long, value_name = "N")]
    times: Option<u64>,
    /// Number of running and of next calls shown
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Counting stops here, because it is repeated often.
const CAP: u64 = 100_000;
/// The shortest interval.
const SHORTEST: Duration = Duration::from_millis(100);

pub(crate) async fn run(context: &mut Context<'_>, watch: Watch) -> Result<Exit, Failure> {
    let pod = context.pod().await?;
    let inspect = pod.inspect();
    let mut ticks = tokio::time::interval(watch.every.max(SHORTEST));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut refreshes = 0_u64;
    let end = tokio::signal::ctrl_c();
    tokio::pin!(end);
    while watch.times.is_none_or(|times| refreshes < times) {
        tokio::select! {
            // Ctrl-C ends the command.
            _ = &mut end => break,
            _ = ticks.tick() => {}
        }
        refreshes += 1;
        tokio::select! {
            _ = &mut end => break,
            result = refresh(context, &inspect, &watch) => match result {
                Ok(answer) => context.printer.redraw(&answer)?,
                // The database may be back at the next refresh.
                Err(failure) => context.printer.note(&failure.to_string())?,
            },
        }
    }
    Ok(Exit::Done)
}

async fn refresh(context: &mut Context<'_>, inspect: &Inspector, watch: &Watch) -> Result<Answer, Failure> {
    let now = inspect.now().await?;
    context.printer.seen_from(now);
    let counts: Counts = inspect.counts_up_to(CAP).await?;
    let pods = inspect.pods().await?;
    let arguments = Arguments::new(context.globals.arguments, &pods);
    let filter = watch.filter.filter(now)?.limit(watch.limit.into());
    let live = pods.iter().filter(|pod| pod.live && pod.runs());
    let (live, slots) =
        live.fold((0_u64, 0_u64), |(pods, slots), pod| (pods + 1, slots + u64::from(pod.slots)));
    let mut record = Record::new().with("at", now).with("live_pods", live).with("slots", slots);
    record = record.with("counts", records::counts(&counts, CAP));
    for (key, state, none) in [
        ("running_now", CallState::Running, "no running calls"),
        ("next", CallState::Scheduled, "no scheduled calls"),
    ] {
        if watch.filter.state.is_none_or(|wanted| wanted == state) {
            let page = inspect.calls(filter.clone().state(state)).await?;
            record = record.with(key, Rows { none, ..records::calls(&page.calls, &arguments) });
        }
    }
    if let Some(state) = watch.filter.state.filter(|state| state.is_finished()) {
        let page = inspect.calls(filter.clone().state(state)).await?;
        record = record.with("finished", records::calls(&page.calls, &arguments));
    }
    Ok(Answer::new(record))
}
