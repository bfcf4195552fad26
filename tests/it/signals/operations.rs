//! The metrics in `docs/operations` are those that pods record.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use futurecall_runtime::serde_json::{self, Value};
use futurecall_runtime::signals::{METRICS, MetricKind};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every name of a metric in a text; of a histogram's series, the histogram's.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_part(character)).filter(|word| word.starts_with("futurecall_"));
    words.filter(|word| *word != "futurecall_runtime").map(|word| base(word).to_owned()).collect()
}

fn base(series: &str) -> &str {
    let is_histogram = |name: &&str| {
        METRICS.iter().any(|metric| metric.name == *name && metric.kind == MetricKind::Histogram)
    };
    let stripped = ["_bucket", "_sum", "_count"].iter().find_map(|end| series.strip_suffix(end));
    stripped.filter(is_histogram).unwrap_or(series)
}

fn assert_all_exist(name: &str, found: &BTreeSet<String>) {
    let known: BTreeSet<_> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    let unknown: Vec<_> = found.difference(&known).collect();
    assert!(unknown.is_empty(), "{name} names metrics that no pod records: {unknown:?}");
}

/// Everything under a key, wherever it stands.
fn under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(text) if name == key => found.push(text),
                    _ => under(value, key, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| under(value, key, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let text = document("grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut expressions = Vec::new();
    under(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() >= METRICS.len(), "{expressions:#?}");
    let balanced = |open, close| {
        let count = |wanted| move |text: &&str| text.matches(wanted).count();
        expressions.iter().all(|text| count(open)(text) == count(close)(text))
    };
    assert!(balanced('(', ')') && balanced('{', '}') && balanced('[', ']'), "{expressions:#?}");
    let shown = named(&expressions.join("\n"));
    assert_all_exist("the dashboard", &shown);
    let missing: Vec<_> = METRICS.iter().filter(|metric| !shown.contains(metric.name)).collect();
    assert!(missing.is_empty(), "the dashboard does not show {missing:?}");
    let ids: BTreeSet<_> =
        dashboard["panels"].as_array().unwrap().iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), dashboard["panels"].as_array().unwrap().len(), "each panel has its own number");
}

#[test]
fn the_alerts_name_metrics_that_exist_and_are_explained() {
    let (rules, readme) = (document("alerts.yml"), document("README.md"));
    assert!(!rules.contains('\t'), "YAML knows no tabs");
    let found = named(&rules);
    assert!(found.len() >= 10, "{found:?}");
    assert_all_exist("alerts.yml", &found);
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    for alert in &alerts {
        assert!(readme.contains(&format!("| `{alert}` |")), "README.md does not explain {alert}");
    }
    let count = |text: &str| rules.lines().filter(|line| line.trim_start().starts_with(text)).count();
    assert!(alerts.len() >= 10);
    for part in ["expr:", "summary:", "labels: {severity:"] {
        assert_eq!(count(part), alerts.len(), "each alert has its {part}");
    }
}

#[test]
fn every_metric_is_described() {
    let readme = document("README.md");
    assert_all_exist("README.md", &named(&readme));
    for metric in METRICS {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
        let row = format!("| `{}` | {kind} | {labels} | {} |", metric.name, metric.help);
        assert!(readme.contains(&row), "README.md lacks the row\n{row}");
    }
}
