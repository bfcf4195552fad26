use std::fmt;

use crate::error::StoreError;

/// Why a pod did not start. Nothing runs in the background after it.
#[non_exhaustive]
pub enum StartError {
    /// A setting has a value that makes no sense; the text names it and says which values do.
    Setting {
        /// The setting's name, as in code or in the environment.
        name: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// No database was given.
    NoDatabase,
    /// The start was not awaited on a Tokio runtime.
    NoRuntime,
    /// The database's cargo feature is off; the text is the line to add.
    FeatureOff {
        /// The feature.
        feature: &'static str,
    },
    /// Two calls have the same stored name.
    DuplicateName {
        /// The stored name.
        name: String,
        /// The types that define it.
        types: Vec<String>,
    },
    /// These types have `&self` calls, and no instance was registered.
    NotRegistered {
        /// The types' names.
        types: Vec<String>,
    },
    /// Calls take state that `PodBuilder::state` was not given.
    MissingState {
        /// Which call takes what: `example.do_work takes mailer: &Mailer`.
        needs: Vec<String>,
    },
    /// `PodBuilder::state` was given two values of one type.
    StateTwice {
        /// The types' names.
        types: Vec<String>,
    },
    /// A schedule declared by an attribute cannot be kept.
    Schedule {
        /// The stored name of the call.
        name: String,
        /// Why.
        source: Box<crate::ScheduleError>,
    },
    /// The tables lack steps of the schema, and the pod was told not to migrate them.
    NotMigrated {
        /// Their numbers and names.
        missing: Vec<String>,
    },
    /// Calls wait that this pod could not run, and the setting `check_broken_calls` is
    /// [`Refuse`](crate::CheckBrokenCalls::Refuse). This pod has claimed nothing.
    BrokenCalls {
        /// Their names, how many they are, and why they are broken.
        found: Vec<String>,
    },
    /// The database could not be opened or brought up to date.
    Store(StoreError),
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

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { name, reason } => write!(f, "setting `{name}`: {reason}"),
            Self::NotMigrated { missing } => write!(
                f,
                "the database lacks these steps of the schema: {}; start a pod that may migrate it, or run `futurecall \
                 migrate up`",
                missing.join(", ")
            ),
            Self::NoDatabase => f.write_str(
                "no database: give `.database_url(\"sqlite:calls.db\")`, `.database_url(\"postgres://…\")`, or your \
                 own sqlx pool with `.pool(&pool)`",
            ),
            Self::NoRuntime => f.write_str(
                "a pod is started on a Tokio runtime, on which it then lives: await `start()` inside one",
            ),
            Self::FeatureOff { feature } => write!(
                f,
                "this build has no {feature} store: add `futurecall-runtime = {{ version = \"{}\", features = \
                 [\"{feature}\"] }}` to Cargo.toml",
                env!("CARGO_PKG_VERSION")
            ),
            Self::DuplicateName { name, types } => write!(
                f,
                "`{name}` is defined by {}: register each type once, and give one of two types another name, with \
                 `#[future_call(name = \"…\")]` or in `register_future_call`",
                types.join(" and by ")
            ),
            Self::NotRegistered { types } => write!(
                f,
                "calls with `&self` need an instance to run on: add {}, or start with `.without_discovery()`",
                types.iter().map(|name| format!("`.register({name} {{ … }})`")).collect::<Vec<_>>().join(" and ")
            ),
            Self::MissingState { needs } => {
                write!(f, "state is missing: {}; give each with `.state(value)`", needs.join(", "))
            }
            Self::StateTwice { types } => write!(
                f,
                "state of one type was given twice: {}; keep one value, or give each a type of its own, such as \
                 `struct Sender(String)`",
                types.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ),
            Self::BrokenCalls { found } => broken(f, found),
            Self::Schedule { name, source } => write!(f, "the schedule of `{name}`: {source}"),
            Self::Store(source) => source.fmt(f),
        }
    }
}

crate::words::debug_in_words!(StartError);

/// How many names and reasons the text lists; the others are in the log, and in the error's field.
const LISTED: usize = 20;

fn broken(f: &mut fmt::Formatter<'_>, found: &[String]) -> fmt::Result {
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

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Schedule { source, .. } => Some(source),
            Self::Store(source) => Some(source),
            _ => None,
        }
    }
}

impl From<StoreError> for StartError {
    fn from(source: StoreError) -> Self {
        Self::Store(source)
    }
}
