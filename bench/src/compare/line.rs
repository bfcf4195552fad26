//! A figure as every program prints it.

use peer_work::Order;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Comparison;
use crate::Result;

/// The common fields of a line; others stay as they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) figure: String,
    pub(crate) who: String,
    pub(crate) settings: String,
    /// Its settings, in words.
    pub(crate) set: String,
    pub(crate) store: String,
    pub(crate) work: String,
    pub(crate) value: Option<f64>,
    pub(crate) unit: String,
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

impl Line {
    /// Returns the line of a program that failed.
    pub(crate) fn failed(who: &str, order: &Order, why: &str) -> Self {
        let mut more = Map::new();
        more.insert("lacks".into(), json!(why));
        Self {
            figure: order.work.name(),
            who: who.to_owned(),
            settings: order.settings.name().to_owned(),
            set: String::new(),
            store: order.store().to_owned(),
            work: order.work.name(),
            value: None,
            unit: String::new(),
            more,
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        if name == "value" { self.value } else { self.more.get(name)?.as_f64() }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.more.get(name)?.as_str()
    }

    /// Returns whether it was given up before it was done.
    pub(crate) fn is_capped(&self) -> bool {
        self.more.get("capped").and_then(Value::as_bool).unwrap_or_default()
    }

    /// Prints it, as one of several.
    pub(crate) fn printed(mut self, round: usize) -> Result<Self> {
        self.more.insert("round".into(), json!(round + 1));
        println!("{}", serde_json::to_string(&self)?);
        Ok(self)
    }
}

impl Comparison {
    /// Returns the median of theirs.
    pub(crate) fn theirs(&self, name: &str) -> Option<f64> {
        median(self.theirs.iter().filter_map(|line| line.number(name)))
    }

    /// Returns the median of ours.
    pub(crate) fn ours(&self, name: &str) -> Option<f64> {
        median(self.ours.iter().filter_map(|line| line.number(name)))
    }

    /// Returns the median of ours as a multiple of theirs, round by round.
    pub(crate) fn ratio(&self, name: &str) -> Option<f64> {
        let pairs = self.ours.iter().zip(&self.theirs);
        median(pairs.filter_map(|(ours, theirs)| Some(ours.number(name)? / theirs.number(name)?)))
    }

    /// Returns the line for both.
    pub(crate) fn summary(&self) -> Value {
        let (Some(theirs), Some(ours)) = (self.theirs.first(), self.ours.first()) else { return Value::Null };
        json!({
            "figure": format!("{}, ours as a multiple of theirs", theirs.figure),
            "who": theirs.who,
            "settings": theirs.settings,
            "store": theirs.store,
            "work": theirs.work,
            "our_settings": ours.settings,
            "theirs": self.theirs("value"),
            "ours": self.ours("value"),
            "value": self.ratio("value"),
            "p99": self.ratio("p99"),
            "unit": "×",
            "rounds": self.ours.len(),
        })
    }
}

/// Returns the median; of two, the greater one.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
