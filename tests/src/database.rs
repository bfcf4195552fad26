//! Databases for tests: each test gets a PostgreSQL database, or a SQLite file, of its own.

use std::env;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;
use uuid::Uuid;

/// Whether this process has looked for leftovers of earlier ones.
static SWEPT: AtomicBool = AtomicBool::new(false);

const SERVER: &str = "these tests need a PostgreSQL server: run scripts/test, which starts one, \
                      or set DATABASE_URL (scripts/postgres prints one)";
const URL: &str = "DATABASE_URL is a postgres:// URL";

/// A PostgreSQL database for one test.
///
/// Call [`drop`](Self::drop) at the end of the test. The leftovers of a failed test are removed by a later run, once
/// they are an hour old.
#[derive(Debug)]
pub struct TestDatabase {
    /// The URL to connect to.
    pub url: String,
    /// Open connections to the same place, like those of the application under test.
    pub pool: PgPool,
    /// The schema for Futurecall's tables. It is `futurecall` in a database of the test's own; if the server's user may
    /// only create schemas, it is a fresh one, which also has the tables of the pool.
    pub schema: String,
    place: Place,
    name: String,
    server: PgConnectOptions,
}

/// A SQLite file for one test, in a folder that is removed with this value. The file does not exist yet.
#[derive(Debug)]
pub struct TestFile {
    /// The URL to connect to.
    pub url: String,
    /// The file itself.
    pub path: PathBuf,
    _folder: TempDir,
}

/// Creates an empty PostgreSQL database on the server that `DATABASE_URL` names, or, if its user may not create
/// databases, a schema.
///
/// # Panics
///
/// If `DATABASE_URL` is not set: no test is skipped because a server is missing. If the server refuses.
pub async fn postgres() -> TestDatabase {
    let server: PgConnectOptions = env::var("DATABASE_URL").expect(SERVER).parse().expect(URL);
    let mut admin = connect(&server).await;
    let place = place(&mut admin).await;
    if !SWEPT.swap(true, Ordering::Relaxed) {
        sweep(&mut admin, place).await;
    }
    create(server, &mut admin, place, None).await
}

/// Does the same as [`postgres`], with this encoding instead of the server's, such as `LATIN1`. Returns `None`, and
/// prints that, if the server's user may not create databases.
///
/// # Panics
///
/// As [`postgres`].
pub async fn postgres_in(encoding: &str) -> Option<TestDatabase> {
    let server: PgConnectOptions = env::var("DATABASE_URL").expect(SERVER).parse().expect(URL);
    let mut admin = connect(&server).await;
    let Place::Database = place(&mut admin).await else {
        eprintln!(
            "not checked with the encoding {encoding}: the user of DATABASE_URL may not create databases"
        );
        return None;
    };
    Some(create(server, &mut admin, Place::Database, Some(encoding)).await)
}

/// Names a SQLite file that does not exist yet, in a temporary folder of its own.
///
/// # Panics
///
/// If the folder cannot be created.
pub fn sqlite() -> TestFile {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("calls.db");
    TestFile { url: format!("sqlite://{}", path.display()), path, _folder: folder }
}

impl TestDatabase {
    /// Removes the database, even if there are connections to it.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn drop(self) {
        self.pool.close().await;
        let mut admin = connect(&self.server).await;
        execute(&mut admin, self.place.removal(&self.name))
            .await
            .expect("the test's database can be removed");
    }
}

impl TestFile {
    /// Opens the file as an application would, creating it if it is missing.
    ///
    /// # Panics
    ///
    /// If SQLite cannot open it.
    pub async fn pool(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(&self.path).create_if_missing(true);
        SqlitePool::connect_with(options).await.expect("the test's file can be opened")
    }
}

/// The private objects of a test on the server.
#[derive(Clone, Copy, Debug)]
enum Place {
    Database,
    Schema,
}

impl Place {
    fn removal(self, name: &str) -> String {
        match self {
            Self::Database => format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            Self::Schema => format!("DROP SCHEMA IF EXISTS {name} CASCADE"),
        }
    }
}

async fn place(admin: &mut PgConnection) -> Place {
    let may_create_databases: bool =
        sqlx::query_scalar("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
            .fetch_one(admin)
            .await
            .expect("the server says what its user may do");
    if may_create_databases { Place::Database } else { Place::Schema }
}

async fn create(
    server: PgConnectOptions,
    admin: &mut PgConnection,
    place: Place,
    encoding: Option<&str>,
) -> TestDatabase {
    // A version 7 id begins with the time: by it `sweep` knows what is old.
    let name = format!("futurecall_test_{}", Uuid::now_v7().simple());
    let (options, schema, creation) = match place {
        Place::Database => {
            // Copying the template's files is faster than writing each page of it to the log, and fsync is off.
            let strategy =
                if admin.server_version_num() >= Some(150_000) { "STRATEGY FILE_COPY" } else { "" };
            // The locale C goes with any encoding.
            let encoding = encoding.map_or_else(String::new, |encoding| {
                format!("ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
            });
            let creation = format!("CREATE DATABASE {name} TEMPLATE template0 {encoding} {strategy}");
            (server.clone().database(&name), "futurecall".to_owned(), creation)
        }
        Place::Schema => {
            let options = server.clone().options([("search_path", &name)]);
            (options, name.clone(), format!("CREATE SCHEMA {name}"))
        }
    };
    execute(admin, creation).await.expect("the server makes a database for the test");

    let mut url = options.to_url_lossy();
    if let Place::Schema = place {
        // The only thing of ours that the URL would lose.
        url.query_pairs_mut().append_pair("options[search_path]", &name);
    }
    let pool = PgPoolOptions::new()
        .max_connections(5)
        .connect_with(options)
        .await
        .expect("the test's database can be connected to");
    TestDatabase { url: url.into(), pool, schema, place, name, server }
}

/// Removes leftovers of failed tests that are more than an hour old. A failure means that another process is doing it.
async fn sweep(admin: &mut PgConnection, place: Place) {
    let names = match place {
        Place::Database => "SELECT datname::text FROM pg_database WHERE datname::text COLLATE \"C\"",
        Place::Schema => "SELECT nspname::text FROM pg_namespace WHERE nspname::text COLLATE \"C\"",
    };
    let old = format!(
        "{names} BETWEEN 'futurecall_test_' AND 'futurecall_test_' || \
         lpad(to_hex((extract(epoch FROM now() - interval '1 hour') * 1000)::bigint), 12, '0')"
    );
    let names: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(old)).fetch_all(&mut *admin).await.unwrap_or_default();
    for name in names {
        let _ = execute(admin, place.removal(&name)).await;
    }
}

async fn connect(server: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(server).await.expect("the server that DATABASE_URL names can be connected to")
}

/// Names cannot be bound as parameters; those here are made of letters, digits and underscores.
async fn execute(connection: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn server() -> (PgConnectOptions, PgConnection) {
        let server: PgConnectOptions = env::var("DATABASE_URL").expect("run scripts/test").parse().unwrap();
        let admin = connect(&server).await;
        (server, admin)
    }

    async fn exists(admin: &mut PgConnection, name: &str) -> bool {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) \
                 OR EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)",
        )
        .bind(name)
        .fetch_one(admin)
        .await
        .unwrap()
    }

    async fn has_table(pool: &PgPool, table: &str) -> bool {
        sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(pool).await.unwrap()
    }

    #[tokio::test]
    async fn databases_are_apart_and_go_when_dropped() {
        let (one, other) = (postgres().await, postgres().await);
        sqlx::raw_sql("CREATE TABLE mine ()").execute(&one.pool).await.unwrap();
        assert!(has_table(&one.pool, "mine").await);
        assert!(!has_table(&other.pool, "mine").await);

        // A connection that is still open does not keep the database.
        let _open = PgPool::connect(&one.url).await.unwrap();
        let names = [one.name.clone(), other.name.clone()];
        one.drop().await;
        other.drop().await;
        let (_, mut admin) = server().await;
        for name in names {
            assert!(!exists(&mut admin, &name).await, "{name} is still there");
        }
    }

    #[tokio::test]
    async fn a_schema_stands_in_where_databases_may_not_be_created() {
        let (options, mut admin) = server().await;
        let database = create(options, &mut admin, Place::Schema, None).await;
        sqlx::raw_sql("CREATE TABLE mine ()").execute(&database.pool).await.unwrap();

        let by_url = PgPool::connect(&database.url).await.unwrap();
        assert!(has_table(&by_url, "mine").await, "the URL leads to the schema");
        assert!(has_table(&by_url, &format!("{}.mine", database.schema)).await);
        by_url.close().await;

        let name = database.name.clone();
        database.drop().await;
        assert!(!exists(&mut admin, &name).await);
    }

    #[tokio::test]
    async fn only_old_databases_are_swept() {
        let (_, mut admin) = server().await;
        let fresh = postgres().await;
        let old = format!("futurecall_test_{:032x}", 0);
        execute(&mut admin, format!("CREATE SCHEMA IF NOT EXISTS {old}")).await.unwrap();

        sweep(&mut admin, Place::Schema).await;
        sweep(&mut admin, Place::Database).await;
        assert!(!exists(&mut admin, &old).await);
        assert!(exists(&mut admin, &fresh.name).await);
        fresh.drop().await;
    }

    #[tokio::test]
    async fn files_are_apart_and_go_when_dropped() {
        let (one, other) = (sqlite(), sqlite());
        assert_ne!(one.path, other.path);
        assert!(!one.path.exists());
        let pool = one.pool().await;
        let by_url = SqlitePool::connect(&one.url).await.unwrap();
        sqlx::raw_sql("CREATE TABLE mine (id INTEGER)").execute(&pool).await.unwrap();
        sqlx::raw_sql("INSERT INTO mine VALUES (1)").execute(&by_url).await.unwrap();

        pool.close().await;
        by_url.close().await;
        let path = one.path.clone();
        drop(one);
        assert!(!path.exists());
    }
}
