//! Writing: serde's JSON, with the refusals that JSON itself does not make.
//!
//! `serde_json` writes NaN and infinities as `null`, and `Some(None)` like `None`: neither comes back as itself. The
//! wrapper below passes everything on unchanged, and refuses those, and nesting that the reader would refuse.

use std::cell::Cell;
use std::fmt::{self, Display};
use std::io;

use serde::ser::{self, Serialize, Serializer};

use super::{ArgumentError, MAX_ARGUMENT_BYTES, MAX_ARGUMENT_DEPTH};

/// Collects JSON up to the limit, and only counts what exceeds it.
#[derive(Default)]
pub(crate) struct Sink {
    stored: Vec<u8>,
    bytes: usize,
}

impl fmt::Debug for Sink {
    /// Without what is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sink({} bytes)", self.bytes)
    }
}

/// Why a value cannot be stored.
#[derive(Debug)]
pub(crate) enum Refusal {
    NotFinite,
    TooDeep,
    Other(String),
}

/// Writes a value as JSON.
pub(crate) fn write<T: Serialize + ?Sized>(value: &T, sink: &mut Sink) -> Result<(), Refusal> {
    let broken = Cell::new(None);
    let place = Place { broken: &broken, depth: 1, in_some: false };
    let written = value.serialize(Checked { json: &mut serde_json::Serializer::new(sink), place });
    written.map_err(|error| match broken.get() {
        Some(Rule::Finite) => Refusal::NotFinite,
        Some(Rule::Depth) => Refusal::TooDeep,
        None => Refusal::Other(error.to_string()),
    })
}

/// How many objects and arrays are open at the deepest place of a JSON text.
pub(crate) fn depth(text: &str) -> usize {
    let (mut deepest, mut open, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl Refusal {
    pub(crate) fn into_error(self, call: &str, parameter: &str) -> ArgumentError {
        let (call, parameter) = (call.to_owned(), parameter.to_owned());
        match self {
            Self::NotFinite => ArgumentError::NotFinite { call, parameter },
            Self::TooDeep => ArgumentError::TooDeep { call, parameter, limit: MAX_ARGUMENT_DEPTH },
            Self::Other(reason) => ArgumentError::Encode { call, parameter, reason },
        }
    }
}

impl Sink {
    /// A sink for a part of the arguments, the rest of which takes that many bytes.
    pub(crate) fn beside(bytes: usize) -> Self {
        Self { stored: Vec::new(), bytes }
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes <= MAX_ARGUMENT_BYTES {
            self.stored.extend_from_slice(text.as_bytes());
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.stored.len()
    }

    pub(crate) fn ends_with(&self, end: &[u8]) -> bool {
        self.stored.ends_with(end)
    }

    /// What was written since `start`, unless it exceeded the limit.
    pub(crate) fn stored_from(&self, start: usize) -> Option<&str> {
        if self.bytes > MAX_ARGUMENT_BYTES {
            return None;
        }
        self.stored.get(start..).and_then(|written| std::str::from_utf8(written).ok())
    }

    pub(crate) fn into_text(self, call: &str) -> Result<String, ArgumentError> {
        if self.bytes > MAX_ARGUMENT_BYTES {
            return Err(ArgumentError::TooLarge {
                call: call.to_owned(),
                bytes: self.bytes,
                limit: MAX_ARGUMENT_BYTES,
            });
        }
        // serde_json writes nothing but UTF-8; a raw value is a `str` already.
        String::from_utf8(self.stored)
            .map_err(|error| ArgumentError::NotAnObject { call: call.to_owned(), reason: error.to_string() })
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes <= MAX_ARGUMENT_BYTES {
            self.stored.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A rule of ours that a value broke; it stands beside serde's error, which can carry text only.
#[derive(Clone, Copy)]
enum Rule {
    Finite,
    Depth,
}

/// Where in an argument the serializer stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    broken: &'a Cell<Option<Rule>>,
    /// How many objects and arrays are open around the value.
    depth: usize,
    /// Whether the value is the inside of a `Some`, where `null` would be read as `None`.
    in_some: bool,
}

impl Place<'_> {
    fn broke<E: ser::Error>(self, rule: Rule) -> E {
        self.broken.set(Some(rule));
        E::custom("refused")
    }

    /// The place inside `levels` more objects or arrays.
    fn inside<E: ser::Error>(self, levels: usize) -> Result<Self, E> {
        let depth = self.depth + levels;
        if depth > MAX_ARGUMENT_DEPTH {
            Err(self.broke(Rule::Depth))
        } else {
            Ok(Self { depth, in_some: false, ..self })
        }
    }

    fn null<E: ser::Error>(self) -> Result<(), E> {
        if self.in_some {
            Err(E::custom("`Some` of a value that is written as `null` would come back as `None`"))
        } else {
            Ok(())
        }
    }
}

/// The serializer around `serde_json`'s, and around the parts of it that write compound values.
struct Checked<'a, S> {
    json: S,
    place: Place<'a>,
}

/// A value that is to be written at a place.
struct At<'a, T: ?Sized> {
    value: &'a T,
    place: Place<'a>,
}

impl<T: Serialize + ?Sized> Serialize for At<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Checked { json: serializer, place: self.place })
    }
}

impl<'a, S> Checked<'a, S> {
    fn nested<E: ser::Error, C>(
        self,
        levels: usize,
        open: impl FnOnce(S) -> Result<C, E>,
    ) -> Result<Checked<'a, C>, E> {
        let place = self.place.inside(levels)?;
        Ok(Checked { json: open(self.json)?, place })
    }

    fn at<'v, T: ?Sized>(&self, value: &'v T) -> At<'v, T>
    where
        'a: 'v,
    {
        At { value, place: self.place }
    }
}

macro_rules! pass_on {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {$(
        fn $method(self, $($name: $type),*) -> Result<S::Ok, S::Error> {
            self.json.$method($($name),*)
        }
    )*};
}

impl<'a, S: Serializer> Serializer for Checked<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Checked<'a, S::SerializeSeq>;
    type SerializeTuple = Checked<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Checked<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Checked<'a, S::SerializeTupleVariant>;
    type SerializeMap = Checked<'a, S::SerializeMap>;
    type SerializeStruct = Checked<'a, S::SerializeStruct>;
    type SerializeStructVariant = Checked<'a, S::SerializeStructVariant>;

    pass_on! {
        serialize_bool(v: bool);
        serialize_i8(v: i8);
        serialize_i16(v: i16);
        serialize_i32(v: i32);
        serialize_i64(v: i64);
        serialize_i128(v: i128);
        serialize_u8(v: u8);
        serialize_u16(v: u16);
        serialize_u32(v: u32);
        serialize_u64(v: u64);
        serialize_u128(v: u128);
        serialize_char(v: char);
        serialize_str(v: &str);
        serialize_bytes(v: &[u8]);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    fn serialize_f32(self, v: f32) -> Result<S::Ok, S::Error> {
        if v.is_finite() { self.json.serialize_f32(v) } else { Err(self.place.broke(Rule::Finite)) }
    }

    fn serialize_f64(self, v: f64) -> Result<S::Ok, S::Error> {
        if v.is_finite() { self.json.serialize_f64(v) } else { Err(self.place.broke(Rule::Finite)) }
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.place.null()?;
        self.json.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let place = Place { in_some: true, ..self.place };
        self.json.serialize_some(&At { value, place })
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.place.null()?;
        self.json.serialize_unit()
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.place.null()?;
        self.json.serialize_unit_struct(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = self.at(value);
        self.json.serialize_newtype_struct(name, &value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let place = self.place.inside(1)?;
        self.json.serialize_newtype_variant(name, index, variant, &At { value, place })
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.nested(1, |json| json.serialize_seq(len))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.nested(1, |json| json.serialize_tuple(len))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.nested(1, |json| json.serialize_tuple_struct(name, len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.nested(2, |json| json.serialize_tuple_variant(name, index, variant, len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.nested(1, |json| json.serialize_map(len))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.nested(1, |json| json.serialize_struct(name, len))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.nested(2, |json| json.serialize_struct_variant(name, index, variant, len))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.json.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.json.is_human_readable()
    }
}

macro_rules! elements {
    ($($trait:ident::$method:ident;)*) => {$(
        impl<S: ser::$trait> ser::$trait for Checked<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                let value = self.at(value);
                self.json.$method(&value)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.json.end()
            }
        }
    )*};
}

elements! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl<S: ser::$trait> ser::$trait for Checked<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), S::Error> {
                let value = self.at(value);
                self.json.serialize_field(key, &value)
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
                self.json.skip_field(key)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.json.end()
            }
        }
    )*};
}

fields!(SerializeStruct SerializeStructVariant);

impl<S: ser::SerializeMap> ser::SerializeMap for Checked<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    /// Keys are strings, numbers or booleans: `serde_json` refuses all others, and floats that are not finite.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.json.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        let value = self.at(value);
        self.json.serialize_value(&value)
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.json.end()
    }
}
