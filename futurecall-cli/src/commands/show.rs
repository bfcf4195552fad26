use clap::Args;
use futurecall_runtime::CallId;
use futurecall_runtime::operate::ActionFilter;

use crate::arguments::Arguments;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Record, Rows};
use crate::records;

/// Shows a call with its attempts and actions
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Id of the call
    id: CallId,
}

pub(crate) async fn run(context: &mut Context<'_>, show: Show) -> Result<Answer, Failure> {
    let pod = context.pod().await?;
    let inspect = pod.inspect();
    let call = inspect.call(show.id).await?.ok_or_else(|| unknown(show.id))?;
    let arguments = Arguments::new(context.globals.arguments, &inspect.pods().await?);
    let actions = inspect.actions(&ActionFilter::new().call(show.id)).await?;
    let why = inspect.why(show.id).await?.and_then(|why| Record::of(&why).get("reasons").cloned());
    let actions = Rows::new(&["at", "actor", "verb", "outcome"], "none", actions.iter().map(records::action));
    let record = records::call(&call, &arguments).with("why", why);
    Ok(Answer::new(record.with("attempts", records::attempts(&call.attempts)).with("actions", actions)))
}

pub(crate) fn unknown(id: CallId) -> Failure {
    Failure::not_found(format!("there is no call {id}: it was never stored, or is past its retention"))
}
