use std::str::FromStr;
use std::time::Duration;

use super::{CheckBrokenCalls, Config, OnInterrupt};
use crate::error::StartError;
use crate::nearest::nearest;

const PREFIX: &str = "FUTURECALL_";

pub(super) const NAMES: [&str; 17] = [
    "FUTURECALL_EXECUTION_ENABLED",
    "FUTURECALL_CONCURRENCY_LIMIT",
    "FUTURECALL_SCAN_INTERVAL",
    "FUTURECALL_CHECK_BROKEN_CALLS",
    "FUTURECALL_DELETE_BROKEN_CALLS",
    "FUTURECALL_BROKEN_GRACE",
    "FUTURECALL_SCHEDULE_GRACE",
    "FUTURECALL_LEASE",
    "FUTURECALL_SHUTDOWN_GRACE",
    "FUTURECALL_ON_INTERRUPT",
    "FUTURECALL_CRASH_BUDGET",
    "FUTURECALL_KEEP_LOGS",
    "FUTURECALL_RETENTION_SUCCEEDED",
    "FUTURECALL_RETENTION_FAILED",
    "FUTURECALL_RETENTION_INTERRUPTED",
    "FUTURECALL_RETENTION_CANCELLED",
    "FUTURECALL_RETENTION_SKIPPED",
];

/// What the command line (`futurecall-cli`) reads: no settings of a pod, and no mistakes in
/// an environment that both share.
const OF_OTHERS: [&str; 14] = [
    "FUTURECALL_ACTOR",
    "FUTURECALL_ARGUMENTS",
    "FUTURECALL_DASHBOARD_BIND",
    "FUTURECALL_DATABASE_URL",
    "FUTURECALL_EVERY",
    "FUTURECALL_LOCAL",
    "FUTURECALL_NO_COLOR",
    "FUTURECALL_OUTPUT",
    "FUTURECALL_QUIET",
    "FUTURECALL_SCHEMA",
    "FUTURECALL_SINCE",
    "FUTURECALL_STRICT",
    "FUTURECALL_TABLE_PREFIX",
    "FUTURECALL_YES",
];

/// The config with what the variables say instead.
pub(super) fn apply<K, V>(
    mut config: Config,
    vars: impl IntoIterator<Item = (K, V)>,
) -> Result<Config, StartError>
where
    K: AsRef<str>,
    V: AsRef<str>,
{
    for (name, value) in vars {
        let (name, value) = (name.as_ref(), value.as_ref().trim());
        let Some(setting) = name.strip_prefix(PREFIX) else { continue };
        match setting {
            "EXECUTION_ENABLED" => config.execution_enabled = flag(name, value)?,
            "CONCURRENCY_LIMIT" => {
                config.concurrency_limit = number(name, value, "a whole number from 1 to 100000")?;
            }
            "SCAN_INTERVAL" => config.scan_interval = duration(name, value)?,
            "CHECK_BROKEN_CALLS" => config.check_broken_calls = check(name, value)?,
            "DELETE_BROKEN_CALLS" => config.delete_broken_calls = flag(name, value)?,
            "BROKEN_GRACE" => config.broken_grace = duration(name, value)?,
            "SCHEDULE_GRACE" => config.schedule_grace = duration(name, value)?,
            "LEASE" => config.lease = duration(name, value)?,
            "SHUTDOWN_GRACE" => config.shutdown_grace = duration(name, value)?,
            "ON_INTERRUPT" => config.on_interrupt = on_interrupt(name, value)?,
            "CRASH_BUDGET" => config.crash_budget = number(name, value, "a whole number from 1 to 1000")?,
            "KEEP_LOGS" => config.keep_logs = number(name, value, "a number of bytes")?,
            "RETENTION_SUCCEEDED" => config.retention.succeeded = duration(name, value)?,
            "RETENTION_FAILED" => config.retention.failed = duration(name, value)?,
            "RETENTION_INTERRUPTED" => config.retention.interrupted = duration(name, value)?,
            "RETENTION_CANCELLED" => config.retention.cancelled = duration(name, value)?,
            "RETENTION_SKIPPED" => config.retention.skipped = duration(name, value)?,
            _ if OF_OTHERS.contains(&name) => {}
            _ => return Err(unknown(name)),
        }
    }
    Ok(config)
}

fn unknown(name: &str) -> StartError {
    let reason = match nearest(name, NAMES) {
        Some(near) => format!("there is no such setting; did you mean `{near}`?"),
        None => format!("there is no such setting; there are {}", NAMES.join(", ")),
    };
    StartError::setting(name, reason)
}

fn number<T: FromStr>(name: &str, value: &str, what: &str) -> Result<T, StartError> {
    value.parse().map_err(|_| StartError::setting(name, format!("`{value}` is not {what}")))
}

fn flag(name: &str, value: &str) -> Result<bool, StartError> {
    match value {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(StartError::setting(name, format!("`{value}` is neither `true` nor `false`"))),
    }
}

fn check(name: &str, value: &str) -> Result<CheckBrokenCalls, StartError> {
    match value {
        "auto" => Ok(CheckBrokenCalls::Auto),
        "always" => Ok(CheckBrokenCalls::Always),
        "refuse" => Ok(CheckBrokenCalls::Refuse),
        "never" => Ok(CheckBrokenCalls::Never),
        _ => Err(StartError::setting(
            name,
            format!("`{value}` is none of `auto`, `always`, `refuse`, `never`"),
        )),
    }
}

fn on_interrupt(name: &str, value: &str) -> Result<OnInterrupt, StartError> {
    match value {
        "keep" => Ok(OnInterrupt::Keep),
        "rerun" => Ok(OnInterrupt::Rerun),
        _ => Err(StartError::setting(name, format!("`{value}` is neither `keep` nor `rerun`"))),
    }
}

fn duration(name: &str, value: &str) -> Result<Duration, StartError> {
    if value == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(value).map_err(|source| {
        StartError::setting(
            name,
            format!("`{value}` is not a duration ({source}); write `5s`, `250ms` or `1h 30m`"),
        )
    })
}
