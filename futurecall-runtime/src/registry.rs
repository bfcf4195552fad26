//! Stored name → handler: what this pod can run.

use std::any::TypeId;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::args::{self, ArgSpec, ArgumentError};
use crate::config::{Config, OnInterrupt};
use crate::engine::runner::{CallHandler, Run, Runner};
use crate::error::{CallFailure, StartError};
use crate::retry::RetryPolicy;
use crate::shape::{Shape, ShapeParameter, Shapes};
use crate::signals::CallMeter;
use crate::store::{OnVanish, PodBeat};

/// Runs one call: decodes its arguments, calls the method, says how it ended.
pub(crate) type RunHandler =
    Arc<dyn for<'a> Fn(Given<'a>, &'a str) -> BoxFuture<'a, Result<(), CallFailure>> + Send + Sync>;

/// What a handler's session is made of.
pub(crate) struct Given<'a> {
    pub(crate) run: Run<'a>,
    pub(crate) registry: Arc<Registry>,
}

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
    /// What it stores and reads.
    pub arguments: Arguments,
    /// The keys of arguments that people are not to be shown, older keys too.
    pub redacted: &'static [&'static str],
    /// What is measured of its calls; nothing before it stands in a registry.
    pub meter: Arc<CallMeter>,
    /// What it takes from the pod's state.
    pub state: Vec<StateNeed>,
    /// The schedule that its attribute declares.
    pub recurring: Option<DeclaredRule>,
    /// The priority of its calls, unless scheduled otherwise.
    pub priority: i16,
    /// What becomes of a run that does not succeed.
    pub fate: Fate,
    /// Whether it came from the by-name interface: its arguments are `{"data": …}`.
    pub by_name: bool,
    /// Where it stands; nothing before it does.
    pub registry: Weak<Registry>,
}

/// The arguments that a handler reads.
#[derive(Clone, Copy)]
pub(crate) enum Arguments {
    /// Those of a typed method, keyed by parameter.
    Typed(&'static [&'static ArgSpec]),
    /// `{"data": …}`, of the by-name interface.
    Data {
        /// Decodes them without running.
        check: fn(&str) -> Result<(), ArgumentError>,
        /// The name of their type.
        ty: fn() -> &'static str,
    },
}

impl Arguments {
    /// Decodes stored arguments without running anything.
    pub(crate) fn check(self, name: &str, text: &str) -> Result<(), ArgumentError> {
        match self {
            Self::Typed(specs) => args::check(name, specs, text),
            Self::Data { check, .. } => check(text),
        }
    }

    fn shape(self) -> Shape {
        match self {
            Self::Typed(specs) => Shape::new(specs.iter().map(|spec| spec.shape()).collect()),
            Self::Data { ty, .. } => {
                let data = ShapeParameter::new(args::by_name::KEY, ty());
                Shape::new(vec![ShapeParameter { optional: true, ..data }])
            }
        }
    }
}

/// What a method says of its runs that do not succeed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    /// Whether a failed attempt is followed by another.
    pub retry: Option<RetryPolicy>,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// What becomes of an interrupted one; `None`: what the pod says, or what `retry` implies.
    pub on_interrupt: Option<OnInterrupt>,
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

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("name", &self.name)
            .field("type_name", &self.type_name)
            .finish_non_exhaustive()
    }
}

/// All handlers of a pod. More may be added while it runs.
#[derive(Debug)]
pub(crate) struct Registry {
    names: RwLock<Names>,
    /// Itself, for its handlers.
    this: Weak<Self>,
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<String, Entry>,
    /// Under every name answered to: the shape, and its hash, which a claim asks for.
    shapes: Shapes,
    hashes: Arc<BTreeMap<String, i64>>,
}

/// A handler, and what its policy was asked when it was added, so that no claim has to.
#[derive(Clone, Debug)]
struct Entry {
    handler: Arc<Handler>,
    /// How long after its pod vanished a call is due again.
    rerun_after: Duration,
}

impl Entry {
    fn on_vanish(&self, config: &Config) -> OnVanish {
        if self.handler.reruns(config) {
            OnVanish::Rerun { budget: config.crash_budget, after: self.rerun_after }
        } else {
            OnVanish::Keep
        }
    }
}

impl Registry {
    /// One without handlers.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self { names: RwLock::default(), this: Weak::clone(this) })
    }

    /// Adds a handler under its name and its aliases, or says who has one of them already.
    pub(crate) fn add(&self, mut handler: Handler) -> Result<(), StartError> {
        handler.meter = Arc::new(CallMeter::of(&handler.name));
        handler.registry = Weak::clone(&self.this);
        let handler = Arc::new(handler);
        let all = &mut *self.names.write().unwrap_or_else(PoisonError::into_inner);
        let names = || std::iter::once(handler.name.as_ref()).chain(handler.aliases.iter().copied());
        if let Some((name, other)) = names().find_map(|name| Some((name, all.by_name.get(name)?))) {
            return Err(StartError::DuplicateName {
                name: name.to_owned(),
                types: vec![other.handler.type_name.to_owned(), handler.type_name.to_owned()],
            });
        }
        // A policy's own function is the user's code, and may panic.
        let first_wait = || handler.fate.retry.and_then(|policy| policy.next(1, 0.0)).unwrap_or_default();
        let rerun_after = std::panic::catch_unwind(AssertUnwindSafe(first_wait)).unwrap_or_default();
        let shape = handler.arguments.shape();
        let hash = shape.hash();
        for name in names() {
            all.shapes.insert(name.to_owned(), shape.clone());
            Arc::make_mut(&mut all.hashes).insert(name.to_owned(), hash);
            all.by_name.insert(name.to_owned(), Entry { handler: Arc::clone(&handler), rerun_after });
        }
        Ok(())
    }

    /// The handler that answers to a stored name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Handler>> {
        self.read().by_name.get(name).map(|entry| Arc::clone(&entry.handler))
    }

    /// Every name answered to, aliases too, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.read().by_name.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Whether this pod runs nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.read().by_name.is_empty()
    }

    /// Each handler once, by its present name.
    pub(crate) fn handlers(&self) -> Vec<Arc<Handler>> {
        let all = self.read();
        let present = all.by_name.iter().filter(|(name, entry)| name.as_str() == entry.handler.name);
        present.map(|(_, entry)| Arc::clone(&entry.handler)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runner for Registry {
    fn handler(&self, name: &str) -> Option<Arc<dyn CallHandler>> {
        self.get(name).map(|handler| handler as Arc<dyn CallHandler>)
    }

    fn claimable(&self, config: &Config) -> Vec<(String, OnVanish)> {
        let all = self.read();
        // By the map that has them in order: with many names, to sort them costs as much as the rest of a claim.
        let entry = |name: &String| Some((name.clone(), all.by_name.get(name)?.on_vanish(config)));
        all.hashes.keys().filter_map(entry).collect()
    }

    fn on_vanish(&self, name: &str, config: &Config) -> Option<OnVanish> {
        self.read().by_name.get(name).map(|entry| entry.on_vanish(config))
    }

    fn hashes(&self) -> Arc<BTreeMap<String, i64>> {
        Arc::clone(&self.read().hashes)
    }

    fn describe(&self, beat: &mut PodBeat) {
        beat.names = self.names();
        let all = self.read();
        beat.shapes = all.shapes.clone();
        let hidden = |(name, entry): (&String, &Entry)| {
            let keys: Vec<_> = entry.handler.redacted.iter().map(|&key| key.to_owned()).collect();
            (!keys.is_empty()).then(|| (name.clone(), keys))
        };
        beat.redacted = all.by_name.iter().filter_map(hidden).collect();
    }
}

impl CallHandler for Handler {
    fn meter(&self) -> &Arc<CallMeter> {
        &self.meter
    }

    fn retry(&self) -> Option<RetryPolicy> {
        self.fate.retry
    }

    fn timeout(&self) -> Option<Duration> {
        self.fate.timeout
    }

    fn reruns(&self, config: &Config) -> bool {
        let retries = self.fate.retry.is_some_and(|policy| policy.max_attempts() > 1);
        let implied = if retries { OnInterrupt::Rerun } else { config.on_interrupt };
        self.fate.on_interrupt.unwrap_or(implied) == OnInterrupt::Rerun
    }

    fn run<'a>(&'a self, run: Run<'a>) -> BoxFuture<'a, Result<(), CallFailure>> {
        let call = run.call;
        // The engine that runs this keeps it.
        let registry = self.registry.upgrade().unwrap_or_else(Registry::new);
        match args::by_name::for_handler(&call.name, &call.args, call.format, self.by_name) {
            Ok(args) => (self.run)(Given { run, registry }, args),
            Err(error) => std::future::ready(Err(error.into())).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::Backoff;

    fn handler(name: &'static str, fate: Fate) -> Handler {
        Handler {
            name: name.into(),
            aliases: &[],
            type_name: "Example",
            run: Arc::new(|_, _| async { Ok(()) }.boxed()),
            arguments: Arguments::Typed(&[]),
            redacted: &[],
            meter: Arc::default(),
            state: Vec::new(),
            recurring: None,
            priority: 0,
            fate,
            by_name: false,
            registry: Weak::new(),
        }
    }

    #[test]
    fn a_claim_says_what_becomes_of_each_name_if_the_pod_vanishes() {
        let wait = Duration::from_secs(7);
        let retry = |attempts, backoff| Some(RetryPolicy::new(attempts).backoff(backoff));
        let registry = Registry::new();
        let fates = [
            ("a", Fate::default()),
            ("b", Fate { on_interrupt: Some(OnInterrupt::Keep), ..Fate::default() }),
            ("c", Fate { on_interrupt: Some(OnInterrupt::Rerun), ..Fate::default() }),
            ("d", Fate { retry: retry(2, Backoff::Fixed(wait)), ..Fate::default() }),
            ("e", Fate { retry: retry(1, Backoff::Fixed(wait)), ..Fate::default() }),
            ("f", Fate { retry: retry(2, Backoff::Custom(|_| panic!("no answer"))), ..Fate::default() }),
        ];
        for (name, fate) in fates {
            registry.add(handler(name, fate)).unwrap();
        }
        let told = |on_interrupt| {
            let config = Config::new().crash_budget(3).on_interrupt(on_interrupt);
            registry.claimable(&config).into_iter().map(|(_, on_vanish)| on_vanish).collect::<Vec<_>>()
        };
        let rerun = |after| OnVanish::Rerun { budget: 3, after };
        let (keep, at_once) = (OnVanish::Keep, rerun(Duration::ZERO));
        assert_eq!(told(OnInterrupt::Keep), [keep, keep, at_once, rerun(wait), keep, at_once]);
        assert_eq!(told(OnInterrupt::Rerun), [at_once, keep, at_once, rerun(wait), at_once, at_once]);
    }
}
