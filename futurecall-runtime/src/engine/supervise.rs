//! Supervises background tasks: one that panics is logged and restarted.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::Engine;
use super::backoff::Backoff;

/// Runs a task until it returns. After a panic it is restarted with a backoff, unless the pod has ended.
pub(super) async fn supervised<F: Future<Output = ()>>(
    engine: &Engine,
    name: &'static str,
    mut task: impl FnMut() -> F,
) {
    let mut backoff = Backoff::default();
    while AssertUnwindSafe(task()).catch_unwind().await.is_err() {
        tracing::error!(task = name, "a background task panicked; restarting it");
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
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::supervised;
    use crate::config::Config;
    use crate::engine::runner::{CallHandler, Runner};
    use crate::engine::{Engine, Process};
    use crate::role::Role;
    use crate::state::StateMap;
    use crate::store::{MemoryStore, OnVanish, PodBeat};

    #[derive(Debug)]
    struct Nothing;

    impl Runner for Nothing {
        fn handler(&self, _: &str) -> Option<Arc<dyn CallHandler>> {
            None
        }

        fn claimable(&self, _: &Config) -> Vec<(String, OnVanish)> {
            Vec::new()
        }

        fn on_vanish(&self, _: &str, _: &Config) -> Option<OnVanish> {
            None
        }

        fn hashes(&self) -> Arc<BTreeMap<String, i64>> {
            Arc::default()
        }

        fn describe(&self, _: &mut PodBeat) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_restarted() {
        let store = Arc::new(MemoryStore::new());
        let (config, state) = (Config::default(), StateMap::default());
        let engine = Engine::new(
            Role::Serverless,
            store,
            config,
            state,
            Arc::new(Nothing),
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
