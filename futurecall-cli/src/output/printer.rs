//! Writes to standard output and standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;

use super::table::Look;
use super::{Answer, Clock, Record, Rows, Value, json};
use crate::exit::Failure;
use crate::sanitize::escaped;

/// The output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// One document for programs
    Json,
    /// One line for each row: for pipes and logs
    Ndjson,
}

/// The style of the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) format: Format,
    pub(crate) local: bool,
    pub(crate) colour: bool,
    pub(crate) quiet: bool,
}

/// Writes answers to standard output, and notes to standard error.
#[derive(Debug)]
pub(crate) struct Printer {
    style: Style,
    clock: Clock,
    out: io::Stdout,
    /// Whether a row of an open list has been written.
    rows_before: bool,
}

impl Printer {
    pub(crate) fn new(style: Style) -> Self {
        let clock = Clock { local: style.local, now: None };
        Self { style, clock, out: io::stdout(), rows_before: false }
    }

    pub(crate) const fn format(&self) -> Format {
        self.style.format
    }

    /// Sets the current time, for relative times.
    pub(crate) fn seen_from(&mut self, now: futurecall_runtime::Moment) {
        self.clock.now = Some(now);
    }

    /// Prints an answer.
    pub(crate) fn print(&mut self, answer: &Answer) -> Result<(), Failure> {
        match self.style.format {
            Format::Table => self.write(&self.look().record(&answer.record))?,
            Format::Json => self.write(&format!("{}\n", json::pretty(&answer.record)?))?,
            Format::Ndjson => match answer.lines.and_then(|key| answer.record.get(key)) {
                Some(Value::Rows(rows)) => self.lines(rows)?,
                _ => self.write(&format!("{}\n", json::line(&answer.record)?))?,
            },
        }
        for note in &answer.notes {
            self.note(note)?;
        }
        Ok(())
    }

    /// Writes text unchanged, such as a script or SQL.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }

    /// Begins a list that is streamed, so that millions of rows need no memory.
    pub(crate) fn open(&mut self, key: &str) -> Result<(), Failure> {
        self.rows_before = false;
        if self.style.format == Format::Json { self.write(&format!("{{\n  \"{key}\": [")) } else { Ok(()) }
    }

    /// Writes more rows of the list.
    pub(crate) fn more(&mut self, rows: &Rows) -> Result<(), Failure> {
        match self.style.format {
            Format::Table if rows.rows.is_empty() && self.rows_before => {}
            Format::Table => self.write(&self.look().rows(rows))?,
            Format::Ndjson => self.lines(rows)?,
            Format::Json => {
                for (n, row) in rows.rows.iter().enumerate() {
                    let comma = if n > 0 || self.rows_before { "," } else { "" };
                    let text = json::pretty(row)?.replace('\n', "\n    ");
                    self.write(&format!("{comma}\n    {text}"))?;
                }
            }
        }
        self.rows_before |= !rows.rows.is_empty();
        Ok(())
    }

    /// Ends the list. In JSON, `beside` follows as further fields.
    pub(crate) fn close(&mut self, beside: &Record) -> Result<(), Failure> {
        if self.style.format != Format::Json {
            return Ok(());
        }
        let mut text = if self.rows_before { "\n  ]" } else { "]" }.to_owned();
        for (key, value) in &beside.fields {
            let value = json::pretty(value)?.replace('\n', "\n  ");
            text = text + ",\n  \"" + key.as_ref() + "\": " + &value;
        }
        self.write(&format!("{text}\n}}\n"))
    }

    /// Prints an answer in place of the previous one on a terminal, otherwise below it.
    pub(crate) fn redraw(&mut self, answer: &Answer) -> Result<(), Failure> {
        if self.style.format == Format::Table && self.out.is_terminal() {
            self.write("\u{1b}[H\u{1b}[2J\u{1b}[3J")?;
        }
        match self.style.format {
            // One line per refresh for both, because a JSON document would never end.
            Format::Json | Format::Ndjson => self.write(&format!("{}\n", json::line(&answer.record)?)),
            Format::Table => self.write(&format!("{}\n", self.look().record(&answer.record))),
        }
    }

    /// Prints a note.
    pub(crate) fn note(&self, note: &str) -> Result<(), Failure> {
        if self.style.quiet {
            return Ok(());
        }
        writeln!(io::stderr(), "{}", escaped(note))?;
        Ok(())
    }

    fn lines(&mut self, rows: &Rows) -> Result<(), Failure> {
        let mut text = String::new();
        for row in &rows.rows {
            text += &json::line(row)?;
            text.push('\n');
        }
        self.write(&text)
    }

    const fn look(&self) -> Look {
        Look { colour: self.style.colour, clock: self.clock }
    }
}
