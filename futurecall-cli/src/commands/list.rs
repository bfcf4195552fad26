use clap::Args;
use futurecall_runtime::CallId;

use crate::arguments::Arguments;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::filters::FilterArgs;
use crate::output::{Format, Record};
use crate::{progress, records};

/// Rows of one query with `--all`.
const STEP: usize = 1_000;

/// Lists calls: pending and running ones by due time, then finished ones, latest first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Number of calls, 10,000 at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Only calls after this one, as printed by the previous page
    #[arg(long, value_name = "ID")]
    after: Option<CallId>,
    /// All calls
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

pub(crate) async fn run(context: &mut Context<'_>, list: List) -> Result<Exit, Failure> {
    let pod = context.pod().await?;
    let inspect = pod.inspect();
    let arguments = Arguments::new(context.globals.arguments, &inspect.pods().await?);
    let mut filter = list.filter.filter(inspect.now().await?)?;
    filter.after = list.after;
    let mut left = if list.all { usize::MAX } else { list.limit.into() };
    let bar = progress::spinner(context.globals.quiet || !list.all, "calls read");
    context.printer.open("calls")?;
    let mut empty = true;
    // A page may be short or empty although more follow, if the filter has no index.
    let next = loop {
        let page = inspect.calls(filter.clone().limit(left.min(STEP))).await?;
        left = left.saturating_sub(page.calls.len());
        bar.inc(u64::try_from(page.calls.len()).unwrap_or_default());
        bar.set_message(format!("{} calls read", bar.position()));
        let over = page.next.is_none() || left == 0;
        empty &= page.calls.is_empty();
        if !page.calls.is_empty() || (over && empty) {
            let rows = records::calls(&page.calls, &arguments);
            bar.suspend(|| context.printer.more(&rows))?;
        }
        filter.after = page.next;
        if over {
            break page.next;
        }
    };
    bar.finish_and_clear();
    context.printer.close(&Record::new().with("next", next))?;
    if let Some(next) = next.filter(|_| context.printer.format() != Format::Json) {
        context.printer.note(&format!("There are more: use --after {next} or --all"))?;
    }
    Ok(Exit::Done)
}
