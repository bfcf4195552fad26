//! The output data of commands, independent of the format.

use std::borrow::Cow;
use std::time::Duration;

use futurecall_runtime::{CallId, Moment, ScheduleId};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Count(u64),
    Whole(i64),
    Number(f64),
    Text(String),
    Moment(Moment),
    Span(Duration),
    /// JSON that is printed as stored: arguments, rules.
    Json(String),
    List(Vec<Value>),
    Record(Record),
    Rows(Rows),
}

/// The colour of a row or a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Bad,
    Doubtful,
    Busy,
    Faint,
}

/// Named values in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    pub(crate) fields: Vec<(Cow<'static, str>, Value)>,
    pub(crate) tone: Tone,
}

/// Records of one kind.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_field_names, reason = "the rows of rows are rows")]
pub(crate) struct Rows {
    /// What a table shows, in its order: `~finished/due` is how far the first of these moments that is there is from now,
    /// `error!` is not cut however long it is.
    /// JSON has all fields.
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: Vec<Record>,
    /// Fields that a table shows below a row, if present.
    pub(crate) under: &'static [&'static str],
    /// The text of an empty list.
    pub(crate) none: &'static str,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((Cow::Borrowed(key), value.into()));
        self
    }

    #[must_use]
    pub(crate) fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Turns a field that is a list of records into rows.
    pub(crate) fn rows(mut self, key: &str, columns: &'static [&'static str], none: &'static str) -> Self {
        for (_, value) in self.fields.iter_mut().filter(|(name, _)| name == key) {
            if let Value::List(values) = value {
                let record = |value| if let Value::Record(record) = value { Some(record) } else { None };
                let records = std::mem::take(values).into_iter().filter_map(record);
                *value = Value::Rows(Rows::new(columns, none, records));
            }
        }
        self
    }

    #[must_use]
    pub(crate) fn without(mut self, keys: &[&str]) -> Self {
        self.fields.retain(|(key, _)| !keys.contains(&key.as_ref()));
        self
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

impl Rows {
    pub(crate) fn new(
        columns: &'static [&'static str],
        none: &'static str,
        rows: impl IntoIterator<Item = Record>,
    ) -> Self {
        Self { columns, rows: rows.into_iter().collect(), under: &[], none }
    }

    pub(crate) fn under(self, under: &'static [&'static str]) -> Self {
        Self { under, ..self }
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! from {
    ($($type:ty => $variant:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                let make: fn($type) -> Value = $variant;
                make(value)
            }
        }
    )*};
}

from! {
    &str => |text| Value::Text(text.to_owned()),
    String => Value::Text,
    bool => Value::Bool,
    u64 => Value::Count,
    usize => |count| Value::Count(u64::try_from(count).unwrap_or(u64::MAX)),
    f64 => Value::Number,
    Moment => Value::Moment,
    Duration => Value::Span,
    CallId => |id| Value::Text(id.to_string()),
    ScheduleId => |id| Value::Text(id.to_string()),
    Record => Value::Record,
    Rows => Value::Rows,
    Vec<String> => |texts| Value::List(texts.into_iter().map(Value::Text).collect()),
    Vec<Value> => Value::List,
}
