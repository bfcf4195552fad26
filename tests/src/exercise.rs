//! Runs cases, each on a fresh database, and reports which one failed on which store.

use std::any::Any;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use crate::cases;
use crate::suite::{Case, Fixture, Harness, Topic};

/// The timeout of a case: none takes long.
const TOO_LONG: Duration = Duration::from_mins(2);

/// Runs the cases of one topic against the harness's stores.
///
/// The variable `FUTURECALL_TEST_CASE` restricts it to cases whose name contains its value.
///
/// # Panics
///
/// When a case fails: after all cases have run, with the name of each that failed.
pub async fn exercise(harness: &dyn Harness, topic: Topic) {
    let wanted = std::env::var("FUTURECALL_TEST_CASE").unwrap_or_default();
    let cases = cases::of(topic).iter().filter(|case| case.name.contains(&wanted));
    let failures = failures(harness, topic, cases).await;
    assert!(failures.is_empty(), "these cases failed:{failures}");
}

/// Runs cases, and returns a line for each that failed.
async fn failures(harness: &dyn Harness, topic: Topic, cases: impl Iterator<Item = &Case>) -> String {
    let mut failures = String::new();
    for case in cases {
        let fixture = harness.fresh().await;
        match AssertUnwindSafe(run(case, topic, &fixture)).catch_unwind().await {
            Ok(()) => fixture.database.remove().await,
            Err(panic) => {
                let _ = write!(failures, "\n{} {topic:?} {}: {}", harness.name(), case.name, said(&*panic));
            }
        }
    }
    failures
}

async fn run(case: &Case, topic: Topic, fixture: &Fixture) {
    if topic != Topic::Migrate {
        fixture.store.migrate().await.expect("a fresh database takes the migrations");
    }
    let run = (case.run)(fixture);
    tokio::time::timeout(TOO_LONG, run).await.expect("the case ends");
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use futurecall_runtime::store::{MemoryStore, Now};

    use super::*;
    use crate::suite::{Database, Transaction};

    struct Memory {
        removed: Arc<AtomicUsize>,
    }

    struct Removed(Arc<AtomicUsize>);

    #[async_trait]
    impl Harness for Memory {
        fn name(&self) -> &'static str {
            "memory"
        }

        async fn fresh(&self) -> Fixture {
            let store = MemoryStore::new();
            let other = Arc::new(store.clone());
            let database = Box::new(Removed(Arc::clone(&self.removed)));
            Fixture { store: Arc::new(store), other, database }
        }
    }

    #[async_trait]
    impl Database for Removed {
        async fn begin(&self) -> Option<Box<dyn Transaction>> {
            None
        }

        async fn begin_foreign(&self) -> Option<Box<dyn Transaction>> {
            None
        }

        async fn write(&self, _sql: &str) -> bool {
            false
        }

        async fn remove(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn passes(fixture: &Fixture) {
        assert_eq!(fixture.store.pending_names(Now::Database, 1).await.unwrap(), []);
    }

    async fn fails(fixture: &Fixture) {
        assert_eq!(
            fixture.store.pending_names(Now::Database, 1).await.unwrap().len(),
            1,
            "nothing is pending"
        );
    }

    #[tokio::test]
    async fn a_failed_case_is_named_and_its_database_is_left() {
        let cases = [
            Case { name: "fails", run: |fixture| Box::pin(fails(fixture)) },
            Case { name: "passes", run: |fixture| Box::pin(passes(fixture)) },
        ];
        let harness = Memory { removed: Arc::default() };
        let failures = failures(&harness, Topic::Claim, cases.iter()).await;
        assert!(
            failures.starts_with("\nmemory Claim fails: ") && failures.contains("nothing is pending"),
            "{failures}"
        );
        assert_eq!(failures.matches("memory Claim").count(), 1, "{failures}");
        assert_eq!(harness.removed.load(Ordering::SeqCst), 1, "only that of the case that passed");
    }
}
