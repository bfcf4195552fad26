//! The figures as charts, readable on light and on dark pages.

use std::fmt::Write as _;
use std::path::Path;

use crate::Result;
use crate::report::{Line, OURS, RAW, shown};

/// Writes `throughput.svg` and `lateness.svg`; omits a chart without figures.
pub(crate) fn write(lines: &[Line], folder: &Path) -> Result {
    std::fs::create_dir_all(folder)?;
    for (name, chart) in [("throughput.svg", throughput(lines)), ("lateness.svg", lateness(lines))] {
        if let Some(chart) = chart {
            let file = folder.join(name);
            std::fs::write(&file, chart)?;
            eprintln!("wrote {}", file.display());
        }
    }
    Ok(())
}

const WIDTH: f64 = 900.0;
/// Where bars and scales begin: titles are left of it.
const LEFT: f64 = 390.0;
const RIGHT: f64 = 90.0;
const ROW: f64 = 26.0;
const TOP: f64 = 64.0;

const STYLE: &str = "<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .quiet { fill: #59636e; font-size: 12px }
  .ours { fill: #0969da } .raw { fill: #afb8c1 }
  .line { stroke: #d1d9e0; stroke-width: 1 }
  .range { stroke: #0969da; stroke-width: 3; opacity: .35 }
  .p50 { fill: #0969da } .p90 { fill: #54aeff } .p99 { fill: #bf8700 } .max { fill: #cf222e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .line { stroke: #3d444d }
    .ours { fill: #4493f8 } .raw { fill: #656c76 } .range { stroke: #4493f8 }
    .p50 { fill: #4493f8 } .p90 { fill: #a5d6ff } .p99 { fill: #d29922 } .max { fill: #f85149 }
  }
</style>";

/// Draws bars: ours, and plain SQL if it does the same work.
fn throughput(lines: &[Line]) -> Option<String> {
    const WORK: [&str; 5] = ["enqueue1", "enqueue16", "enqueue64", "bulk", "drain"];
    let shown_here = |line: &&Line| WORK.contains(&line.work.as_str()) && line.value.is_some();
    let bars: Vec<&Line> = lines.iter().filter(shown_here).collect();
    let most = bars.iter().filter_map(|line| line.value).fold(0.0, f64::max);
    if most == 0.0 {
        return None;
    }
    let mut chart = Chart::new("Calls per second", "more is better");
    chart.key(&[("ours", OURS), ("raw", RAW)]);
    for line in bars.iter().filter(|line| line.who == OURS) {
        chart.title(&format!("{}: {}", line.store, line.title()));
        let raw = bars.iter().find(|raw| raw.who == RAW && raw.is_beside(line));
        for (class, line, y) in [("ours", Some(line), 3.0), ("raw", raw, 13.0)] {
            let Some(value) = line.and_then(|line| line.value) else { continue };
            chart.bar(class, y, value, most);
        }
        chart.row();
    }
    Some(chart.end())
}

/// Draws dots on a logarithmic scale: the median, and the upper percentiles.
fn lateness(lines: &[Line]) -> Option<String> {
    let is_spread = |line: &&Line| line.unit == "ms" && line.who == OURS && line.p50.is_some();
    let spreads: Vec<&Line> = lines.iter().filter(is_spread).collect();
    if spreads.is_empty() {
        return None;
    }
    let mut chart = Chart::new("When calls start, in milliseconds", "less is better; logarithmic");
    chart.key(&[("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("max", "max")]);
    let height = TOP + ROW * f64::from(u32::try_from(spreads.len()).ok()?);
    chart.scale(height);
    for line in spreads {
        chart.title(&format!("{}: {}", line.store, line.title()));
        let dots = [("p50", line.p50), ("p90", line.p90), ("p99", line.p99), ("max", line.max)];
        if let (Some(p50), Some(max)) = (line.p50, line.max) {
            chart.range(p50, max);
        }
        // The least important first: later ones cover it.
        for (class, value) in dots.into_iter().rev() {
            if let Some(value) = value {
                chart.dot(class, value);
            }
        }
        if let Some(p99) = line.p99 {
            chart.note(&format!("p99 {}", shown(p99)));
        }
        chart.row();
    }
    Some(chart.end())
}

/// A chart, row by row.
struct Chart {
    content: String,
    y: f64,
}

impl Chart {
    fn new(title: &str, hint: &str) -> Self {
        let mut chart = Self { content: String::new(), y: TOP };
        chart.add(format_args!("<text class=\"title\" x=\"12\" y=\"26\">{title}</text>"));
        chart.add(format_args!("<text class=\"quiet\" x=\"12\" y=\"46\">{hint}</text>"));
        chart
    }

    fn key(&mut self, entries: &[(&str, &str)]) {
        let mut x = LEFT;
        for (class, name) in entries {
            self.add(format_args!(
                "<circle class=\"{class}\" cx=\"{x:.0}\" cy=\"22\" r=\"5\"/><text x=\"{:.0}\" y=\"26\">{name}</text>",
                x + 10.0
            ));
            x += 110.0;
        }
    }

    /// Draws lines at the powers of ten in the range of such figures.
    fn scale(&mut self, height: f64) {
        for (millis, name) in [(0.1, "0.1"), (1.0, "1"), (10.0, "10"), (100.0, "100"), (1000.0, "1000")] {
            let x = on_scale(millis);
            self.add(format_args!(
                "<line class=\"line\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{height:.0}\"/>\
                 <text class=\"quiet\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.0}\">{name}</text>",
                TOP - 6.0
            ));
        }
    }

    fn title(&mut self, title: &str) {
        let y = self.y + 17.0;
        self.add(format_args!(
            "<text text-anchor=\"end\" x=\"{:.0}\" y=\"{y:.0}\">{title}</text>",
            LEFT - 10.0
        ));
    }

    fn bar(&mut self, class: &str, offset: f64, value: f64, most: f64) {
        let length = (WIDTH - LEFT - RIGHT) * value / most;
        let (y, end) = (self.y + offset, LEFT + length + 6.0);
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.0}\" width=\"{length:.1}\" height=\"9\" rx=\"2\"/>\
             <text class=\"quiet\" x=\"{end:.0}\" y=\"{:.0}\" style=\"font-size:10px\">{}</text>",
            y + 8.5,
            shown(value)
        ));
    }

    fn range(&mut self, from: f64, to: f64) {
        let (from, to, y) = (on_scale(from), on_scale(to), self.y + 13.0);
        self.add(format_args!(
            "<line class=\"range\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y:.0}\" y2=\"{y:.0}\"/>"
        ));
    }

    fn dot(&mut self, class: &str, millis: f64) {
        let (x, y) = (on_scale(millis), self.y + 13.0);
        self.add(format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.0}\" r=\"5\"/>"));
    }

    fn note(&mut self, text: &str) {
        let (x, y) = (WIDTH - RIGHT + 10.0, self.y + 17.0);
        self.add(format_args!("<text class=\"quiet\" x=\"{x:.0}\" y=\"{y:.0}\">{text}</text>"));
    }

    fn row(&mut self) {
        self.y += ROW;
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.content, "{element}");
    }

    fn end(self) -> String {
        let height = self.y + 14.0;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
             height=\"{height:.0}\" role=\"img\">\n{STYLE}\n{}</svg>\n",
            self.content
        )
    }
}

/// From a twentieth of a millisecond to five seconds; values outside are drawn at the ends.
fn on_scale(millis: f64) -> f64 {
    const LEAST: f64 = 0.05;
    const MOST: f64 = 5_000.0;
    let place = (millis.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    LEFT + (WIDTH - LEFT - RIGHT) * place
}
