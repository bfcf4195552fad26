//! Whether the database keeps what it has been given, and lets itself be written to.

use super::Finding;
use super::limits::OLDEST_POSTGRES;
use crate::error::StoreError;
use crate::store::DatabaseSetting;

const DURABILITY: &str = "durability";

pub(super) fn examine(database: &str, settings: Result<&[DatabaseSetting], &StoreError>) -> Vec<Finding> {
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            return vec![Finding::warning(
                "settings",
                error.to_string(),
                "The database's settings could not be read, so that nobody knows what a power failure would cost.",
                "See what the database says.",
            )];
        }
    };
    let setting = |name: &str| {
        settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
    };
    let mut findings = Vec::new();
    if let Some(version) = setting("version") {
        findings.push(version_of(database, version));
    }
    findings.extend(match database {
        "postgres" => {
            let mut findings = postgres(&setting);
            findings.extend(set_for_others(settings));
            findings
        }
        "sqlite" => sqlite(&setting),
        _ => vec![Finding::warning(
            DURABILITY,
            "in memory",
            "Nothing outlives the process.",
            "Use PostgreSQL or SQLite for anything but tests.",
        )],
    });
    findings
}

fn version_of(kind: &str, version: &str) -> Finding {
    let code = "server-version";
    let major = version.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if kind == "postgres" && major < OLDEST_POSTGRES => Finding::warning(
            code,
            version,
            "This version of PostgreSQL gets no corrections any more, and Futurecall is not tested on it.",
            "Upgrade the server.",
        ),
        _ => Finding::ok(code, version),
    }
}

fn postgres<'a>(setting: &impl Fn(&str) -> Option<&'a str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut durable = Vec::new();
    for (name, means, todo) in [
        (
            "fsync",
            "A power failure can corrupt the whole database.",
            "Set fsync = on in postgresql.conf, and reload.",
        ),
        (
            "full_page_writes",
            "A power failure can leave torn pages behind.",
            "Set full_page_writes = on in postgresql.conf, and reload.",
        ),
    ] {
        match setting(name) {
            Some("off") => findings.push(Finding::problem(DURABILITY, format!("{name} is off"), means, todo)),
            Some(value) => durable.push(format!("{name} {value}")),
            None => {}
        }
    }
    match setting("synchronous_commit") {
        Some("off") => findings.push(Finding::problem(
            DURABILITY,
            "synchronous_commit is off",
            "A crash of the server loses what was confirmed within the last moments: calls that were scheduled, and \
             that others ended, so that they run twice.",
            "Set synchronous_commit = on, for the server or for the user that Futurecall connects as.",
        )),
        Some(value) => durable.push(format!("synchronous_commit {value}")),
        None => {}
    }
    let read_only = ["transaction_read_only", "default_transaction_read_only"];
    if let Some(name) = read_only.into_iter().find(|name| setting(name) == Some("on")) {
        findings.push(Finding::problem(
            "writable",
            format!("{name} is on"),
            "This connection may only read: no call can be scheduled or claimed through it.",
            "Connect to the primary server, or end the read-only mode.",
        ));
    }
    if findings.iter().all(|finding| finding.code != DURABILITY) && !durable.is_empty() {
        findings.push(Finding::ok(DURABILITY, durable.join(", ")));
    }
    findings
}

/// Looks at the settings that sessions of other roles and databases begin with.
fn set_for_others(settings: &[DatabaseSetting]) -> Vec<Finding> {
    let off = settings.iter().filter(|DatabaseSetting { name, value }| {
        // All spellings of false that the server takes.
        let is_off = matches!(value.to_lowercase().as_str(), "off" | "false" | "no" | "0" | "f" | "n");
        name.starts_with("synchronous_commit ") && is_off
    });
    let finding = |DatabaseSetting { name, value }: &DatabaseSetting| {
        Finding::problem(
            DURABILITY,
            format!("{name} is set to {value}"),
            "Pods that connect so: a crash of the server loses what was confirmed within the last moments, calls that \
             were scheduled, and that others ended, so that they run twice.",
            "Reset it: ALTER ROLE … RESET synchronous_commit, or ALTER ROLE … IN DATABASE … RESET, or ALTER DATABASE … \
             RESET; then restart the pods.",
        )
    };
    off.map(finding).collect()
}

fn sqlite<'a>(setting: &impl Fn(&str) -> Option<&'a str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match setting("synchronous") {
        // Futurecall's own connections set it; a build of SQLite may refuse.
        Some(value) if matches!(value.to_lowercase().as_str(), "0" | "off" | "1" | "normal") => {
            findings.push(Finding::problem(
                DURABILITY,
                format!("synchronous is {value}"),
                "A power failure loses what was confirmed within the last moments.",
                "Let nothing but FULL or EXTRA be set on Futurecall's connections.",
            ));
        }
        Some(value) => findings.push(Finding::ok(DURABILITY, format!("synchronous {value}"))),
        None => {}
    }
    match setting("journal_mode") {
        Some(mode) if !mode.eq_ignore_ascii_case("wal") => findings.push(Finding::warning(
            "journal-mode",
            mode,
            "Without a write-ahead log readers and writers wait for each other.",
            "Let the service set journal_mode = WAL: a file system that cannot do it is no place for the file.",
        )),
        Some(mode) => findings.push(Finding::ok("journal-mode", mode)),
        None => {}
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    fn worst(findings: &[Finding]) -> Severity {
        findings.iter().map(|finding| finding.severity).max().unwrap()
    }

    #[test]
    fn settings_that_lose_calls_are_problems() {
        let good = |name: &str| (name != "transaction_read_only").then_some("on");
        let good = |name: &str| if name.starts_with("default") { Some("off") } else { good(name) };
        assert_eq!(worst(&postgres(&good)), Severity::Ok);
        for bad in ["fsync", "full_page_writes", "synchronous_commit"] {
            let setting = |name: &str| if name == bad { Some("off") } else { good(name) };
            let findings = postgres(&setting);
            assert!(
                findings.iter().any(|f| f.severity == Severity::Problem && f.found.starts_with(bad)),
                "{bad}"
            );
        }
        let read_only = |name: &str| if name == "transaction_read_only" { Some("on") } else { good(name) };
        assert_eq!(worst(&postgres(&read_only)), Severity::Problem);
    }

    #[test]
    fn sqlite_has_to_be_full_and_wal() {
        let of = |synchronous, journal| {
            move |name: &str| match name {
                "synchronous" => Some(synchronous),
                "journal_mode" => Some(journal),
                _ => None,
            }
        };
        assert_eq!(worst(&sqlite(&of("full", "wal"))), Severity::Ok);
        assert_eq!(worst(&sqlite(&of("2", "WAL"))), Severity::Ok);
        assert_eq!(worst(&sqlite(&of("normal", "wal"))), Severity::Problem);
        assert_eq!(worst(&sqlite(&of("2", "delete"))), Severity::Warning);
    }

    #[test]
    fn what_a_role_is_set_to_is_told() {
        let set = |value: &str| {
            let name = "synchronous_commit of role pods in database calls";
            set_for_others(&[
                DatabaseSetting::new("synchronous_commit", "off"),
                DatabaseSetting::new(name, value),
            ])
        };
        assert!(set("on").is_empty() && set("local").is_empty());
        for off in ["off", "OFF", "false", "0"] {
            let findings = set(off);
            assert_eq!((findings.len(), worst(&findings)), (1, Severity::Problem), "{off}");
            assert!(findings[0].found.starts_with("synchronous_commit of role pods"), "{off}");
        }
    }

    #[test]
    fn old_servers_are_told() {
        assert_eq!(version_of("postgres", "13.4").severity, Severity::Warning);
        assert_eq!(version_of("postgres", "PostgreSQL 17.2 on x86_64").severity, Severity::Ok);
        assert_eq!(version_of("sqlite", "3.50.1").severity, Severity::Ok);
    }
}
