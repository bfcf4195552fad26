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

/// Looks again and again, until Ctrl-C: how many calls, what runs, what comes next
#[derive(Debug, Args)]
#[command(after_help = "In JSON each look is a line.")]
pub(crate) struct Watch {
    /// How long between two looks
    #[arg(long, value_name = "DURATION", value_parser = span_of, default_value = "2s", env = "FUTURECALL_EVERY", hide_env = true)]
    every: Duration,
    /// Ends after so many looks
    #[arg(long, value_name = "N")]
    times: Option<u64>,
    /// How many running and coming calls are shown
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Counts are looked at often.
const CAP: u64 = 100_000;
/// No faster than a person can read.
const SHORTEST: Duration = Duration::from_millis(100);

pub(crate) async fn run(context: &mut Context<'_>, watch: Watch) -> Result<Exit, Failure> {
    let pod = context.pod().await?;
    let inspect = pod.inspect();
    let mut ticks = tokio::time::interval(watch.every.max(SHORTEST));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = 0_u64;
    let end = tokio::signal::ctrl_c();
    tokio::pin!(end);
    while watch.times.is_none_or(|times| looks < times) {
        tokio::select! {
            // A terminal shows `^C` in the picture's last line.
            _ = &mut end => break,
            _ = ticks.tick() => {}
        }
        looks += 1;
        tokio::select! {
            _ = &mut end => break,
            looked = look(context, &inspect, &watch) => match looked {
                Ok(answer) => context.printer.redraw(&answer)?,
                // It may be back at the next look: whoever watches is told, and waits on.
                Err(failure) => context.printer.note(&failure.to_string())?,
            },
        }
    }
    Ok(Exit::Done)
}

async fn look(context: &mut Context<'_>, inspect: &Inspector, watch: &Watch) -> Result<Answer, Failure> {
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
        ("running_now", CallState::Running, "nothing runs"),
        ("coming", CallState::Scheduled, "nothing waits"),
    ] {
        if watch.filter.state.is_none_or(|wanted| wanted == state) {
            let page = inspect.calls(filter.clone().state(state)).await?;
            record = record.with(key, Rows { none, ..records::calls(&page.calls, &arguments) });
        }
    }
    if let Some(state) = watch.filter.state.filter(|state| state.is_finished()) {
        let page = inspect.calls(filter.clone().state(state)).await?;
        record = record.with("ended", records::calls(&page.calls, &arguments));
    }
    Ok(Answer::new(record))
}
