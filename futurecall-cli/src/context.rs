//! The context of a command: options, output and database.

use futurecall_runtime::Pod;

use crate::connect;
use crate::exit::Failure;
use crate::globals::Globals;
use crate::output::Printer;

/// The context of a command.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) globals: &'a Globals,
    pub(crate) printer: &'a mut Printer,
    /// The pod, once opened; shut down at the end of the command.
    pub(crate) pod: Option<Pod>,
}

impl Context<'_> {
    /// Opens a pod that runs no calls.
    pub(crate) async fn pod(&mut self) -> Result<Pod, Failure> {
        let pod = connect::pod(self.globals).await?;
        self.pod = Some(pod.clone());
        self.printer.seen_from(pod.inspect().now().await?);
        Ok(pod)
    }
}
