//! Fields of a query or a form, within limits.

use std::fmt::Display;
use std::str::FromStr;

use axum::http::StatusCode;
use form_urlencoded::Serializer;

use crate::error_page::Failure;

/// The longest field, in bytes: an identifier has up to 255 characters.
const LONGEST_FIELD: usize = 1_024;
/// The largest number of fields: a page of selected calls and a filter.
const MOST_FIELDS: usize = 1_000;

/// Names and values in order, without empty values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    fields: Vec<(String, String)>,
}

impl Params {
    /// Reads `a=b&c=d`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Failure> {
        let mut fields = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if fields.len() >= MOST_FIELDS {
                return Err(Failure::TooLong(StatusCode::BAD_REQUEST, "Too many fields."));
            }
            if name.len() > LONGEST_FIELD || value.len() > LONGEST_FIELD {
                return Err(Failure::TooLong(StatusCode::BAD_REQUEST, "A field is too long."));
            }
            if !value.is_empty() {
                fields.push((name.into_owned(), value.into_owned()));
            }
        }
        Ok(Self { fields })
    }

    /// Returns the value of a field; `None` if it is missing or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Returns all values of a field.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Parses the value of a field; `what` names the expected kind in the error.
    pub(crate) fn read<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Failure> {
        let read = |text: &str| {
            text.trim().parse().map_err(|_| Failure::Bad(format!("`{name}` is not a valid {what}: {text}")))
        };
        self.get(name).map(read).transpose()
    }

    /// Parses a required value.
    pub(crate) fn need<T: FromStr>(&self, name: &str, what: &str) -> Result<T, Failure> {
        self.read(name, what)?.ok_or_else(|| Failure::Bad(format!("`{name}` is missing (expected {what})")))
    }
}

/// A builder for a query.
pub(crate) struct Query {
    text: Serializer<'static, String>,
    empty: bool,
}

impl Query {
    /// Returns an empty query.
    pub(crate) fn new() -> Self {
        Self { text: Serializer::new(String::new()), empty: true }
    }

    /// Adds a field.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Display) -> Self {
        self.text.append_pair(name, &value.to_string());
        self.empty = false;
        self
    }

    /// Adds a field if there is a value.
    #[must_use]
    pub(crate) fn maybe(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Returns the encoded fields.
    pub(crate) fn text(mut self) -> String {
        self.text.finish()
    }

    /// Returns `path?fields`, or `path` if there are none.
    pub(crate) fn of(self, path: &str) -> String {
        if self.empty { path.to_owned() } else { format!("{path}?{}", self.text()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Params, Query};

    #[test]
    fn fields_are_bounded_and_round_trip() {
        let text = "a=1&a=2&b=&c=%3Cscript%3E&=&%ff=%ff";
        let params = Params::parse(text.as_bytes()).unwrap();
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((params.get("b"), params.get("c")), (None, Some("<script>")));
        assert!(params.read::<u8>("c", "number").is_err());
        assert!(Params::parse(format!("a={}", "x".repeat(1_025)).as_bytes()).is_err());
        assert!(Params::parse("a=1&".repeat(1_001).as_bytes()).is_err());

        let query = Query::new().with("name", "a&b=\"ü").maybe("none", None::<u8>).text();
        assert_eq!(Params::parse(query.as_bytes()).unwrap().get("name"), Some("a&b=\"ü"));
        assert_eq!(Query::new().of("calls"), "calls");
    }
}
