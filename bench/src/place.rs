//! Where a figure is measured: a database, or a file, of its own.

use std::sync::Arc;

use futurecall_runtime::{Config, Pod, Role};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::Result;
use crate::calls::Log;
use crate::watch::Watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Sqlite,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        }
    }
}

/// A store to be measured.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) kind: Kind,
    /// The server's URL; nothing for SQLite.
    server: String,
}

/// Call [`remove`](Self::remove) at the end.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    server: String,
    /// The database's name; nothing for SQLite.
    pub(crate) name: String,
    _folder: Option<TempDir>,
}

impl Store {
    pub(crate) fn postgres(url: String) -> Self {
        Self { kind: Kind::Postgres, server: url }
    }

    pub(crate) fn sqlite() -> Self {
        Self { kind: Kind::Sqlite, server: String::new() }
    }

    /// An empty database or file.
    pub(crate) async fn fresh(&self) -> Result<Place> {
        match self.kind {
            Kind::Sqlite => {
                let folder = tempfile::tempdir()?;
                let url = format!("sqlite://{}", folder.path().join("calls.db").display());
                Ok(Place {
                    kind: self.kind,
                    url,
                    server: String::new(),
                    name: String::new(),
                    _folder: Some(folder),
                })
            }
            Kind::Postgres => {
                let name = format!("futurecall_bench_{}", Uuid::now_v7().simple());
                self.tell(&format!("CREATE DATABASE {name}")).await?;
                let options: PgConnectOptions = self.server.parse()?;
                let url = options.database(&name).to_url_lossy().into();
                Ok(Place { kind: self.kind, url, server: self.server.clone(), name, _folder: None })
            }
        }
    }

    async fn tell(&self, sql: &str) -> Result {
        tell(&self.server, sql).await
    }
}

impl Place {
    /// A started pod, with the defaults unless the figure is about another setting.
    pub(crate) async fn pod(&self, role: Role, config: Config, log: &Arc<Log>) -> Result<Pod> {
        let builder = Pod::builder().database_url(&self.url).role(role).config(config);
        Ok(builder.state(Arc::clone(log)).start().await?)
    }

    /// A connection to the server that is not one to this database.
    pub(crate) async fn beside(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.server).await?)
    }

    /// Has the database know what it holds and write it out, as it would by itself some minutes later.
    pub(crate) async fn tidy(&self) -> Result {
        match Watch::open(self).await? {
            Watch::Postgres(mut connection) => {
                sqlx::raw_sql("VACUUM ANALYZE futurecall.call").execute(&mut connection).await?;
                sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
            }
            Watch::Sqlite(mut connection) => {
                sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn remove(self) -> Result {
        if self.kind == Kind::Postgres {
            tell(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await?;
        }
        Ok(())
    }
}

/// Names cannot be bound as parameters; those here are letters, digits and underscores.
async fn tell(server: &str, sql: &str) -> Result {
    let mut connection = PgConnection::connect(server).await?;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
