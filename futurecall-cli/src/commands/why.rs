use clap::Args;
use futurecall_runtime::CallId;

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Record};

/// Explains the status of a call: why it has not run, or how it ended
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Id of the call
    id: CallId,
}

pub(crate) async fn run(context: &mut Context<'_>, why: Why) -> Result<Answer, Failure> {
    let pod = context.pod().await?;
    let why = pod.inspect().why(why.id).await?.ok_or_else(|| super::show::unknown(why.id))?;
    Ok(Answer::new(Record::of(&why).rows("reasons", &["reason", "says!"], "none")))
}
