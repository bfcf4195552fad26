//! The figures: one JSON line each as soon as it is known.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Result;
use crate::kind::Kind;

/// The contestant of [`Line::ours`].
pub(crate) const OURS: &str = "futurecall";
/// The contestant that does the same work in plain SQL.
pub(crate) const RAW: &str = "raw SQL";

/// The kind of "work" of a line that describes the machine.
pub(crate) const MACHINE: &str = "machine";

/// Every figure so far.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

/// One figure: a line of the report. Programs that measure other libraries print the same fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The figure, in words.
    pub(crate) figure: String,
    pub(crate) who: String,
    /// `default` or `tuned`.
    pub(crate) settings: String,
    /// The settings; empty if there were none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) set: String,
    pub(crate) store: String,
    /// The kind of work, as one word that stays the same for all sizes.
    pub(crate) work: String,
    /// The median of the rounds, or of the distribution.
    pub(crate) value: Option<f64>,
    pub(crate) unit: String,
    /// Ours as a multiple of the same work in plain SQL: above 1 is faster. `None` if there is no such work.
    #[serde(default)]
    pub(crate) ratio_to_raw: Option<f64>,
    /// The minimum and maximum of the rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) high: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p50: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p90: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p99: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<f64>,
    /// How many rounds, or values of the distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<usize>,
    /// Fields of some figures only.
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

impl Line {
    /// Returns a figure of ours, with the default settings, without a value yet.
    pub(crate) fn ours(kind: Kind, work: &str, figure: impl Into<String>, unit: &str) -> Self {
        Self::of(kind.name(), work, figure, unit)
    }

    /// Returns the same without a store.
    pub(crate) fn of(store: &str, work: &str, figure: impl Into<String>, unit: &str) -> Self {
        Self {
            figure: figure.into(),
            who: OURS.to_owned(),
            settings: "default".to_owned(),
            set: String::new(),
            store: store.to_owned(),
            work: work.to_owned(),
            value: None,
            unit: unit.to_owned(),
            ratio_to_raw: None,
            low: None,
            high: None,
            p50: None,
            p90: None,
            p99: None,
            max: None,
            n: None,
            more: Map::new(),
        }
    }

    /// Reads the figures in files of JSON lines; other lines are skipped. A figure that was measured again keeps its
    /// place, with its later value.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Vec<Self>> {
        let mut lines: Vec<Self> = Vec::new();
        for file in files {
            let text =
                std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            for line in text.lines().filter(|line| line.starts_with('{')) {
                let line: Self =
                    serde_json::from_str(line).map_err(|error| format!("{}: {error}", file.display()))?;
                match lines.iter_mut().find(|earlier| line.measures_the_same_as(earlier)) {
                    Some(earlier) => *earlier = line,
                    None => lines.push(line),
                }
            }
        }
        Ok(lines)
    }

    fn measures_the_same_as(&self, other: &Self) -> bool {
        let key = |line: &Self| {
            [&line.who, &line.work, &line.figure, &line.set, &line.store, &line.unit].map(String::clone)
        };
        self.work != MACHINE && key(self) == key(other)
    }

    /// Reads a file of JSON lines.
    pub(crate) fn write(lines: &[Self], file: &Path) -> Result {
        let mut text = String::new();
        for line in lines {
            text.push_str(&serde_json::to_string(line)?);
            text.push('\n');
        }
        Ok(std::fs::write(file, text)?)
    }

    /// Sets another contestant.
    pub(crate) fn by(mut self, who: &str) -> Self {
        who.clone_into(&mut self.who);
        self
    }

    /// Sets a setting.
    pub(crate) fn set(mut self, setting: &str) -> Self {
        setting.clone_into(&mut self.set);
        self
    }

    /// Sets a single value.
    pub(crate) fn value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    /// Sets the median of rounds, and their spread.
    pub(crate) fn rounds(mut self, rounds: &[f64]) -> Self {
        let sorted = sorted(rounds);
        self.value = quantile(&sorted, 0.5);
        self.low = sorted.first().copied();
        self.high = sorted.last().copied();
        self.n = Some(sorted.len());
        self
    }

    /// Sets the distribution of durations in milliseconds; the value is the median.
    pub(crate) fn spread(mut self, millis: &[f64]) -> Self {
        let sorted = sorted(millis);
        self.p50 = quantile(&sorted, 0.5);
        self.p90 = quantile(&sorted, 0.9);
        self.p99 = quantile(&sorted, 0.99);
        self.max = sorted.last().copied();
        self.value = self.p50;
        self.n = Some(sorted.len());
        self
    }

    /// Adds a field of this figure only.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

impl Report {
    /// Adds a figure and prints its line.
    pub(crate) fn push(&mut self, line: Line) -> Result {
        println!("{}", serde_json::to_string(&line)?);
        self.lines.push(line);
        Ok(())
    }

    /// Adds ours and the same work in plain SQL, measured in alternating rounds.
    pub(crate) fn push_with_raw(&mut self, line: Line, rounds: &[Round]) -> Result {
        let ours: Vec<f64> = rounds.iter().map(|round| round.ours).collect();
        let raw: Vec<f64> = rounds.iter().map(|round| round.raw).collect();
        let ratios: Vec<f64> = rounds.iter().map(|round| round.ours / round.raw).collect();
        let raw = line.clone().by(RAW).rounds(&raw);
        let mut ours = line.rounds(&ours);
        ours.ratio_to_raw = median(&ratios);
        self.push(ours)?;
        self.push(raw)
    }

    /// Returns every figure so far.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// The rates of one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) ours: f64,
    pub(crate) raw: f64,
}

/// Returns the median.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(&sorted(values), 0.5)
}

/// Formats with three significant digits, without a decimal point in thousands.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// Returns the value below which that part of the sorted values lies (the nearest of them).
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place among some thousands of values"
    )]
    let place = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
    sorted.get(place).copied()
}
