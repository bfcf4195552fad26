//! What `#[future_call]` implements: a type with future calls, and what may be their arguments and results.

use std::any::{TypeId, type_name};
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::{Arg, ArgSpec, ArgsReader, Slice};
use crate::call_target::CallTarget;
use crate::config::OnInterrupt;
#[cfg(feature = "discovery")]
use crate::discovery::{Discovered, Submission};
use crate::error::{BoxError, CallFailure};
use crate::facade::{FutureCallRef, RecurringCallRef};
use crate::pod::PodBuilder;
use crate::registry::{Arguments, DeclaredRule, Fate, Handler, RunHandler, StateNeed};
use crate::retry::RetryPolicy;
use crate::session::Session;

/// A type with future calls. Implemented by [`#[future_call]`](crate::future_call), never by hand.
///
/// It is what [`PodBuilder::register`](crate::PodBuilder::register) takes, and what the `of` of a scheduling
/// builder names where the extension trait of the facade is not imported.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no future calls",
    label = "no `#[future_call]` block for this type",
    note = "put `#[future_call]` on its `impl` block"
)]
pub trait FutureCall: Sized + Send + Sync + 'static {
    /// The accessor, which is also the first part of the stored names: `example` for `ExampleFutureCall`.
    const NAME: &'static str;
    /// Whether any of its future calls takes `&self`, so that the pod must be given a value of the type.
    const NEEDS_INSTANCE: bool;
    /// The generated facade, with one method for each future call.
    type Calls<R: CallTarget>;

    #[doc(hidden)]
    fn __calls<R: CallTarget>(at: R) -> Self::Calls<R>;

    #[doc(hidden)]
    fn __methods(methods: &mut Methods<Self>);
}

/// What can be the argument of a future call: every type that serde can write as JSON and read back.
///
/// Implemented for all types that are `Serialize + DeserializeOwned + Send + Sync + 'static`; it has no methods of its own.
///
/// # What comes back
///
/// A value that would not come back as itself is refused when it is scheduled, with an
/// [`ArgumentError::Encode`](crate::ArgumentError::Encode) or [`NotFinite`](crate::ArgumentError::NotFinite): NaN and
/// infinities, a map whose keys JSON cannot hold, `Some(None)`, a value of an untagged enum that an earlier variant reads
/// and writes otherwise, a type that does not read what it writes. For this, what was written is read, written once more, and
/// compared.
/// Numbers, texts, UUIDs, moments, and an `Option` or `Vec` of one of them need no such look; other types cost a call
/// what it takes to decode and encode them: 0.2 µs for a small struct, 0.5 µs for one of 140 bytes, 4 µs for 1 kB, 0.7 ms
/// for 100 kB. One whose entries come back in another order is compared more slowly: 0.6 µs for a `HashMap` of two entries,
/// 4 µs for ten.
///
/// What a type does not write (`#[serde(skip)]`), or writes rounded or masked, is not missed by this comparison. **Variants
/// of an untagged enum that are written alike cannot be told apart**: of `User(i64)` and `Order(i64)` the first comes back,
/// whichever was given. Nor is the order in lists and maps compared, which a `HashSet` does not keep. Calls by name are not read: their handler's type is
/// not known.
///
/// ```
/// use futurecall_runtime::CallArg;
/// fn storable<T: CallArg>() {}
/// storable::<Vec<(u32, Option<String>)>>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a future call",
    label = "not a storable type",
    note = "arguments are stored as JSON: every type in them needs `serde::Serialize` and `serde::Deserialize`, \
            and must be `Send`, `Sync` and own its data"
)]
pub trait CallArg: Sized {
    #[doc(hidden)]
    const __ARG: Arg<Self>;
    #[doc(hidden)]
    const __SLICE: Slice<Self>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> CallArg for T {
    const __ARG: Arg<Self> = Arg::new();
    const __SLICE: Slice<Self> = Arg::new();
}

/// What a future call may return: `()`, or `Result<(), E>` with any error that a [`BoxError`] can be made from.
#[diagnostic::on_unimplemented(
    message = "return `()`, or `Result<(), E>` with an error `E` that converts into `BoxError`: a future call can't \
               return `{Self}`",
    label = "must be `()` or `Result<(), E>`",
    note = "`BoxError` is `Box<dyn Error + Send + Sync>`; into it convert `String`, `anyhow::Error`, and every type with \
            `impl std::error::Error` that is `Send`, `Sync` and owns its data",
    note = "other return values are discarded: store what the call produces"
)]
pub trait CallOutput {
    #[doc(hidden)]
    fn __outcome(self) -> Result<(), CallFailure>;
}

#[diagnostic::do_not_recommend]
impl CallOutput for () {
    fn __outcome(self) -> Result<(), CallFailure> {
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> CallOutput for Result<(), E> {
    fn __outcome(self) -> Result<(), CallFailure> {
        self.map_err(|error| CallFailure::Error(error.into()))
    }
}

/// The handlers of `C`, as the registry keeps them. Without an instance, those that take `&self` are left out.
pub(crate) fn handlers_of<C: FutureCall>(instance: Option<&Arc<C>>) -> Vec<Handler> {
    let mut methods = Methods { list: Vec::new() };
    C::__methods(&mut methods);
    methods.list.into_iter().filter_map(|method| method.into_handler(instance)).collect()
}

/// The future of one run, as the registry wants it.
pub type Run<'a> = Pin<Box<dyn Future<Output = Result<(), CallFailure>> + Send + 'a>>;

/// How a method is run: on its own, or on the instance that was registered.
#[derive(Debug)]
pub enum Runner<C> {
    /// A method without receiver.
    Free(for<'a> fn(&'a Session, ArgsReader<'a>) -> Run<'a>),
    /// A method with `&self`.
    OnInstance(for<'a> fn(&'a C, &'a Session, ArgsReader<'a>) -> Run<'a>),
}

/// The future calls of one type, gathered by its expansion.
#[derive(Debug)]
pub struct Methods<C> {
    list: Vec<Method<C>>,
}

/// One future call, as its expansion describes it.
#[derive(Debug)]
#[must_use]
pub struct Method<C> {
    name: &'static str,
    aliases: &'static [&'static str],
    runner: Runner<C>,
    arguments: &'static [&'static ArgSpec],
    redacted: &'static [&'static str],
    state: Vec<StateNeed>,
    recurring: Option<DeclaredRule>,
    priority: i16,
    fate: Fate,
}

impl<C> Methods<C> {
    /// Takes one more method.
    pub fn add(&mut self, method: Method<C>) {
        self.list.push(method);
    }
}

impl<C> Method<C> {
    /// A method without aliases, arguments, state or options.
    pub fn new(name: &'static str, runner: Runner<C>) -> Self {
        Self {
            name,
            aliases: &[],
            runner,
            arguments: &[],
            redacted: &[],
            state: Vec::new(),
            recurring: None,
            priority: 0,
            fate: Fate::default(),
        }
    }

    /// Names under which calls of this method were stored before.
    pub fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Its stored arguments, in their order.
    pub fn arguments(mut self, arguments: &'static [&'static ArgSpec]) -> Self {
        self.arguments = arguments;
        self
    }

    /// The keys of arguments that people are not to be shown, older keys too.
    pub fn redacted(mut self, keys: &'static [&'static str]) -> Self {
        self.redacted = keys;
        self
    }

    /// One more value that the pod's state must hold.
    pub fn state(mut self, need: StateNeed) -> Self {
        self.state.push(need);
        self
    }

    /// The rule of `every = ".."` or `cron = ".."`.
    pub fn recurring(mut self, rule: DeclaredRule) -> Self {
        self.recurring = Some(rule);
        self
    }

    /// The priority of calls that name none.
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// The policy of `retry(..)`.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.fate.retry = Some(policy);
        self
    }

    /// The time of `timeout = ".."`, in microseconds.
    pub fn timeout(mut self, timeout_us: u64) -> Self {
        self.fate.timeout = Some(Duration::from_micros(timeout_us));
        self
    }

    /// What `on_interrupt = ".."` says.
    pub fn on_interrupt(mut self, on_interrupt: OnInterrupt) -> Self {
        self.fate.on_interrupt = Some(on_interrupt);
        self
    }
}

impl<C: FutureCall> Method<C> {
    /// Ties the method to its instance; `None` if it needs one and there is none.
    fn into_handler(self, instance: Option<&Arc<C>>) -> Option<Handler> {
        let name = self.name;
        let run: RunHandler = match self.runner {
            Runner::Free(run) => Arc::new(move |given, arguments| {
                let session = Session::of(given);
                Box::pin(async move { run(&session, ArgsReader::new(name, arguments)).await })
            }),
            Runner::OnInstance(run) => {
                let instance = Arc::clone(instance?);
                Arc::new(move |given, arguments| {
                    // The run shares the instance, so that it may outlive the registry.
                    let (instance, session) = (Arc::clone(&instance), Session::of(given));
                    Box::pin(async move { run(&instance, &session, ArgsReader::new(name, arguments)).await })
                })
            }
        };
        Some(Handler {
            name: Cow::Borrowed(name),
            aliases: self.aliases,
            type_name: type_name::<C>(),
            run,
            arguments: Arguments::Typed(self.arguments),
            redacted: self.redacted,
            meter: Arc::default(),
            state: self.state,
            recurring: self.recurring,
            priority: self.priority,
            fate: self.fate,
            by_name: false,
            registry: Weak::new(),
        })
    }
}

#[cfg(feature = "discovery")]
impl Submission {
    /// The submission of one type.
    pub const fn of<C: FutureCall>() -> Self {
        Self { found: found::<C> }
    }
}

#[cfg(feature = "discovery")]
fn found<C: FutureCall>() -> Discovered {
    Discovered {
        type_name: type_name::<C>(),
        type_id: TypeId::of::<C>(),
        needs_instance: C::NEEDS_INSTANCE,
        handlers: || handlers_of::<C>(None),
    }
}

impl PodBuilder {
    /// Registers the calls of a type, to run on this instance where they take `&self`. Types without `&self` calls
    /// register themselves (feature `discovery`).
    pub fn register<C: FutureCall>(self, instance: C) -> Self {
        self.add_type(TypeId::of::<C>(), handlers_of(Some(&Arc::new(instance))))
    }
}

impl FutureCallRef {
    /// Returns the facade of a type, without an extension trait in scope.
    pub fn of<C: FutureCall>(self) -> C::Calls<Self> {
        C::__calls(self)
    }
}

impl RecurringCallRef {
    /// Returns the facade of a type, without an extension trait in scope.
    pub fn of<C: FutureCall>(self) -> C::Calls<Self> {
        C::__calls(self)
    }
}
