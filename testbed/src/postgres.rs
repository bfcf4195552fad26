//! A private PostgreSQL server, from the installed binaries.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A server with its data in a folder. It listens on a socket in that folder only, trusts all clients, and stops when
/// this value is dropped.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    programs: Programs,
    options: String,
    environment: Vec<(&'static str, OsString)>,
}

/// Where PostgreSQL's binaries are, and which user runs them.
#[derive(Debug)]
struct Programs {
    folder: PathBuf,
    /// PostgreSQL refuses to run as root: then another user runs it.
    user: Option<&'static str>,
}

impl Server {
    /// Creates the files of a server in a folder, whose superuser is `futurecall`, with further arguments for `initdb`.
    /// It does not run yet.
    ///
    /// # Errors
    ///
    /// If PostgreSQL is not installed, or cannot create its files there.
    pub fn init<A: Into<OsString>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Result<Self> {
        let programs = Programs::find()?;
        if let Some(user) = programs.user {
            run(Command::new("chown").arg("-R").arg(user).arg(folder))?;
        }
        let folder = folder.to_owned();
        let server = Self { folder, programs, options: String::new(), environment: Vec::new() };
        let init = ["--username=futurecall", "--auth=trust", "--encoding=UTF8", "--locale=C"];
        let mut initdb = server.programs.command("initdb");
        initdb.arg("--pgdata").arg(server.data()).args(init);
        run(initdb.args(arguments.into_iter().map(Into::into)))?;
        Ok(server)
    }

    /// Sets the options of the server, such as `-c fsync=off`, and variables of its environment.
    #[must_use]
    pub fn with(mut self, options: &str, environment: Vec<(&'static str, OsString)>) -> Self {
        self.options = format!("-k {} -c listen_addresses='' {options}", self.folder.display());
        self.environment = environment;
        self
    }

    /// Starts it, and returns when it accepts connections.
    ///
    /// # Errors
    ///
    /// If it does not start; `server.log` in its folder has the reason.
    pub fn start(&self) -> Result {
        let mut command = self.control();
        command.arg("--log").arg(self.folder.join("server.log"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run(command.args(["--wait", "--silent", "--options", &self.options, "start"]))
    }

    /// Stops it at once, if it runs. Its data is not worth a checkpoint.
    ///
    /// # Errors
    ///
    /// If it does not stop.
    pub fn stop(&self) -> Result {
        if self.has_started() {
            run(self.control().args(["--mode=immediate", "--silent", "stop"]))
        } else {
            Ok(())
        }
    }

    /// Returns whether it has started, and has not ended by itself since.
    pub fn has_started(&self) -> bool {
        self.data().join("postmaster.pid").exists()
    }

    /// Returns the folder of its socket.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder of its data.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Returns the path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    fn control(&self) -> Command {
        let mut command = self.programs.command("pg_ctl");
        command.arg("--pgdata").arg(self.data());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("the server in {} did not stop: {error}", self.folder.display());
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
        let has_both =
            |folder: &PathBuf| ["initdb", "pg_ctl"].iter().all(|program| folder.join(program).is_file());
        let folder = folders.into_iter().find(has_both);
        let folder = folder.ok_or("PostgreSQL's programs were not found; install PostgreSQL")?;
        Ok(Self { folder, user })
    }

    /// Returns a command of one of the binaries, as the right user, in a folder that the user may enter, in English.
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
    found.ok_or_else(|| "root cannot run PostgreSQL, and there is no user postgres or nobody".into())
}

/// Runs a command to its end. Its output goes to standard error: standard output is the caller's.
fn run(command: &mut Command) -> Result {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed: {status}").into())
}
