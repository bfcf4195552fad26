//! Where a figure is measured: a separate database or file.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futurecall_runtime::{Config, Pod, Role};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::Result;
use crate::calls::{BenchFutureCall, Log};
pub(crate) use crate::kind::Kind;
use crate::report::Line;
use futurecall_testbed::network::{Network, Server};

/// A store to be measured.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) kind: Kind,
    /// The server's URL; `None` for SQLite.
    server: String,
    /// The round trip of the network in front of the server, if any.
    round_trip: Option<Duration>,
    /// The databases that still exist.
    databases: Databases,
}

/// The names of databases.
type Databases = Arc<Mutex<Vec<String>>>;

/// Call [`remove`](Self::remove) at the end.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    server: String,
    /// The database's name; `None` for SQLite.
    pub(crate) name: String,
    databases: Databases,
    _folder: Option<TempDir>,
    _network: Option<Network>,
}

impl Store {
    pub(crate) fn postgres(url: String) -> Self {
        Self { kind: Kind::Postgres, server: url, round_trip: None, databases: Databases::default() }
    }

    /// Returns the same, with a network in front of the server.
    pub(crate) fn across(self, round_trip: Option<Duration>) -> Self {
        Self { round_trip, ..self }
    }

    pub(crate) fn sqlite() -> Self {
        let (server, databases) = (String::new(), Databases::default());
        Self { kind: Kind::Sqlite, server, round_trip: None, databases }
    }

    /// Creates an empty database or file.
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
                    databases: Databases::default(),
                    _folder: Some(folder),
                    _network: None,
                })
            }
            Kind::Postgres => {
                let name = format!("futurecall_bench_{}", Uuid::now_v7().simple());
                // Recorded first, so that it is removed even after an interruption.
                lock(&self.databases).push(name.clone());
                tell(&self.server, &format!("CREATE DATABASE {name}")).await?;
                let options: PgConnectOptions = self.server.parse()?;
                let (url, network) = self.way_to(&options.database(&name))?;
                Ok(Place {
                    kind: self.kind,
                    url,
                    server: self.server.clone(),
                    name,
                    databases: Arc::clone(&self.databases),
                    _folder: None,
                    _network: network,
                })
            }
        }
    }

    /// Returns the URL for pods, and the network in between.
    fn way_to(&self, database: &PgConnectOptions) -> Result<(String, Option<Network>)> {
        let mut url = database.to_url_lossy();
        let Some(round_trip) = self.round_trip else { return Ok((url.into(), None)) };
        let server = match database.get_socket() {
            Some(folder) => Server::Unix(folder.join(format!(".s.PGSQL.{}", database.get_port()))),
            None => Server::Tcp(format!("{}:{}", database.get_host(), database.get_port())),
        };
        let network = Network::before(server, round_trip)?;
        url.set_ip_host(network.address.ip()).map_err(|()| "the URL has no host")?;
        url.set_port(Some(network.address.port())).map_err(|()| "the URL has no port")?;
        // The network does not forward TLS; it is local anyway.
        url.set_query(Some("sslmode=disable"));
        Ok((url.into(), Some(network)))
    }

    /// Returns the figure's name, with the settings for all of this store.
    pub(crate) fn set(&self, line: Line) -> Line {
        match self.round_trip {
            Some(time) => line.set(&format!("round trip {} ms", time.as_secs_f64() * 1e3)),
            None => line,
        }
    }

    /// Returns a time in round trips, if the network has any.
    pub(crate) fn in_round_trips(&self, millis: f64) -> Option<f64> {
        self.round_trip.map(|time| millis / (time.as_secs_f64() * 1e3))
    }

    /// Opens a connection to the server, to none of the measured databases.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.server).await?)
    }

    /// Returns whether this can be measured at all.
    pub(crate) async fn may_make_databases(&self) -> Result<bool> {
        if self.kind == Kind::Sqlite {
            return Ok(true);
        }
        let mut connection = self.connect().await?;
        let may = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user";
        Ok(sqlx::query_scalar(may).fetch_one(&mut connection).await?)
    }

    /// Removes the databases that remained after a failure or an interruption.
    pub(crate) async fn clean(&self) -> Result {
        let left = std::mem::take(&mut *lock(&self.databases));
        for name in left {
            drop_database(&self.server, &name).await?;
        }
        Ok(())
    }
}

impl Place {
    /// Starts a pod, with the defaults unless the figure is about another setting.
    pub(crate) async fn pod(&self, role: Role, config: Config, log: &Arc<Log>) -> Result<Pod> {
        // By hand: the comparison's block in this program needs a state that is not here.
        let builder = Pod::builder().without_discovery().register(BenchFutureCall);
        let builder = builder.database_url(&self.url).role(role).config(config);
        Ok(builder.state(Arc::clone(log)).start().await?)
    }

    /// Opens a connection to the server that is not one to this database.
    pub(crate) async fn beside(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.server).await?)
    }

    pub(crate) async fn remove(self) -> Result {
        if self.kind == Kind::Postgres {
            drop_database(&self.server, &self.name).await?;
            lock(&self.databases).retain(|name| *name != self.name);
        }
        Ok(())
    }
}

async fn drop_database(server: &str, name: &str) -> Result {
    tell(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
}

fn lock(databases: &Databases) -> std::sync::MutexGuard<'_, Vec<String>> {
    databases.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names cannot be bound as parameters; those here are letters, digits and underscores.
async fn tell(server: &str, sql: &str) -> Result {
    let mut connection = PgConnection::connect(server).await?;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
