//! Converts the library's records to output data, by way of their JSON.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use futurecall_runtime::Moment;
use futurecall_runtime::chrono::DateTime;
use futurecall_runtime::schedule::ToMoment;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::value::{Record, Value};

/// The keys whose values are times. Other texts are never read as times.
const MOMENTS: &[&str] = &[
    "due",
    "next_attempt",
    "expires",
    "created",
    "finished",
    "lease_until",
    "started",
    "ended",
    "next",
    "anchor",
    "heartbeat",
    "oldest_due",
    "start",
    "at",
    "since",
    "applied",
];

impl Record {
    /// Converts a serializable record.
    pub(crate) fn of(record: &impl Serialize) -> Self {
        let json = serde_json::to_string(record).expect("records have texts as keys");
        match serde_json::from_str(&json) {
            Ok(Value::Record(record)) => record,
            _ => Self::new(),
        }
    }
}

/// Interprets a value by its key: times, durations, and rules, which are printed as stored.
fn meant(key: &str, value: Value) -> Value {
    match value {
        Value::Text(text) if MOMENTS.contains(&key) => moment(&text).map_or(Value::Text(text), Value::Moment),
        Value::Number(seconds) if key.ends_with("_seconds") => {
            Duration::try_from_secs_f64(seconds).map_or(Value::Number(seconds), Value::Span)
        }
        Value::Record(rule) if matches!(key, "declared" | "effective") => {
            serde_json::to_string(&rule).map_or(Value::Null, Value::Json)
        }
        value => value,
    }
}

fn moment(text: &str) -> Option<Moment> {
    DateTime::parse_from_rfc3339(text).ok()?.to_moment().ok()
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, count: u64) -> Result<Value, E> {
        Ok(Value::Count(count))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Whole(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut record = Record::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            let value = meant(&key, value);
            record.fields.push((Cow::Owned(key), value));
        }
        Ok(Value::Record(record))
    }
}
