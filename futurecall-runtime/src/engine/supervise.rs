//! No background task ends before its time: one that panics is reported and started again.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::Engine;
use super::backoff::Backoff;

/// Runs a task until it ends by itself. After a panic it begins anew, a little later each time; once the pod is over it
/// is let go.
pub(super) async fn supervised<F: Future<Output = ()>>(
    engine: &Engine,
    name: &'static str,
    mut task: impl FnMut() -> F,
) {
    let mut backoff = Backoff::default();
    while AssertUnwindSafe(task()).catch_unwind().await.is_err() {
        tracing::error!(task = name, "a background task panicked; it is started again");
        let wait = backoff.failed();
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {}
            () = engine.over.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::supervised;
    use crate::config::Config;
    use crate::engine::{Engine, Process};
    use crate::pod::Role;
    use crate::registry::Registry;
    use crate::state::StateMap;
    use crate::store::MemoryStore;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_begins_anew() {
        let store = std::sync::Arc::new(MemoryStore::new());
        let (config, state) = (Config::default(), StateMap::default());
        let engine = Engine::new(
            Role::Serverless,
            store,
            config,
            state,
            Registry::default(),
            Vec::new(),
            Process::default(),
        );
        let runs = Cell::new(0);
        supervised(&engine, "test", || async {
            runs.set(runs.get() + 1);
            assert!(runs.get() > 3, "not yet");
        })
        .await;
        assert_eq!(runs.get(), 4);
        engine.shut_down().await;
    }
}
