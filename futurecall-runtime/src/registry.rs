//! Stored name → handler: what this pod can run.

use std::any::TypeId;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::args::ArgumentError;
use crate::error::{BoxError, MissingState, StartError};
use crate::session::Session;
use crate::store::OnVanish;

/// Runs one call: decodes its arguments, calls the method, says how it ended.
pub(crate) type RunHandler =
    Arc<dyn for<'a> Fn(&'a Session, &'a str) -> BoxFuture<'a, Result<(), CallFailure>> + Send + Sync>;

/// One method that this pod can run, under its stored name.
#[derive(Clone)]
pub(crate) struct Handler {
    /// The stored name.
    pub name: Cow<'static, str>,
    /// Older stored names that it still answers to.
    pub aliases: &'static [&'static str],
    /// The user's type, for messages.
    pub type_name: &'static str,
    /// Runs it.
    pub run: RunHandler,
    /// Decodes arguments without running, for the check of broken calls.
    pub check: fn(&str) -> Result<(), ArgumentError>,
    /// What it takes from the pod's state.
    pub state: Vec<StateNeed>,
    /// The schedule that its attribute declares.
    pub recurring: Option<DeclaredRule>,
    /// The priority of its calls, unless scheduled otherwise.
    pub priority: i16,
    /// Whether it came from the by-name interface: its arguments are `{"data": …}`.
    pub by_name: bool,
}

/// State that a call takes.
#[derive(Clone, Debug)]
pub struct StateNeed {
    /// The type asked for.
    pub type_id: fn() -> TypeId,
    /// Its name.
    pub type_name: fn() -> &'static str,
    /// The parameter that takes it.
    pub parameter: &'static str,
}

/// A schedule declared by `every = …` or `cron = …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclaredRule {
    /// Every so many microseconds.
    Every {
        /// The interval.
        interval_us: u64,
    },
    /// By a cron expression.
    Cron {
        /// Checked when the macro expanded.
        expression: &'static str,
        /// An IANA name; `UTC` unless told.
        time_zone: &'static str,
    },
}

/// How a run failed.
#[derive(Debug)]
pub enum CallFailure {
    /// The stored arguments do not decode.
    Arguments(ArgumentError),
    /// State is missing (an alias of a pod that was started without it).
    State(MissingState),
    /// The handler said so.
    Error(BoxError),
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(source) => source.fmt(f),
            Self::State(source) => source.fmt(f),
            Self::Error(source) => {
                write!(f, "{source}")?;
                let mut cause = source.source();
                while let Some(inner) = cause {
                    write!(f, ": {inner}")?;
                    cause = inner.source();
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("name", &self.name)
            .field("type_name", &self.type_name)
            .finish_non_exhaustive()
    }
}

/// All handlers of a pod.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_name: HashMap<String, Arc<Handler>>,
}

impl Registry {
    /// Adds a handler under its name and its aliases, or says who has one of them already.
    pub(crate) fn add(&mut self, handler: Handler) -> Result<(), StartError> {
        let handler = Arc::new(handler);
        let names = || std::iter::once(handler.name.as_ref()).chain(handler.aliases.iter().copied());
        if let Some((name, other)) = names().find_map(|name| Some((name, self.by_name.get(name)?))) {
            return Err(StartError::DuplicateName {
                name: name.to_owned(),
                types: vec![other.type_name.to_owned(), handler.type_name.to_owned()],
            });
        }
        for name in names() {
            self.by_name.insert(name.to_owned(), Arc::clone(&handler));
        }
        Ok(())
    }

    /// The handler that answers to a stored name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Handler>> {
        self.by_name.get(name)
    }

    /// Every name answered to, aliases too, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.by_name.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// What a claim asks for.
    pub(crate) fn claimable(&self) -> Vec<(String, OnVanish)> {
        self.names().into_iter().map(|name| (name, OnVanish::Keep)).collect()
    }

    /// Whether this pod runs nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Each handler once, by its present name.
    pub(crate) fn handlers(&self) -> impl Iterator<Item = &Arc<Handler>> {
        self.by_name
            .iter()
            .filter(|(name, handler)| name.as_str() == handler.name)
            .map(|(_, handler)| handler)
    }
}
