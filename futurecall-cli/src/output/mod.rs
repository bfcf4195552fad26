//! Formats answers: commands return [`Record`]s, and only this module knows tables and JSON.

mod json;
mod printer;
mod read;
mod table;
mod time;
mod value;

pub(crate) use self::printer::{Format, Printer, Style};
pub(crate) use self::time::Clock;
pub(crate) use self::value::{Record, Rows, Tone, Value};
pub(crate) use futurecall_runtime::text::duration as roughly;

use crate::exit::Exit;

/// The answer of a command.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The data.
    pub(crate) record: Record,
    /// The field whose rows are the lines of `ndjson`; `None`: the whole answer is one line.
    pub(crate) lines: Option<&'static str>,
    /// Notes for people on standard error; suppressed by `--quiet`.
    pub(crate) notes: Vec<String>,
    /// The exit code.
    pub(crate) exit: Exit,
}

impl Answer {
    pub(crate) fn new(record: Record) -> Self {
        Self { record, lines: None, notes: Vec::new(), exit: Exit::Done }
    }

    /// Returns an answer that is a list: in `ndjson` each row is a line.
    pub(crate) fn list(key: &'static str, rows: Rows) -> Self {
        Self { lines: Some(key), ..Self::new(Record::new().with(key, Value::Rows(rows))) }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}
