//! Whether the tables are those of this program.

use futurecall_runtime::store::Store;

use super::Finding;
use crate::records::is_later;

const CHECK: &str = "schema";

/// The finding, and whether the tables can be looked at.
pub(super) async fn examine(store: &dyn Store) -> (Finding, bool) {
    let steps = match store.migrations().await {
        Ok(steps) => steps,
        Err(error) => {
            let means = "The schema's steps cannot be read.";
            let todo = "See what the database says; check --schema or --table-prefix.";
            return (Finding::problem(CHECK, error.to_string(), means, todo), false);
        }
    };
    let missing = steps.iter().filter(|step| step.applied.is_none()).count();
    let last = steps.iter().filter(|step| step.applied.is_some()).map(|step| step.version).max();
    if missing == steps.len() {
        let found = "there are no tables of Futurecall";
        let means = "No pod has ever started here, or the tables stand elsewhere.";
        let todo = "Check --schema or --table-prefix; or make the tables with `futurecall migrate up`.";
        return (Finding::problem(CHECK, found, means, todo), false);
    }
    if missing > 0 {
        let found = format!("{missing} of {} steps are missing", steps.len());
        let means = "The tables are those of an earlier version: this program cannot work with them.";
        return (Finding::problem(CHECK, found, means, "Apply them: `futurecall migrate up`."), false);
    }
    let version = last.map_or_else(String::new, |version| format!("version {version}"));
    if steps.iter().any(is_later) {
        let means =
            "A later version of Futurecall has changed the tables: what this program shows may be wrong.";
        return (Finding::warning(CHECK, version, means, "Use the `futurecall` of that version."), true);
    }
    (Finding::fine(CHECK, version), true)
}
