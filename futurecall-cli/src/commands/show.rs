use clap::Args;
use futurecall_runtime::{ActionFilter, CallId};

use crate::arguments::Arguments;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Rows};
use crate::records;

/// Shows a call with its attempts and what operators did to it
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Which call
    id: CallId,
}

pub(crate) async fn run(context: &mut Context<'_>, show: Show) -> Result<Answer, Failure> {
    let pod = context.pod().await?;
    let inspect = pod.inspect();
    let call = inspect.call(show.id).await?.ok_or_else(|| unknown(show.id))?;
    let arguments = Arguments::new(context.globals.arguments, &inspect.pods().await?);
    let actions = inspect.actions(&ActionFilter::new().call(show.id)).await?;
    let why = inspect.why(show.id).await?.map(|why| why.to_string());
    let actions = Rows::new(&["at", "actor", "verb", "outcome"], "none", actions.iter().map(records::action));
    let record = records::call(&call, &arguments);
    let record = record.with("why", why).with("attempts", records::attempts(&call.attempts));
    Ok(Answer::new(without_moment(record).with("actions", actions)))
}

/// A list's sort key says nothing beside the moments that it is made of.
fn without_moment(mut record: crate::output::Record) -> crate::output::Record {
    record.fields.retain(|(key, _)| *key != "moment");
    record
}

pub(crate) fn unknown(id: CallId) -> Failure {
    Failure::not_found(format!(
        "there is no call {id}: it was never stored here, or its history has passed its retention"
    ))
}
