//! The one place where answers become text: commands give [`Record`]s, and know nothing of tables and JSON.

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

/// What a command has to say.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The data.
    pub(crate) record: Record,
    /// Which of its rows are the lines of `ndjson`; `None`: the whole is one line.
    pub(crate) lines: Option<&'static str>,
    /// Sentences for people, on stderr; not said with `--quiet`.
    pub(crate) notes: Vec<String>,
    /// How the process ends.
    pub(crate) exit: Exit,
}

impl Answer {
    pub(crate) fn new(record: Record) -> Self {
        Self { record, lines: None, notes: Vec::new(), exit: Exit::Done }
    }

    /// An answer that is a list: in `ndjson` each row is a line.
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
