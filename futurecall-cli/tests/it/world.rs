//! A database with a service on it: a pod that runs what is due when it is told to, and calls of every kind.

use std::process::Command;
use std::time::Duration;

use futurecall_runtime::chrono::{DateTime, Utc};
use futurecall_runtime::prelude::*;
use futurecall_runtime::store::{PostgresStore, Span, SqliteStore, Statistics, Store};
use futurecall_runtime::{CallId, PodId, Role};
use futurecall_tests::database::{self, TestDatabase, TestFile};

use crate::program::{Said, program};

pub(crate) struct ReportFutureCall;

#[future_call]
impl ReportFutureCall {
    pub(crate) async fn build(_session: &Session, _user: i64, #[future_call(redact)] _token: &str) {}

    pub(crate) async fn send(_session: &Session, to: &str) -> Result<(), BoxError> {
        Err(format!("no mailbox {to}").into())
    }
}

/// The database, and how it is reached.
enum Place {
    File(TestFile),
    Server(Box<TestDatabase>),
}

/// The service.
pub(crate) struct World {
    place: Place,
    pub(crate) pod: Pod,
    /// A call that waits for an hour, with the identifier `user:1`.
    pub(crate) waiting: CallId,
    /// A call that failed.
    pub(crate) failed: CallId,
    /// A call that succeeded.
    pub(crate) succeeded: CallId,
    /// A call whose name nobody knows, due in two hours.
    pub(crate) ghost: CallId,
}

const HOUR: Duration = Duration::from_hours(1);

/// Does it on both databases, each with a world of its own.
pub(crate) async fn on_both(test: impl AsyncFn(&World)) {
    for place in [Place::File(database::sqlite()), Place::Server(Box::new(database::postgres().await))] {
        let world = World::begin(place).await;
        test(&world).await;
        world.end().await;
    }
}

/// Does it on a SQLite file alone.
pub(crate) async fn on_a_file(test: impl AsyncFn(&World)) {
    let world = World::begin(Place::File(database::sqlite())).await;
    test(&world).await;
    world.end().await;
}

impl World {
    async fn begin(place: Place) -> Self {
        let (url, schema) = match &place {
            Place::File(file) => (&file.url, "futurecall"),
            Place::Server(server) => (&server.url, server.schema.as_str()),
        };
        let pod = Pod::builder()
            .database_url(url)
            .schema(schema)
            .role(Role::Maintenance)
            .without_discovery()
            .register(ReportFutureCall)
            .start()
            .await
            .expect("the pod starts");
        let calls = pod.future_calls();
        let soon = || calls.call_now().of::<ReportFutureCall>();
        // One after the other: the history is listed by when they ended.
        let succeeded = soon().build(1, "s3cret").await.unwrap();
        assert_eq!(pod.run_due().await.unwrap().succeeded, 1);
        let failed = soon().send("ada@example.org").await.unwrap();
        assert_eq!(pod.run_due().await.unwrap().failed, 1);
        let waiting =
            calls.call_with_delay(HOUR).identifier("user:1").of::<ReportFutureCall>().build(1, "s3cret");
        let waiting = waiting.await.unwrap();
        let ghost = pod.future_call_with_delay("ghost.run", Some(&7), 2 * HOUR).await.unwrap();
        calls
            .call_recurring()
            .identifier("nightly")
            .cron("30 2 * * *")
            .time_zone("Europe/Berlin")
            // Whenever the tests run, it comes after the others.
            .starting_at("2035-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap())
            .of::<ReportFutureCall>()
            .build(2, "s3cret")
            .await
            .unwrap();
        count(&place).await;
        Self { place, pod, waiting, failed, succeeded, ghost }
    }

    async fn end(self) {
        self.pod.shutdown().await;
        if let Place::Server(server) = self.place {
            TestDatabase::drop(*server).await;
        }
    }

    pub(crate) fn url(&self) -> &str {
        match &self.place {
            Place::File(file) => &file.url,
            Place::Server(server) => &server.url,
        }
    }

    /// Where the tables stand on PostgreSQL.
    pub(crate) fn schema(&self) -> &str {
        match &self.place {
            Place::File(_) => "futurecall",
            Place::Server(server) => &server.schema,
        }
    }

    pub(crate) const fn kind(&self) -> &'static str {
        match self.place {
            Place::File(_) => "sqlite",
            Place::Server(_) => "postgres",
        }
    }

    /// The program on this database.
    pub(crate) fn program(&self) -> Command {
        let mut command = program();
        command.env("FUTURECALL_DATABASE_URL", self.url());
        if let Place::Server(server) = &self.place {
            command.env("FUTURECALL_SCHEMA", &server.schema);
        }
        command
    }

    /// A page of the service's own dashboard, as JSON. Its visitor may do everything.
    #[cfg(feature = "dashboard")]
    pub(crate) async fn page(&self, page: &str) -> serde_json::Value {
        use axum::body::{Body, to_bytes};
        use tower::ServiceExt;

        let dashboard = futurecall_dashboard::dashboard(&self.pod)
            .authorize(|_: &_| futurecall_dashboard::Access::operator("ada"));
        let request = axum::http::Request::get(page).header("host", "ops.example").body(Body::empty());
        let answer = dashboard.into_router().oneshot(request.unwrap()).await.unwrap();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    /// Runs it.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        Said::of(&self.program().args(args).output().expect("the program starts"))
    }
}

/// Puts down what a pod that has gone since has counted: 100 calls, one of which failed.
async fn count(place: &Place) {
    let store: Box<dyn Store> = match place {
        Place::File(file) => Box::new(SqliteStore::open_with(&file.url, "futurecall_", 1).await.unwrap()),
        Place::Server(server) => {
            Box::new(PostgresStore::open_with(&server.url, &server.schema, 1).await.unwrap())
        }
    };
    let now = store.now().await.unwrap();
    let counted = Span::ALL.map(|span| {
        let mut counted = Statistics::new("mail.welcome".to_owned(), span, span.start_of(now));
        (counted.succeeded, counted.failed, counted.retried) = (99, 1, 3);
        for millis in 1..=100 {
            counted.durations.add(Duration::from_millis(millis));
            counted.lateness.add(Duration::from_micros(millis * 30));
        }
        counted
    });
    store.put_statistics(PodId::new(), &counted).await.unwrap();
}
