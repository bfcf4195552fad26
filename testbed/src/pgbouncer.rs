//! A PgBouncer for one test, in front of the test's PostgreSQL.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running PgBouncer. It ends when this value is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    /// The URL of the same database, through the pooler.
    pub url: String,
    folder: TempDir,
    port: u16,
    child: Child,
}

impl PgBouncer {
    /// Starts one in front of the database of that URL, with settings in addition to the required ones: `key = value`,
    /// one per line. Everything else is PgBouncer's default.
    ///
    /// # Panics
    ///
    /// If PgBouncer is not installed, or does not start: no test is skipped because it is missing.
    pub fn start(url: &str, settings: &str) -> Self {
        Self::before(&Server::of(url), settings)
    }

    /// Starts one in front of a server that listens on a socket in that folder, and requires no password.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn before_socket(folder: &Path, user: &str, database: &str, settings: &str) -> Self {
        let server = Server {
            login: format!("{user}:any"),
            user: user.to_owned(),
            password: "any".to_owned(),
            host: folder.display().to_string(),
            port: "5432".to_owned(),
            database: database.to_owned(),
        };
        Self::before(&server, settings)
    }

    fn before(server: &Server, settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("futurecall-pgbouncer.").tempdir_in("/tmp");
        let folder = folder.expect("a folder under /tmp");
        for _ in 0..10 {
            // Free now, but perhaps not when PgBouncer binds it.
            let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
            let port = free.expect("a free port").port();
            configure(folder.path(), server, port, settings);
            if let Some(child) = launch(folder.path(), port) {
                let url = format!("postgres://{}@127.0.0.1:{port}/{}", server.login, server.database);
                return Self { url, folder, port, child };
            }
        }
        panic!("PgBouncer did not start:\n{}", log(folder.path()));
    }

    /// Ends it, with all connections, and starts it again.
    ///
    /// # Panics
    ///
    /// If it does not start again.
    pub fn restart(&mut self) {
        end(&mut self.child);
        let child = launch(self.folder.path(), self.port);
        self.child = child.unwrap_or_else(|| panic!("PgBouncer did not start again:\n{}", self.log()));
    }

    /// Returns its log.
    pub fn log(&self) -> String {
        log(self.folder.path())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The parts of a `postgres://` URL.
struct Server {
    /// User and password as written in the URL.
    login: String,
    user: String,
    password: String,
    host: String,
    port: String,
    database: String,
}

impl Server {
    fn of(url: &str) -> Self {
        let (_, rest) = url.split_once("://").expect("a postgres:// URL");
        let (login, rest) = rest.split_once('@').expect("the URL names a user");
        let (address, path) = rest.split_once('/').expect("the URL names a database");
        // The rest is for the server, and PgBouncer would reject most of it.
        let database = path.split('?').next().unwrap_or_default().to_owned();
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "5432"));
        Self {
            login: login.to_owned(),
            user: decoded(user),
            password: decoded(password),
            host: host.to_owned(),
            port: port.to_owned(),
            database,
        }
    }
}

/// Decodes the percent signs of a part of a URL.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let code = others.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = others.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8(bytes).expect("the URL is UTF-8")
}

fn configure(folder: &Path, server: &Server, port: u16, settings: &str) {
    // It refuses to run as root: then another user runs it.
    let owner =
        if fs::metadata(folder).expect("the folder is there").uid() == 0 { unprivileged() } else { None };
    let user = owner.as_ref().map_or_else(String::new, |(name, _)| format!("user = {name}\n"));
    let quoted = |text: &str| text.replace('"', "\"\"");
    let users = format!("\"{}\" \"{}\"\n", quoted(&server.user), quoted(&server.password));
    let ini = format!(
        "[databases]\n* = host={} port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = plain\nauth_file = {}\n{user}{settings}\n",
        server.host,
        server.port,
        folder.join("users.txt").display()
    );
    for (name, text) in [("users.txt", users), ("pgbouncer.ini", ini)] {
        let path = folder.join(name);
        let mut file = File::create(&path).expect("a file in the folder");
        file.set_permissions(fs::Permissions::from_mode(0o600)).expect("it is ours");
        file.write_all(text.as_bytes()).expect("it can be written");
        own(&path, owner.as_ref());
    }
    own(folder, owner.as_ref());
}

fn own(path: &Path, owner: Option<&(String, u32)>) {
    if let Some((_, id)) = owner {
        chown(path, Some(*id), None).expect("root may give files away");
    }
}

/// Returns a user without rights, with its number.
fn unprivileged() -> Option<(String, u32)> {
    let users = fs::read_to_string("/etc/passwd").expect("the list of users");
    ["postgres", "_postgres", "nobody"].into_iter().find_map(|wanted| {
        let line = users.lines().find(|line| line.split(':').next() == Some(wanted))?;
        Some((wanted.to_owned(), line.split(':').nth(2)?.parse().ok()?))
    })
}

/// Starts the program, and waits until it listens; returns `None` if it ended instead.
fn launch(folder: &Path, port: u16) -> Option<Child> {
    let log = File::options().append(true).create(true).open(folder.join("log")).expect("a log");
    let mut command = Command::new(program());
    command.arg(folder.join("pgbouncer.ini")).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut child = command.spawn().expect("PgBouncer can be started");
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if child.try_wait().expect("the process can be waited for").is_some() {
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    end(&mut child);
    None
}

fn end(child: &mut Child) {
    // An error means that it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// Returns the program. Debian installs it outside of an ordinary user's PATH.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = ["/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"].map(PathBuf::from);
    let mut folders = std::env::split_paths(&path).chain(others);
    folders.find_map(|folder| Some(folder.join("pgbouncer")).filter(|file| file.is_file())).expect(
        "these tests need PgBouncer: run scripts/test, which installs it, or install it (Debian: apt-get install \
         pgbouncer; macOS: brew install pgbouncer)",
    )
}
