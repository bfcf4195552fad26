use clap::Args;
use futurecall_runtime::operate::{ActionFilter, ActionId};
use futurecall_runtime::{CallId, ScheduleId};

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Rows};
use crate::records;

/// Lists the actions of operators, latest first (kept for 90 days)
#[derive(Debug, Args)]
pub(crate) struct Actions {
    /// Only actions on this call
    #[arg(long, value_name = "ID")]
    call: Option<CallId>,
    /// Only actions on this schedule
    #[arg(long, value_name = "ID")]
    schedule: Option<ScheduleId>,
    /// Only actions before this one
    #[arg(long, value_name = "ID")]
    before: Option<ActionId>,
    /// Number of actions, 1,000 at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
}

pub(crate) async fn run(context: &mut Context<'_>, actions: Actions) -> Result<Answer, Failure> {
    let pod = context.pod().await?;
    let mut filter = ActionFilter::new().limit(actions.limit.into());
    filter.call = actions.call;
    filter.schedule = actions.schedule;
    filter.before = actions.before;
    let found = pod.inspect().actions(&filter).await?;
    let columns = &["at", "~at", "actor", "verb", "target", "outcome"];
    let rows = Rows::new(columns, "no actions", found.iter().map(records::action));
    let answer = Answer::list("actions", rows);
    Ok(match found.last() {
        Some(last) if found.len() == usize::from(actions.limit) => {
            answer.note(format!("There may be more: use --before {}", last.id))
        }
        _ => answer,
    })
}
