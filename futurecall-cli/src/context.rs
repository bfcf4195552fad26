//! What a command works with: the options, where it prints, and the database.

use futurecall_runtime::Pod;

use crate::connect;
use crate::exit::Failure;
use crate::globals::Globals;
use crate::output::Printer;

/// Holds what every command needs: the options, and the output.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) globals: &'a Globals,
    pub(crate) printer: &'a mut Printer,
    /// The pod of this command, once it was wanted: shut down at its end.
    pub(crate) pod: Option<Pod>,
}

impl Context<'_> {
    /// A pod that looks and acts, and runs nothing.
    pub(crate) async fn pod(&mut self) -> Result<Pod, Failure> {
        let pod = connect::pod(self.globals).await?;
        self.pod = Some(pod.clone());
        self.printer.seen_from(pod.inspect().now().await?);
        Ok(pod)
    }
}
