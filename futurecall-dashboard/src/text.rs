//! Formats texts, numbers and times for people.

use std::time::Duration;

use futurecall_runtime::Moment;
pub(crate) use futurecall_runtime::text::duration as span;
use futurecall_runtime::text::is_invisible;
pub(crate) use futurecall_runtime::text::number;
use maud::{Markup, html};

/// Renders untrusted text in one line. Invisible and directional characters are shown by their code points.
pub(crate) fn safe(text: &str) -> Markup {
    html! {
        @for part in parts(text, false) {
            @match part {
                Part::Plain(text) => (text),
                Part::Hidden(character) => span.hidden-character { (code_point(character)) },
            }
        }
    }
}

/// Renders untrusted text of several lines.
pub(crate) fn safe_lines(text: &str) -> Markup {
    html! {
        @for part in parts(text, true) {
            @match part {
                Part::Plain(text) => (text),
                Part::Hidden(character) => span.hidden-character { (code_point(character)) },
            }
        }
    }
}

/// Returns untrusted text for places without markup: titles and tooltips.
pub(crate) fn plain(text: &str) -> String {
    parts(text, false).fold(String::new(), |shown, part| match part {
        Part::Plain(text) => shown + text,
        Part::Hidden(character) => shown + &code_point(character),
    })
}

/// Returns the first characters of a text, and whether there are more.
pub(crate) fn cut(text: &str, characters: usize) -> (&str, bool) {
    text.char_indices()
        .nth(characters)
        .map_or((text, false), |(end, _)| (text.get(..end).unwrap_or(text), true))
}

/// Renders the first line of an untrusted text, shortened.
pub(crate) fn brief(text: &str, characters: usize) -> Markup {
    let line = text.lines().next().unwrap_or_default();
    let (head, more) = cut(line, characters);
    html! { (safe(head)) @if more || line.len() < text.len() { "…" } }
}

enum Part<'a> {
    Plain(&'a str),
    Hidden(char),
}

fn parts(text: &str, lines: bool) -> impl Iterator<Item = Part<'_>> {
    let hidden = move |character| is_invisible(character) && !(lines && matches!(character, '\n' | '\t'));
    text.split_inclusive(hidden).flat_map(move |piece| {
        let last = piece.chars().next_back().filter(|character| hidden(*character));
        let plain = last.map_or(piece, |last| piece.strip_suffix(last).unwrap_or(piece));
        [(!plain.is_empty()).then_some(Part::Plain(plain)), last.map(Part::Hidden)].into_iter().flatten()
    })
}

fn code_point(character: char) -> String {
    format!("⟨U+{:04X}⟩", u32::from(character))
}

/// Formats a number that was counted up to a cap.
pub(crate) fn capped(count: u64, cap: u64) -> String {
    if count >= cap { format!("{}+", number(cap)) } else { number(count) }
}

/// Formats a number of calls: `1 call`, `2 calls`.
pub(crate) fn calls(count: u64) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{} calls", number(count)) }
}

/// Formats the distance of a time from now: `in 5 min`, `3 h ago`. The script has the same rules.
pub(crate) fn distance(now: Moment, moment: Moment) -> String {
    let (ahead, behind) = (moment.saturating_since(now), now.saturating_since(moment));
    if ahead.as_secs() == 0 && behind.as_secs() == 0 {
        "now".to_owned()
    } else if ahead > behind {
        format!("in {}", roughly(ahead))
    } else {
        format!("{} ago", roughly(behind))
    }
}

/// Formats a duration in its largest unit, or its two largest.
fn roughly(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        86_400..864_000 => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Renders a time in UTC to the second. The script can change it to local time.
pub(crate) fn clock(moment: Moment) -> Markup {
    let utc = moment.to_utc();
    html! {
        time.clock datetime=(moment) title=(format!("{moment}")) { (utc.format("%Y-%m-%d %H:%M:%S")) }
    }
}

/// Renders a time by its distance from now and in UTC.
pub(crate) fn when(now: Moment, moment: Moment) -> Markup {
    html! {
        span.when {
            time.distance datetime=(moment) { (distance(now, moment)) }
            " "
            (clock(moment))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futurecall_runtime::Moment;

    use super::{brief, capped, cut, distance, number, plain, safe, safe_lines, span};

    #[test]
    fn invisible_characters_are_shown() {
        let text = "a\u{202e}b\0<script>&\u{200b}\n\"";
        let shown = "a<span class=\"hidden-character\">⟨U+202E⟩</span>b<span class=\"hidden-character\">⟨U+0000⟩</span>\
                     &lt;script&gt;&amp;<span class=\"hidden-character\">⟨U+200B⟩</span>";
        let line = "<span class=\"hidden-character\">⟨U+000A⟩</span>";
        assert_eq!(safe(text).into_string(), format!("{shown}{line}&quot;"));
        assert_eq!(safe_lines(text).into_string(), format!("{shown}\n&quot;"));
        assert_eq!(plain("x\u{7}"), "x⟨U+0007⟩");
        assert_eq!(safe("naïve 😀 שלום").into_string(), "naïve 😀 שלום");
        assert_eq!(brief("first\nsecond", 100).into_string(), "first…");
        assert_eq!(cut("aéb", 2), ("aé", true));
    }

    #[test]
    fn figures_are_formatted() {
        assert_eq!(
            (number(0), number(999), number(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        assert_eq!((capped(9, 10), capped(10, 10)), ("9".into(), "10+".into()));
        let shown = [0.000_5, 0.34, 2.34, 64.0, 7_320.0, 180_000.0].map(|s| span(Duration::from_secs_f64(s)));
        assert_eq!(shown, ["500 µs", "340 ms", "2.3 s", "1 min 4 s", "2 h 2 min", "2 d 2 h"]);
        let at = |seconds: i64| Moment::from_micros(seconds * 1_000_000).unwrap();
        let distances =
            [100, 130, 40, 4_000, 100_000, 9_000_000].map(|seconds| distance(at(100), at(seconds)));
        assert_eq!(distances, ["now", "in 30 s", "1 min ago", "in 1 h 5 min", "in 1 d 3 h", "in 104 d"]);
    }
}
