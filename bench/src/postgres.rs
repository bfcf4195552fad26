//! A throw-away PostgreSQL server with the durability that PostgreSQL comes with, removed at the end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::Result;

/// A running server; dropping it stops it and removes its folder.
pub(crate) struct Server {
    pub(crate) url: String,
    programs: Programs,
    folder: TempDir,
}

/// Where PostgreSQL's programs are, and who runs them.
struct Programs {
    folder: PathBuf,
    /// PostgreSQL refuses to run as root: then another user runs it.
    user: Option<&'static str>,
}

impl Server {
    /// Makes a server and starts it. It listens on a socket in its own folder only.
    pub(crate) fn start() -> Result<Self> {
        let programs = Programs::find()?;
        // The name and the file `script` are those of scripts/lib/postgres.sh: if this process is killed, the next
        // script that starts a server removes this one.
        let folder = tempfile::Builder::new().prefix("futurecall-postgres.").tempdir_in("/tmp")?;
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        std::fs::write(folder.path().join("script"), format!("{} {machine}", std::process::id()))?;
        let data = folder.path().join("data");
        if let Some(user) = programs.user {
            run(Command::new("chown").arg("-R").arg(user).arg(folder.path()))?;
        }
        let url = format!("postgres://futurecall@localhost/postgres?host={}", folder.path().display());
        let server = Self { url, programs, folder };
        let init = ["--username=futurecall", "--auth=trust", "--encoding=UTF8", "--locale=C"];
        run(server.programs.command("initdb").arg("--pgdata").arg(&data).args(init))?;
        let options =
            format!("-k {} -c listen_addresses='' -c max_connections=200", server.folder.path().display());
        run(server.control(&data).arg("--log").arg(data.join("server.log")).args([
            "--wait",
            "--silent",
            "--options",
            &options,
            "start",
        ]))?;
        Ok(server)
    }

    fn control(&self, data: &Path) -> Command {
        let mut command = self.programs.command("pg_ctl");
        command.arg("--pgdata").arg(data);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        if !data.join("postmaster.pid").exists() {
            // It has not started.
            return;
        }
        // Nothing in it is worth a checkpoint.
        if let Err(error) = run(self.control(&data).args(["--mode=immediate", "stop"])) {
            eprintln!("the server in {} did not stop: {error}", data.display());
        }
    }
}

impl Programs {
    fn find() -> Result<Self> {
        let user = if is_root()? { Some(other_user()?) } else { None };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
            })
            .collect();
        versions.sort();
        folders.extend(versions.into_iter().rev().map(|(_, folder)| folder));
        let folder = folders
            .into_iter()
            .find(|folder| ["initdb", "pg_ctl"].iter().all(|program| folder.join(program).is_file()))
            .ok_or("PostgreSQL's programs were not found; install PostgreSQL or set DATABASE_URL")?;
        Ok(Self { folder, user })
    }

    /// One of the programs, as the right user, in a folder which that user may enter, in English.
    fn command(&self, program: &str) -> Command {
        let program = self.folder.join(program);
        let mut command = match self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--"]).arg(program);
                command
            }
        };
        command.current_dir("/").env("LC_ALL", "C");
        command
    }
}

fn is_root() -> Result<bool> {
    let id = Command::new("id").arg("-u").output()?;
    Ok(id.stdout.trim_ascii() == b"0")
}

fn other_user() -> Result<&'static str> {
    let exists = |user: &&str| Command::new("id").arg(user).output().is_ok_and(|id| id.status.success());
    let found = ["postgres", "_postgres", "nobody"].into_iter().find(exists);
    found.ok_or_else(|| {
        "root cannot run PostgreSQL, and there is no user postgres or nobody; set DATABASE_URL".into()
    })
}

/// Runs a command to its end. What it says goes to our standard error: standard output holds the figures.
fn run(command: &mut Command) -> Result {
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if output.success() {
        return Ok(());
    }
    let said = command.get_args().collect::<Vec<&OsStr>>();
    Err(format!("{} {said:?} failed: {output}", command.get_program().display()).into())
}
