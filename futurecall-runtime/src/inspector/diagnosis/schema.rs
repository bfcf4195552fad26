//! Whether the tables are those of this version.

use super::Finding;
use crate::store::MigrationRecord;

pub(super) fn examine(steps: &[MigrationRecord]) -> Finding {
    let code = "schema";
    let missing = steps.iter().filter(|step| step.applied.is_none()).count();
    let later = steps.iter().filter(|step| step.applied.is_some() && step.sql.is_empty()).count();
    let last = steps.iter().filter(|step| step.applied.is_some()).map(|step| step.version).max();
    let version = || last.map_or_else(|| "none is needed".to_owned(), |version| format!("version {version}"));
    let finding = if missing > 0 && missing == steps.len() {
        Finding::problem(
            code,
            "there are no tables of Futurecall",
            "No pod has ever started here, or the tables stand elsewhere.",
            "Check --schema or --table-prefix; or make the tables with `futurecall migrate up`.",
        )
    } else if missing > 0 {
        Finding::problem(
            code,
            format!("{missing} of {} steps are missing", steps.len()),
            "The tables are those of an earlier version: this program cannot work with them.",
            "Apply them: `futurecall migrate up`.",
        )
    } else if later > 0 {
        Finding::warning(
            code,
            version(),
            "A later version of Futurecall has changed the tables: what this program shows may be wrong.",
            "Use the `futurecall` of that version; during a deployment that is as it should be.",
        )
    } else {
        Finding::ok(code, version())
    };
    finding.figure("version", last).figure("missing", missing)
}
