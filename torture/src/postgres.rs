//! A PostgreSQL server of the torture's own, which may be killed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futurecall_testbed::postgres;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};

use crate::Result;
use crate::clock_shim::{self, Library};
use crate::disk::Disk;

/// How many connections it has.
pub(crate) const CONNECTIONS: u32 = 80;
/// Its superuser.
pub(crate) const OWNER: &str = "futurecall";
/// The role of the pods, with the rights of a worker, once the tables are there.
pub(crate) const POD: &str = "pod";

/// A server with its data in a folder, with which it stops.
#[derive(Debug)]
pub(crate) struct Server {
    inner: postgres::Server,
    clock: Option<PathBuf>,
    /// Of its data and of its write-ahead log, if they can be full.
    pub(crate) disks: Option<Disks>,
}

/// Options of a server.
#[derive(Debug)]
pub(crate) struct ServerOptions {
    pub(crate) synchronous_commit: bool,
    /// The library and the file that shift its clock.
    pub(crate) clock: Option<(Library, PathBuf)>,
    /// Whether its disks can be full.
    pub(crate) disks: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { synchronous_commit: true, clock: None, disks: false }
    }
}

/// The disks of a server.
#[derive(Debug)]
pub(crate) struct Disks {
    pub(crate) data: Disk,
    pub(crate) log: Disk,
}

impl Server {
    /// Creates a server in an empty folder, and starts it. It listens on a socket in that folder only.
    pub(crate) fn start(folder: &Path, wanted: ServerOptions) -> Result<Self> {
        let ServerOptions { synchronous_commit, clock, disks } = wanted;
        if let Some((_, file)) = &clock {
            clock_shim::set_by(file, 0)?;
        }
        let disk = |name| {
            std::fs::create_dir(folder.join(name))?;
            Disk::mount(&folder.join(name))
        };
        let disks = if disks { Some(Disks { data: disk("data")?, log: disk("wal")? }) } else { None };
        let mut init: Vec<OsString> = vec!["--no-sync".into()];
        if disks.is_some() {
            // Small files, so that a full disk soon affects the next one.
            init.extend(["--waldir".into(), folder.join("wal").into(), "--wal-segsize=1".into()]);
        }
        let server =
            postgres::Server::init(folder, init).map_err(|error| format!("{error}, or use --sqlite"))?;
        // Killed processes leave the page cache as it is: fsync costs, and proves nothing here. Whether a commit waits
        // for the write-ahead log decides what a client may rely on.
        let commit = if synchronous_commit { "on" } else { "off -c wal_writer_delay=2s" };
        let files = if disks.is_some() { "-c min_wal_size=2MB -c max_wal_size=64MB" } else { "" };
        let options = format!(
            "-c max_connections={CONNECTIONS} -c fsync=off -c full_page_writes=off -c restart_after_crash=on \
             -c synchronous_commit={commit} {files}"
        );
        let environment = clock.as_ref().map_or_else(Vec::new, |(library, file)| library.of_all(file));
        let server = server.with(&options, environment);
        server.start()?;
        Ok(Self { inner: server, clock: clock.map(|(_, file)| file), disks })
    }

    /// Starts it, after it was killed.
    pub(crate) fn start_again(&self) -> Result {
        self.inner.start()
    }

    /// Kills (SIGKILL) the server and all its processes, and returns when none is left.
    pub(crate) async fn kill(&self) -> Result {
        let first = std::fs::read_to_string(self.inner.data().join("postmaster.pid"))?;
        let server: i32 = first.lines().next().unwrap_or_default().trim().parse()?;
        // It is paused first: a process that it forks now would be missing from the list, and hold its memory.
        signal(server, Signal::STOP);
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children"))?;
        let children: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        std::iter::once(server).chain(children.iter().copied()).for_each(|pid| signal(pid, Signal::KILL));
        for pid in std::iter::once(server).chain(children) {
            while is_alive(pid) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        clock_shim::remove_leftovers(server.unsigned_abs());
        // Without an init process that reaps orphans, the dead server keeps its number, and a new one would consider it
        // alive.
        for lock in [self.inner.data().join("postmaster.pid"), self.inner.folder().join(".s.PGSQL.5432.lock")]
        {
            std::fs::remove_file(lock)?;
        }
        Ok(())
    }

    /// Waits until it answers again, and starts it if it has ended by itself.
    pub(crate) async fn wait_until_healthy(&self) -> Result {
        for _ in 0..200 {
            if self.connect().await.is_ok() {
                return Ok(());
            }
            if !self.inner.has_started() {
                // The next check reports whatever keeps it from starting now.
                let _ = tokio::task::block_in_place(|| self.start_again());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("the server does not come back".into())
    }

    /// Sets its clock to that many microseconds from the true time; does nothing if its clock cannot be set.
    pub(crate) fn set_clock(&self, by: i64) -> Result {
        self.clock.as_ref().map_or(Ok(()), |file| clock_shim::set_by(file, by))
    }

    pub(crate) const fn has_a_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// Ends it at once, if it runs.
    pub(crate) fn stop(&self) -> Result {
        self.inner.stop()
    }

    /// Returns the path of its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.inner.socket()
    }

    /// Opens a connection that bypasses the proxy.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        Ok(self.connect_options().connect().await?)
    }

    /// Does the same with a pool, which reconnects when the server was killed.
    pub(crate) fn pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect_lazy_with(self.connect_options())
    }

    fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.inner.folder())
            .username("futurecall")
            .database("postgres")
            .application_name("torture")
            .ssl_mode(PgSslMode::Disable)
    }
}

/// A process that has ended by itself meanwhile needs no signal.
fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Returns whether a process exists and is not a zombie.
fn is_alive(pid: i32) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    status.is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|after| after.trim_start().starts_with('Z')))
}
