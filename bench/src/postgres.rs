//! A throw-away PostgreSQL server with PostgreSQL's default durability, removed at the end.

use futurecall_testbed::postgres;
use tempfile::TempDir;

use crate::Result;

/// A running server; dropping it stops it and removes its folder.
pub(crate) struct Server {
    pub(crate) url: String,
    // Dropped in this order.
    _running: postgres::Server,
    _folder: TempDir,
}

impl Server {
    /// Creates a server and starts it. It listens on a socket in its own folder only.
    pub(crate) fn start() -> Result<Self> {
        // The name and the file `script` are those of scripts/lib/postgres.sh: if this process is killed, the next
        // script that starts a server removes this one.
        let folder = tempfile::Builder::new().prefix("futurecall-postgres.").tempdir_in("/tmp")?;
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        std::fs::write(folder.path().join("script"), format!("{} {machine}", std::process::id()))?;
        let url = format!("postgres://futurecall@localhost/postgres?host={}", folder.path().display());
        let server = postgres::Server::init(folder.path(), [""; 0])
            .map_err(|error| format!("{error}, or set DATABASE_URL"))?
            .with("-c max_connections=200", Vec::new());
        server.start()?;
        Ok(Self { url, _running: server, _folder: folder })
    }
}
