use clap::Args;

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Rows};
use crate::records;

/// Lists pods with a heartbeat within the last day
#[derive(Debug, Args)]
pub(crate) struct Pods {
    /// Only live pods
    #[arg(long)]
    live: bool,
}

pub(crate) async fn run(context: &mut Context<'_>, pods: Pods) -> Result<Answer, Failure> {
    let pod = context.pod().await?;
    let found = pod.inspect().pods().await?;
    let rows = found.iter().filter(|pod| pod.live || !pods.live).map(records::pod);
    let columns = &["id", "label", "live", "role", "version", "running", "slots", "~heartbeat", "names"];
    Ok(Answer::list("pods", Rows::new(columns, "no pods within the last day", rows)))
}
