//! What was measured: one JSON line a figure as soon as it is known, and a table at the end.

use std::fmt::Write;

use serde::Serialize;

use crate::Result;
use crate::place::Kind;

/// Every figure so far.
#[derive(Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

/// One line of the report.
#[derive(Serialize)]
struct Figure {
    #[serde(rename = "figure")]
    name: String,
    store: &'static str,
    value: f64,
    unit: &'static str,
    /// Ours as a multiple of the same work in plain SQL: above 1 is faster. `None` where there is no such work.
    ratio_to_raw: Option<f64>,
}

impl Report {
    /// Adds a figure that stands for itself.
    pub(crate) fn add(
        &mut self,
        kind: Kind,
        figure: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Result {
        self.push(Figure { name: figure.into(), store: kind.name(), value, unit, ratio_to_raw: None })
    }

    /// Adds a rate of ours and the rate of the same work in plain SQL, as the medians of rounds that alternated.
    pub(crate) fn add_rates(
        &mut self,
        kind: Kind,
        figure: &str,
        unit: &'static str,
        rounds: &[Round],
    ) -> Result {
        let store = kind.name();
        let ours = median(rounds.iter().map(|round| round.ours));
        let raw = median(rounds.iter().map(|round| round.raw));
        let ratio = median(rounds.iter().map(|round| round.ours / round.raw));
        self.push(Figure { name: figure.to_owned(), store, value: ours, unit, ratio_to_raw: Some(ratio) })?;
        self.push(Figure { name: format!("{figure}: raw SQL"), store, value: raw, unit, ratio_to_raw: None })
    }

    /// Adds the distribution of durations, in milliseconds.
    pub(crate) fn add_spread(&mut self, kind: Kind, figure: &str, mut millis: Vec<f64>) -> Result {
        millis.sort_by(f64::total_cmp);
        for (name, part) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            self.add(kind, format!("{figure}: {name}"), quantile(&millis, part), "ms")?;
        }
        Ok(())
    }

    /// Everything as a Markdown table.
    pub(crate) fn table(&self) -> String {
        let mut table = String::from(
            "| figure | store | value | unit | × raw SQL |\n| --- | --- | ---: | --- | ---: |\n",
        );
        for Figure { name, store, value, unit, ratio_to_raw } in &self.figures {
            let ratio = ratio_to_raw.map_or(String::new(), shown);
            // Writing to a string cannot fail.
            let _ = writeln!(table, "| {name} | {store} | {} | {unit} | {ratio} |", shown(*value));
        }
        table
    }

    fn push(&mut self, figure: Figure) -> Result {
        println!("{}", serde_json::to_string(&figure)?);
        self.figures.push(figure);
        Ok(())
    }
}

/// The rates of one round.
pub(crate) struct Round {
    pub(crate) ours: f64,
    pub(crate) raw: f64,
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// The value below which that part of the sorted values lies (the nearest of them).
fn quantile(sorted: &[f64], part: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place among some thousands of values"
    )]
    let place = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// Three digits that count, without a decimal point in thousands.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
