//! The stored form of a call by name: `{"data": …}`, under a format number of its own.
//!
//! The number tells the pod that runs the call how to read it: a handler by name takes what stands under `data`; a typed
//! method takes the object that stands there, keyed by its parameters.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ArgumentError, FORMAT as TYPED, decode_value, encode_value, stored_value};

/// The format number of calls that were scheduled by name.
pub(crate) const FORMAT: i16 = 2;

/// The one key of such an object.
pub(crate) const KEY: &str = "data";

/// Writes `{"data": …}`, or `{}` without data.
pub(crate) fn encode<T: Serialize + ?Sized>(name: &str, data: Option<&T>) -> Result<String, ArgumentError> {
    match data {
        Some(data) => Ok(format!("{{\"{KEY}\":{}}}", encode_value(name, KEY, data)?)),
        None => Ok("{}".to_owned()),
    }
}

/// Reads what stands under `data`; without it, or where it is null, there is none.
pub(crate) fn decode<T: DeserializeOwned>(name: &str, text: &str) -> Result<Option<T>, ArgumentError> {
    match stored_value(name, KEY, text)? {
        Some(stored) => decode_value(name, KEY, stored),
        None => Ok(None),
    }
}

/// The arguments as a handler wants them, whichever way the call was scheduled.
pub(crate) fn for_handler<'a>(
    name: &str,
    args: &'a str,
    format: i16,
    by_name: bool,
) -> Result<&'a str, ArgumentError> {
    match (format, by_name) {
        (FORMAT, true) | (TYPED, false) => Ok(args),
        // A typed method, scheduled by name.
        (FORMAT, false) => Ok(stored_value(name, KEY, args)?.unwrap_or("{}")),
        _ => Err(ArgumentError::OtherForm { call: name.to_owned(), format }),
    }
}

#[cfg(test)]
mod tests {
    use super::for_handler;

    #[test]
    fn only_forms_that_the_handler_reads_get_to_it() {
        let read = |args, format, by_name| for_handler("x", args, format, by_name).map(str::to_owned);
        assert_eq!(read(r#"{"a":1}"#, 1, false).as_deref(), Ok(r#"{"a":1}"#));
        assert_eq!(read(r#"{"data":{"a":1}}"#, 2, false).as_deref(), Ok(r#"{"a":1}"#));
        assert_eq!(read("{}", 2, false).as_deref(), Ok("{}"));
        assert_eq!(read(r#"{"data":1}"#, 2, true).as_deref(), Ok(r#"{"data":1}"#));
        // A typed call whose method became a handler by name, and a form of a later version.
        assert!(read(r#"{"a":1}"#, 1, true).is_err_and(|error| error.to_string().contains("form 1")));
        assert!(read("{}", 3, false).is_err_and(|error| error.to_string().contains("form 3")));
    }
}
