//! The figures for people: a Markdown table.

use std::fmt::Write;

use crate::report::{Line, OURS, RAW, shown};

/// Ours, a row each, with plain SQL beside it where that was measured too.
pub(crate) fn markdown(lines: &[Line]) -> String {
    let mut table = String::from(
        "| figure | store | value | unit | rounds | p90 | p99 | max | raw SQL | × raw SQL |\n\
         | --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for line in lines.iter().filter(|line| line.who == OURS) {
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
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| {} |", cells.join(" | "));
    }
    table
}

impl Line {
    /// The figure, and what was set for it.
    pub(crate) fn title(&self) -> String {
        if self.set.is_empty() { self.figure.clone() } else { format!("{}, {}", self.figure, self.set) }
    }

    fn is_beside(&self, other: &Self) -> bool {
        self.figure == other.figure && self.set == other.set && self.store == other.store
    }
}

fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), shown)
}
