//! Injects faults at random from a seed, until stopped; everything is repaired again when it ends.

use std::ffi::OsString;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use sqlx::{Connection as _, Executor as _};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock_shim;
use crate::database::{Database, stranger};
use crate::disk::Disk;
use crate::fault::{Fault, Faults, Kind};
use crate::postgres::{CONNECTIONS, Server};
use crate::proxy::{Lane, Passage};
use crate::run_folder::Folder;
use crate::settings::Settings;
use crate::worker::WorkerOptions;
use crate::worker_process::Worker;
use crate::{Result, clock};
use futurecall_testbed::rng::Rng;

/// The targets of faults.
pub(crate) struct Targets {
    pub(crate) folder: Arc<Folder>,
    pub(crate) database: Arc<Database>,
    pub(crate) workers: Vec<Target>,
    /// The producers' connection to the database: cut as well when all are. `None` on SQLite.
    pub(crate) producers: Option<Lane>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) lease: Duration,
}

/// One worker, and its connection to the database.
pub(crate) struct Target {
    pub(crate) orders: WorkerOptions,
    pub(crate) worker: Mutex<Worker>,
    pub(crate) lane: Option<Lane>,
    /// With these variables, its wall clock can be shifted; `None` if it cannot.
    pub(crate) bent: Vec<(&'static str, OsString)>,
    /// Whether that clock is its database clock: then it is set apart from the others'.
    pub(crate) is_apart: bool,
    /// Settings that each of its pods draws.
    pub(crate) settings: Settings,
}

/// The processes whose wall clock is shifted.
pub(crate) const APART: usize = 0;

impl Target {
    pub(crate) fn start(&self, targets: &Targets) -> Result<Worker> {
        let orders = WorkerOptions { retention: self.settings.retention(), ..self.orders.clone() };
        Worker::start(&orders, &targets.folder, &self.bent)
    }
}

/// Injects faults into processes: one worker at a time.
pub(crate) async fn of_processes(
    targets: &Targets,
    mut rng: Rng,
    stop: &CancellationToken,
    kinds: &[Kind],
) -> Result {
    while pause(&mut rng, stop).await {
        let Some(kind) = kinds.get(rng.below(kinds.len())).copied() else { return Ok(()) };
        let number = rng.below(targets.workers.len());
        let Some(target) = targets.workers.get(number) else { return Ok(()) };
        let lease = u64::try_from(targets.lease.as_millis()).unwrap_or(u64::MAX);
        let breaking = targets.faults.during(kind, Some(number), async {
            let mut worker = target.worker.lock().await;
            match kind {
                Kind::Kill => {
                    worker.kill().await?;
                    tokio::time::sleep(rng.between(0, 300)).await;
                    *worker = target.start(targets)?;
                }
                Kind::Restart => {
                    worker.end().await?;
                    *worker = target.start(targets)?;
                }
                Kind::Pause => {
                    worker.signal(Signal::STOP)?;
                    tokio::time::sleep(rng.between(lease + 200, lease + 1_500)).await;
                    worker.signal(Signal::CONT)?;
                }
                _ => {}
            }
            Result::Ok(())
        });
        breaking.await?;
    }
    Ok(())
}

/// Sets wall clocks forward and back.
pub(crate) async fn of_clocks(targets: &Targets, mut rng: Rng, stop: &CancellationToken) -> Result {
    let bent: Vec<usize> = targets
        .workers
        .iter()
        .enumerate()
        .filter(|(_, target)| !target.bent.is_empty())
        .map(|(number, _)| number)
        .collect();
    while pause(&mut rng, stop).await {
        let Some(number) = bent.get(rng.below(bent.len())).copied() else { return Ok(()) };
        let file = targets.folder.clock(number);
        let breaking = targets.faults.during(Kind::Clock, Some(number), async {
            clock_shim::set(&file, &mut rng)?;
            tokio::time::sleep(rng.between(1_500, 4_000)).await;
            clock_shim::right(&file)?;
            // A process reads the file once a second.
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            Result::Ok(())
        });
        breaking.await?;
    }
    Ok(())
}

/// How far the clock of the server is set, in microseconds: shorter and longer than a lease.
const SIZES: [i64; 5] = [500_000, 1_500_000, 3_000_000, 30_000_000, 90_000_000];
const HOUR: i64 = 3_600_000_000;

/// Sets the clock of the database, forward for good, or back for a while: that of the server, or on SQLite that of the
/// machine, which all processes share. With `back_only`, it explains nothing.
pub(crate) async fn of_database_clock(
    targets: &Targets,
    mut rng: Rng,
    stop: &CancellationToken,
    back_only: bool,
) -> Result {
    let machine = clock_shim::machine();
    let has_a_clock = match &*targets.database {
        Database::Postgres { server, .. } => server.has_a_clock(),
        Database::Sqlite { .. } => machine.is_some(),
    };
    let set_all = |by| match (&*targets.database, &machine) {
        (Database::Postgres { server, .. }, _) => server.set_clock(by),
        (Database::Sqlite { .. }, Some(file)) => clock_shim::set_by(file, by),
        (Database::Sqlite { .. }, None) => Ok(()),
    };
    let set = |by| {
        targets.faults.step(by, |apart| {
            set_all(by)?;
            if is_apart(targets) { clock_shim::set_by(&targets.folder.clock(APART), apart) } else { Ok(()) }
        })
    };
    let (mut by, mut hours) = (0, 0);
    while has_a_clock
        && stop.run_until_cancelled(tokio::time::sleep(rng.between(2_500, 6_000))).await.is_some()
    {
        let size = SIZES.get(rng.below(SIZES.len())).copied().unwrap_or(HOUR);
        if back_only {
            set(by - size.max(3_000_000))?;
            tokio::time::sleep(rng.between(2_000, 4_000)).await;
        } else if rng.percent(50) {
            // Schedules run once for every missed time: for one hour of them, and no more.
            let is_far = hours == 0 && rng.percent(30);
            hours += usize::from(is_far);
            by += if is_far { HOUR } else { size };
        } else {
            set(by - size)?;
            tokio::time::sleep(rng.between(500, 2_500)).await;
        }
        set(by)?;
    }
    Ok(())
}

fn is_apart(targets: &Targets) -> bool {
    targets.workers.iter().any(|target| target.is_apart)
}

/// Sets the clock of one process of a SQLite file apart from those of the others, for a while.
pub(crate) async fn of_clocks_apart(targets: &Targets, mut rng: Rng, stop: &CancellationToken) -> Result {
    while is_apart(targets)
        && stop.run_until_cancelled(tokio::time::sleep(rng.between(4_000, 9_000))).await.is_some()
    {
        let set =
            |by| targets.faults.step_apart(by, |all| clock_shim::set_by(&targets.folder.clock(APART), all));
        // A lease that was taken while the clock was ahead lasts longer by that much: at most as long as the end of the
        // run waits.
        let is_ahead = rng.percent(50);
        let sizes = if is_ahead { SIZES.get(..3).unwrap_or(&SIZES) } else { &SIZES };
        let size = sizes.get(rng.below(sizes.len() + 1)).copied().unwrap_or(if is_ahead {
            10_000_000
        } else {
            HOUR
        });
        let begin = clock::monotonic();
        set(if is_ahead { size } else { -size })?;
        tokio::time::sleep(rng.between(1_000, 4_000)).await;
        set(0)?;
        let (kind, worker) = if is_ahead { (Kind::Ahead, None) } else { (Kind::Behind, Some(APART)) };
        targets.faults.add(Fault { kind, worker, begin, end: clock::monotonic() });
    }
    Ok(())
}

/// Injects faults into the database, and into the connections to it.
pub(crate) async fn of_databases(
    targets: &Targets,
    mut rng: Rng,
    stop: &CancellationToken,
    kinds: &[Kind],
) -> Result {
    while pause(&mut rng, stop).await {
        let Some(kind) = kinds.get(rng.below(kinds.len())).copied() else { return Ok(()) };
        match kind {
            Kind::Cut | Kind::Stall | Kind::Mute => break_network(targets, &mut rng, kind).await,
            // Mostly for less than what is left of any lease.
            Kind::Denied | Kind::LockedOut if rng.percent(70) => {
                break_database(targets, kind, rng.between(100, 700)).await?;
            }
            _ => break_database(targets, kind, rng.between(500, 3_200)).await?,
        }
    }
    Ok(())
}

/// Injects a fault into the database itself, for all clients; it is repaired when this returns. Locks and connections
/// are held for the given time.
pub(crate) async fn break_database(targets: &Targets, kind: Kind, time: Duration) -> Result {
    let breaking = async {
        match &*targets.database {
            Database::Postgres { server, .. } => break_server(server, kind, time).await,
            Database::Sqlite { disk, .. } if kind == Kind::Full => fill(disk.as_ref(), time).await,
            Database::Sqlite { file, .. } => hold_the_lock(file, time).await,
        }
    };
    targets.faults.during(kind, None, breaking).await
}

/// Kills some workers, and starts them again later.
pub(crate) async fn kill(targets: &Targets, numbers: Range<usize>, after: Duration) -> Result {
    for number in numbers.clone() {
        if let Some(target) = targets.workers.get(number) {
            targets
                .faults
                .during(Kind::Kill, Some(number), async { target.worker.lock().await.kill().await })
                .await?;
        }
    }
    tokio::time::sleep(after).await;
    for target in targets.workers.get(numbers).unwrap_or_default() {
        *target.worker.lock().await = target.start(targets)?;
    }
    Ok(())
}

/// Leaves no room on a disk for that time.
async fn fill(disk: Option<&Disk>, time: Duration) -> Result {
    let disk = disk.ok_or("it has no disk that could be full")?;
    tokio::task::block_in_place(|| disk.fill())?;
    tokio::time::sleep(time).await;
    tokio::task::block_in_place(|| disk.free())
}

async fn hold_the_lock(file: &Path, time: Duration) -> Result {
    let mut stranger = stranger(file).await?;
    let transaction = stranger.begin_with("BEGIN IMMEDIATE").await?;
    tokio::time::sleep(time).await;
    transaction.rollback().await?;
    Ok(())
}

/// Waits until the next fault; returns `false` if there is none.
async fn pause(rng: &mut Rng, stop: &CancellationToken) -> bool {
    stop.run_until_cancelled(tokio::time::sleep(rng.between(200, 1_200))).await.is_some()
}

async fn break_network(targets: &Targets, rng: &mut Rng, kind: Kind) {
    let worker = if rng.percent(50) { Some(rng.below(targets.workers.len())) } else { None };
    let lanes: Vec<&Lane> = match worker.and_then(|number| targets.workers.get(number)) {
        Some(target) => target.lane.iter().collect(),
        None => targets
            .workers
            .iter()
            .filter_map(|target| target.lane.as_ref())
            .chain(&targets.producers)
            .collect(),
    };
    let set = |passage| lanes.iter().for_each(|lane| lane.set(passage));
    let cut = || lanes.iter().for_each(|lane| lane.cut());
    let breaking = async {
        match kind {
            Kind::Stall => {
                set(Passage::Stalled);
                tokio::time::sleep(rng.between(500, 4_000)).await;
            }
            Kind::Mute => {
                set(Passage::Mute);
                tokio::time::sleep(rng.between(20, 300)).await;
            }
            _ => {}
        }
        set(Passage::Open);
        if kind != Kind::Stall {
            // Afterwards: no connection whose replies were partly dropped may live on.
            cut();
        }
    };
    targets.faults.during(kind, worker, breaking).await;
}

async fn break_server(server: &Server, kind: Kind, time: Duration) -> Result {
    match kind {
        Kind::Crash => {
            server.kill().await?;
            tokio::task::block_in_place(|| server.start_again())
        }
        Kind::Terminate => terminate(server).await,
        Kind::Full | Kind::FullLog => {
            let disk = server.disks.as_ref().map(|it| if kind == Kind::Full { &it.data } else { &it.log });
            fill(disk, time).await?;
            server.wait_until_healthy().await
        }
        Kind::Exhaust => {
            let mut taken = Vec::new();
            while taken.len() < CONNECTIONS as usize {
                // Once all are taken, the sessions of the others end, and theirs are taken as well.
                match server.connect().await {
                    Ok(connection) => taken.push(connection),
                    Err(_) => break,
                }
                if taken.len() == 20 {
                    terminate_with(taken.last_mut().ok_or("no connection")?).await?;
                }
            }
            tokio::time::sleep(time).await;
            drop(taken);
            Ok(())
        }
        Kind::Denied => turn_away(server, time).await,
        Kind::LockedOut => lock_out(server, time).await,
        _ => {
            let mut connection = server.connect().await?;
            let mut transaction = connection.begin().await?;
            sqlx::query("LOCK TABLE futurecall.call IN ACCESS EXCLUSIVE MODE")
                .execute(&mut *transaction)
                .await?;
            tokio::time::sleep(time).await;
            transaction.rollback().await?;
            Ok(())
        }
    }
}

/// Revokes a right from the pods, and restores it.
async fn turn_away(server: &Server, time: Duration) -> Result {
    let mut connection = server.connect().await?;
    connection.execute("REVOKE USAGE ON SCHEMA futurecall FROM futurecall_worker").await?;
    tokio::time::sleep(time).await;
    connection.execute("GRANT USAGE ON SCHEMA futurecall TO futurecall_worker").await?;
    // For the mutant that drops what is sent right after it.
    connection.execute("UPDATE public.turned_away SET until = clock_timestamp() + interval '500 ms'").await?;
    Ok(())
}

/// Prevents pods from logging in, ends their sessions, and allows logins again.
async fn lock_out(server: &Server, time: Duration) -> Result {
    let mut connection = server.connect().await?;
    connection.execute("ALTER ROLE pod NOLOGIN").await?;
    terminate_with(&mut connection).await?;
    tokio::time::sleep(time).await;
    connection.execute("ALTER ROLE pod LOGIN").await?;
    Ok(())
}

async fn terminate(server: &Server) -> Result {
    terminate_with(&mut server.connect().await?).await
}

/// Ends every session but those of this program.
async fn terminate_with(connection: &mut sqlx::PgConnection) -> Result {
    let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'futurecall'";
    sqlx::query(all).execute(connection).await?;
    Ok(())
}
