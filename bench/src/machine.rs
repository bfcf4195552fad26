//! Where and when it was measured: figures mean nothing without it.

use std::process::{Command, Stdio};

use futurecall_runtime::chrono::Utc;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::Result;
use crate::place::{Kind, Store};
use crate::report::{Line, MACHINE};

/// Returns a line without a value that describes machine and versions, the time, and the machine's load.
pub(crate) async fn line(stores: &[Store]) -> Result<Line> {
    let info = read("/proc/cpuinfo");
    let processor = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = processor.map_or("an unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let memory = memory.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    let memory = memory.unwrap_or_default() / (1 << 20);
    let mut parts = vec![
        format!("{cores} cores ({processor}) and {memory} GiB for everything"),
        format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
    ];
    for store in stores {
        parts.push(match store.kind {
            Kind::Postgres => postgres(store.connect().await?).await?,
            Kind::Sqlite => sqlite().await?,
        });
    }
    let rustc = Command::new("rustc").arg("--version").stdin(Stdio::null()).output();
    let rustc = rustc.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    parts.push(format!("{}{}", rustc.trim(), if cfg!(debug_assertions) { ", not optimized" } else { "" }));
    let load = read("/proc/loadavg");
    let load = load.split_ascii_whitespace().next().unwrap_or("unknown");
    let date = Utc::now().format("%Y-%m-%d %H:%M").to_string();
    Ok(Line::of("", MACHINE, parts.join("; "), "").with("date", date).with("load", load))
}

/// Returns everything in such lines, as a paragraph.
pub(crate) fn paragraph(lines: &[Line]) -> String {
    let here: Vec<&Line> = lines.iter().filter(|line| line.work == MACHINE).collect();
    let field = |name: &str| {
        let mut values: Vec<&str> = here.iter().filter_map(|line| line.more.get(name)?.as_str()).collect();
        values.sort_unstable();
        values
    };
    let (dates, loads) = (field("date"), field("load"));
    let (Some(first), Some(last)) = (dates.first(), dates.last()) else { return String::new() };
    let mut machines: Vec<&str> = here.iter().map(|line| line.figure.as_str()).collect();
    machines.sort_unstable();
    machines.dedup();
    let period = if first == last { format!("on {first}") } else { format!("from {first} to {last}") };
    format!(
        "Measured {period} UTC. {}. Load average when it began: {}.\n\n",
        machines.join(". "),
        loads.join(", ")
    )
}

async fn sqlite() -> Result<String> {
    let mut connection = SqliteConnectOptions::new().in_memory(true).connect().await?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await?;
    Ok(format!("SQLite {version} (write-ahead log, synchronous=FULL)"))
}

async fn postgres(mut connection: PgConnection) -> Result<String> {
    let mut values: Vec<String> = Vec::new();
    for setting in ["server_version", "fsync", "synchronous_commit", "shared_buffers"] {
        let value = sqlx::query_scalar("SELECT current_setting($1)").bind(setting);
        values.push(value.fetch_one(&mut connection).await?);
    }
    connection.close().await?;
    let [version, fsync, commit, buffers] = values.as_slice() else {
        return Err("the server does not tell its settings".into());
    };
    Ok(format!("PostgreSQL {version} (fsync {fsync}, synchronous_commit {commit}, shared_buffers {buffers})"))
}

/// Nothing if there is no such file.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
