//! What commands give: data with names, before it is anybody's format.

use std::time::Duration;

use futurecall_runtime::{ActionId, CallId, Moment, PodId, ScheduleId};

/// A value, by what it means.
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
    /// JSON as it stands: arguments, rules.
    Json(String),
    List(Vec<Value>),
    Record(Record),
    Rows(Rows),
}

/// How a row or a value looks where there are colours.
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

/// Named values in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    pub(crate) fields: Vec<(&'static str, Value)>,
    pub(crate) tone: Tone,
}

/// Records of one kind.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_field_names, reason = "the rows of rows are rows")]
pub(crate) struct Rows {
    /// What a table shows, in its order: `~due` is how far that moment is from now, `error!` is not cut however long it is.
    /// JSON has all fields.
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: Vec<Record>,
    /// What a table says below a row, where it is there.
    pub(crate) under: &'static [&'static str],
    /// What is said where there are none.
    pub(crate) none: &'static str,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((key, value.into()));
        self
    }

    #[must_use]
    pub(crate) fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.fields.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
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
    u32 => |count| Value::Count(count.into()),
    usize => |count| Value::Count(u64::try_from(count).unwrap_or(u64::MAX)),
    i16 => |number| Value::Whole(number.into()),
    f64 => Value::Number,
    Moment => Value::Moment,
    Duration => Value::Span,
    CallId => |id| Value::Text(id.to_string()),
    ScheduleId => |id| Value::Text(id.to_string()),
    PodId => |id| Value::Text(id.to_string()),
    ActionId => |id| Value::Text(id.to_string()),
    Record => Value::Record,
    Rows => Value::Rows,
    Vec<String> => |texts| Value::List(texts.into_iter().map(Value::Text).collect()),
    Vec<Value> => Value::List,
}
