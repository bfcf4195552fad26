//! The figures for people: a Markdown table.

use std::fmt::Write as _;
use std::path::Path;

use crate::report::{Line, OURS, RAW, shown};
use crate::{Result, machine};

/// Ours, a row each, with plain SQL beside it where that was measured too.
pub(crate) fn markdown(lines: &[Line]) -> String {
    let mut table = machine::paragraph(lines);
    table.push_str(
        "| figure | store | value | unit | rounds | p90 | p99 | max | raw SQL | × raw SQL |\n\
         | --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for line in lines.iter().filter(|line| line.who == OURS && line.work != machine::WORK) {
        let raw = lines.iter().find(|raw| raw.who == RAW && raw.is_beside(line));
        let rounds = match (line.low, line.high) {
            (Some(low), Some(high)) if line.n > Some(1) => format!("{}–{}", shown(low), shown(high)),
            _ => String::new(),
        };
        let cells = [
            line.title(),
            line.store.clone(),
            cell(line.value),
            line.unit.clone(),
            rounds,
            cell(line.p90),
            cell(line.p99),
            cell(line.max),
            cell(raw.and_then(|raw| raw.value)),
            cell(line.ratio_to_raw),
        ];
        let _ = writeln!(table, "| {} |", cells.join(" | "));
    }
    table
}

/// Replaces what stands between the marks in a file.
pub(crate) fn put_into(file: &Path, table: &str) -> Result {
    const BEGIN: &str = "<!-- figures -->\n";
    const END: &str = "<!-- /figures -->";
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{} has no {BEGIN}and {END}", file.display()))?;
    Ok(std::fs::write(file, format!("{before}{BEGIN}\n{table}\n{END}{after}"))?)
}

impl Line {
    /// The figure, and what was set for it.
    pub(crate) fn title(&self) -> String {
        if self.set.is_empty() { self.figure.clone() } else { format!("{}, {}", self.figure, self.set) }
    }

    /// Whether it is the same work, by another or by the same.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.figure == other.figure && self.set == other.set && self.store == other.store
    }
}

fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), shown)
}
