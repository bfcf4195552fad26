//! SVG charts. Colours are in the stylesheet, because the content security policy forbids inline styles.

use maud::{Markup, html};

/// One bar of stacked parts.
pub(crate) struct Bar {
    /// The parts from the bottom up, in the order of the chart's classes.
    pub(crate) parts: Vec<u64>,
    /// The tooltip.
    pub(crate) title: String,
    /// The page that it links to.
    pub(crate) link: Option<String>,
}

/// Width of a chart in its own units; the stylesheet scales it.
const WIDTH: f64 = 1_200.0;

/// Renders a bar chart. `classes` colour the parts; `label` is the accessible name.
pub(crate) fn bars(bars: &[Bar], classes: &[&str], height: u32, label: &str) -> Markup {
    let most = bars.iter().map(Bar::total).max().unwrap_or(0).max(1);
    let tall = f64::from(height);
    let step = WIDTH / to_f64(bars.len().max(1) as u64);
    let (wide, gap) = (step * 0.8, step * 0.1);
    // The role `img` hides its content, including links, from screen readers.
    let role = if bars.iter().any(|bar| bar.link.is_some()) { "group" } else { "img" };
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {height}")) preserveAspectRatio="none" role=(role) aria-label=(label) {
            line.base x1="0" x2=(WIDTH) y1=(height) y2=(height) {}
            @for (n, bar) in bars.iter().enumerate() {
                @let x = to_f64(n as u64).mul_add(step, gap);
                @let drawn = html! {
                    title { (bar.title) }
                    rect.ground x=(short(x)) y="0" width=(short(wide)) height=(height) {}
                    @for (class, y, h) in bar.stacked(classes, most, tall) {
                        rect class=(class) x=(short(x)) y=(short(y)) width=(short(wide)) height=(short(h)) {}
                    }
                };
                @match bar.link.as_ref().filter(|_| bar.total() > 0) {
                    Some(link) => a href=(link) aria-label=(bar.title) { (drawn) },
                    None => g { (drawn) },
                }
            }
        }
    }
}

impl Bar {
    fn total(&self) -> u64 {
        self.parts.iter().fold(0, |total, part| total.saturating_add(*part))
    }

    /// Returns class, top and height of each part. A part that is not zero is at least two units high, so that it is visible.
    fn stacked<'a>(&self, classes: &[&'a str], most: u64, tall: f64) -> Vec<(&'a str, f64, f64)> {
        let mut top = tall;
        let mut stacked = Vec::new();
        for (part, class) in self.parts.iter().zip(classes).filter(|(part, _)| **part > 0) {
            let height = (to_f64(*part) / to_f64(most) * tall).max(2.0).min(top);
            top -= height;
            stacked.push((*class, top, height));
        }
        stacked
    }
}

/// Renders a line chart; `None` leaves a gap.
pub(crate) fn line(values: &[Option<u64>], class: &str, height: u32, label: &str) -> Markup {
    let most = values.iter().flatten().copied().max().unwrap_or(0).max(1);
    let step = WIDTH / to_f64(values.len().max(1) as u64);
    let tall = f64::from(height);
    let point = |(n, value): (usize, &Option<u64>)| {
        let y = to_f64((*value)?) / to_f64(most) * (tall - 6.0);
        Some((to_f64(n as u64).mul_add(step, step / 2.0), tall - 3.0 - y))
    };
    let points: Vec<_> = values.iter().enumerate().filter_map(point).collect();
    let path: Vec<_> = points.iter().map(|(x, y)| format!("{},{}", short(*x), short(*y))).collect();
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {height}")) preserveAspectRatio="none" role="img" aria-label=(label) {
            line.base x1="0" x2=(WIDTH) y1=(height) y2=(height) {}
            @if points.len() > 1 { polyline class=(class) points=(path.join(" ")) vector-effect="non-scaling-stroke" {} }
            @for (x, y) in &points {
                rect class=(class) x=(short(x - 5.0)) y=(short(y - 2.0)) width="10" height="4" {}
            }
        }
    }
}

/// Formats a coordinate with one decimal.
fn short(value: f64) -> String {
    format!("{value:.1}")
}

#[expect(clippy::cast_precision_loss, reason = "a chart is drawn by pixels")]
const fn to_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::{Bar, bars, line};

    #[test]
    fn bars_are_scaled_and_labelled() {
        let bar = |parts: &[u64]| Bar {
            parts: parts.to_vec(),
            title: "<12:00>".into(),
            link: Some("calls?a&b".into()),
        };
        let drawn = bars(&[bar(&[3, 1]), bar(&[0, 0]), bar(&[u64::MAX, u64::MAX])], &["ok", "bad"], 100, "l")
            .into_string();
        assert!(!drawn.contains("style") && !drawn.contains("<12") && drawn.contains("&lt;12:00&gt;"));
        assert_eq!(drawn.matches("<a href=\"calls?a&amp;b\"").count(), 2, "empty bars lead nowhere");
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
        assert!(!bars(&[], &[], 10, "").into_string().contains("NaN"));
        assert!(line(&[None, Some(2), Some(u64::MAX)], "late", 60, "l").into_string().contains("polyline"));
        assert!(!line(&[], "late", 60, "l").into_string().contains("NaN"));
    }
}
