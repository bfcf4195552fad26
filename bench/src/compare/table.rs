//! Comparisons as a Markdown table with the settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::Comparison;
use super::line::Line;

/// Renders a row for each comparison; below, how each peer was set, and what it lacks.
pub(crate) fn markdown(comparisons: &[Comparison]) -> String {
    let mut table = String::from(
        "| work | store | peer | settings | peer's | ours | ours ÷ peer's |\n\
         | --- | --- | --- | --- | ---: | ---: | ---: |\n",
    );
    let mut set = BTreeSet::new();
    let mut notes: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for comparison in comparisons {
        let (Some(theirs), Some(ours)) = (comparison.theirs.first(), comparison.ours.first()) else {
            continue;
        };
        let work = match (ours.work.as_str(), ours.settings.as_str()) {
            ("drain", "tuned") => format!("{}, history off", ours.figure),
            ("drain", _) => format!("{}, history on", ours.figure),
            _ => ours.figure.clone(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {work} | {} | {} | {} | {} | {} | {} |",
            ours.store,
            theirs.who,
            theirs.settings,
            cell(&comparison.theirs, |name| comparison.theirs(name)),
            cell(&comparison.ours, |name| comparison.ours(name)),
            ratio(comparison),
        );
        for lines in [&comparison.theirs, &comparison.ours] {
            for line in lines {
                if !line.set.is_empty() {
                    set.insert(format!("- {} on {}, {}: {}", line.who, line.store, line.settings, line.set));
                }
                if let Some(note) = note(line) {
                    notes.entry(note).or_default().insert(&line.work);
                }
            }
        }
    }
    table.push_str(
        "\nRates: more is better; milliseconds, transactions and processor time: less is better.\n",
    );
    table.push_str("`*`: given up after the time for it; what was done till then counts.\n\n");
    for line in set {
        let _ = writeln!(table, "{line}");
    }
    for (note, works) in notes {
        let works: Vec<&str> = works.into_iter().collect();
        let _ = writeln!(table, "{note} ({})", works.join(", "));
    }
    table
}

/// Returns what the row cannot show.
fn note(line: &Line) -> Option<String> {
    let who = format!("- {} on {}, {}", line.who, line.store, line.settings);
    if let Some(why) = line.text("lacks") {
        return Some(format!("{who}: – because {why}"));
    }
    let early = line.number("early").filter(|early| *early > 0.0);
    early.map(|early| format!("{who}: {early} calls started before their time, in one of the rounds"))
}

fn cell(lines: &[Line], median: impl Fn(&str) -> Option<f64>) -> String {
    let Some(value) = median("value") else { return "–".to_owned() };
    let capped = if lines.iter().any(Line::is_capped) { "*" } else { "" };
    let unit = lines.iter().map(|line| line.unit.as_str()).find(|unit| !unit.is_empty()).unwrap_or_default();
    match (median("p99"), median("cpu")) {
        (Some(p99), _) => format!("{}{capped} / {} {unit} (p50 / p99)", shown(value), shown(p99)),
        (None, Some(cpu)) => format!("{} {unit}, {} % of a core", shown(value), shown(cpu)),
        (None, None) => format!("{}{capped} {unit}", shown(value)),
    }
}

fn ratio(comparison: &Comparison) -> String {
    let value = comparison.ratio("value").map(shown);
    match (value, comparison.ratio("p99")) {
        (None, _) => "–".to_owned(),
        (Some(value), None) => value,
        (Some(value), Some(p99)) => format!("{value} / {}", shown(p99)),
    }
}

/// Formats with three significant digits, without a decimal point in thousands.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
