//! Listens to the library's log for a pod that gives up leases by its own clocks: evidence that no database can
//! produce; and for a claim that is released for the same reason before any of its handlers started.
//!
//! If a machine is so busy that renewals come too late, although no process was paused for long and the database
//! answered others, nothing else explains why a call was given up. What the database *answers* about a pod's leases
//! explains nothing.

use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::ledger::{Ledger, Run, What};

/// The library's log messages. (If one of them changes without notice, the checker becomes stricter, not laxer.)
const SAID: [(&str, What); 2] = [
    ("leases could not be renewed in time", What::Fenced),
    ("a claim took longer than its leases last", What::GivenBack),
];

/// Writes it to the ledger.
pub(crate) struct LeaseLog(pub(crate) Arc<Ledger>);

impl<S: Subscriber> Layer<S> for LeaseLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut heard = Heard(None);
        event.record(&mut heard);
        if let Some(what) = heard.0 {
            self.0.write(what, Run::default());
        }
    }
}

struct Heard(Option<What>);

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let text = format!("{value:?}");
            let heard = SAID.iter().find(|(said, _)| text.starts_with(said));
            self.0 = self.0.or(heard.map(|(_, what)| *what));
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::{LeaseLog, SAID};
    use crate::ledger::{self, Ledger, What};
    use std::sync::Arc;

    #[test]
    fn the_library_says_so_and_it_is_written_down() {
        let says = [
            include_str!("../../futurecall-runtime/src/engine/lease_keeper.rs"),
            include_str!("../../futurecall-runtime/src/engine/claim.rs"),
        ];
        for (text, (said, _)) in says.into_iter().zip(SAID) {
            assert!(text.contains(said), "{said}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let fences = LeaseLog(Arc::new(Ledger::open(&path, 3).unwrap()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(fences), || {
            tracing::error!(calls = 2, "leases could not be renewed in time; their handlers are stopped");
            tracing::warn!("the call's lease was lost; its handler is stopped, and its outcome dropped");
            tracing::warn!(calls = 2, "a claim took longer than its leases last; its calls are given back");
        });
        let events = ledger::read(&path).unwrap();
        assert_eq!(
            events.iter().map(|event| (event.what, event.worker)).collect::<Vec<_>>(),
            [(What::Fenced, 3), (What::GivenBack, 3)]
        );
    }
}
