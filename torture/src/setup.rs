//! The setup of every run: a database, workers, producers' pods, and the records that are kept of all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futurecall_runtime::store::{PostgresStore, Store as _};
use futurecall_runtime::{Config, Pod, Role};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::acks::Acks;
use crate::checker::{Clock, History, ScheduleState, Verdict, check};
use crate::clock_shim::{self, Library};
use crate::database::Database;
use crate::disk::Disk;
use crate::fault::{Fault, Faults, Kind};
use crate::fault_injector::{self, Target, Targets};
use crate::ledger::{Event, What};
use crate::mutant::{Mutant, Rewrite, undone};
use crate::postgres::{self, OWNER, POD, Server};
use crate::proxy::Lane;
use crate::recurring::{self, Rule};
use crate::run_folder::Folder;
use crate::settings::{Settings, keeping};
use crate::worker::WorkerOptions;
use crate::worker_process::Worker;
use crate::{Result, clock, follow_ups, ledger, worker};

/// How long after the last fault every call must have ended.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Options of a setup.
#[expect(clippy::struct_excessive_bools, reason = "each is wanted or not, whatever the others are")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetupOptions {
    pub(crate) sqlite: bool,
    /// Whether the clocks of a worker and of the server can be set.
    pub(crate) bends: bool,
    /// Whether disks can be full.
    pub(crate) disks: bool,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) workers: usize,
    /// Whether there are schedules.
    pub(crate) recurs: bool,
    /// How long a lease lasts in the database.
    pub(crate) lease: Duration,
    /// The seed from which pods draw their settings, if they are not all the same.
    pub(crate) draws: Option<u64>,
}

/// A running setup.
pub(crate) struct Setup {
    pub(crate) acks: Arc<Acks>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) targets: Arc<Targets>,
    wanted: SetupOptions,
    folder: Arc<Folder>,
    database: Arc<Database>,
    schedules: Vec<(Uuid, Rule)>,
    over: CancellationToken,
}

/// The result of a run, with the checker's findings.
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) faults: Vec<Fault>,
    pub(crate) events: Vec<Event>,
    /// How long it took until every call had ended.
    pub(crate) drained: Duration,
    folder: Arc<Folder>,
    database: Database,
}

impl SetupOptions {
    fn rewrites(&self) -> &'static [Rewrite] {
        // Without a proxy there is nothing to rewrite.
        self.mutant.filter(|_| !self.sqlite).map_or(&[], Mutant::rewrites)
    }
}

impl Setup {
    pub(crate) async fn prepare(wanted: SetupOptions) -> Result<Self> {
        let folder = Arc::new(Folder::new()?);
        let library = if wanted.bends { Library::find_loudly() } else { None };
        let database = Arc::new(open(wanted, &folder, library.clone())?);
        let faults = Arc::new(Faults::open(&folder.faults())?);
        let acks = Arc::new(Acks::open(&folder.acks())?);
        let producers = lane(wanted, &database).await?;
        if let Some(lane) = &producers {
            let store = PostgresStore::open(&lane.url(OWNER), "futurecall").await?;
            store.migrate().await?;
            store.close().await;
            database.admit_pods().await?;
        }
        let url = url_of(producers.as_ref(), &database);
        let mut pods = Vec::new();
        for part in 50..52 {
            let retention = Settings::new(wanted.draws, part).retention();
            pods.push(producer(&url, keeping(worker::config(wanted.lease), retention)).await?);
        }
        database.prepare(wanted.mutant).await?;
        let schedules = match pods.first() {
            Some(pod) if wanted.recurs => recurring::declare(pod).await?,
            _ => Vec::new(),
        };
        let workers = workers(wanted, &folder, &database, library.as_ref()).await?;
        let targets = Arc::new(Targets {
            folder: Arc::clone(&folder),
            database: Arc::clone(&database),
            workers,
            producers,
            faults: Arc::clone(&faults),
            lease: wanted.lease,
        });
        let over = CancellationToken::new();
        tokio::spawn(watch(Arc::downgrade(&database), faults, over.clone()));
        Ok(Self { acks, pods, targets, wanted, folder, database, schedules, over })
    }

    /// Waits until every call has ended, ends all processes, and checks.
    pub(crate) async fn check(self) -> Result<Report> {
        let patience = if self.wanted.mutant.is_some() { PATIENCE / 4 } else { PATIENCE };
        let (drained, standing) = drain(&self.database, patience).await?;
        self.over.cancel();
        for pod in &self.pods {
            pod.shutdown().await;
        }
        for target in &self.targets.workers {
            target.worker.lock().await.end().await?;
        }
        let missing = undone(self.wanted.rewrites());
        if !missing.is_empty() {
            return Err(format!("no statement has the text that this mutant changes: {missing:?}").into());
        }
        let Self { acks, targets, wanted, folder, database, schedules, .. } = self;
        let events = ledger::read(&folder.ledger())?;
        let mut faults = targets.faults.all();
        faults.extend(gaps(&events).chain(fences(&events)));
        let mut promises = acks.all();
        promises.extend(follow_ups::promises(&events));
        let (real_offset, steps) = (clock::real() - clock::monotonic(), targets.faults.steps());
        let is_apart = targets.workers.iter().any(|target| target.is_apart);
        let history = History {
            events,
            promises,
            rows: database.rows().await?,
            faults,
            lease: clock::micros(wanted.lease),
            clock: Clock { real_offset, steps: steps.all },
            apart: is_apart.then_some((fault_injector::APART, Clock { real_offset, steps: steps.apart })),
            schedules: schedules.into_iter().collect(),
            standing,
        };
        drop(targets);
        let verdict = check(&history);
        let database = Arc::into_inner(database).ok_or("somebody still uses the database")?;
        database.is_whole(history.rows.len()).await?;
        let History { events, faults, .. } = history;
        Ok(Report { verdict, faults, events, drained, folder, database })
    }
}

impl Report {
    /// Prints what was found and how to reproduce it, and leaves the evidence in place.
    pub(crate) fn complain(self, again: &str) {
        for (violation, calls) in &self.verdict.violations {
            eprintln!("{violation:?}: {}", calls.len());
            calls.iter().take(5).for_each(|call| eprintln!("  {call}"));
        }
        // The server ends; its files stay.
        if let Err(error) = self.database.keep(&self.folder.database(), &self.folder.kept()) {
            eprintln!("the database is not kept: {error}");
        }
        drop(self.database);
        let kept = Arc::into_inner(self.folder).map(Folder::keep).unwrap_or_default();
        eprintln!("again: {again}\nledgers and database: {}", kept.display());
    }
}

fn open(wanted: SetupOptions, folder: &Folder, library: Option<Library>) -> Result<Database> {
    if wanted.sqlite {
        let disk = if wanted.disks { Some(Disk::mount(&folder.database())?) } else { None };
        return Ok(Database::sqlite(&folder.database(), disk));
    }
    let server = postgres::ServerOptions {
        synchronous_commit: wanted.mutant != Some(Mutant::AsynchronousCommit),
        clock: library.map(|library| (library, folder.server_clock())),
        disks: wanted.disks,
    };
    Ok(Database::postgres(Server::start(&folder.database(), server)?))
}

async fn lane(wanted: SetupOptions, database: &Database) -> Result<Option<Lane>> {
    match database {
        Database::Postgres { server, .. } => Ok(Some(Lane::open(server.socket(), wanted.rewrites()).await?)),
        Database::Sqlite { .. } => Ok(None),
    }
}

fn url_of(lane: Option<&Lane>, database: &Database) -> String {
    match (lane, database) {
        (Some(lane), _) => lane.url(POD),
        (None, Database::Sqlite { file, .. }) => format!("sqlite:{}", file.display()),
        (None, Database::Postgres { .. }) => String::new(),
    }
}

pub(crate) async fn producer(url: &str, config: Config) -> Result<Pod> {
    let builder = Pod::builder().database_url(url).role(Role::Serverless).without_discovery();
    Ok(builder.config(config).start().await?)
}

async fn workers(
    wanted: SetupOptions,
    folder: &Arc<Folder>,
    database: &Arc<Database>,
    library: Option<&Library>,
) -> Result<Vec<Target>> {
    let believed = wanted.mutant.map_or(wanted.lease, |mutant| mutant.believed_lease(wanted.lease));
    let mut workers = Vec::new();
    for number in 0..wanted.workers {
        let lane = lane(wanted, database).await?;
        let settings = Settings::new(wanted.draws, 40 + u64::try_from(number)?);
        let orders = WorkerOptions {
            url: url_of(lane.as_ref(), database),
            number,
            ledger: folder.ledger(),
            lease: u64::try_from(believed.as_millis())?,
            retention: settings.retention(),
        };
        // Only one of them: reading a shifted clock is slow.
        let library = library.cloned().filter(|_| number == fault_injector::APART);
        clock_shim::set_by(&folder.clock(number), 0)?;
        let is_apart = wanted.sqlite && library.is_some() && wanted.mutant.is_none();
        let bent =
            library.map(|library| library.of(&folder.clock(number), wanted.sqlite)).unwrap_or_default();
        let worker = Mutex::new(Worker::start(&orders, folder, &bent)?);
        workers.push(Target { orders, worker, lane, bent, is_apart, settings });
    }
    Ok(workers)
}

/// Records when the database answered so slowly that leases may end unrenewed: the machine's fault alone.
pub(crate) async fn watch(database: std::sync::Weak<Database>, faults: Arc<Faults>, over: CancellationToken) {
    /// Microseconds.
    const SLOW: i64 = 250_000;
    let watching = async {
        while let Some(database) = database.upgrade() {
            let begin = clock::monotonic();
            let answers = database.ping().await.is_ok();
            let end = clock::monotonic();
            // What it lacks when a fault is over (connections, for example), it may lack a little longer.
            if !answers || end - begin > SLOW {
                faults.add(Fault { kind: Kind::Busy, worker: None, begin, end });
            }
            drop(database);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = over.run_until_cancelled(watching).await;
}

/// Waits until no call is left and every schedule has continued, or until the timeout; returns the state of the
/// schedules then.
pub(crate) async fn drain(
    database: &Database,
    patience: Duration,
) -> Result<(Duration, HashMap<Uuid, ScheduleState>)> {
    let (began, now) = (Instant::now(), database.now().await?);
    loop {
        let schedules = database.schedules().await?;
        let goes_on = |(standing, open): &(ScheduleState, bool)| {
            standing.next == 1 && !open && standing.due.is_some_and(|due| due > now)
        };
        let is_over = database.pending().await? == 0 && schedules.values().all(goes_on);
        if is_over || began.elapsed() > patience {
            let standing = schedules.into_iter().map(|(id, (standing, _))| (id, standing)).collect();
            return Ok((began.elapsed(), standing));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns when processes got no CPU time.
pub(crate) fn gaps(events: &[Event]) -> impl Iterator<Item = Fault> {
    events.iter().filter(|event| event.what == What::Gap).map(|event| {
        let begin = event.at - i64::from(event.run.attempt) * 1_000;
        Fault { kind: Kind::Slow, worker: Some(event.worker), begin, end: event.at }
    })
}

/// Returns when pods gave up leases, or released claims, by their own clocks only.
pub(crate) fn fences(events: &[Event]) -> impl Iterator<Item = Fault> {
    events.iter().filter_map(|event| {
        let kind = match event.what {
            What::Fenced => Kind::Fenced,
            What::GivenBack => Kind::GivenBack,
            _ => return None,
        };
        Some(Fault { kind, worker: Some(event.worker), begin: event.at, end: event.at })
    })
}
