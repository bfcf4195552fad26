//! Pods behind PgBouncer, next to an application that shares its server sessions and must not notice them.

mod stranger;

use std::time::{Duration, Instant};

use futurecall_runtime::prelude::*;
use futurecall_runtime::store::{PostgresStore, Store};
use futurecall_runtime::{CallState, Config, PodBuilder, Role};
use futurecall_testbed::pgbouncer::PgBouncer;
use futurecall_tests::database::{self, TestDatabase};
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::overheard::Overheard;

use self::stranger::Stranger;

/// What a pod says where it does not listen.
const SHARED: &str = "a connection pooler shares its server sessions";

const HOUR: Duration = Duration::from_hours(1);

pub(crate) struct PooledFutureCall;

#[future_call]
impl PooledFutureCall {
    pub(crate) async fn note(_session: &Session, text: &str, #[future_call(state)] journal: &Journal) {
        journal.write(text);
    }

    #[future_call(every = "200ms")]
    pub(crate) async fn often(_session: &Session, #[future_call(state)] journal: &Journal) {
        journal.write("often");
    }

    #[future_call(retry(max_attempts = 3, backoff = fixed("10ms")))]
    pub(crate) async fn fails(
        session: &Session,
        #[future_call(state)] journal: &Journal,
    ) -> Result<(), BoxError> {
        journal.write(format!("attempt {}", session.call().attempt));
        Err("no such luck".into())
    }

    pub(crate) async fn in_transaction(session: &Session) -> Result<(), BoxError> {
        let mut transaction = session.transaction::<sqlx::Postgres>().await?;
        let insert = sqlx::query("INSERT INTO public.done VALUES (1)").persistent(false);
        insert.execute(&mut *transaction).await?;
        transaction.complete().await?;
        Ok(())
    }

    pub(crate) async fn until_cancelled(session: &Session, #[future_call(state)] journal: &Journal) {
        journal.write("started");
        session.cancelled().await;
        journal.write("stopped");
    }
}

/// A pooler whose clients have server sessions for a transaction at a time.
fn sharing(database: &TestDatabase, more: &str) -> PgBouncer {
    PgBouncer::start(&database.url, &format!("pool_mode = transaction\n{more}"))
}

/// As the text of an error advises.
fn unprepared(pooler: &PgBouncer) -> String {
    format!("{}?statement-cache-capacity=0", pooler.url)
}

fn builder(url: &str, database: &TestDatabase, journal: &Journal) -> PodBuilder {
    let config = Config::new().lease(Duration::from_secs(3)).scan_interval(Duration::from_secs(1));
    let builder = Pod::builder().without_discovery().config(config).database_url(url);
    builder.schema(&database.schema).register(PooledFutureCall).state(journal.clone())
}

/// Does what an application does with its pod, and sees that it happens.
async fn exercise(pod: &Pod, database: &TestDatabase, journal: &Journal, round: usize) {
    let calls = pod.future_calls();
    let text = format!("note {round}");
    calls.call_now().pooled().note(&text).await.unwrap();
    let later = calls.call_with_delay(HOUR).identifier(&text).pooled().note("never").await.unwrap();
    let cancelled = calls.cancel(&text).await.unwrap();
    assert_eq!((cancelled.calls, cancelled.running), (1, 0), "{cancelled:?}");
    assert_eq!(calls.status(later).await.unwrap(), Some(CallState::Cancelled));
    let moved = calls.call_with_delay(HOUR).pooled().note(&format!("moved {round}")).await.unwrap();
    calls.run_now(moved).await.unwrap();
    calls.call_recurring().identifier(&text).every(HOUR).pooled().note("never").await.unwrap();
    let many = (0..20).map(|_| calls.call_with_delay(HOUR).identifier(&text).pooled().note("never"));
    calls.schedule_all(many).await.unwrap();
    let cancelled = calls.cancel(&text).await.unwrap();
    assert_eq!((cancelled.calls, cancelled.schedules), (20, 1), "{cancelled:?}");
    let failed = calls.call_now().pooled().fails().await.unwrap();
    let together = calls.call_now().pooled().in_transaction().await.unwrap();
    for (id, state) in
        [(failed, CallState::Failed), (together, CallState::Succeeded), (moved, CallState::Succeeded)]
    {
        eventually("it is over", || async { (calls.status(id).await.unwrap() == Some(state)).then_some(()) })
            .await;
    }
    let done: i64 =
        sqlx::query_scalar("SELECT count(*) FROM public.done").fetch_one(&database.pool).await.unwrap();
    assert_eq!(usize::try_from(done).unwrap(), round + 1);
    assert_eq!(journal.lines().iter().filter(|line| **line == text).count(), 1);
    assert!(pod.inspect().counts().await.unwrap().failed > 0);
}

/// PgBouncer's default but for its mode: a server session is anybody's between two transactions. One pod stays, and 25
/// others start and end, while an application goes on beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_behind_a_shared_session_start_work_and_leave_nothing_behind() {
    let database = database::postgres().await;
    sqlx::raw_sql("CREATE TABLE public.done (one integer)").execute(&database.pool).await.unwrap();
    let mut pooler = sharing(&database, "default_pool_size = 4\n");
    let url = unprepared(&pooler);
    let stranger = Stranger::start(&url).await;
    let journal = Journal::new();
    let first = builder(&url, &database, &journal).start().await.unwrap();
    exercise(&first, &database, &journal, 0).await;
    for n in 0..25 {
        let started = builder(&url, &database, &journal).start().await;
        let pod = started.unwrap_or_else(|error| panic!("start {n} of 25: {error}\n{}", pooler.log()));
        if n % 8 == 0 {
            exercise(&pod, &database, &journal, n / 8 + 1).await;
        }
        pod.shutdown().await;
    }
    let running =
        first.future_calls().call_now().identifier("long").pooled().until_cancelled().await.unwrap();
    eventually("it runs", || async { journal.lines().contains(&"started".to_owned()).then_some(()) }).await;
    let cancelled = first.future_calls().cancel("long").await.unwrap();
    assert_eq!(cancelled.running, 1, "{cancelled:?}");
    eventually("it stops", || async { journal.lines().contains(&"stopped".to_owned()).then_some(()) }).await;
    eventually("it is over", || async {
        first.future_calls().status(running).await.unwrap().is_some_and(CallState::is_finished).then_some(())
    })
    .await;
    let complaints = stranger.end().await;
    assert!(complaints.is_empty(), "{complaints:#?}\n{}", pooler.log());

    // A pooler that restarts is a delay.
    pooler.restart();
    exercise(&first, &database, &journal, 5).await;
    let runs = journal.lines().iter().filter(|line| *line == "often").count();
    eventually("the schedule goes on", || async {
        (journal.lines().iter().filter(|line| *line == "often").count() > runs).then_some(())
    })
    .await;
    first.shutdown().await;
    drop(pooler);
    database.drop().await;
}

/// However the pooler hands out its sessions, and whether or not somebody else uses them: nobody ever listens on one, and
/// what another pod stores is found within a scan interval.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pod_listens_on_a_shared_session() {
    let ways =
        ["default_pool_size = 1", "default_pool_size = 2", "server_round_robin = 1", "min_pool_size = 5"];
    for (way, is_busy) in ways.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let database = database::postgres().await;
        let pooler = sharing(&database, way);
        let url = unprepared(&pooler);
        let stranger = if is_busy { Some(Stranger::start(&url).await) } else { None };
        let journal = Journal::new();
        let overheard = Overheard::word(SHARED);
        let pod = builder(&url, &database, &journal).start().await.unwrap();
        eventually("the pod has seen that sessions are shared", || async {
            (!overheard.said().is_empty()).then_some(())
        })
        .await;
        let other = builder(&url, &database, &journal).role(Role::Serverless).start().await.unwrap();
        let since = Instant::now();
        other.future_calls().call_now().pooled().note("found").await.unwrap();
        eventually("it is found", || async { journal.lines().contains(&"found".to_owned()).then_some(()) })
            .await;
        assert!(since.elapsed() < Duration::from_secs(10), "{way} {is_busy}: {:?}", since.elapsed());
        if let Some(stranger) = stranger {
            assert_eq!(stranger.end().await, Vec::<String>::new(), "{way}");
        }
        // Each session that there is, one after the other.
        assert_eq!(stranger::look_around(&url).await, Vec::<String>::new(), "{way} {is_busy}");
        pod.shutdown().await;
        other.shutdown().await;
        drop(pooler);
        database.drop().await;
    }
}

/// In session mode a client keeps its session: there pods tell each other at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_listens_where_the_pooler_keeps_sessions() {
    for statements in ["", "?statement-cache-capacity=0"] {
        let database = database::postgres().await;
        sqlx::raw_sql("CREATE TABLE public.done (one integer)").execute(&database.pool).await.unwrap();
        let pooler = PgBouncer::start(&database.url, "pool_mode = session\ndefault_pool_size = 60\n");
        let url = format!("{}{statements}", pooler.url);
        let store = PostgresStore::open(&url, &database.schema).await.unwrap();
        store.migrate().await.unwrap();
        let listening = async {
            loop {
                store.changed().await;
            }
        };
        tokio::select! {
            () = eventually("it hears", || async { store.hears().then_some(()) }) => {}
            () = listening => {}
        }
        drop(store);
        let stranger = Stranger::start(&format!("{}?statement-cache-capacity=0", pooler.url)).await;
        let journal = Journal::new();
        let pod = builder(&url, &database, &journal).start().await.unwrap();
        exercise(&pod, &database, &journal, 0).await;
        pod.shutdown().await;
        assert_eq!(stranger.end().await, Vec::<String>::new());
        drop(pooler);
        database.drop().await;
    }
}

/// With PgBouncer as it is installed, nothing has to be allowed for a pod; and what it refuses is advised on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pooler_refuses_comes_with_advice() {
    let database = database::postgres().await;
    let pooler = PgBouncer::start(&database.url, "");
    let store = PostgresStore::open(&pooler.url, &database.schema).await.unwrap();
    store.migrate().await.unwrap();
    drop(store);
    let url = format!("{}?options[statement_timeout]=5s", pooler.url);
    let error = PostgresStore::open(&url, &database.schema).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("unsupported startup parameter: options"), "{said}");
    assert!(said.contains("ignore_startup_parameters = options"), "{said}");
    assert!(!error.is_transient(), "{said}");

    let pooler = sharing(&database, "default_pool_size = 1\n");
    let one = PostgresStore::open(&pooler.url, &database.schema).await.unwrap();
    let error = match PostgresStore::open(&pooler.url, &database.schema).await {
        Ok(other) => match one.now().await {
            Ok(_) => other.now().await.unwrap_err(),
            Err(error) => error,
        },
        Err(error) => error,
    };
    assert!(error.to_string().contains("statement-cache-capacity=0"), "{error}");
    drop(pooler);
    database.drop().await;
}
