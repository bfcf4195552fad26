//! A PostgreSQL server of our own, which may be killed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};

use crate::Result;

/// How many connections it has.
pub(crate) const CONNECTIONS: u32 = 80;

/// A server with its data in a folder, which it is stopped with.
#[derive(Debug)]
pub(crate) struct Server {
    folder: PathBuf,
    programs: Programs,
    options: String,
}

/// Where PostgreSQL's programs are, and who runs them.
#[derive(Debug)]
struct Programs {
    folder: PathBuf,
    /// PostgreSQL refuses to run as root: then another user runs it.
    user: Option<&'static str>,
}

impl Server {
    /// Makes a server in an empty folder, and starts it. It listens on a socket in that folder only.
    pub(crate) fn start(folder: PathBuf, synchronous_commit: bool) -> Result<Self> {
        let programs = Programs::find()?;
        // The name of the folder and the file `script` are those of scripts/lib/postgres.sh: if this process is
        // killed, the next script that starts a server removes this one.
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        std::fs::write(folder.join("script"), format!("{} {machine}", std::process::id()))?;
        if let Some(user) = programs.user {
            run(Command::new("chown").arg("-R").arg(user).arg(&folder))?;
        }
        let init = ["--username=futurecall", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
        run(programs.command("initdb").arg("--pgdata").arg(folder.join("data")).args(init))?;
        // Killed processes leave the page cache as it is: fsync costs, and proves nothing here. Whether a commit waits
        // for the write-ahead log decides what a client may rely on.
        let commit = if synchronous_commit { "on" } else { "off -c wal_writer_delay=2s" };
        let options = format!(
            "-k {} -c listen_addresses='' -c max_connections={CONNECTIONS} -c fsync=off -c full_page_writes=off \
             -c restart_after_crash=on -c synchronous_commit={commit}",
            folder.display()
        );
        let server = Self { folder, programs, options };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it, after it was killed.
    pub(crate) fn start_again(&self) -> Result {
        let mut command = self.programs.command("pg_ctl");
        command.arg("--pgdata").arg(self.data()).arg("--log").arg(self.data().join("server.log"));
        run(command.args(["--wait", "--silent", "--options", &self.options, "start"]))
    }

    /// Kills (SIGKILL) the server and every process of it, and returns when none is left.
    pub(crate) async fn kill(&self) -> Result {
        let first = std::fs::read_to_string(self.data().join("postmaster.pid"))?;
        let server: i32 = first.lines().next().unwrap_or_default().trim().parse()?;
        // First it must stand still: a process that it starts now would be in nobody's list, and hold its memory.
        signal(server, Signal::STOP);
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children"))?;
        let children: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        std::iter::once(server).chain(children.iter().copied()).for_each(|pid| signal(pid, Signal::KILL));
        for pid in std::iter::once(server).chain(children) {
            while is_alive(pid) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        // Where nobody buries orphans, the dead server still has its number, and a new one would take it for alive.
        for lock in [self.data().join("postmaster.pid"), self.folder.join(".s.PGSQL.5432.lock")] {
            std::fs::remove_file(lock)?;
        }
        Ok(())
    }

    /// The path of its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// A connection that goes past the proxy.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        Ok(self.connect_options().connect().await?)
    }

    /// The same as a pool, which connects anew when the server was killed.
    pub(crate) fn pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect_lazy_with(self.connect_options())
    }

    fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.folder)
            .username("futurecall")
            .database("postgres")
            .application_name("torture")
            .ssl_mode(PgSslMode::Disable)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.data().join("postmaster.pid").exists() {
            return;
        }
        let mut command = self.programs.command("pg_ctl");
        command.arg("--pgdata").arg(self.data()).args(["--mode=immediate", "--silent", "stop"]);
        if let Err(error) = run(&mut command) {
            eprintln!("the server in {} did not stop: {error}", self.folder.display());
        }
    }
}

impl Programs {
    fn find() -> Result<Self> {
        let user = if rustix::process::geteuid().is_root() { Some(other_user()?) } else { None };
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
        let has_both =
            |folder: &PathBuf| ["initdb", "pg_ctl"].iter().all(|program| folder.join(program).is_file());
        let folder = folders.into_iter().find(has_both);
        let folder =
            folder.ok_or("PostgreSQL's programs were not found: install PostgreSQL, or use --sqlite")?;
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

/// Whoever has ended by himself meanwhile needs none.
fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

fn other_user() -> Result<&'static str> {
    let exists = |user: &&str| Command::new("id").arg(user).output().is_ok_and(|id| id.status.success());
    let found = ["postgres", "_postgres", "nobody"].into_iter().find(exists);
    found.ok_or_else(|| {
        "root cannot run PostgreSQL, and there is no user postgres or nobody: use --sqlite".into()
    })
}

fn run(command: &mut Command) -> Result {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed: {status}").into())
}

/// Whether a process is there and not merely waiting to be buried.
fn is_alive(pid: i32) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    status.is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|after| after.trim_start().starts_with('Z')))
}
