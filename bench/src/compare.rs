//! The same work by Futurecall and by other libraries, alternating: ours, theirs, ours, theirs.
//!
//! Each measurement is done by a separate process on an empty database of its own, theirs by the programs under
//! `peers/`, ours by this program again (see `ours.rs`). The measuring code is the same for all: `peers/work`.

mod contestant;
mod line;
mod ours;
mod table;
mod watch;

use std::time::Duration;

use futurecall_runtime::BoxError;
use peer_work::{Order, Settings, Work};

use self::contestant::{Contestant, PEERS};
use self::line::Line;
use crate::Result;
use crate::place::{Kind, Store};
use crate::postgres::Server;

const USAGE: &str = "usage: futurecall-bench compare [--quick] [--only peer,…] [--works drain,…] [--rounds n] [--postgres] [--sqlite]

Builds the peers, and does the same work with them and with Futurecall in turns. --only names folders of bench/peers;
--works any of enqueue1 enqueue16 enqueue64 bulk drain latency lateness idle. One JSON line for each run, one for each
comparison, and a Markdown table at the end.";

/// Arguments of `futurecall-bench compare`.
pub(crate) async fn run(mut args: impl Iterator<Item = String>) -> Result {
    let mut wanted = Wanted::full();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} has no value\n\n{USAGE}"));
        match arg.as_str() {
            // How this program starts itself: the rest of the line is an order.
            "ours" => return peer_work::run::<ours::Futurecall>(Order::from_args(args)?).await,
            "--quick" => wanted.sizes = QUICK,
            "--only" => wanted.only = value()?.split(',').map(str::to_owned).collect(),
            "--works" => wanted.works = works(&value()?)?,
            "--rounds" => wanted.rounds = Some(value()?.parse()?),
            "--postgres" => wanted.stores.push(Kind::Postgres),
            "--sqlite" => wanted.stores.push(Kind::Sqlite),
            _ => return Err(format!("{arg} is not known\n\n{USAGE}").into()),
        }
    }
    let peers = wanted.peers()?;
    contestant::build(&peers)?;
    let mut comparisons = Vec::new();
    let mut server = None;
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let peers: Vec<&Contestant> = peers.iter().copied().filter(|peer| peer.store == kind).collect();
        if peers.is_empty() {
            continue;
        }
        let store = match (kind, std::env::var("DATABASE_URL")) {
            (Kind::Sqlite, _) => Store::sqlite(),
            (Kind::Postgres, Ok(url)) => Store::postgres(url),
            (Kind::Postgres, Err(_)) => Store::postgres(server.insert(Server::start()?).url.clone()),
        };
        for &work in &wanted.works {
            comparisons.extend(compare(&store, &peers, work, &wanted).await?);
        }
    }
    println!("\n{}", table::markdown(&comparisons));
    Ok(())
}

/// The same work by one peer with one kind of settings, and by ours with one kind.
pub(crate) struct Comparison {
    theirs: Vec<Line>,
    /// As many, each measured just before or after theirs.
    ours: Vec<Line>,
}

/// What is to be compared.
struct Wanted {
    sizes: Sizes,
    rounds: Option<usize>,
    only: Vec<String>,
    works: Vec<Work>,
    stores: Vec<Kind>,
}

/// How much is done.
#[derive(Clone, Copy)]
struct Sizes {
    /// How often ours and theirs alternate; the figures are the medians.
    rounds: usize,
    /// How many kinds of settings of each peer.
    settings: usize,
    enqueue: Duration,
    bulk: u32,
    drain: u32,
    /// Calls one by one, and calls at distinct times.
    single: u32,
    /// When work on a number of calls is given up.
    cap: Duration,
    /// How long a program is left alone before it counts as idle: an idle backend reports its transactions up to ten
    /// seconds late.
    settle: Duration,
    idle: Duration,
}

const FULL: Sizes = Sizes {
    rounds: 3,
    settings: usize::MAX,
    enqueue: Duration::from_secs(2),
    bulk: 100_000,
    drain: 20_000,
    single: 200,
    cap: Duration::from_secs(10),
    settle: Duration::from_secs(12),
    idle: Duration::from_secs(20),
};

const QUICK: Sizes = Sizes {
    rounds: 1,
    settings: 1,
    enqueue: Duration::from_millis(200),
    bulk: 2_000,
    drain: 500,
    single: 10,
    cap: Duration::from_secs(2),
    settle: Duration::from_millis(500),
    idle: Duration::from_secs(1),
};

impl Wanted {
    fn full() -> Self {
        Self { sizes: FULL, rounds: None, only: Vec::new(), works: Work::ALL.to_vec(), stores: Vec::new() }
    }

    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(self.sizes.rounds)
    }

    fn peers(&self) -> Result<Vec<&'static Contestant>> {
        let folders: Vec<&str> = PEERS.iter().map(|peer| peer.folder).collect();
        if let Some(unknown) = self.only.iter().find(|only| !folders.contains(&only.as_str())) {
            return Err(format!("there is no peer {unknown}, but {}", folders.join(", ")).into());
        }
        let is_wanted = |peer: &&Contestant| {
            (self.only.is_empty() || self.only.iter().any(|only| only == peer.folder))
                && (self.stores.is_empty() || self.stores.contains(&peer.store))
        };
        Ok(PEERS.iter().filter(is_wanted).collect())
    }

    /// Settings that make a difference: they concern how calls run, not how they are stored.
    fn settings(&self, peer: &Contestant, work: Work) -> &'static [Settings] {
        match work {
            Work::Enqueue(_) | Work::Bulk => &peer.settings[..1],
            Work::Drain | Work::Latency | Work::Lateness | Work::Idle => {
                &peer.settings[..self.sizes.settings.min(peer.settings.len())]
            }
        }
    }

    /// Without any history where that matters, and with it as by default.
    fn ours(&self, work: Work) -> &'static [Settings] {
        let both = work == Work::Drain && self.sizes.settings > 1;
        if both { &[Settings::Tuned, Settings::Default] } else { &[Settings::Default] }
    }

    /// The order for a program. The database is chosen later.
    fn order(&self, work: Work, settings: Settings) -> Order {
        let sizes = self.sizes;
        let count = match work {
            Work::Bulk => sizes.bulk,
            Work::Drain => sizes.drain,
            Work::Enqueue(_) | Work::Latency | Work::Lateness | Work::Idle => sizes.single,
        };
        Order { database: String::new(), settings, work, count, time: sizes.enqueue, cap: sizes.cap }
    }
}

fn works(names: &str) -> Result<Vec<Work>> {
    Ok(names.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?)
}

/// Measures one kind of work by each peer, in rounds, and by ours as often.
async fn compare(
    store: &Store,
    peers: &[&'static Contestant],
    work: Work,
    wanted: &Wanted,
) -> Result<Vec<Comparison>> {
    let ours = wanted.ours(work);
    let mut comparisons = Vec::new();
    for peer in peers {
        for _ in wanted.settings(peer, work) {
            for _ in ours {
                comparisons.push(Comparison { theirs: Vec::new(), ours: Vec::new() });
            }
        }
    }
    // Idle is not noisy: a second round would show the same.
    let rounds = if work == Work::Idle { 1 } else { wanted.rounds() };
    // Nor does our idle pod depend on the peer: once is enough for all of them.
    let mut idle: Option<Vec<Line>> = None;
    for round in 0..rounds {
        let mut places = comparisons.iter_mut();
        for peer in peers {
            for &settings in wanted.settings(peer, work) {
                let order = wanted.order(work, settings);
                // Neither is always the one that runs after the other.
                let mut theirs = None;
                if round % 2 == 1 {
                    theirs = Some(measure(peer, store, &order, wanted).await?.printed(round)?);
                }
                let mut lines = idle.clone().unwrap_or_default();
                if lines.is_empty() {
                    for &settings in ours {
                        let order = wanted.order(work, settings);
                        lines.push(measure(&contestant::OURS, store, &order, wanted).await?.printed(round)?);
                    }
                }
                if work == Work::Idle {
                    idle = Some(lines.clone());
                }
                let theirs = match theirs {
                    Some(theirs) => theirs,
                    None => measure(peer, store, &order, wanted).await?.printed(round)?,
                };
                for ours in lines {
                    let place = places.next().ok_or("there is no place for a comparison")?;
                    place.theirs.push(theirs.clone());
                    place.ours.push(ours);
                }
            }
        }
    }
    for comparison in &comparisons {
        println!("{}", serde_json::to_string(&comparison.summary())?);
    }
    Ok(comparisons)
}

/// A peer that fails has no figure, and does not end the others' work; ours must not fail.
async fn measure(who: &Contestant, store: &Store, order: &Order, wanted: &Wanted) -> Result<Line> {
    let place = store.fresh().await?;
    let order = Order { database: place.url.clone(), ..order.clone() };
    let measured = if order.work == Work::Idle {
        watch::idle(who, &place, &order, wanted.sizes.settle, wanted.sizes.idle).await
    } else {
        contestant::figure(who, &order).await
    };
    place.remove().await?;
    measured.or_else(|error: BoxError| {
        if who.folder == contestant::OURS.folder {
            return Err(error);
        }
        eprintln!("{} {} {}: {error}", who.folder, order.settings.name(), order.work.name());
        Ok(Line::failed(who.folder, &order, &error.to_string()))
    })
}
