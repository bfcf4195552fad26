//! Hides redacted arguments, for code that has names and not types.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::PodRecord;

/// The arguments that are not shown to people, as pods declare with [`#[future_call(redact)]`](crate::future_call).
///
/// Built from the pods of the last day: if no pod has a name, all arguments of its calls are hidden.
///
/// ```standalone_crate
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futurecall_runtime::BoxError> {
/// use futurecall_runtime::prelude::*;
/// use futurecall_runtime::inspect::Redaction;
///
/// pub struct LoginFutureCall;
///
/// #[future_call]
/// impl LoginFutureCall {
///     pub async fn mail(_session: &Session, _user: i64, #[future_call(redact)] _link: &str) {}
/// }
///
/// let pod = Pod::builder().database_url("memory:").start().await?;
/// let redaction = Redaction::of(&pod.inspect().pods().await?);
/// let shown = redaction.hide("login.mail", r#"{"user":7,"link":"https://example.org/?secret"}"#);
/// assert_eq!(shown, r#"{"user":7,"link":"[redacted]"}"#);
/// # pod.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    /// The keys to hide by name; empty for a name that hides nothing.
    by_name: BTreeMap<String, BTreeSet<String>>,
}

impl Redaction {
    /// The JSON that replaces a hidden value.
    pub const HIDDEN: &str = "\"[redacted]\"";

    /// Combines what these pods hide.
    pub fn of<'a>(pods: impl IntoIterator<Item = &'a PodRecord>) -> Self {
        let mut by_name: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for pod in pods {
            for name in &pod.names {
                by_name.entry(name.clone()).or_default();
            }
            for (name, keys) in &pod.redacted {
                by_name.entry(name.clone()).or_default().extend(keys.iter().cloned());
            }
        }
        Self { by_name }
    }

    /// Returns whether any of the pods has calls of that name, so that its redacted keys are known.
    pub fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Returns whether calls of that name may contain anything that must be hidden.
    pub fn concerns(&self, name: &str) -> bool {
        self.by_name.get(name).is_none_or(|keys| !keys.is_empty())
    }

    /// Returns the arguments with redacted values replaced and the rest unchanged. Arguments that cannot be parsed,
    /// or whose name no pod [has](Self::knows), are hidden completely.
    pub fn hide<'a>(&self, name: &str, args: &'a str) -> Cow<'a, str> {
        match self.by_name.get(name) {
            _ if args.is_empty() => Cow::Borrowed(args),
            None => Cow::Borrowed(Self::HIDDEN),
            Some(keys) if keys.is_empty() => Cow::Borrowed(args),
            Some(keys) => Cow::Owned(hidden(keys, args, true).unwrap_or_else(|| Self::HIDDEN.to_owned())),
        }
    }
}

/// Replaces the values of `keys`. A call that was scheduled by name has its arguments one level deeper, under `data`.
fn hidden(keys: &BTreeSet<String>, args: &str, look_deeper: bool) -> Option<String> {
    let Entries(entries) = serde_json::from_str(args).ok()?;
    let mut shown = String::from("{");
    for (key, value) in entries {
        if shown.len() > 1 {
            shown.push(',');
        }
        shown.push_str(&serde_json::to_string(&key).ok()?);
        shown.push(':');
        if keys.contains(&key) {
            shown.push_str(Redaction::HIDDEN);
        } else if look_deeper && key == crate::args::by_name::KEY && value.get().starts_with('{') {
            shown.push_str(&hidden(keys, value.get(), false)?);
        } else {
            shown.push_str(value.get());
        }
    }
    shown.push('}');
    Some(shown)
}

/// The entries of a JSON object in order, each value unparsed.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeSet, Redaction};

    /// Of `a` these are hidden, of `b` nothing is.
    fn redaction(keys: &[&str]) -> Redaction {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        Redaction { by_name: [("a".to_owned(), keys), ("b".to_owned(), BTreeSet::new())].into() }
    }

    #[test]
    fn only_what_is_named_is_hidden_and_the_rest_stands_to_the_byte() {
        let redaction = redaction(&["pin", "old\"pin"]);
        for (args, shown) in [
            (r#"{"z": 1.0, "pin":"1234","b":[ 1 ]}"#, r#"{"z":1.0,"pin":"[redacted]","b":[ 1 ]}"#),
            (r#"{"p\u0069n":1,"old\"pin":{"x":2}}"#, r#"{"pin":"[redacted]","old\"pin":"[redacted]"}"#),
            (r#"{"pin":1,"pin":2}"#, r#"{"pin":"[redacted]","pin":"[redacted]"}"#),
            // Of a typed call that was scheduled by name.
            (r#"{"data":{"pin":1,"b":2}}"#, r#"{"data":{"pin":"[redacted]","b":2}}"#),
            ("{}", "{}"),
            ("", ""),
        ] {
            assert_eq!(redaction.hide("a", args), shown);
            assert_eq!(redaction.hide("b", args), args, "of another name");
        }
    }

    #[test]
    fn of_what_nobody_knows_everything_is_hidden() {
        let redaction = redaction(&["pin"]);
        assert_eq!(redaction.hide("c", r#"{"pin":1,"b":2}"#), Redaction::HIDDEN);
        assert_eq!(redaction.hide("c", ""), "");
        assert_eq!(["a", "b", "c"].map(|name| redaction.knows(name)), [true, true, false]);
        assert_eq!(["a", "b", "c"].map(|name| redaction.concerns(name)), [true, false, true]);
    }

    #[test]
    fn what_cannot_be_read_is_hidden_whole() {
        let redaction = redaction(&["pin"]);
        for args in ["[1]", "{\"pin\"", "7", "{\"data\":{\"pin\":}}"] {
            assert_eq!(redaction.hide("a", args), Redaction::HIDDEN);
        }
    }
}
