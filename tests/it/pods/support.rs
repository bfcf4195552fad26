//! Handlers that record their runs.

use futurecall_runtime::prelude::*;
use futurecall_tests::journal::Journal;

/// Writes a line per run: its data.
#[derive(Clone)]
pub(crate) struct Note(pub(crate) Journal);

impl InvokableFutureCall for Note {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        self.0.write(data.unwrap_or_else(|| "-".to_owned()));
        Ok(())
    }
}

/// Writes a line and fails.
pub(crate) struct Fail(pub(crate) Journal);

impl InvokableFutureCall for Fail {
    type Data = String;

    async fn invoke(&self, session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        self.0.write(format!("attempt {}", session.call().attempt));
        Err("no such luck".into())
    }
}

/// Writes a line and panics.
pub(crate) struct Panic(pub(crate) Journal);

impl InvokableFutureCall for Panic {
    type Data = String;

    async fn invoke(&self, _session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        self.0.write("about to panic");
        panic!("out of cheese");
    }
}

/// Writes `started`, then waits until its call is cancelled, and writes `stopped`.
pub(crate) struct UntilCancelled(pub(crate) Journal);

impl InvokableFutureCall for UntilCancelled {
    type Data = String;

    async fn invoke(&self, session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        self.0.write("started");
        session.cancelled().await;
        self.0.write("stopped");
        Ok(())
    }
}

/// Writes `started`, and never ends.
pub(crate) struct Never(pub(crate) Journal);

impl InvokableFutureCall for Never {
    type Data = String;

    async fn invoke(&self, _session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        self.0.write("started");
        std::future::pending().await
    }
}
