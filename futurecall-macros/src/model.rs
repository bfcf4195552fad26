//! The model of a checked `#[future_call]` block: types only, with all names decided.

use proc_macro2::{Ident, Span};
use syn::{Attribute, Expr, Generics, ItemImpl, LitStr, Path, Type, Visibility};

/// One block.
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
    /// Set if another block already generates the same names, which is an error.
    pub(crate) repeats: Option<Repeats>,
}

/// What a second block shares with the first.
pub(crate) enum Repeats {
    /// The type: its methods can be added to the facade of the first block.
    Type,
    /// Only the names of generated items, as for `Mail` and `MailFutureCall`.
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

/// The names of the items generated for a block.
pub(crate) struct BlockNames {
    /// `ExampleFutureCall`, the last segment of the user's type.
    pub(crate) type_name: Ident,
    /// `example`: the accessor.
    pub(crate) accessor: Ident,
    /// `example`: the first part of stored names, which is the accessor without `r#`.
    pub(crate) stored: String,
    /// Aliases of the first part.
    pub(crate) aliases: Vec<String>,
    /// `ExampleCalls`.
    pub(crate) facade: Ident,
    /// `ExampleCallsExt`.
    pub(crate) extension: Ident,
}

/// Attributes of the block that generated items carry as well.
#[derive(Default)]
pub(crate) struct BlockAttributes {
    pub(crate) cfgs: Vec<Attribute>,
    /// Docs, for the facade.
    pub(crate) docs: Vec<Attribute>,
    /// `#[allow]` and `#[expect]` of lints, all as `#[allow]`.
    pub(crate) lints: Vec<Attribute>,
}

/// Attributes of a method that the facade method carries as well.
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
    /// Aliases of the stored name.
    pub(crate) aliases: Vec<String>,
    pub(crate) priority: i16,
    pub(crate) rule: Option<Rule>,
    pub(crate) failure_policy: FailurePolicy,
}

/// The signature of a future call.
pub(crate) struct Signature {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) forwarded: Forwarded,
    /// Docs of the parameters, in order.
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
    /// Returns the parameters that are stored.
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
    /// Aliases of the key.
    pub(crate) aliases: Vec<String>,
    pub(crate) passing: Passing,
    /// The stored type: the parameter's type without a reference; for a slice, the element type.
    pub(crate) ty: Type,
    pub(crate) default: Option<DefaultValue>,
    /// Whether it is redacted where arguments are shown.
    pub(crate) redact: bool,
}

/// How an argument is passed to the handler.
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

/// The value of an argument that is missing from the stored ones.
pub(crate) enum DefaultValue {
    /// `default`: the type's `Default`.
    OfType(Span),
    /// `default = expr`
    Expr(Box<Expr>),
}

/// A parameter that is borrowed from the pod's state.
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

/// What happens after a run that does not succeed.
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

/// The waits between attempts, in microseconds.
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

/// A public method with an error. Its facade method accepts arguments of any type, so that call sites cause no further
/// errors.
pub(crate) struct Stub {
    pub(crate) ident: Ident,
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    /// How many arguments the facade method takes.
    pub(crate) arguments: usize,
}
