//! The arguments of the command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::Result;
use crate::sizes::Sizes;

const USAGE: &str = "usage: futurecall-bench WORK … [--quick] [--postgres] [--sqlite] [--backlog N] [OUTPUT]
       futurecall-bench start latency lateness --round-trip 3ms [--quick] [OUTPUT]
       futurecall-bench render FILE … [OUTPUT]

WORK    all, or any of: enqueue bulk drain drain-large start latency lateness backlog horizon idle pods recovery cost
        memory limits idle-settings compile
OUTPUT  --lines FILE      also writes the JSON lines there
        --markdown FILE   puts the table between the lines <!-- figures --> and <!-- /figures --> of that file
        --charts FOLDER   writes lateness.svg and throughput.svg there (otherwise to bench/target/figures)

--round-trip puts a network before PostgreSQL on which an answer takes that long; only start, latency and lateness are
measured across it.

Measures on a PostgreSQL server of its own (or the one that DATABASE_URL names) and on a SQLite file; with --postgres or
--sqlite on that one only. One JSON line a figure, and a Markdown table at the end. `render` makes the table and the
charts of lines that were written before, in one go or in several.";

/// What is to be measured, or rendered, and where it is written.
pub(crate) struct Wanted {
    pub(crate) figures: Vec<Figure>,
    pub(crate) sizes: Sizes,
    pub(crate) postgres: bool,
    pub(crate) sqlite: bool,
    /// The additional round trip to PostgreSQL.
    pub(crate) round_trip: Option<Duration>,
    /// Earlier lines: then nothing is measured.
    pub(crate) render: Vec<PathBuf>,
    pub(crate) lines: Option<PathBuf>,
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) charts: Option<PathBuf>,
}

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Enqueue,
    Bulk,
    Drain,
    LargeDrain,
    Start,
    Latency,
    Lateness,
    Backlog,
    Horizon,
    Idle,
    Pods,
    Recovery,
    Cost,
    Memory,
    Limits,
    IdleSettings,
    Compile,
}

impl Figure {
    const ALL: [(&str, Self); 17] = [
        ("enqueue", Self::Enqueue),
        ("bulk", Self::Bulk),
        ("drain", Self::Drain),
        ("drain-large", Self::LargeDrain),
        ("start", Self::Start),
        ("latency", Self::Latency),
        ("lateness", Self::Lateness),
        ("backlog", Self::Backlog),
        ("horizon", Self::Horizon),
        ("idle", Self::Idle),
        ("pods", Self::Pods),
        ("recovery", Self::Recovery),
        ("cost", Self::Cost),
        ("memory", Self::Memory),
        ("limits", Self::Limits),
        ("idle-settings", Self::IdleSettings),
        ("compile", Self::Compile),
    ];

    /// Returns whether it is also measured across a network.
    const fn crosses_networks(self) -> bool {
        matches!(self, Self::Start | Self::Latency | Self::Lateness)
    }
}

impl Wanted {
    pub(crate) fn from_args(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut wanted = Self {
            figures: Vec::new(),
            sizes: Sizes::FULL,
            postgres: false,
            sqlite: false,
            round_trip: None,
            render: Vec::new(),
            lines: None,
            markdown: None,
            charts: None,
        };
        let mut args = args.peekable();
        let render = args.next_if(|arg| arg == "render").is_some();
        let (mut backlog, mut quick) = (None, false);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n\n{USAGE}"));
            match arg.as_str() {
                "--lines" => wanted.lines = Some(value()?.into()),
                "--markdown" => wanted.markdown = Some(value()?.into()),
                "--charts" => wanted.charts = Some(value()?.into()),
                "--round-trip" => wanted.round_trip = Some(millis(&value()?)?),
                "--backlog" => backlog = Some(value()?.parse()?),
                "--quick" => quick = true,
                "--postgres" => wanted.postgres = true,
                "--sqlite" => wanted.sqlite = true,
                file if render && !file.starts_with('-') => wanted.render.push(file.into()),
                "all" => wanted.figures.extend(Figure::ALL.map(|(_, figure)| figure)),
                name => {
                    let figure = Figure::ALL.into_iter().find(|(known, _)| *known == name);
                    let (_, figure) = figure.ok_or_else(|| format!("{name} is not known\n\n{USAGE}"))?;
                    wanted.figures.push(figure);
                }
            }
        }
        if quick {
            wanted.sizes = Sizes::QUICK;
        }
        if let Some(backlog) = backlog {
            wanted.sizes.backlog = backlog;
        }
        if wanted.figures.is_empty() && wanted.render.is_empty() {
            return Err(USAGE.into());
        }
        if !wanted.postgres && !wanted.sqlite {
            (wanted.postgres, wanted.sqlite) = (true, wanted.round_trip.is_none());
        }
        let crosses = wanted.figures.iter().all(|figure| figure.crosses_networks()) && !wanted.sqlite;
        if wanted.round_trip.is_some() && !crosses {
            let measured = "--round-trip is for start, latency and lateness, on PostgreSQL";
            return Err(format!("{measured}\n\n{USAGE}").into());
        }
        Ok(wanted)
    }
}

/// Parses a duration such as `3ms` or `2.5ms`.
fn millis(text: &str) -> Result<Duration> {
    let millis = text.strip_suffix("ms").and_then(|number| number.parse().ok());
    let time = millis.and_then(|millis: f64| Duration::try_from_secs_f64(millis / 1e3).ok());
    time.ok_or_else(|| format!("{text} is no time such as 3ms\n\n{USAGE}").into())
}
