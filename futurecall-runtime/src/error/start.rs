use std::fmt;

use crate::error::StoreError;

/// Why a pod did not start. Nothing runs in the background after it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting has a value that makes no sense; the text names it and says which values do.
    #[error("setting `{name}`: {reason}")]
    Setting {
        /// The setting's name, as in code or in the environment.
        name: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// No database was given.
    #[error(
        "no database: give `.database_url(\"sqlite:calls.db\")`, `.database_url(\"postgres://…\")`, or your own sqlx pool \
         with `.pool(&pool)`"
    )]
    NoDatabase,
    /// The start was not awaited on a Tokio runtime.
    #[error("a pod is started on a Tokio runtime, on which it then lives: await `start()` inside one")]
    NoRuntime,
    /// The database's cargo feature is off; the text is the line to add.
    #[error(
        "this build has no {feature} store: add `futurecall-runtime = {{ version = \"{}\", features = [\"{feature}\"] }}` \
         to Cargo.toml",
        env!("CARGO_PKG_VERSION")
    )]
    FeatureOff {
        /// The feature.
        feature: &'static str,
    },
    /// Two calls have the same stored name.
    #[error(
        "`{name}` is defined by {}: register each type once, and give one of two types another name, with \
         `#[future_call(name = \"…\")]` or in `register_future_call`",
        types.join(" and by ")
    )]
    DuplicateName {
        /// The stored name.
        name: String,
        /// The types that define it.
        types: Vec<String>,
    },
    /// These types have `&self` calls, and no instance was registered.
    #[error(
        "calls with `&self` need an instance to run on: add {}, or start with `.without_discovery()`",
        types.iter().map(|name| format!("`.register({name} {{ … }})`")).collect::<Vec<_>>().join(" and ")
    )]
    NotRegistered {
        /// The types' names.
        types: Vec<String>,
    },
    /// Calls take state that `PodBuilder::state` was not given.
    #[error("state is missing: {}; give each with `.state(value)`", needs.join(", "))]
    MissingState {
        /// Which call takes what: `example.do_work takes mailer: &Mailer`.
        needs: Vec<String>,
    },
    /// `PodBuilder::state` was given two values of one type.
    #[error(
        "state of one type was given twice: {}; keep one value, or give each a type of its own, such as `struct \
         Sender(String)`",
        types.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    )]
    StateTwice {
        /// The types' names.
        types: Vec<String>,
    },
    /// A schedule declared by an attribute cannot be kept.
    #[error("the schedule of `{name}`: {source}")]
    Schedule {
        /// The stored name of the call.
        name: String,
        /// Why.
        source: Box<crate::ScheduleError>,
    },
    /// The tables lack steps of the schema, and the pod was told not to migrate them.
    #[error(
        "the database lacks these steps of the schema: {}; start a pod that may migrate it, or run `futurecall migrate up`",
        missing.join(", ")
    )]
    NotMigrated {
        /// Their numbers and names.
        missing: Vec<String>,
    },
    /// Calls wait that this pod could not run, and the setting `check_broken_calls` is
    /// [`Refuse`](crate::CheckBrokenCalls::Refuse). This pod has claimed nothing.
    #[error(fmt = broken)]
    BrokenCalls {
        /// Their names, how many they are, and why they are broken.
        found: Vec<String>,
    },
    /// The database could not be opened or brought up to date.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl StartError {
    /// Whether the same start may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(source) => source.is_transient(),
            Self::Schedule { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Whether something may have been written although this error came back. Starting again is safe all the same:
    /// migrations and declarations can be repeated.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Store(source) => source.outcome_unknown(),
            Self::Schedule { source, .. } => source.outcome_unknown(),
            _ => false,
        }
    }

    pub(crate) fn setting(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Setting { name: name.into(), reason: reason.into() }
    }
}

crate::words::debug_in_words!(StartError);

/// How many names and reasons the text lists; the others are in the log, and in the error's field.
const LISTED: usize = 20;

fn broken(found: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let listed: Vec<&str> = found.iter().take(LISTED).map(String::as_str).collect();
    write!(f, "calls wait that this pod could not run: {}", listed.join("; "))?;
    let others = found.len().saturating_sub(LISTED);
    if others > 0 {
        write!(f, "; and {others} more")?;
    }
    f.write_str(
        ". Let this release read them, with `#[future_call(alias = \"…\")]` for what was renamed and \
         `#[future_call(default)]` for what was added, or first run them with the release that stored them, or cancel them \
         (`futurecall cancel`). To start all the same, set `check_broken_calls` to `auto`, which only reports them",
    )
}
