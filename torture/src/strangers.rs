//! A shared environment: a pooler with another application, another service on the same tables that is redeployed again
//! and again, another release of the same service, and callers that abandon what they began.

mod application;
mod callers;
mod guest;
mod lateness;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use futurecall_runtime::Pod;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::application::Application;
use self::guest::{Guest, GuestSetup, LEASE, Service};
pub(crate) use self::guest::{GuestOptions, live};
use self::lateness::Away;
use crate::acks::Acks;
use crate::checker::{Clock, History, Verdict, Violation, check};
use crate::database::Database;
use crate::fault::{Fault, Faults, Kind};
use crate::postgres::{self, Server};
use crate::producer::{Load, count_waiting, produce};
use crate::recurring::Rule;
use crate::run_folder::Folder;
use crate::setup::{PATIENCE, drain, fences, gaps, producer, watch};
use crate::{Result, clock, follow_ups, ledger, worker};
use futurecall_testbed::pgbouncer::PgBouncer;
use futurecall_testbed::rng::Rng;

/// The names of the calls that attributes declare schedules for.
const OURS: &str = "ours.beat";
const NEIGHBOURS: &str = "neighbour.tick";

/// For how long no release of our service runs: longer than the neighbour is down, or runs.
const AWAY: Duration = Duration::from_secs(5);

/// How long a task may need to end.
const ENDED_WITHIN: Duration = Duration::from_secs(20);

/// Parts that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The other application.
    Application,
    /// The other service.
    Neighbour,
    /// The older release, and the time in which no release of our service runs.
    Releases,
    /// The callers that keep and drop futures.
    Callers,
}

/// Options of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) sqlite: bool,
    pub(crate) without: Vec<Part>,
}

/// A running setup.
struct World {
    setup: GuestSetup,
    database: Arc<Database>,
    pooler: Option<PgBouncer>,
    pods: Vec<Pod>,
    acks: Arc<Acks>,
    faults: Arc<Faults>,
    over: CancellationToken,
}

/// Pods of one service while the others run.
#[derive(Default)]
struct Deployments {
    away: Vec<Away>,
    starts: usize,
    guests: Vec<Guest>,
}

/// Observations outside of the ledger.
#[derive(Default)]
struct Seen {
    lived: Deployments,
    statements: i64,
    begun: usize,
    complaints: Vec<(Violation, String)>,
}

/// Runs, checks, and prints one line; on a violation also where the evidence is.
pub(crate) async fn strangers(plan: &Plan) -> Result<ExitCode> {
    let world = World::new(plan).await?;
    let seen = world.run(plan).await?;
    world.check(plan, seen).await
}

impl Plan {
    fn has(&self, part: Part) -> bool {
        !self.without.contains(&part)
    }
}

impl World {
    async fn new(plan: &Plan) -> Result<Self> {
        let folder = Arc::new(Folder::new()?);
        let (database, pooler, url) = if plan.sqlite {
            let database = Database::sqlite(&folder.database(), None);
            let url = format!("sqlite:{}", folder.database().join("calls.db").display());
            (database, None, url)
        } else {
            let server = Server::start(&folder.database(), postgres::ServerOptions::default())?;
            let settings = "pool_mode = transaction\ndefault_pool_size = 15\nlog_connections = 0\nlog_disconnections = 0";
            let pooler = PgBouncer::before_socket(&folder.database(), "futurecall", "postgres", settings);
            let url = format!("{}?statement-cache-capacity=0", pooler.url);
            (Database::postgres(server), Some(pooler), url)
        };
        let database = Arc::new(database);
        let pods =
            vec![producer(&url, worker::config(LEASE)).await?, producer(&url, worker::config(LEASE)).await?];
        database.prepare(None).await?;
        let faults = Arc::new(Faults::open(&folder.faults())?);
        let over = CancellationToken::new();
        tokio::spawn(watch(Arc::downgrade(&database), Arc::clone(&faults), over.clone()));
        let acks = Arc::new(Acks::open(&folder.acks())?);
        Ok(Self { setup: GuestSetup { folder, url }, database, pooler, pods, acks, faults, over })
    }

    async fn application(&self) -> Result<Application> {
        match &*self.database {
            Database::Postgres { .. } => Application::postgres(&self.setup.url).await,
            Database::Sqlite { file, .. } => Application::sqlite(file.clone()).await,
        }
    }

    /// Runs all of them at the same time, and returns their observations.
    async fn run(&self, plan: &Plan) -> Result<Seen> {
        let stop = CancellationToken::new();
        // The newer release first: from then on there is a pod that can run what either writes.
        let mut ours = vec![Guest::start(&self.setup, Service::Newer).await?];
        if plan.has(Part::Releases) {
            ours.push(Guest::start(&self.setup, Service::Older).await?);
        }
        let application = if plan.has(Part::Application) {
            Some(tokio::spawn(self.application().await?.live(stop.clone())))
        } else {
            None
        };
        let (mut load, cancellations) = self.load(plan, &stop);
        let pod = |number: usize| self.pods.get(number).or(self.pods.first()).cloned().ok_or("no pod");
        let rng = |part| Rng::part(plan.seed, part);
        // By the pod whose futures are kept.
        let both = callers::of_both_releases(pod(0)?, Arc::clone(&self.acks), rng(30), stop.clone());
        let both = plan.has(Part::Releases).then(|| tokio::spawn(both));
        let careless = callers::keep_and_drop(pod(0)?, Arc::clone(&self.acks), rng(31), stop.clone());
        let careless = plan.has(Part::Callers).then(|| tokio::spawn(careless));
        let until = Instant::now() + plan.time;
        let (ours, neighbours) = tokio::try_join!(
            self.of_ours(plan, ours, rng(32), until),
            self.of_the_neighbour(plan, rng(33), until),
        )?;
        stop.cancel();
        let mut seen = Seen { lived: ours, ..Seen::default() };
        seen.lived.away.extend(neighbours.away);
        seen.lived.starts += neighbours.starts;
        seen.lived.guests.extend(neighbours.guests);
        if let Some((statements, complaints)) = ended(application, "the application", &mut seen).await {
            seen.statements = statements;
            seen.complaints.extend(complaints.into_iter().map(|text| (Violation::BrokenForStranger, text)));
        }
        if let Some((_, complaints)) = ended(both, "a caller of both releases", &mut seen).await {
            seen.complaints.extend(complaints.into_iter().map(|text| (Violation::HeldUp, text)));
        }
        seen.begun = ended(careless, "a careless caller", &mut seen).await.unwrap_or(0);
        cancellations.close();
        let load = async {
            while load.join_next().await.is_some() {}
            cancellations.wait().await;
        };
        if tokio::time::timeout(ENDED_WITHIN, load).await.is_err() {
            seen.complaints
                .push((Violation::HeldUp, "producers did not end: a call did not come back".to_owned()));
        }
        Ok(seen)
    }

    /// Starts producers that schedule and cancel as in every torture.
    fn load(&self, plan: &Plan, stop: &CancellationToken) -> (JoinSet<()>, TaskTracker) {
        let (mut load, cancellations) = (JoinSet::new(), TaskTracker::new());
        let waiting = count_waiting(Arc::downgrade(&self.database), stop.clone());
        for (pod, part) in self.pods.iter().zip(10..) {
            let (acks, rng) = (Arc::clone(&self.acks), Rng::part(plan.seed, part));
            let ways = Load { blocks: false, long: 0 };
            let (waiting, stop) = (waiting.clone(), stop.clone());
            load.spawn(produce(pod.clone(), acks, rng, ways, waiting, stop, cancellations.clone()));
        }
        (load, cancellations)
    }

    /// Deploys the older release again and again; once, in the middle, no release of our service runs for a while.
    async fn of_ours(
        &self,
        plan: &Plan,
        mut ours: Vec<Guest>,
        mut rng: Rng,
        until: Instant,
    ) -> Result<Deployments> {
        let (mut lived, middle, mut was_away) = (Deployments::default(), until - plan.time / 2, false);
        while Instant::now() < until {
            let latest = if was_away { until } else { middle };
            tokio::time::sleep_until(latest.min(Instant::now() + rng.between(1_000, 4_000))).await;
            if !plan.has(Part::Releases) || Instant::now() >= until {
                continue;
            }
            if let Some(older) = ours.pop() {
                older.end().await?;
            }
            if !was_away && Instant::now() >= middle {
                was_away = true;
                let begin = clock::monotonic();
                if let Some(newer) = ours.pop() {
                    newer.end().await?;
                }
                // Long enough for the neighbour to start.
                tokio::time::sleep(AWAY).await;
                ours.push(Guest::start(&self.setup, Service::Newer).await?);
                lived.away.push(Away { is_neighbour: false, begin, end: clock::monotonic() });
            }
            tokio::time::sleep(rng.between(0, 500)).await;
            ours.push(Guest::start(&self.setup, Service::Older).await?);
            lived.starts += 1;
        }
        lived.guests = ours;
        Ok(lived)
    }

    /// Starts and ends the other service again and again. In the end it runs.
    async fn of_the_neighbour(&self, plan: &Plan, mut rng: Rng, until: Instant) -> Result<Deployments> {
        let mut lived = Deployments::default();
        if !plan.has(Part::Neighbour) {
            return Ok(lived);
        }
        let mut begin = clock::monotonic();
        loop {
            let guest = Guest::start(&self.setup, Service::Neighbour).await?;
            lived.starts += 1;
            lived.away.push(Away { is_neighbour: true, begin, end: clock::monotonic() });
            tokio::time::sleep(rng.between(800, 2_500)).await;
            if Instant::now() >= until {
                lived.guests.push(guest);
                return Ok(lived);
            }
            begin = clock::monotonic();
            guest.end().await?;
            tokio::time::sleep(rng.between(100, 1_200)).await;
        }
    }

    /// Waits until every call has ended, ends all processes, checks, and prints the result.
    async fn check(self, plan: &Plan, seen: Seen) -> Result<ExitCode> {
        let (drained, standing) = drain(&self.database, PATIENCE / 2).await?;
        self.over.cancel();
        for guest in seen.lived.guests {
            guest.end().await?;
        }
        for pod in &self.pods {
            pod.shutdown().await;
        }
        let Self { setup: GuestSetup { folder, .. }, database, pooler, acks, faults, .. } = self;
        let events = ledger::read(&folder.ledger())?;
        let mut known = faults.all();
        known.extend(gaps(&events).chain(fences(&events)));
        // A service that is down claims nothing: that explains late claims of runs of schedules, and nothing else.
        known.extend(seen.lived.away.iter().map(|away| {
            let Away { begin, end, .. } = *away;
            Fault { kind: Kind::Restart, worker: None, begin, end }
        }));
        let mut promises = acks.all();
        promises.extend(follow_ups::promises(&events));
        let names = database.schedules_by_name().await?;
        let of = |wanted| -> Vec<Uuid> {
            names.iter().filter(|(name, _)| name == wanted).map(|(_, id)| *id).collect()
        };
        let neighbours = of(NEIGHBOURS);
        let schedules = of(OURS).into_iter().map(|id| (id, Rule::by_attribute(OURS, 700)));
        let schedules =
            schedules.chain(neighbours.iter().map(|id| (*id, Rule::by_attribute(NEIGHBOURS, 600))));
        let history = History {
            events,
            promises,
            rows: database.rows().await?,
            faults: known,
            lease: clock::micros(LEASE),
            clock: Clock { real_offset: clock::real() - clock::monotonic(), steps: Vec::new() },
            apart: None,
            schedules: schedules.collect(),
            standing,
        };
        let mut verdict = check(&history);
        let is_neighbours = |event: &ledger::Event| neighbours.contains(&event.run.schedule);
        lateness::check(&history, &seen.lived.away, is_neighbours, &mut verdict);
        for (violation, text) in seen.complaints {
            verdict.add(violation, text);
        }
        let place = if plan.sqlite { "sqlite" } else { "postgres" };
        println!(
            "strangers {place} seed={} seconds={} statements={} deploys={} begun={} | {verdict} | drained_ms={}",
            plan.seed,
            plan.time.as_secs(),
            seen.statements,
            seen.lived.starts,
            seen.begun,
            drained.as_millis()
        );
        drop((pooler, database));
        if verdict.count() == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        complain(&verdict, folder);
        Ok(ExitCode::FAILURE)
    }
}

/// Returns the result of a task, if it was started and ends.
async fn ended<T>(task: Option<JoinHandle<T>>, who: &str, seen: &mut Seen) -> Option<T> {
    match tokio::time::timeout(ENDED_WITHIN, task?).await {
        Ok(Ok(given)) => Some(given),
        other => {
            let why = other.map(std::result::Result::err);
            seen.complaints.push((Violation::HeldUp, format!("{who} did not come to its end: {why:?}")));
            None
        }
    }
}

fn complain(verdict: &Verdict, folder: Arc<Folder>) {
    for (violation, found) in &verdict.violations {
        eprintln!("{violation:?}: {}", found.len());
        found.iter().take(5).for_each(|text| eprintln!("  {text}"));
    }
    let kept = Arc::into_inner(folder).map(Folder::keep).unwrap_or_default();
    eprintln!("ledgers and database: {}", kept.display());
}
