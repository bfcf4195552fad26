//! Formats answers as JSON. Times are RFC 3339 in UTC, durations are seconds, arguments are unchanged.

use serde::ser::{Error, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::value::{Record, Value};
use crate::sanitize::escaped_json;

/// Formats an answer with indentation.
pub(super) fn pretty(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(|text| escaped_json(&text).into_owned())
}

/// Formats an answer in one line.
pub(super) fn line(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    // Only stored arguments may have line breaks, between their tokens.
    Ok(escaped_json(&text).replace('\n', " "))
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Whole(number) => serializer.serialize_i64(*number),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Moment(moment) => serializer.collect_str(moment),
            Self::Span(span) => serializer.serialize_f64(span.as_secs_f64()),
            Self::Json(text) => {
                RawValue::from_string(text.clone()).map_err(S::Error::custom)?.serialize(serializer)
            }
            Self::List(values) => serializer.collect_seq(values),
            Self::Record(record) => record.serialize(serializer),
            Self::Rows(rows) => {
                let mut list = serializer.serialize_seq(Some(rows.rows.len()))?;
                rows.rows.iter().try_for_each(|row| list.serialize_element(row))?;
                list.end()
            }
        }
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (key, value) in &self.fields {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
