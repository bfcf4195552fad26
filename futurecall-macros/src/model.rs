//! What a `#[future_call]` block says, once it is checked: decided names, no syntax left to look at. Types only.

use proc_macro2::{Ident, Span};
use syn::{Attribute, Expr, Generics, ItemImpl, LitStr, Path, Type, Visibility};

/// One block, as the emitters need it.
pub(crate) struct CallBlock {
    /// The user's block, without our attributes and without the docs of parameters.
    pub(crate) item: ItemImpl,
    /// The path of the runtime crate.
    pub(crate) runtime: Path,
    pub(crate) names: BlockNames,
    /// The widest visibility of its future calls.
    pub(crate) vis: Visibility,
    pub(crate) forwarded: BlockAttributes,
    pub(crate) methods: Vec<Method>,
    pub(crate) stubs: Vec<Stub>,
    /// Whether another block has its generated names already, which is a mistake.
    pub(crate) repeats: Option<Repeats>,
}

/// What a second block has in common with the first.
pub(crate) enum Repeats {
    /// The type, so that its methods may go to the first one's facade.
    Type,
    /// The names of generated items only: `Mail` and `MailFutureCall`.
    Names,
}

impl CallBlock {
    pub(crate) fn self_ty(&self) -> &Type {
        &self.item.self_ty
    }

    pub(crate) fn generics(&self) -> &Generics {
        &self.item.generics
    }
}

/// The names that a block gives to what is generated.
pub(crate) struct BlockNames {
    /// `ExampleFutureCall`, the last segment of the user's type.
    pub(crate) type_name: Ident,
    /// `example`: the accessor.
    pub(crate) accessor: Ident,
    /// `example`: the first part of stored names, which is the accessor without `r#`.
    pub(crate) stored: String,
    /// Older first parts.
    pub(crate) aliases: Vec<String>,
    /// `ExampleCalls`.
    pub(crate) facade: Ident,
    /// `ExampleCallsExt`.
    pub(crate) extension: Ident,
}

/// Attributes of the block that generated items carry, too.
#[derive(Default)]
pub(crate) struct BlockAttributes {
    pub(crate) cfgs: Vec<Attribute>,
    /// Docs, for the facade.
    pub(crate) docs: Vec<Attribute>,
    /// `#[allow]` and `#[expect]` of lints, the latter as the former.
    pub(crate) lints: Vec<Attribute>,
}

/// Attributes of a method that the facade method carries, too.
#[derive(Default)]
pub(crate) struct Forwarded {
    /// On everything that is emitted for the method.
    pub(crate) cfgs: Vec<Attribute>,
    /// On the facade method only: docs and `#[deprecated]`, also inside `cfg_attr`.
    pub(crate) facade: Vec<Attribute>,
}

/// One valid future call.
pub(crate) struct Method {
    pub(crate) signature: Signature,
    /// `example.hello`.
    pub(crate) stored_name: String,
    /// Older stored names.
    pub(crate) aliases: Vec<String>,
    pub(crate) priority: i16,
    pub(crate) rule: Option<Rule>,
    pub(crate) failure_policy: FailurePolicy,
}

/// What the function of a future call says without the options of its method and block.
pub(crate) struct Signature {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) forwarded: Forwarded,
    /// Docs of its parameters, in their order.
    pub(crate) parameter_docs: Vec<(String, Vec<Attribute>)>,
    /// Whether it takes `&self`.
    pub(crate) on_instance: bool,
    /// Where the user wrote the session's type.
    pub(crate) session_span: Span,
    pub(crate) parameters: Vec<Parameter>,
    /// The return type; `()` where none is written.
    pub(crate) output: Type,
    /// The user's `async`.
    pub(crate) async_span: Span,
}

impl Signature {
    /// The parameters that are stored.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &Argument> {
        self.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Argument(argument) => Some(argument),
            Parameter::State(_) => None,
        })
    }
}

/// A parameter after the session.
pub(crate) enum Parameter {
    Argument(Argument),
    State(StateParameter),
}

/// A parameter that is stored.
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    /// The key in the stored object.
    pub(crate) key: String,
    /// Older keys.
    pub(crate) aliases: Vec<String>,
    pub(crate) passing: Passing,
    /// What is stored: the parameter's type, or what it refers to; for a slice, the element.
    pub(crate) ty: Type,
    pub(crate) default: Option<DefaultValue>,
    /// Whether people are not to be shown it.
    pub(crate) redact: bool,
}

/// How an argument is handed to the handler.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// `T`
    Value,
    /// `&T`
    Reference,
    /// `&str`
    Text,
    /// `&[T]`
    Slice,
}

/// What stands in for an argument that is not stored.
pub(crate) enum DefaultValue {
    /// `default`: of the type's own `Default`.
    OfType(Span),
    /// `default = expr`
    Expr(Box<Expr>),
}

/// A parameter that is lent from the pod's state.
pub(crate) struct StateParameter {
    pub(crate) name: String,
    /// The type behind the reference.
    pub(crate) ty: Type,
}

/// A schedule that the attribute declares.
pub(crate) enum Rule {
    Every { micros: u64 },
    Cron { expression: LitStr, time_zone: Option<LitStr> },
}

/// What becomes of a run that does not succeed.
#[derive(Clone, Default)]
pub(crate) struct FailurePolicy {
    pub(crate) retry: Option<Retry>,
    /// In microseconds.
    pub(crate) timeout: Option<u64>,
    pub(crate) on_interrupt: Option<OnInterrupt>,
}

/// `retry(max_attempts = 5, backoff = ..)`
#[derive(Clone)]
pub(crate) struct Retry {
    pub(crate) max_attempts: u32,
    pub(crate) backoff: Option<Backoff>,
}

/// How long a call waits for its next attempt, in microseconds.
#[derive(Clone)]
pub(crate) enum Backoff {
    /// `fixed("10s")`
    Fixed(u64),
    /// `exponential("1s", max = "1h", jitter)`
    Exponential { first: u64, max: Option<u64>, jitter: bool },
    /// `custom(path::to::function)`
    Custom(Path),
}

/// `"keep"` or `"rerun"`
#[derive(Clone, Copy)]
pub(crate) enum OnInterrupt {
    Keep,
    Rerun,
}

/// A public method with a mistake: its facade method exists, so that call sites stay quiet, and takes anything.
pub(crate) struct Stub {
    pub(crate) ident: Ident,
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    /// How many arguments the facade method takes.
    pub(crate) arguments: usize,
}
