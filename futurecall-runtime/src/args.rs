//! The stored form of arguments: one JSON object keyed by parameter name.
//!
//! Never by position: two swapped parameters of one type must not decode with swapped meaning. What is written here
//! comes back as itself, or is refused when it is scheduled; what is read here may have been written by anybody.

use std::borrow::Borrow;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::shape::ShapeParameter;

pub(crate) mod by_name;
mod decode;
mod encode;
mod order;
#[cfg(test)]
mod tests;
mod verify;

pub(crate) use self::decode::Problem;
use self::decode::{Absent, Entries};
use self::encode::Sink;
pub(crate) use self::order::{in_key_order, is_same};

/// The number stored beside arguments, so that their encoding itself can change one day.
pub(crate) const FORMAT: i16 = 1;

/// How large the stored arguments of one call may be, in bytes of JSON.
pub const MAX_ARGUMENT_BYTES: usize = 1024 * 1024;

/// How deep the stored arguments of one call may be nested; the object that holds them all is the first level.
pub const MAX_ARGUMENT_DEPTH: usize = 100;

/// Why arguments cannot be stored, or why stored ones cannot be read.
///
/// No variant holds the value of an argument; a `reason` is what the argument's own serde implementation said, rid
/// of the values that serde quotes.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// Scheduling: a float in the argument is NaN or infinite, which JSON cannot hold.
    #[error("argument `{parameter}` of `{call}` holds NaN or an infinity, which cannot be stored as JSON")]
    #[non_exhaustive]
    NotFinite {
        /// The stored name of the call.
        call: String,
        /// The parameter.
        parameter: String,
    },
    /// Scheduling: the argument is nested more than [`MAX_ARGUMENT_DEPTH`] levels deep.
    #[error("argument `{parameter}` of `{call}` is nested deeper than {limit} levels")]
    #[non_exhaustive]
    TooDeep {
        /// The stored name of the call.
        call: String,
        /// The parameter.
        parameter: String,
        /// The limit.
        limit: usize,
    },
    /// Scheduling: all arguments together are larger than [`MAX_ARGUMENT_BYTES`].
    #[error(
        "the arguments of `{call}` take {bytes} bytes, the limit is {limit}: keep the data elsewhere, and pass the key under \
         which the call finds it"
    )]
    #[non_exhaustive]
    TooLarge {
        /// The stored name of the call.
        call: String,
        /// How many bytes of JSON they take.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Scheduling: the argument cannot be written as JSON, or would not come back as itself.
    #[error("argument `{parameter}` of `{call}` cannot be stored: {reason}")]
    #[non_exhaustive]
    Encode {
        /// The stored name of the call.
        call: String,
        /// The parameter.
        parameter: String,
        /// What stands against it.
        reason: String,
    },
    /// Running: the stored call has no such argument, and the parameter is neither an `Option` nor has a default.
    #[error(
        "missing argument `{parameter}` of `{call}`: calls stored before the parameter existed need it to be an `Option`, \
         or to have `#[future_call(default)]` or `#[future_call(alias = \"its old name\")]`"
    )]
    #[non_exhaustive]
    Missing {
        /// The stored name of the call.
        call: String,
        /// The parameter.
        parameter: String,
    },
    /// Running: the stored argument is not of the parameter's type.
    #[error("argument `{parameter}` of `{call}`: {reason}")]
    #[non_exhaustive]
    Decode {
        /// The stored name of the call.
        call: String,
        /// The parameter.
        parameter: String,
        /// What the type's deserializer said, or with what it panicked.
        reason: String,
    },
    /// Running: the arguments are stored in a form that this version does not know, or of another kind of call.
    #[error(
        "the arguments of `{call}` are stored in form {format}, which its handler does not read: form 1 is keyed by \
         parameter, form 2 was scheduled by name"
    )]
    #[non_exhaustive]
    OtherForm {
        /// The stored name of the call.
        call: String,
        /// The number stored beside them.
        format: i16,
    },
    /// What is stored, or was given by name, is not a JSON object.
    #[error("the arguments of `{call}` are not a JSON object keyed by parameter: {reason}")]
    #[non_exhaustive]
    NotAnObject {
        /// The stored name of the call.
        call: String,
        /// What the JSON parser said.
        reason: String,
    },
}

crate::words::debug_in_words!(ArgumentError);

/// One parameter of a future call: its key, and how its type is written and read. `O` is what is decoded, `B` what
/// the facade takes by reference: `String` and `str`, `Vec<T>` and `[T]`, else the same type twice.
#[derive(Debug)]
pub struct Arg<O, B: ?Sized = O> {
    /// What is the same for parameters of every type.
    pub spec: ArgSpec,
    encode: fn(&B, &mut Sink) -> Result<(), encode::Refusal>,
    verify: fn(&B, &str) -> Result<(), String>,
    decode: fn(Option<&str>) -> Result<O, Problem>,
    default: Option<fn() -> O>,
}

/// An argument of type `&str`.
pub type Text = Arg<String, str>;

/// An argument of type `&[T]`.
pub type Slice<T> = Arg<Vec<T>, [T]>;

/// The part of an [`Arg`] that does not depend on its type.
#[derive(Debug)]
pub struct ArgSpec {
    key: &'static str,
    aliases: &'static [&'static str],
    has_default: bool,
    check: fn(Option<&str>) -> Result<(), Problem>,
    ty: fn() -> &'static str,
}

/// A parameter of type `&str`.
pub const TEXT: Text = Arg::new();

impl<O: DeserializeOwned + Borrow<B> + 'static, B: Serialize + ?Sized> Arg<O, B> {
    /// A parameter that has no [`key`](Self::key) yet.
    pub(crate) const fn new() -> Self {
        Self {
            spec: ArgSpec {
                key: "",
                aliases: &[],
                has_default: false,
                check: decode::check::<O>,
                ty: std::any::type_name::<O>,
            },
            encode: encode::write::<B>,
            verify: verify::verify::<O, B>,
            decode: decode::read::<O>,
            default: None,
        }
    }
}

impl<O, B: ?Sized> Arg<O, B> {
    /// The key under which the argument is stored.
    #[must_use]
    pub const fn key(mut self, key: &'static str) -> Self {
        self.spec.key = key;
        self
    }

    /// Keys under which the argument was stored before.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.spec.aliases = aliases;
        self
    }

    /// The value where the stored call has none.
    #[must_use]
    pub const fn default(mut self, default: fn() -> O) -> Self {
        self.spec.has_default = true;
        self.default = Some(default);
        self
    }
}

/// Writes the arguments of one call.
///
/// The first argument that cannot be stored decides the outcome; it is told when the call is sent, so that a facade
/// method cannot fail and the order of builder and facade does not matter.
#[derive(Debug)]
pub struct ArgsWriter {
    pub(crate) call: &'static str,
    sink: Sink,
    error: Option<ArgumentError>,
}

impl ArgsWriter {
    /// Begins the arguments of the call with that stored name.
    pub fn new(call: &'static str) -> Self {
        let mut sink = Sink::default();
        sink.push("{");
        Self { call, sink, error: None }
    }

    /// Writes one argument.
    #[must_use]
    pub fn put<O, B: ?Sized>(mut self, arg: &Arg<O, B>, value: &B) -> Self {
        if self.error.is_none() {
            let start = self.begin(arg.spec.key);
            let written = (arg.encode)(value, &mut self.sink);
            self.error = self.fault(arg, value, start, written);
        }
        self
    }

    /// Writes the key, and returns where the value begins.
    fn begin(&mut self, key: &str) -> usize {
        if !self.sink.ends_with(b"{") {
            self.sink.push(",");
        }
        // Keys are names of Rust parameters: nothing in them needs an escape.
        self.sink.push("\"");
        self.sink.push(key);
        self.sink.push("\":");
        self.sink.len()
    }

    /// What stands against an argument, found here at the call site, and not an hour later.
    fn fault<O, B: ?Sized>(
        &self,
        arg: &Arg<O, B>,
        value: &B,
        start: usize,
        written: Result<(), encode::Refusal>,
    ) -> Option<ArgumentError> {
        let refusal = match (written, self.sink.stored_from(start)) {
            (Err(refusal), _) => refusal,
            // Too large, which `finish` says.
            (Ok(()), None) => return None,
            // Raw JSON that an argument brings along has not been counted yet.
            (Ok(()), Some(text)) if encode::depth(text) >= MAX_ARGUMENT_DEPTH => encode::Refusal::TooDeep,
            (Ok(()), Some(text)) => encode::Refusal::Other((arg.verify)(value, text).err()?),
        };
        Some(refusal.into_error(self.call, arg.spec.key))
    }

    pub(crate) fn finish(mut self) -> Result<String, ArgumentError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.sink.push("}");
        self.sink.into_text(self.call)
    }
}

/// What is shown of arguments: their size.
pub(crate) struct Size(usize);

impl Size {
    pub(crate) fn of(args: &str) -> Self {
        Self(args.len())
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// Reads the stored arguments of one call. Total: whatever the text holds, the worst outcome is an error.
pub struct ArgsReader<'a> {
    call: &'static str,
    text: &'a str,
    entries: Option<Entries<'a>>,
}

impl fmt::Debug for ArgsReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let args = Size::of(self.text);
        f.debug_struct("ArgsReader").field("call", &self.call).field("args", &args).finish_non_exhaustive()
    }
}

impl<'a> ArgsReader<'a> {
    /// Nothing is parsed before the first [`take`](Self::take): a call without arguments runs whatever is stored.
    pub(crate) fn new(call: &'static str, text: &'a str) -> Self {
        Self { call, text, entries: None }
    }

    /// Reads one argument.
    pub fn take<O, B: ?Sized>(&mut self, arg: &Arg<O, B>) -> Result<O, ArgumentError> {
        let entries = match &mut self.entries {
            Some(entries) => entries,
            none => none.insert(Entries::parse(self.call, self.text)?),
        };
        let stored = find(entries, self.call, &arg.spec)?;
        match (stored, arg.default) {
            (None, Some(default)) => decode::guarded("making its default", || Ok(default())),
            (stored, _) => (arg.decode)(stored),
        }
        .map_err(|problem| problem.into_error(self.call, arg.spec.key))
    }
}

impl ArgSpec {
    /// Returns what other releases can know of this parameter.
    pub(crate) fn shape(&self) -> ShapeParameter {
        // Whether a type may be missing is for its own `Deserialize` to say.
        let optional = self.has_default || (self.check)(None).is_ok();
        let aliases = self.aliases.iter().map(|&alias| alias.to_owned()).collect();
        ShapeParameter { optional, aliases, ..ShapeParameter::new(self.key, (self.ty)()) }
    }
}

/// Decodes stored arguments without running anything: what the start-up check for broken calls asks.
pub(crate) fn check(call: &str, specs: &[&ArgSpec], text: &str) -> Result<(), ArgumentError> {
    let entries = Entries::parse(call, text)?;
    for spec in specs {
        let stored = find(&entries, call, spec)?;
        if stored.is_some() || !spec.has_default {
            (spec.check)(stored).map_err(|problem| problem.into_error(call, spec.key))?;
        }
    }
    Ok(())
}

/// Writes the one argument of a call by name as JSON, under the same rules as those of a typed call, but that nobody here
/// knows the type that will read it.
pub(crate) fn encode_value<T: Serialize + ?Sized>(
    call: &str,
    parameter: &str,
    value: &T,
) -> Result<String, ArgumentError> {
    let mut sink = Sink::beside(parameter.len() + r#"{"":}"#.len());
    encode::write(value, &mut sink).map_err(|refusal| refusal.into_error(call, parameter))?;
    let text = sink.into_text(call)?;
    if encode::depth(&text) >= MAX_ARGUMENT_DEPTH {
        return Err(encode::Refusal::TooDeep.into_error(call, parameter));
    }
    if verify::has_reserved_key(&text) {
        return Err(encode::Refusal::Other(verify::RESERVED_KEY.to_owned()).into_error(call, parameter));
    }
    Ok(text)
}

/// Reads one value that [`encode_value`] wrote.
pub(crate) fn decode_value<T: DeserializeOwned>(
    call: &str,
    parameter: &str,
    text: &str,
) -> Result<T, ArgumentError> {
    decode::read(Some(text)).map_err(|problem| problem.into_error(call, parameter))
}

/// The raw JSON stored under one key of an argument object, or `None` if it is not there.
pub(crate) fn stored_value<'a>(
    call: &str,
    key: &'static str,
    text: &'a str,
) -> Result<Option<&'a str>, ArgumentError> {
    let spec = ArgSpec { key, aliases: &[], has_default: false, check: |_| Ok(()), ty: || "" };
    find(&Entries::parse(call, text)?, call, &spec)
}

/// Finds the one entry of a parameter, by its key or an alias. Two of them have no meaning that could be trusted.
fn find<'a>(entries: &Entries<'a>, call: &str, spec: &ArgSpec) -> Result<Option<&'a str>, ArgumentError> {
    let mut found = None;
    for (key, value) in entries.iter() {
        if key == spec.key || spec.aliases.contains(&key) {
            if found.is_some() {
                return Err(ArgumentError::Decode {
                    call: call.into(),
                    parameter: spec.key.into(),
                    reason: "it is stored twice".into(),
                });
            }
            found = Some(value);
        }
    }
    Ok(found)
}

/// What a value that is not stored decodes as: `None` for an `Option`, an error for everything else.
fn absent<T: DeserializeOwned>() -> Result<T, Problem> {
    T::deserialize(Absent).map_err(|_| Problem::Missing)
}
