//! Reading: the entries of a stored object, and why a value does not decode.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor, value::Error as AbsentError};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::value::RawValue;

use super::{ArgumentError, absent};
use crate::bounded;
use crate::bounded::LONGEST_ERROR;

/// The entries of one stored object, in their order, values unparsed.
pub(crate) struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Why an argument does not decode.
#[derive(Debug)]
pub(crate) enum Problem {
    /// It is not stored, and its type has no word for that.
    Missing,
    /// Its type refused what is stored, or panicked.
    Refused(String),
}

/// Reads the value of one parameter. A type's own `Deserialize` that panics is like one that refuses.
pub(crate) fn read<T: DeserializeOwned>(stored: Option<&str>) -> Result<T, Problem> {
    guarded("decoding it", || match stored {
        Some(text) => serde_json::from_str(text).map_err(|error| Problem::Refused(reason(&error))),
        None => absent(),
    })
}

/// Reads the value of one parameter and drops it.
pub(crate) fn check<T: DeserializeOwned>(stored: Option<&str>) -> Result<(), Problem> {
    read::<T>(stored).map(bounded::drop_quietly)
}

/// Runs code of the user's; a panic of its is a refusal.
pub(crate) fn guarded<T>(doing: &str, read: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let said = bounded::panicked(panic, LONGEST_ERROR);
        Err(Problem::Refused(format!("{doing} panicked: {said}")))
    })
}

impl Problem {
    pub(crate) fn into_error(self, call: &str, parameter: &str) -> ArgumentError {
        let (call, parameter) = (call.to_owned(), parameter.to_owned());
        match self {
            Self::Missing => ArgumentError::Missing { call, parameter },
            Self::Refused(reason) => ArgumentError::Decode { call, parameter, reason },
        }
    }
}

impl<'a> Entries<'a> {
    pub(crate) fn parse(call: &str, text: &'a str) -> Result<Self, ArgumentError> {
        serde_json::from_str(text)
            .map_err(|error| ArgumentError::NotAnObject { call: call.to_owned(), reason: reason(&error) })
    }

    pub(crate) fn into_inner(self) -> Vec<(Cow<'a, str>, &'a RawValue)> {
        self.0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(key, value)| (&**key, value.get()))
    }
}

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}

/// A key, borrowed unless it holds an escape.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The deserializer of an argument that is not stored.
pub(crate) struct Absent;

impl<'de> Deserializer<'de> for Absent {
    type Error = AbsentError;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, AbsentError> {
        Err(serde::de::Error::custom("missing"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AbsentError> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, AbsentError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What serde said, without the place inside the argument and without the stored values that serde quotes:
/// `invalid type: string "secret", expected u32 at line 1 column 8` → `invalid type: string, expected u32`.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let full = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = full.strip_suffix(&place).unwrap_or(&full);
    for (start, middle) in [
        ("invalid type: ", ", expected "),
        ("invalid value: ", ", expected "),
        ("unknown variant ", ", expected "),
        ("unknown variant ", ", there are no variants"),
        ("unknown field ", ", expected "),
        ("unknown field ", ", there are no fields"),
    ] {
        if let Some(rest) = text.strip_prefix(start)
            // A quoted string may itself hold the words that follow it, never outside its quotes: the last one counts.
            && let Some(at) = rest.rfind(middle)
        {
            let kind = rest[..at].split(['`', '"']).next().unwrap_or_default().trim_end();
            let start = if kind.is_empty() { start.trim_end() } else { start };
            return format!("{start}{kind}{}", &rest[at..]);
        }
    }
    text.to_owned()
}
