//! The lines that are printed.

use serde_json::{Map, Value, json};

use crate::{Order, Peer, Result};

/// One line: the fields that the benchmark's own figures have, and more.
pub(crate) struct Figure(Map<String, Value>);

impl Figure {
    pub(crate) fn new<P: Peer>(order: &Order, name: impl Into<String>, unit: &str) -> Self {
        let mut fields = Map::new();
        fields.insert("figure".into(), json!(name.into()));
        fields.insert("who".into(), json!(P::NAME));
        fields.insert("settings".into(), json!(order.settings.name()));
        fields.insert("set".into(), json!(P::settings(order)));
        fields.insert("store".into(), json!(order.store()));
        fields.insert("work".into(), json!(order.work.name()));
        fields.insert("value".into(), Value::Null);
        fields.insert("unit".into(), json!(unit));
        fields.insert("ratio_to_raw".into(), Value::Null);
        Self(fields)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The distribution of durations in milliseconds; the value is the median.
    pub(crate) fn with_spread(self, mut millis: Vec<f64>) -> Self {
        millis.sort_by(f64::total_cmp);
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| quantile(&millis, part));
        self.with("value", p50).with("p50", p50).with("p99", p99).with("max", max).with("n", millis.len())
    }

    pub(crate) fn print(self) -> Result {
        println!("{}", serde_json::to_string(&Value::Object(self.0))?);
        Ok(())
    }
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
