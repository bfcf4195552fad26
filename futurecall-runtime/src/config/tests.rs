use std::time::Duration;

use super::{CheckBrokenCalls, Config, OnInterrupt};
use crate::store::Retention;

fn refused(config: &Config) -> String {
    config.validate().unwrap_err().to_string()
}

#[test]
fn defaults_are_valid_and_as_documented() {
    let config = Config::default();
    config.validate().unwrap();
    assert!(config.execution_enabled);
    assert_eq!(config.concurrency_limit, 64);
    assert_eq!(config.scan_interval, Duration::from_secs(5));
    assert_eq!(config.lease, Duration::from_secs(30));
    assert_eq!(config.shutdown_grace, Duration::from_secs(25));
    assert_eq!(config.retention.succeeded, Duration::from_hours(24));
    assert_eq!(config.retention.failed, Duration::from_hours(720));
    assert_eq!(config.check_broken_calls, CheckBrokenCalls::Auto);
    assert!(!config.delete_broken_calls);
    assert_eq!((config.on_interrupt, config.crash_budget), (OnInterrupt::Keep, 5));
}

#[test]
fn nonsense_names_the_setting() {
    assert!(refused(&Config::new().concurrency_limit(0)).contains("concurrency_limit"));
    assert!(refused(&Config::new().concurrency_limit(usize::MAX)).contains("1 to 100000"));
    assert!(refused(&Config::new().scan_interval(Duration::ZERO)).contains("scan_interval"));
    assert!(refused(&Config::new().lease(Duration::MAX)).contains("lease"));
    assert!(refused(&Config::new().crash_budget(0)).contains("crash_budget"));
    assert!(refused(&Config::new().crash_budget(1_001)).contains("1 to 1000"));
    assert!(refused(&Config::new().broken_grace(Duration::MAX)).contains("broken_grace"));
    assert!(refused(&Config::new().schedule_grace(Duration::MAX)).contains("schedule_grace"));
}

#[test]
fn the_environment_sets_every_setting() {
    let config = Config::from_vars([
        ("PATH", "/bin"),
        ("FUTURECALL_EXECUTION_ENABLED", "false"),
        ("FUTURECALL_CONCURRENCY_LIMIT", "7"),
        ("FUTURECALL_SCAN_INTERVAL", "1s"),
        ("FUTURECALL_CHECK_BROKEN_CALLS", "never"),
        ("FUTURECALL_DELETE_BROKEN_CALLS", "true"),
        ("FUTURECALL_BROKEN_GRACE", "14days"),
        ("FUTURECALL_SCHEDULE_GRACE", "2days"),
        ("FUTURECALL_LEASE", "1m 30s"),
        ("FUTURECALL_SHUTDOWN_GRACE", "0"),
        ("FUTURECALL_ON_INTERRUPT", "rerun"),
        ("FUTURECALL_CRASH_BUDGET", "2"),
        ("FUTURECALL_RETENTION_SUCCEEDED", "0s"),
        ("FUTURECALL_RETENTION_FAILED", "1h"),
        ("FUTURECALL_RETENTION_INTERRUPTED", "2h"),
        ("FUTURECALL_RETENTION_CANCELLED", "3h"),
        ("FUTURECALL_RETENTION_SKIPPED", "4h"),
    ])
    .unwrap();
    assert!(!config.execution_enabled && config.delete_broken_calls);
    assert_eq!(config.concurrency_limit, 7);
    assert_eq!(config.check_broken_calls, CheckBrokenCalls::Never);
    assert_eq!(config.broken_grace, Duration::from_hours(336));
    assert_eq!(config.schedule_grace, Duration::from_hours(48));
    assert_eq!(config.lease, Duration::from_secs(90));
    assert_eq!(config.shutdown_grace, Duration::ZERO);
    assert_eq!((config.on_interrupt, config.crash_budget), (OnInterrupt::Rerun, 2));
    assert_eq!(config.retention.succeeded, Duration::ZERO);
    assert_eq!(config.retention.skipped, Duration::from_hours(4));
}

#[test]
fn every_setting_has_a_getter() {
    let retention = Retention { succeeded: Duration::from_secs(9), ..Retention::default() };
    let config = Config::new()
        .execution_enabled(false)
        .concurrency_limit(7)
        .scan_interval(Duration::from_secs(1))
        .check_broken_calls(CheckBrokenCalls::Never)
        .delete_broken_calls(true)
        .broken_grace(Duration::from_secs(2))
        .schedule_grace(Duration::from_secs(3))
        .lease(Duration::from_secs(4))
        .shutdown_grace(Duration::from_secs(5))
        .on_interrupt(OnInterrupt::Rerun)
        .crash_budget(6)
        .keep_logs(2_048)
        .retention(retention);
    assert!(!config.get_execution_enabled() && config.get_delete_broken_calls());
    assert_eq!(config.get_concurrency_limit(), 7);
    assert_eq!(config.get_check_broken_calls(), CheckBrokenCalls::Never);
    assert_eq!(config.get_on_interrupt(), OnInterrupt::Rerun);
    assert_eq!((config.get_crash_budget(), config.get_keep_logs()), (6, 2_048));
    assert_eq!(config.get_retention(), &retention);
    let spans = [
        config.get_scan_interval(),
        config.get_broken_grace(),
        config.get_schedule_grace(),
        config.get_lease(),
        config.get_shutdown_grace(),
    ];
    assert_eq!(spans.map(|span| span.as_secs()), [1, 2, 3, 4, 5]);

    // A new setting is not forgotten: each has its getter, named after it.
    let getters = include_str!("get.rs");
    let settings = format!("{:?}", Config::new());
    let names = settings.split([' ', '{']).filter_map(|word| word.strip_suffix(':'));
    let of_retention = ["succeeded", "failed", "interrupted", "cancelled", "skipped"];
    for name in names.filter(|name| !of_retention.contains(name)) {
        assert!(getters.contains(&format!("pub const fn get_{name}(&self)")), "{name}");
    }
}

#[test]
fn every_way_to_check_has_its_word() {
    for (word, check) in [
        ("auto", CheckBrokenCalls::Auto),
        ("always", CheckBrokenCalls::Always),
        ("refuse", CheckBrokenCalls::Refuse),
        ("never", CheckBrokenCalls::Never),
    ] {
        let config = Config::from_vars([("FUTURECALL_CHECK_BROKEN_CALLS", word)]).unwrap();
        assert_eq!(config.check_broken_calls, check);
        config.validate().unwrap();
        let deleting = config.delete_broken_calls(true);
        if check == CheckBrokenCalls::Refuse {
            let told = refused(&deleting);
            assert!(told.contains("delete_broken_calls") && told.contains("always"), "{told}");
        } else {
            deleting.validate().unwrap();
        }
    }
}

#[test]
fn a_misspelt_or_unreadable_variable_says_what_to_write() {
    let told = |name, value| Config::from_vars([(name, value)]).unwrap_err().to_string();
    assert!(told("FUTURECALL_LEAS", "5s").contains("did you mean `FUTURECALL_LEASE`"));
    assert!(told("FUTURECALL_ZZZZZZZZZZZZ", "5s").contains("there are FUTURECALL_EXECUTION_ENABLED"));
    assert!(told("FUTURECALL_LEASE", "5 parsecs").contains("write `5s`"));
    assert!(told("FUTURECALL_EXECUTION_ENABLED", "maybe").contains("neither `true` nor `false`"));
    assert!(told("FUTURECALL_CONCURRENCY_LIMIT", "-1").contains("whole number"));
    assert!(told("FUTURECALL_CRASH_BUDGET", "some").contains("whole number from 1 to 1000"));
    assert!(told("FUTURECALL_CHECK_BROKEN_CALLS", "refused").contains("`always`, `refuse`, `never`"));
    assert!(told("FUTURECALL_ON_INTERRUPT", "retry").contains("neither `keep` nor `rerun`"));
}

#[test]
fn what_the_command_line_reads_is_no_setting() {
    let config =
        Config::from_vars([("FUTURECALL_DATABASE_URL", "postgres://db"), ("FUTURECALL_YES", "1")]).unwrap();
    assert_eq!(config, Config::default());
    let error = Config::from_vars([("FUTURECALL_DATABASE_UR", "x")]).unwrap_err();
    assert!(error.to_string().contains("no such setting"));
}

#[test]
fn every_setting_is_proposed_for_a_slip() {
    let of_a_row = |row: &str| row.split('`').find(|word| word.starts_with("FUTURECALL_")).map(str::to_owned);
    let rows = include_str!("../config.rs").lines().filter(|line| line.starts_with("/// | [`"));
    let documented: Vec<String> = rows.filter_map(of_a_row).collect();
    assert!(documented.len() > 10, "{documented:?}");
    for name in documented.iter().map(String::as_str).chain(super::env::NAMES) {
        let slip = format!("{name}X");
        let error = Config::from_vars([(slip.as_str(), "1")]).unwrap_err().to_string();
        assert!(error.contains(&format!("did you mean `{name}`?")), "{error}");
    }
}
