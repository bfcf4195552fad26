use clap::Args;
use futurecall_runtime::CallId;

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Record};

/// Says why a call has not run, or what became of it
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Which call
    id: CallId,
}

pub(crate) async fn run(context: &mut Context<'_>, why: Why) -> Result<Answer, Failure> {
    let pod = context.pod().await?;
    let why = pod.inspect().why(why.id).await?.ok_or_else(|| super::show::unknown(why.id))?;
    Ok(Answer::new(Record::of(&why).rows("reasons", &["reason", "says!"], "none")))
}
