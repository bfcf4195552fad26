//! Whether a value comes back as itself: what was written is read, written again, and compared.
//!
//! JSON alone does not tell: an untagged enum reads the first variant that fits, and a type's `Deserialize` may leave out
//! what its `Serialize` writes. Types of which it is known that they are read as they are written are not looked at.

use std::any::TypeId;
use std::borrow::Borrow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::decode::reason;
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;

/// Says why `value`, written as `text`, would not come back as itself.
///
/// Lists and maps may come back in another order, as those of a `HashSet` do. A type that never writes the same text
/// twice, such as one that encrypts, is only read.
pub(crate) fn verify<O, B>(value: &B, text: &str) -> Result<(), String>
where
    O: DeserializeOwned + Borrow<B> + 'static,
    B: Serialize + ?Sized,
{
    if is_faithful::<O>() {
        return Ok(());
    }
    if is::<O, serde_json::Value>() {
        return if has_reserved_key(text) { Err(RESERVED_KEY.to_owned()) } else { Ok(()) };
    }
    let read: O = serde_json::from_str(text)
        .map_err(|error| format!("it is written as JSON that does not decode again: {}", reason(&error)))?;
    let mut rest = Rest(text.as_bytes());
    let same = serde_json::to_writer(&mut rest, read.borrow()).is_ok() && rest.0.is_empty();
    if same || is_same_in_any_order(text, read.borrow()) || !is_same_in_any_order(text, value) {
        return Ok(());
    }
    Err("it would come back as another value: where an enum is `#[serde(untagged)]`, an earlier variant may fit as well; \
         else its `Deserialize` does not read all that its `Serialize` writes"
        .to_owned())
}

/// What stands against a key that `serde_json` keeps for itself.
pub(crate) const RESERVED_KEY: &str =
    "a key begins with `$serde_json::private::`, which `serde_json` reads as something else";

/// Whether an object has a key that `serde_json` gives a meaning of its own when it reads a `Value`.
pub(crate) fn has_reserved_key(text: &str) -> bool {
    const START: &str = "\"$serde_json::private::";
    text.as_bytes().contains(&b'$')
        && text.match_indices(START).any(|(at, _)| {
            let (before, from) = text.split_at(at);
            let after = from.get(START.len()..).and_then(|rest| rest.split_once('"'));
            // A string that a colon follows is a key; a quote behind a backslash is inside of one.
            !before.ends_with('\\') && after.is_some_and(|(_, after)| after.starts_with(':'))
        })
}

fn is<T: 'static, U: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<U>()
}

/// Whether a type is known to read exactly what it writes. The compiler knows the answer.
fn is_faithful<T: 'static>() -> bool {
    macro_rules! any {
        ($($type:ty),* $(,)?) => {
            $(is::<T, $type>() || is::<T, Option<$type>>() || is::<T, Vec<$type>>() ||)* false
        };
    }
    any!(bool, char, String, i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, f32, f64)
        || any!(Uuid, CallId, ScheduleId, Moment, std::time::Duration)
        || any!(DateTime<Utc>, NaiveDate, NaiveTime, NaiveDateTime)
}

/// What is still expected of a text that is written once more. Anything else is an error.
struct Rest<'a>(&'a [u8]);

impl io::Write for Rest<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a value is written as that text, but for the order in lists and maps.
fn is_same_in_any_order<T: Serialize + ?Sized>(text: &str, value: &T) -> bool {
    serde_json::to_string(value)
        .is_ok_and(|other| other.len() == text.len() && fingerprint(&other) == fingerprint(text))
}

/// A number that JSON texts have in common which differ in the order of elements and entries alone: hashes of the elements
/// of one list are added up. For texts as `serde_json` writes them.
fn fingerprint(text: &str) -> u64 {
    let mut open: Vec<Level> = vec![Level::default()];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, behind) = rest.split_at(token_len(rest, first));
        rest = behind;
        match first {
            '[' | '{' => open.push(Level::default()),
            ']' | '}' => {
                let closed = open.pop().unwrap_or_default().closed();
                if let Some(level) = open.last_mut() {
                    level.take(&(first, closed));
                }
            }
            ',' => open.iter_mut().next_back().into_iter().for_each(Level::next),
            _ => open.iter_mut().next_back().into_iter().for_each(|level| level.take(&token)),
        }
    }
    open.into_iter().fold(0, |sum, level| sum ^ level.closed())
}

/// How long the first token of a text is: a string, a number or word, or a single mark.
fn token_len(text: &str, first: char) -> usize {
    match first {
        '"' => {
            let mut escaped = false;
            let end = text.bytes().skip(1).position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            });
            end.map_or(text.len(), |end| end.saturating_add(2))
        }
        '[' | ']' | '{' | '}' | ',' | ':' => 1,
        _ => text.find([',', ':', '[', ']', '{', '}', '"']).unwrap_or(text.len()),
    }
}

/// One list or map that is being read.
#[derive(Default)]
struct Level {
    /// What its elements before the present one come to.
    sum: u64,
    /// The present element; in a map, key and value follow each other.
    element: DefaultHasher,
}

impl Level {
    fn take(&mut self, part: &impl Hash) {
        part.hash(&mut self.element);
    }

    fn next(&mut self) {
        self.sum = self.sum.wrapping_add(std::mem::take(&mut self.element).finish());
    }

    fn closed(mut self) -> u64 {
        self.next();
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_minds_everything_but_order() {
        let texts = [
            r#"{"a":[1,2,3],"b":{"c":"x,y","d":[[],{}]}}"#,
            r#"{"b":{"d":[{},[]],"c":"x,y"},"a":[3,1,2]}"#,
            r#"{"a":[1,2,3],"b":{"c":"x,y","d":[[],[]]}}"#,
            r#"{"a":[1,2,2],"b":{"c":"x,y","d":[[],{}]}}"#,
            r#"{"b":[1,2,3],"a":{"c":"x,y","d":[[],{}]}}"#,
            r#"{"a":[1,2],"b":{"c":"x,y","d":[[],{},3]}}"#,
            r#"{"a":[1,2,3],"b":{"d":"x,y","c":[[],{}]}}"#,
            r#"{"a":[1,2,3],"b":{"c":["x","y"],"d":[[],{}]}}"#,
            r#"{"a":[1,2,3],"b":{"c":"x\",\"y","d":[[],{}]}}"#,
        ];
        let all: Vec<u64> = texts.iter().map(|text| fingerprint(text)).collect();
        assert_eq!(all[0], all[1]);
        for (place, one) in all.iter().enumerate().skip(1) {
            assert!(!all[place + 1..].contains(one), "{}", texts[place]);
        }
        for text in ["", "\"", "]", "}{", "\"\\", "[1,", "日本", ",,"] {
            fingerprint(text);
        }
    }

    #[test]
    fn a_reserved_key_is_a_key() {
        for text in
            [r#"{"$serde_json::private::RawValue":"1"}"#, r#"[{"a":1,"$serde_json::private::Number":"1"}]"#]
        {
            assert!(has_reserved_key(text), "{text}");
        }
        for text in [
            r#""$serde_json::private::RawValue""#,
            r#"{"a":"$serde_json::private::RawValue"}"#,
            r#"{"$serde_json":1}"#,
            r#"{"x\"$serde_json::private::RawValue":1}"#,
            r#"{"$":"x"}"#,
            r#""$serde_json::private::"#,
        ] {
            assert!(!has_reserved_key(text), "{text}");
        }
    }
}
