//! One run: load, storm, peace, and the checker.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use futurecall_runtime::{Pod, Role};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acks::Acks;
use crate::bend;
use crate::checker::{History, Verdict, check};
use crate::child::Worker;
use crate::database::Database;
use crate::dice::Dice;
use crate::fault::{Counted, Fault, Faults, Kind};
use crate::ledger::What;
use crate::mutant::{Mutant, undone};
use crate::place::Folder;
use crate::postgres::Server;
use crate::producer::{Load, produce};
use crate::proxy::Lane;
use crate::storm::{self, Target, Targets};
use crate::worker::Orders;
use crate::{Result, clock, ledger, worker};

/// How long a lease lasts: short, so that faults outlast it.
const LEASE: Duration = Duration::from_secs(2);
/// How long after the storm every call must have come to its end.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a run is told.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) sqlite: bool,
    pub(crate) calm: bool,
    pub(crate) mutant: Option<Mutant>,
}

/// What a run found.
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) faults: Vec<Fault>,
    pub(crate) drained: Duration,
    folder: Arc<Folder>,
    database: Database,
}

impl Plan {
    /// The command that does the same again.
    pub(crate) fn command(&self) -> String {
        let mut command = format!(
            "cargo run --release -p futurecall-torture -- --seconds {} --seed {}",
            self.time.as_secs(),
            self.seed
        );
        if self.sqlite {
            command += " --sqlite";
        }
        if self.calm {
            command += " --calm";
        }
        if let Some(mutant) = self.mutant {
            command.extend([" --mutant ", &mutant.name()]);
        }
        command
    }

    fn rewrites(&self) -> &'static [crate::mutant::Rewrite] {
        self.mutant.map_or(&[], Mutant::rewrites)
    }

    /// What is broken in processes.
    fn of_processes(&self) -> &'static [Kind] {
        match self.mutant {
            None => &[Kind::Kill, Kind::Pause, Kind::Restart, Kind::Kill, Kind::Pause],
            Some(Mutant::FinishWithoutFence | Mutant::NoLeaseCheck) => &[Kind::Pause],
            Some(_) => &[],
        }
    }

    /// What is broken in the database and on the way to it.
    fn of_databases(&self) -> &'static [Kind] {
        match self.mutant {
            None if self.sqlite => &[Kind::Lock],
            None => &[
                Kind::Cut,
                Kind::Cut,
                Kind::Stall,
                Kind::Stall,
                Kind::Mute,
                Kind::Mute,
                Kind::Mute,
                Kind::Crash,
                Kind::Terminate,
                Kind::Exhaust,
                Kind::Lock,
            ],
            Some(Mutant::AsynchronousCommit) => &[Kind::Crash],
            Some(Mutant::NoLeaseCheck) => &[Kind::Stall],
            Some(_) => &[],
        }
    }
}

/// Runs, checks, and prints one line; on a violation also where the evidence is, and how to see it again.
pub(crate) async fn torture(plan: &Plan) -> Result<ExitCode> {
    let report = run(plan).await?;
    println!("{}", report.line(plan));
    if report.verdict.count() == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    for (violation, calls) in &report.verdict.violations {
        eprintln!("{violation:?}: {}", calls.len());
        calls.iter().take(5).for_each(|call| eprintln!("  {call}"));
    }
    eprintln!("again: {}", plan.command());
    eprintln!("ledgers and database: {}", report.keep());
    Ok(ExitCode::FAILURE)
}

/// Runs every mutant; the checker must catch each by a violation that is its own.
pub(crate) async fn mutants(seed: u64, time: Duration) -> Result<ExitCode> {
    let mut caught = 0;
    for mutant in Mutant::value_variants().iter().copied() {
        let plan = Plan { seed, time, sqlite: false, calm: false, mutant: Some(mutant) };
        let report = run(&plan).await?;
        let shows: Vec<String> = mutant
            .shows_as()
            .iter()
            .filter_map(|kind| Some(format!("{kind:?}={}", report.verdict.violations.get(kind)?.len())))
            .collect();
        println!(
            "{} | caught: {}",
            report.line(&plan),
            if shows.is_empty() { "NO".into() } else { shows.join(" ") }
        );
        caught += usize::from(!shows.is_empty());
    }
    let all = Mutant::value_variants().len();
    println!("mutants caught {caught} of {all}");
    Ok(if caught == all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Report {
    fn line(&self, plan: &Plan) -> String {
        let place = if plan.sqlite { "sqlite" } else { "postgres" };
        let mutant = plan.mutant.map_or_else(String::new, |mutant| format!(" mutant={}", mutant.name()));
        format!(
            "torture {place}{mutant} seed={} seconds={} {} | {} drained_ms={}",
            plan.seed,
            plan.time.as_secs(),
            Counted::of(&self.faults),
            self.verdict,
            self.drained.as_millis()
        )
    }

    fn keep(self) -> String {
        // The server ends; its files stay.
        drop(self.database);
        Arc::into_inner(self.folder).map_or_else(String::new, |folder| folder.keep().display().to_string())
    }
}

/// Runs and checks.
pub(crate) async fn run(plan: &Plan) -> Result<Report> {
    let folder = Arc::new(Folder::new()?);
    let database = Arc::new(open(plan, &folder)?);
    let faults = Arc::new(Faults::open(&folder.faults())?);
    let acks = Arc::new(Acks::open(&folder.acks())?);
    let producers = lane(plan, &database).await?;
    let url = url_of(producers.as_ref(), &database);
    let pods = [producer(&url).await?, producer(&url).await?];
    database.prepare().await?;
    let targets = Arc::new(start(plan, &folder, &database, producers, &faults).await?);

    let (stop, storm_over) = (CancellationToken::new(), CancellationToken::new());
    let cancellations = TaskTracker::new();
    let load = Load { producers: 4, blocks: plan.calm };
    let producing: Vec<_> = (0..load.producers)
        .map(|number| {
            let pod = pods[usize::from(number % 2 == 1)].clone();
            let dice = Dice::part(plan.seed, number + 10);
            tokio::spawn(produce(pod, Arc::clone(&acks), dice, load, stop.clone(), cancellations.clone()))
        })
        .collect();
    let watch = tokio::spawn(watch_database(Arc::clone(&database), Arc::clone(&faults), storm_over.clone()));
    let storm = tokio::spawn(storm(plan.clone(), Arc::clone(&targets), stop.clone()));
    tokio::time::sleep(plan.time).await;
    stop.cancel();
    storm.await??;
    for producing in producing {
        producing.await?;
    }
    cancellations.close();
    cancellations.wait().await;

    let drained = drain(&database).await?;
    storm_over.cancel();
    watch.await?;
    for pod in pods {
        pod.shutdown().await;
    }
    for target in &targets.workers {
        target.worker.lock().await.end().await?;
    }
    let missing = undone(plan.rewrites());
    if !missing.is_empty() {
        return Err(format!("no statement has the text that this mutant changes: {missing:?}").into());
    }
    let faults = Arc::clone(&targets.faults);
    drop(targets);
    let history = history(&folder, &database, &acks, &faults).await?;
    let verdict = check(&history);
    let database = Arc::into_inner(database).ok_or("somebody still uses the database")?;
    Ok(Report { verdict, faults: history.faults, drained, folder, database })
}

fn open(plan: &Plan, folder: &Folder) -> Result<Database> {
    if plan.sqlite {
        return Ok(Database::sqlite(&folder.database()));
    }
    let synchronous_commit = plan.mutant != Some(Mutant::AsynchronousCommit);
    Ok(Database::postgres(Server::start(folder.database(), synchronous_commit)?))
}

async fn lane(plan: &Plan, database: &Database) -> Result<Option<Lane>> {
    match database {
        Database::Postgres { server, .. } => Ok(Some(Lane::open(server.socket(), plan.rewrites()).await?)),
        Database::Sqlite { .. } => Ok(None),
    }
}

fn url_of(lane: Option<&Lane>, database: &Database) -> String {
    match (lane, database) {
        (Some(lane), _) => lane.url(),
        (None, Database::Sqlite { file, .. }) => format!("sqlite:{}", file.display()),
        (None, Database::Postgres { .. }) => String::new(),
    }
}

async fn producer(url: &str) -> Result<Pod> {
    let builder = Pod::builder().database_url(url).role(Role::Serverless).without_discovery();
    Ok(builder.config(worker::config(LEASE)).start().await?)
}

async fn start(
    plan: &Plan,
    folder: &Arc<Folder>,
    database: &Arc<Database>,
    producers: Option<Lane>,
    faults: &Arc<Faults>,
) -> Result<Targets> {
    // On SQLite the machine's clock is the database's: all processes of one file share it.
    let bends = !plan.calm && !plan.sqlite && plan.mutant.is_none();
    let library = if bends { bend::Library::find() } else { None };
    if bends && library.is_none() {
        eprintln!("NO CLOCK IS BENT: libfaketime was not found (Debian: apt-get install libfaketime)");
    }
    let believed = plan.mutant.map_or(LEASE, |mutant| mutant.believed_lease(LEASE));
    let mut workers = Vec::new();
    for number in 0..if plan.sqlite { 2 } else { 4 } {
        let lane = lane(plan, database).await?;
        let orders = Orders {
            url: url_of(lane.as_ref(), database),
            number,
            ledger: folder.ledger(),
            lease: u64::try_from(believed.as_millis())?,
        };
        // One of them only: reading a bent clock is slow.
        let is_bent = number == 0 && library.is_some();
        bend::right(&folder.clock(number))?;
        let worker = Worker::start(&orders, folder, library.as_ref().filter(|_| is_bent))?;
        workers.push(Target { orders, worker: Mutex::new(worker), lane, is_bent });
    }
    Ok(Targets {
        folder: Arc::clone(folder),
        database: Arc::clone(database),
        workers,
        producers,
        faults: Arc::clone(faults),
        lease: LEASE,
        library,
    })
}

async fn storm(plan: Plan, targets: Arc<Targets>, stop: CancellationToken) -> Result {
    if plan.calm {
        return Ok(());
    }
    let dice = |part| Dice::part(plan.seed, part);
    let clocks = async {
        if targets.library.is_some() { storm::of_clocks(&targets, dice(3), &stop).await } else { Ok(()) }
    };
    let (processes, databases, clocks) = tokio::join!(
        storm::of_processes(&targets, dice(1), &stop, plan.of_processes()),
        storm::of_databases(&targets, dice(2), &stop, plan.of_databases()),
        clocks
    );
    processes.and(databases).and(clocks)
}

/// Writes down when the database answered so slowly that leases may end unrenewed; that is the machine's fault, too.
async fn watch_database(database: Arc<Database>, faults: Arc<Faults>, over: CancellationToken) {
    const SLOW: i64 = 400_000;
    let watching = async {
        loop {
            let begin = clock::monotonic();
            // Its answer is of no interest; while it is down, that stands in the list already.
            let _ = database.ping().await;
            let end = clock::monotonic();
            if end - begin > SLOW {
                faults.add(Fault { kind: Kind::Busy, worker: None, begin, end });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = over.run_until_cancelled(watching).await;
}

/// Waits until no call is left.
async fn drain(database: &Database) -> Result<Duration> {
    let began = Instant::now();
    loop {
        if database.pending().await? == 0 || began.elapsed() > PATIENCE {
            return Ok(began.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn history(folder: &Folder, database: &Database, acks: &Acks, faults: &Faults) -> Result<History> {
    let events = ledger::read(&folder.ledger())?;
    let mut faults = faults.all();
    for event in events.iter().filter(|event| event.what == What::Gap) {
        let begin = event.at - i64::from(event.attempt) * 1_000;
        faults.push(Fault { kind: Kind::Slow, worker: Some(event.worker), begin, end: event.at });
    }
    Ok(History {
        events,
        promises: acks.all(),
        rows: database.rows().await?,
        faults,
        lease: i64::try_from(LEASE.as_micros())?,
        real_offset: clock::real() - clock::monotonic(),
    })
}
