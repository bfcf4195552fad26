//! The roles of `migrations/roles.sql`: each can do its work, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futurecall_runtime::inspect::{CallFilter, PendingName, Span};
use futurecall_runtime::operate::{ActionFilter, Selection};
use futurecall_runtime::prelude::*;
use futurecall_runtime::store::prelude::*;
use futurecall_runtime::store::{ClaimRequest, Now, OnVanish, PostgresStore, Retention};
use futurecall_runtime::{CallState, Moment, PodBuilder, PodId, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;
use futurecall_tests::{Database, Fixture, Harness, Transaction};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::transactions;

const ROLES: &str = include_str!("../../migrations/roles.sql");

const KINDS: [&str; 4] = ["owner", "worker", "producer", "viewer"];

const HOUR: Duration = Duration::from_hours(1);

/// A schema whose tables are there, with its roles.
pub(crate) struct Roles {
    pub(crate) schema: String,
}

impl Roles {
    pub(crate) async fn new() -> Self {
        let roles = Self { schema: format!("roles_{}", uuid::Uuid::new_v4().simple()) };
        let store = PostgresStore::open(&server(), &roles.schema).await.expect("a store");
        store.migrate().await.expect("the tables");
        roles.apply().await;
        roles
    }

    /// Runs the script, as its first lines say for another schema.
    async fn apply(&self) {
        self.admin(&ROLES.replace("futurecall", &self.schema)).await;
    }

    pub(crate) async fn admin(&self, sql: &str) {
        run(&server(), sql).await.unwrap_or_else(|error| {
            panic!("the user of DATABASE_URL must be allowed to create roles, and schemas: {error:?}")
        });
    }

    /// The server's URL for a session of one of the roles.
    fn url(&self, kind: &str) -> String {
        let options: PgConnectOptions = server().parse().expect("DATABASE_URL is a postgres:// URL");
        let mut url = options.to_url_lossy();
        url.query_pairs_mut().append_pair("options[role]", &format!("{}_{kind}", self.schema));
        url.into()
    }

    async fn store(&self, kind: &str) -> PostgresStore {
        PostgresStore::open(&self.url(kind), &self.schema).await.expect("a store of the role")
    }

    pub(crate) fn builder(&self, kind: &str) -> PodBuilder {
        let builder = Pod::builder().without_discovery().config(Backend::config());
        builder.database_url(self.url(kind)).schema(&self.schema)
    }

    /// Whether the server refuses a statement to a role for want of a right.
    async fn refuses(&self, kind: &str, sql: &str) -> bool {
        let sql = sql.replace("futurecall.", &format!("{}.", self.schema));
        match run(&self.url(kind), &sql).await {
            Err(sqlx::Error::Database(said)) => said.code().as_deref() == Some("42501"),
            Err(error) => panic!("{sql}: {error}"),
            Ok(()) => false,
        }
    }

    pub(crate) async fn drop(&self) {
        let roles = KINDS.map(|kind| format!("{}_{kind}", self.schema)).join(", ");
        self.admin(&format!("DROP SCHEMA {} CASCADE; DROP ROLE {roles}", self.schema)).await;
    }
}

fn server() -> String {
    std::env::var("DATABASE_URL").expect("run scripts/test, or set DATABASE_URL")
}

async fn run(url: &str, sql: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
    connection.close().await
}

/// The conformance suite with the rights of a worker.
struct Worker;

#[async_trait]
impl Harness for Worker {
    fn name(&self) -> &'static str {
        "postgres as worker"
    }

    async fn fresh(&self) -> Fixture {
        let roles = Roles::new().await;
        let (store, other) = (roles.store("worker").await, roles.store("worker").await);
        Fixture { store: Arc::new(store), other: Arc::new(other), database: Box::new(roles) }
    }
}

#[async_trait]
impl Database for Roles {
    async fn begin(&self) -> Option<Box<dyn Transaction>> {
        Some(transactions::postgres_at(&self.url("worker")).await)
    }

    async fn begin_foreign(&self) -> Option<Box<dyn Transaction>> {
        Some(transactions::sqlite_in_memory().await)
    }

    async fn write(&self, _sql: &str) -> bool {
        // What the roles do when somebody else has written, the suite of the owner shows.
        false
    }

    async fn remove(&self) {
        self.drop().await;
    }
}

mod suite {
    use super::Worker;

    // Without the random walks, which ask for no other rights than the cases do.
    futurecall_tests::conformance!(
        Worker; schedule: Schedule, claim: Claim, cancel: Cancel, completion: Completion, reschedule: Reschedule,
        recurring: Recurring, undeclared: Undeclared, declined: Declined, gaps: Gaps, missed: Missed, lease: Lease, retry: Retry, history: History, inspect: Inspect, operate: Operate,
        migrate: Migrate, hazards: Hazards, signals: Signals, scenarios: Scenarios,
    );
}

struct Note(Journal);

impl InvokableFutureCall for Note {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        self.0.write(data.unwrap_or_default());
        Ok(())
    }
}

pub(crate) struct RoleFutureCall;

#[future_call]
impl RoleFutureCall {
    pub(crate) async fn play(_session: &Session, _part: &str) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_can_be_run_again_and_takes_back_what_it_does_not_grant() {
    let roles = Roles::new().await;
    let worker = format!("{}_worker", roles.schema);
    roles.admin(&format!("GRANT TRUNCATE, UPDATE ON {}.call TO {worker}", roles.schema)).await;
    assert!(!roles.refuses("worker", "UPDATE futurecall.call SET args = '{}'").await);
    roles.apply().await;
    assert!(roles.refuses("worker", "UPDATE futurecall.call SET args = '{}'").await);
    assert!(roles.refuses("worker", "TRUNCATE futurecall.call").await);
    roles.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_runs_calls_and_cannot_change_what_they_are() {
    let roles = Roles::new().await;
    let journal = Journal::new();
    let builder = roles.builder("worker").register(RoleFutureCall);
    let pod = builder.register_future_call("note", Note(journal.clone())).start().await.unwrap();
    pod.future_call_with_delay("note", Some("it works"), Duration::ZERO).await.unwrap();
    assert_eq!(journal.wait_for(1).await, ["it works"]);
    pod.shutdown().await;
    for denied in [
        "UPDATE futurecall.call SET args = '{}'",
        "UPDATE futurecall.call SET id = gen_random_uuid()",
        "UPDATE futurecall.finished SET state = 1",
        "UPDATE futurecall.migration SET version = 2",
        "DELETE FROM futurecall.schedule",
        "UPDATE futurecall.action SET actor = 'somebody else'",
        "CREATE TABLE futurecall.mine ()",
        "DROP TABLE futurecall.call",
        "TRUNCATE futurecall.finished",
    ] {
        assert!(roles.refuses("worker", denied).await, "{denied}");
    }
    roles.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_schedules_and_cancels_and_runs_nothing() {
    let roles = Roles::new().await;
    let pod = roles.builder("producer").role(Role::Serverless).start().await.unwrap();
    let calls = pod.future_calls();
    let one = calls.call_with_delay(HOUR).identifier("one").role().play("lead").await.unwrap();
    let many = (0..3).map(|_| calls.call_with_delay(HOUR).identifier("many").role().play("extra"));
    calls.schedule_all(many.collect::<Vec<_>>()).await.unwrap();
    let application = sqlx::PgPool::connect(&roles.url("producer")).await.unwrap();
    let mut transaction = application.begin().await.unwrap();
    let pending = calls.call_with_delay(HOUR).identifier("in it").role().play("lead");
    pending.in_transaction(&mut transaction).await.unwrap();
    calls.cancel("many").in_transaction(&mut transaction).await.unwrap();
    transaction.commit().await.unwrap();
    calls.call_recurring().identifier("often").every(HOUR).role().play("chorus").await.unwrap();
    calls.call_recurring().identifier("often").every(HOUR * 2).role().play("chorus").await.unwrap();

    calls.reschedule(one, HOUR * 2).await.unwrap();
    assert_eq!(calls.status(one).await.unwrap(), Some(CallState::Scheduled));
    assert_eq!(calls.cancel("one").await.unwrap().calls, 1);
    assert_eq!(calls.status(one).await.unwrap(), Some(CallState::Cancelled));
    assert!(calls.run_again(one).await.unwrap_err().to_string().contains("migrations/roles.sql"));
    assert_eq!(calls.cancel("often").await.unwrap().schedules, 1);
    calls.call_recurring().identifier("often").every(HOUR).role().play("chorus").await.unwrap();
    calls.call_now().role().play("not yours to run").await.unwrap();
    let schedule = pod.inspect().schedules().await.unwrap()[0].id;
    let ada = pod.operate("ada");
    ada.pause_schedule(schedule, "").await.unwrap();
    ada.trigger(schedule).await.unwrap();
    // What it may not do by hand is on record with what the server said.
    for refused in [ada.pause_name("role.play", "").await.err(), ada.delete(Selection::call(one)).await.err()]
    {
        let error = refused.expect("not for a producer").to_string();
        assert!(error.contains("migrations/roles.sql"), "{error}");
        let actions = pod.inspect().actions(&ActionFilter::new().limit(2)).await.unwrap();
        let failed = Some(format!("failed: {error}"));
        assert!(actions.iter().any(|action| action.outcome == failed), "{actions:?}");
    }
    assert_eq!(pod.inspect().paused_names().await.unwrap(), []);
    pod.shutdown().await;

    let store = roles.store("producer").await;
    let error = store.claim(Now::Database, &claim_of("role.play")).await.unwrap_err();
    assert!(error.to_string().contains("migrations/roles.sql") && !error.is_transient(), "{error}");
    for denied in [
        "UPDATE futurecall.call SET claimed_by = gen_random_uuid(), claim_no = 1, lease_until = now()",
        "UPDATE futurecall.call SET args = '{}'",
        "DELETE FROM futurecall.finished",
        "UPDATE futurecall.finished SET state = 1",
        "SELECT args FROM futurecall.finished",
        "SELECT id FROM futurecall.pod",
        "SELECT name FROM futurecall.statistics",
        "UPDATE futurecall.action SET actor = 'somebody else'",
        "DELETE FROM futurecall.action",
        "DELETE FROM futurecall.schedule",
    ] {
        assert!(roles.refuses("producer", denied).await, "{denied}");
    }
    drop(application);
    roles.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_sees_everything_but_arguments_and_changes_nothing() {
    let roles = Roles::new().await;
    let worker =
        roles.builder("worker").role(Role::Maintenance).register(RoleFutureCall).start().await.unwrap();
    let calls = worker.future_calls();
    let done = calls.call_now().role().play("a secret").await.unwrap();
    assert_eq!(worker.run_due().await.unwrap().succeeded, 1);
    let pending = calls.call_with_delay(HOUR).identifier("x").role().play("a secret").await.unwrap();
    calls.call_recurring().every(HOUR).role().play("a secret").await.unwrap();

    let pod = roles.builder("viewer").role(Role::Serverless).start().await.unwrap();
    let inspect = pod.inspect();
    let filters = [
        CallFilter::new(),
        CallFilter::new().name("role.play"),
        CallFilter::new().identifier("x"),
        CallFilter::new().state(CallState::Running),
        CallFilter::new().state(CallState::Succeeded),
    ];
    let mut seen = Vec::new();
    for filter in filters {
        let page = inspect.calls(filter).await.unwrap();
        seen.push(page.calls.len());
        assert!(page.calls.iter().all(|call| call.args.is_empty()), "{page:?}");
    }
    assert_eq!(seen, [3, 3, 1, 0, 1]);
    for id in [done, pending] {
        let call = inspect.call(id).await.unwrap().unwrap();
        assert_eq!((call.name.as_str(), call.args.as_str()), ("role.play", ""));
    }
    let schedules = inspect.schedules().await.unwrap();
    assert_eq!((schedules.len(), schedules[0].args.as_str()), (1, ""));
    assert_eq!(inspect.counts().await.unwrap().scheduled, 2);
    assert_eq!(inspect.pods().await.unwrap().len(), 1);
    assert_eq!(inspect.counts_up_to(1).await.unwrap().scheduled, 1);
    assert_eq!(inspect.count(&CallFilter::new().error("x").name("role.play"), 100).await.unwrap(), 0);
    let edges = [inspect.now().await.unwrap(), Moment::MAX];
    assert_eq!(inspect.timeline(&edges, 100).await.unwrap()[0].calls, 2);
    assert_eq!(inspect.pending_names(100).await.unwrap(), [PendingName::new("role.play".to_owned(), 2)]);
    assert!(inspect.settings().await.unwrap().iter().any(|setting| setting.name == "fsync"));
    assert!(inspect.migrations().await.unwrap().iter().all(|step| step.applied.is_some()));
    assert_eq!(pod.future_calls().status(done).await.unwrap(), Some(CallState::Succeeded));

    let error = pod.future_calls().call_now().role().play("x").await.unwrap_err();
    assert!(error.to_string().contains("migrations/roles.sql"), "{error}");
    assert!(pod.future_calls().cancel("x").await.is_err());
    assert!(pod.operate("ada").pause_name("role.play", "").await.is_err());
    assert_eq!(inspect.paused_names().await.unwrap(), []);
    assert_eq!(inspect.actions(&ActionFilter::new()).await.unwrap(), []);
    inspect.statistics(Span::Hour, Moment::MIN, None).await.unwrap();
    pod.shutdown().await;
    for denied in [
        "SELECT args FROM futurecall.call",
        "SELECT * FROM futurecall.finished",
        "SELECT args FROM futurecall.schedule",
        "DELETE FROM futurecall.pod",
        "UPDATE futurecall.call SET cancel_requested = true",
    ] {
        assert!(roles.refuses("viewer", denied).await, "{denied}");
    }

    // Who may see arguments is told by a grant, which the next start finds.
    let grant = "GRANT SELECT (args) ON futurecall.call, futurecall.finished, futurecall.schedule TO futurecall_viewer";
    roles.admin(&grant.replace("futurecall", &roles.schema)).await;
    let store = roles.store("viewer").await;
    assert!(store.call(Now::Database, pending).await.unwrap().unwrap().args.contains("a secret"));
    worker.shutdown().await;
    roles.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_owner_makes_tables_and_nobody_else_needs_to() {
    let roles = Roles::new().await;
    for kind in KINDS {
        roles.store(kind).await.migrate().await.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
    roles.admin(&format!("DROP TABLE {}.migration", roles.schema)).await;
    let error = roles.store("worker").await.migrate().await.unwrap_err();
    assert!(error.to_string().contains("migrations/roles.sql"), "{error}");
    // A schema that the owner owns is enough to make everything in.
    for table in [
        "call",
        "finished",
        "schedule",
        "pod",
        "shapes",
        "log",
        "paused_name",
        "action",
        "statistics",
        "history_gap",
    ] {
        roles.admin(&format!("DROP TABLE {}.{table}", roles.schema)).await;
    }
    roles.store("owner").await.migrate().await.unwrap();
    roles.apply().await;
    roles.store("worker").await.migrate().await.unwrap();
    roles.drop().await;
}

fn claim_of(name: &str) -> ClaimRequest {
    ClaimRequest {
        pod: PodId::new(),
        claim_no: 1,
        names: vec![(name.to_owned(), OnVanish::Keep)],
        shapes: Arc::default(),
        limit: 10,
        lease: HOUR,
        until: None,
        ahead: Duration::ZERO,
        sweep: true,
        retention: Retention::default(),
    }
}
