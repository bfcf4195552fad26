//! The figures as Markdown tables.

use std::fmt::Write as _;
use std::path::Path;

use crate::report::{Line, OURS, RAW, shown};
use crate::{Result, machine};

/// The headings, by the beginning of the kind of work.
const GROUPS: [(&str, &[&str]); 11] = [
    ("Storing calls", &["enqueue", "bulk"]),
    ("Running calls that are due", &["drain"]),
    ("When calls start", &["start", "latency", "lateness"]),
    ("Beside very many future calls", &["backlog"]),
    ("With a transaction held open", &["horizon"]),
    ("Several pods", &["pods"]),
    ("A pod that is killed", &["recovery"]),
    ("What a call costs the database", &["cost"]),
    ("What a pod costs", &["idle", "memory"]),
    ("Other settings than the defaults", &["settings"]),
    ("What the attribute costs the compiler", &["compile"]),
];

/// Renders ours, a row each in the order of measurement, with plain SQL beside it if that was measured too.
pub(crate) fn markdown(lines: &[Line]) -> String {
    let mut text = machine::paragraph(lines);
    for (heading, works) in GROUPS {
        let is_here = |line: &&Line| line.who == OURS && works.iter().any(|work| line.work.starts_with(work));
        let (spreads, values): (Vec<&Line>, Vec<&Line>) =
            lines.iter().filter(is_here).partition(|line| line.p50.is_some());
        if spreads.is_empty() && values.is_empty() {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "### {heading}\n");
        for (columns, rows) in [(SPREADS, spreads), (VALUES, values)] {
            if !rows.is_empty() {
                table(&mut text, columns, &rows, lines);
            }
        }
    }
    text
}

/// A heading, whether its cells are words, and its contents: given every line, to look for plain SQL.
type Column = (&'static str, bool, fn(&Line, &[Line]) -> String);

const SPREADS: &[Column] = &[
    ("figure", true, |line, _| line.title()),
    ("store", true, |line, _| line.store.clone()),
    ("p50 ms", false, |line, _| cell(line.p50)),
    ("p90", false, |line, _| cell(line.p90)),
    ("p99", false, |line, _| cell(line.p99)),
    ("max", false, |line, _| cell(line.max)),
    ("early", false, |line, _| more(line, "early")),
    ("other calls/s", false, |line, _| more(line, "other_calls")),
    ("round trips", false, |line, _| more(line, "round_trips")),
];

const VALUES: &[Column] = &[
    ("figure", true, |line, _| line.title()),
    ("store", true, |line, _| line.store.clone()),
    ("value", false, |line, _| cell(line.value)),
    ("unit", true, |line, _| line.unit.clone()),
    ("rounds", false, |line, _| match (line.low, line.high) {
        (Some(low), Some(high)) if line.n > Some(1) => format!("{}–{}", shown(low), shown(high)),
        _ => String::new(),
    }),
    ("raw SQL", false, |line, lines| {
        let raw = lines.iter().find(|raw| raw.who == RAW && raw.is_beside(line));
        cell(raw.and_then(|raw| raw.value))
    }),
    ("× raw SQL", false, |line, _| cell(line.ratio_to_raw)),
];

/// Removes empty columns.
fn table(text: &mut String, columns: &[Column], rows: &[&Line], lines: &[Line]) {
    let cells = |column: &Column| -> Vec<String> { rows.iter().map(|row| column.2(row, lines)).collect() };
    let columns: Vec<(&Column, Vec<String>)> = columns
        .iter()
        .map(|column| (column, cells(column)))
        .filter(|(_, cells)| cells.iter().any(|cell| !cell.is_empty()))
        .collect();
    let mut row = |cells: Vec<&str>| {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    row(columns.iter().map(|(column, _)| column.0).collect());
    row(columns.iter().map(|(column, _)| if column.1 { "---" } else { "---:" }).collect());
    for place in 0..rows.len() {
        row(columns.iter().filter_map(|(_, cells)| Some(cells.get(place)?.as_str())).collect());
    }
    text.push('\n');
}

fn more(line: &Line, name: &str) -> String {
    line.more
        .get(name)
        .and_then(serde_json::Value::as_f64)
        .map_or(String::new(), |value| format!("{value:.0}"))
}

/// Replaces the text between the markers in a file.
pub(crate) fn put_into(file: &Path, table: &str) -> Result {
    const BEGIN: &str = "<!-- figures -->\n";
    const END: &str = "<!-- /figures -->";
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{} has no {BEGIN}and {END}", file.display()))?;
    Ok(std::fs::write(file, format!("{before}{BEGIN}\n{}\n{END}{after}", table.trim_end()))?)
}

impl Line {
    /// Returns the figure, and its settings.
    pub(crate) fn title(&self) -> String {
        if self.set.is_empty() { self.figure.clone() } else { format!("{}, {}", self.figure, self.set) }
    }

    /// Returns whether it is the same work, by another or by the same contestant.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.figure == other.figure && self.set == other.set && self.store == other.store
    }
}

fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), shown)
}
