use std::time::Duration;

use clap::Args;
use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::operate::ActionId;
use futurecall_runtime::store::{NewAction, Now, Store};
use futurecall_runtime::{CallState, Moment, Pod, Retention};

use crate::confirm::confirm;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Record};
use crate::time_arguments::{When, span_of};
use crate::{connect, progress};

/// Deletes finished calls that are past their retention
#[derive(Debug, Args)]
#[command(
    after_help = "Asks for confirmation. Pods prune by themselves; use this if none runs, or to keep less. Also deletes statistics older\nthan 48 hours and actions older than 90 days."
)]
pub(crate) struct Prune {
    /// Retention of succeeded calls
    #[arg(long, value_name = "DURATION", value_parser = span_of, default_value = "1day",
        env = "FUTURECALL_RETENTION_SUCCEEDED", hide_env = true)]
    succeeded: Duration,
    /// Retention of failed calls
    #[arg(long, value_name = "DURATION", value_parser = span_of, default_value = "30days",
        env = "FUTURECALL_RETENTION_FAILED", hide_env = true)]
    failed: Duration,
    /// Retention of interrupted calls
    #[arg(long, value_name = "DURATION", value_parser = span_of, default_value = "30days",
        env = "FUTURECALL_RETENTION_INTERRUPTED", hide_env = true)]
    interrupted: Duration,
    /// Retention of cancelled calls
    #[arg(long, value_name = "DURATION", value_parser = span_of, default_value = "30days",
        env = "FUTURECALL_RETENTION_CANCELLED", hide_env = true)]
    cancelled: Duration,
    /// Retention of skipped and expired calls
    #[arg(long, value_name = "DURATION", value_parser = span_of, default_value = "30days",
        env = "FUTURECALL_RETENTION_SKIPPED", hide_env = true)]
    skipped: Duration,
    /// Only count, delete nothing
    #[arg(long)]
    dry_run: bool,
}

/// Rows deleted by one statement, to keep transactions short.
const STEP: usize = 1_000;

pub(crate) async fn run(context: &mut Context<'_>, prune: Prune) -> Result<Answer, Failure> {
    let retention = Retention {
        succeeded: prune.succeeded,
        failed: prune.failed,
        interrupted: prune.interrupted,
        cancelled: prune.cancelled,
        skipped: prune.skipped,
    };
    let pod = context.pod().await?;
    let spinner = progress::spinner(context.globals.quiet, "counting calls past their retention");
    let old = passed(&pod, &retention).await?;
    spinner.finish_and_clear();
    let total: u64 = old.iter().map(|(_, count)| count).sum();
    let mut record = Record::new();
    for (state, count) in &old {
        record = record.with(state.as_str(), *count);
    }
    if prune.dry_run {
        return Ok(Answer::new(record.with("total", total)).note("Dry run: nothing was deleted"));
    }
    if total > 0 {
        let counts = old.iter().filter(|(_, count)| *count > 0);
        let counts: Vec<_> = counts.map(|(state, count)| format!("{count} {}", state.as_str())).collect();
        let calls = if total == 1 { "call" } else { "calls" };
        confirm(context.globals, &format!("delete {} {calls} from the history", counts.join(", ")))?;
    }
    let deleted = delete(context, &retention, total).await?;
    Ok(Answer::new(Record::new().with("deleted", deleted)))
}

/// Counts the calls past their retention, by state.
async fn passed(pod: &Pod, retention: &Retention) -> Result<Vec<(CallState, u64)>, Failure> {
    let inspect = pod.inspect();
    let now: Moment = inspect.now().await?;
    let mut counts = Vec::new();
    for state in CallState::ALL.into_iter().filter(|state| state.is_finished()) {
        let until = When::Back(retention.of(state)).moment(now)?;
        let filter = CallFilter::new().state(state).until(until);
        counts.push((state, inspect.count(&filter, u64::MAX).await?));
    }
    Ok(counts)
}

async fn delete(context: &Context<'_>, retention: &Retention, total: u64) -> Result<u64, Failure> {
    let store = connect::store(context.globals, false).await?;
    let deleted = delete_in(context, &*store, retention, total).await;
    store.close().await;
    deleted
}

async fn delete_in(
    context: &Context<'_>,
    store: &dyn Store,
    retention: &Retention,
    total: u64,
) -> Result<u64, Failure> {
    let action = NewAction {
        id: ActionId::new(),
        actor: context.globals.actor(),
        verb: "prune".to_owned(),
        target: "calls past their retention".to_owned(),
        call: None,
        schedule: None,
    };
    store.note_action(Now::Database, &action).await?;
    let bar = progress::bar(context.globals.quiet, total, "deleting");
    let mut deleted = 0_u64;
    let outcome = loop {
        match store.prune(Now::Database, retention, STEP).await {
            Ok(0) => break Ok(()),
            Ok(step) => {
                deleted += step;
                bar.inc(step);
            }
            Err(error) => break Err(error),
        }
    };
    bar.finish_and_clear();
    let text = match &outcome {
        Ok(()) => format!("{deleted} deleted"),
        Err(error) => format!("{deleted} deleted, then failed: {error}"),
    };
    store.settle_action(action.id, &text).await?;
    outcome?;
    Ok(deleted)
}
