//! The programs that are compared, and one run of one of them.

use std::path::{Path, PathBuf};
use std::process::{Command as Build, Stdio};
use std::time::Duration;

use peer_work::{Order, Settings};
use tokio::process::Command;

use super::line::Line;
use crate::Result;
use crate::place::Kind;

/// A program that does the ordered work.
#[derive(Debug)]
pub(crate) struct Contestant {
    /// The folder of its crate in `bench/peers`; empty for our own program.
    pub(crate) folder: &'static str,
    pub(crate) store: Kind,
    /// The best first.
    pub(crate) settings: &'static [Settings],
}

/// This program, on either store.
pub(crate) const OURS: Contestant =
    Contestant { folder: "", store: Kind::Postgres, settings: &[Settings::Tuned, Settings::Default] };

/// The others, on the store that each is for. To add one, see `bench/peers/README.md`.
pub(crate) const PEERS: &[Contestant] = &[
    Contestant { folder: "raw", store: Kind::Postgres, settings: BOTH },
    Contestant {
        folder: "graphile_worker",
        store: Kind::Postgres,
        settings: &[Settings::Tuned, Settings::Eager, Settings::Default],
    },
    Contestant { folder: "apalis-postgres", store: Kind::Postgres, settings: BOTH },
    Contestant { folder: "sqlxmq", store: Kind::Postgres, settings: BOTH },
    Contestant { folder: "awa", store: Kind::Postgres, settings: BOTH },
    Contestant { folder: "raw", store: Kind::Sqlite, settings: BOTH },
    Contestant { folder: "apalis-sqlite", store: Kind::Sqlite, settings: BOTH },
];

const BOTH: &[Settings] = &[Settings::Tuned, Settings::Default];

impl Contestant {
    /// Returns the command for the order; it ends with this process.
    pub(crate) fn command(&self, order: &Order) -> Result<Command> {
        let mut command = if self.folder.is_empty() {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["compare", "ours"]);
            command
        } else {
            Command::new(target().join("release").join(format!("peer-{}", self.folder)))
        };
        command
            .args(["--database", &order.database, "--settings", order.settings.name()])
            .args(["--work", &order.work.name(), "--count", &order.count.to_string()])
            .args(["--seconds", &order.time.as_secs_f64().to_string()])
            .args(["--cap", &order.cap.as_secs_f64().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }
}

/// Builds the peers' programs, each with its own lock file, all into one folder.
pub(crate) fn build(peers: &[&Contestant]) -> Result {
    let mut folders: Vec<&str> = peers.iter().map(|peer| peer.folder).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        let manifest = bench().join("peers").join(folder).join("Cargo.toml");
        let mut build = Build::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--release", "--locked", "--quiet"]).arg("--manifest-path").arg(&manifest);
        let status = build.arg("--target-dir").arg(target()).stdout(Stdio::null()).status()?;
        if !status.success() {
            return Err(format!("{} was not built: {status}", manifest.display()).into());
        }
    }
    Ok(())
}

/// Performs one run: returns the line that it prints.
pub(crate) async fn figure(who: &Contestant, order: &Order) -> Result<Line> {
    let ran = tokio::time::timeout(PATIENCE, who.command(order)?.output()).await;
    let output = ran.map_err(|_| format!("it did not end within {PATIENCE:?}"))??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("it ended with {}: {}", output.status, said.trim()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// No measurement takes that long.
const PATIENCE: Duration = Duration::from_mins(2);

fn target() -> PathBuf {
    bench().join("target/peers")
}

fn bench() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
