//! What one run of a peer's program is told to do.

use std::str::FromStr;
use std::time::Duration;

use crate::Result;

/// One line of arguments.
#[derive(Clone, Debug)]
pub struct Order {
    /// The URL of an empty database.
    pub database: String,
    /// How the peer sets itself.
    pub settings: Settings,
    /// What is to be done.
    pub work: Work,
    /// How many calls; nothing to work that lasts for a time.
    pub count: u32,
    /// How long work lasts that is not counted in calls.
    pub time: Duration,
    /// When work that is counted in calls is given up, and what was done till then counts.
    pub cap: Duration,
}

/// How a peer sets itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settings {
    /// As its documentation says it is best for many small calls.
    Tuned,
    /// As tuned, but for what keeps it quiet when there is nothing to do.
    Eager,
    /// As it comes, or as the first example of its documentation has it.
    Default,
}

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// So many callers, each storing a call that is due in an hour, awaiting that, and storing the next.
    Enqueue(usize),
    /// Many calls that are due in an hour, stored at once.
    Bulk,
    /// Many calls that are due and stored already.
    Drain,
    /// One call after the other, due at once.
    Latency,
    /// Calls that are stored beforehand, each due at a moment of its own.
    Lateness,
    /// Nothing, until standard input ends.
    Idle,
}

impl Order {
    /// Reads `--database URL --settings tuned --work drain --count 20000 --seconds 3 --cap 10`.
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut order = Self {
            database: String::new(),
            settings: Settings::Default,
            work: Work::Idle,
            count: 1_000,
            time: Duration::from_secs(3),
            cap: Duration::from_secs(10),
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} has no value"))?;
            match name.as_str() {
                "--database" => order.database = value,
                "--settings" => order.settings = value.parse()?,
                "--work" => order.work = value.parse()?,
                "--count" => order.count = value.parse()?,
                "--seconds" => order.time = Duration::try_from_secs_f64(value.parse()?)?,
                "--cap" => order.cap = Duration::try_from_secs_f64(value.parse()?)?,
                _ => return Err(format!("{name} is not known").into()),
            }
        }
        if order.database.is_empty() {
            return Err("--database URL is missing".into());
        }
        Ok(order)
    }

    /// Whether the settings are the tuned ones.
    pub fn is_tuned(&self) -> bool {
        self.settings == Settings::Tuned
    }

    /// How many callers there are at once.
    pub fn callers(&self) -> usize {
        if let Work::Enqueue(callers) = self.work { callers } else { 1 }
    }

    /// The store that the database's URL is for.
    pub fn store(&self) -> &'static str {
        if self.database.starts_with("sqlite:") { "SQLite" } else { "PostgreSQL" }
    }
}

impl Settings {
    /// As an argument.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tuned => "tuned",
            Self::Eager => "eager",
            Self::Default => "default",
        }
    }
}

impl FromStr for Settings {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        [Self::Tuned, Self::Eager, Self::Default]
            .into_iter()
            .find(|settings| settings.name() == name)
            .ok_or_else(|| format!("there are no {name} settings"))
    }
}

impl Work {
    /// Every piece, in the order in which they are told.
    pub const ALL: [Self; 8] = [
        Self::Enqueue(1),
        Self::Enqueue(16),
        Self::Enqueue(64),
        Self::Bulk,
        Self::Drain,
        Self::Latency,
        Self::Lateness,
        Self::Idle,
    ];

    /// As an argument.
    pub fn name(self) -> String {
        match self {
            Self::Enqueue(callers) => return format!("enqueue{callers}"),
            Self::Bulk => "bulk",
            Self::Drain => "drain",
            Self::Latency => "latency",
            Self::Lateness => "lateness",
            Self::Idle => "idle",
        }
        .to_owned()
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|work| work.name() == name)
            .ok_or_else(|| format!("there is no work {name}"))
    }
}
