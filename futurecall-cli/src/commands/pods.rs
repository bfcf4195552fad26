use clap::Args;

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Rows};
use crate::records;

/// The pods that have been heard of within a day
#[derive(Debug, Args)]
pub(crate) struct Pods {
    /// Only those that live
    #[arg(long)]
    live: bool,
}

pub(crate) async fn run(context: &mut Context<'_>, pods: Pods) -> Result<Answer, Failure> {
    let pod = context.pod().await?;
    let found = pod.inspect().pods().await?;
    let rows = found.iter().filter(|pod| pod.live || !pods.live).map(records::pod);
    let columns = &["id", "label", "live", "role", "version", "running", "slots", "~heartbeat", "names"];
    Ok(Answer::list("pods", Rows::new(columns, "no pods have been heard of within a day", rows)))
}
