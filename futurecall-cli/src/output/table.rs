//! Formats answers as text: names and values in two columns, lists as tables without lines, which are easy to search.

use std::borrow::Cow;
use std::fmt::Write;
use std::iter;

use comfy_table::{CellAlignment, Table, presets};
use futurecall_runtime::text::number;

use super::roughly;
use super::time::Clock;
use super::value::{Record, Rows, Tone, Value};
use crate::sanitize::escaped;

/// Longer texts are cut in lists; `show` and JSON have the full text.
const WIDEST: usize = 60;
const GAP: &str = "  ";
/// Columns that tables omit, because another column describes them.
const FOR_PROGRAMS: &[&str] = &["declared", "effective", "figures"];

/// The style of tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) colour: bool,
    pub(super) clock: Clock,
}

impl Look {
    /// Formats an answer.
    pub(super) fn record(self, record: &Record) -> String {
        let (lists, fields): (Vec<_>, Vec<_>) =
            record.fields.iter().partition(|(_, value)| matches!(value, Value::Rows(_)));
        let mut text = self.fields(&fields);
        // A single list needs no heading.
        let headed = !fields.is_empty() || lists.len() > 1;
        for (key, value) in lists {
            let Value::Rows(rows) = value else { continue };
            if headed {
                let gap = if text.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}{}", self.bold(&label(key)));
            }
            text.push_str(&self.rows(rows));
        }
        text
    }

    fn fields(self, fields: &[&(Cow<'static, str>, Value)]) -> String {
        let is_shown = |(key, value): &(Cow<'_, str>, Value)| {
            *value != Value::Null && !FOR_PROGRAMS.contains(&key.as_ref())
        };
        let shown: Vec<_> = fields.iter().filter(|field| is_shown(field)).collect();
        let width = shown.iter().map(|(key, _)| label(key).len()).max().unwrap_or_default();
        let rows = shown.iter().map(|(key, value)| vec![label(key), self.whole(value)]).collect();
        // Of a value of several lines the first stands beside its name.
        lines(rows, &[false, false]).fold(String::new(), |text, line| match line.split_at_checked(width) {
            Some((name, value)) if !name.trim().is_empty() => text + &self.faint(name) + value + "\n",
            _ => text + &line + "\n",
        })
    }

    /// Formats a list, with columns as wide as their widest text.
    pub(super) fn rows(self, rows: &Rows) -> String {
        if rows.rows.is_empty() {
            return format!("{}\n", rows.none);
        }
        let heads = rows.columns.iter().map(|key| head(key)).collect();
        let cells = rows.rows.iter().map(|row| rows.columns.iter().map(|key| self.cell(row, key)).collect());
        let right: Vec<bool> = rows.columns.iter().map(|key| is_numeric(rows, key)).collect();
        let mut lines = lines(iter::once(heads).chain(cells).collect(), &right);
        let mut text = format!("{}\n", self.bold(&lines.next().unwrap_or_default()));
        for (row, line) in rows.rows.iter().zip(lines) {
            let _ = writeln!(text, "{}", self.toned(row.tone, &line));
            for detail in
                rows.under.iter().filter_map(|key| row.get(key)).filter(|value| **value != Value::Null)
            {
                let _ = writeln!(text, "{GAP}{GAP}{}", escaped(&self.plain(detail)));
            }
        }
        text
    }

    fn cell(self, row: &Record, key: &str) -> String {
        if let Some(keys) = key.strip_prefix('~') {
            let moment =
                |key| if let Some(Value::Moment(moment)) = row.get(key) { Some(*moment) } else { None };
            let moment = keys.split('/').find_map(moment);
            return moment.and_then(|moment| self.clock.relative(moment)).unwrap_or_default();
        }
        let (key, whole) = key.strip_suffix('!').map_or((key, false), |key| (key, true));
        match row.get(key) {
            Some(Value::Moment(moment)) => self.clock.absolute(*moment),
            Some(value) if whole => escaped(&self.plain(value)).into_owned(),
            Some(value) => cut(&escaped(&self.plain(value))),
            None => String::new(),
        }
    }

    /// Formats the value of a field; texts of several lines keep their lines.
    fn whole(self, value: &Value) -> String {
        match value {
            Value::Text(text) => text.lines().map(escaped).collect::<Vec<_>>().join("\n"),
            Value::Moment(moment) => self.clock.both(*moment),
            value => escaped(&self.plain(value)).into_owned(),
        }
    }

    fn plain(self, value: &Value) -> String {
        match value {
            Value::Null => String::new(),
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "no".to_owned(),
            Value::Count(count) => number(*count),
            Value::Whole(number) => number.to_string(),
            Value::Number(number) => format!("{number:.2}"),
            Value::Text(text) | Value::Json(text) => text.clone(),
            Value::Moment(moment) => self.clock.absolute(*moment),
            Value::Span(span) => roughly(*span),
            Value::List(values) => {
                let sentences = values.iter().all(|value| matches!(value, Value::Record(_)));
                let texts: Vec<_> = values.iter().map(|value| self.plain(value)).collect();
                texts.join(if sentences { "; " } else { ", " })
            }
            Value::Record(record) if record.get("says").is_some() => {
                record.get("says").map_or_else(String::new, |says| self.plain(says))
            }
            Value::Record(record) => {
                let field = |(key, value): &(Cow<'static, str>, Value)| {
                    format!("{} {}", label(key), self.plain(value))
                };
                record
                    .fields
                    .iter()
                    .filter(|(_, value)| *value != Value::Null)
                    .map(field)
                    .collect::<Vec<_>>()
                    .join(", ")
            }
            Value::Rows(rows) => format!("{} rows", rows.rows.len()),
        }
    }

    fn bold(self, text: &str) -> String {
        self.painted("1", text)
    }

    fn faint(self, text: &str) -> String {
        self.painted("2", text)
    }

    fn toned(self, tone: Tone, text: &str) -> String {
        match tone {
            Tone::Plain => text.to_owned(),
            Tone::Good => self.painted("32", text),
            Tone::Bad => self.painted("31", text),
            Tone::Doubtful => self.painted("33", text),
            Tone::Busy => self.painted("36", text),
            Tone::Faint => self.painted("2", text),
        }
    }

    fn painted(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Lays out cells in columns as wide as their widest text, without lines.
fn lines(rows: Vec<Vec<String>>, right: &[bool]) -> impl Iterator<Item = String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_rows(rows);
    for (column, right) in table.column_iter_mut().zip(right) {
        column.set_padding((0, 2));
        column.set_cell_alignment(if *right { CellAlignment::Right } else { CellAlignment::Left });
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.into_iter()
}

/// Returns whether a column only has numbers.
fn is_numeric(rows: &Rows, key: &str) -> bool {
    let mut values =
        rows.rows.iter().filter_map(|row| row.get(key)).filter(|value| **value != Value::Null).peekable();
    let number = |value: &Value| {
        matches!(value, Value::Count(_) | Value::Whole(_) | Value::Number(_) | Value::Span(_))
    };
    values.peek().is_some() && values.all(number)
}

fn label(key: &str) -> String {
    key.trim_end_matches("_seconds").replace('_', " ").replace("words", "rule")
}

fn head(key: &str) -> String {
    if key.starts_with('~') { "WHEN".to_owned() } else { label(key.trim_end_matches('!')).to_uppercase() }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= WIDEST {
        return text.to_owned();
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(colour: bool) -> Look {
        Look { colour, clock: Clock::default() }
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows =
            ["日本", "a\u{1b}[31m"].map(|name| Record::new().with("name", name).with("calls", 1_234_u64));
        let rows = Rows::new(&["name", "calls"], "none", rows);
        assert_eq!(look(false).rows(&rows), "NAME         CALLS\n日本         1,234\na\\u{1b}[31m  1,234\n");
        assert_eq!(look(false).rows(&Rows::new(&["name"], "no calls", [])), "no calls\n");
    }

    #[test]
    fn colours_stand_around_whole_lines() {
        let rows = Rows::new(&["a"], "", [Record::new().with("a", "x").tone(Tone::Bad)]);
        assert_eq!(look(true).rows(&rows), "\u{1b}[1mA\u{1b}[0m\n\u{1b}[31mx\u{1b}[0m\n");
    }

    #[test]
    fn texts_of_several_lines_cannot_pass_for_fields() {
        let record = Record::new().with("error", "one\nstate  succeeded\r").with("state", "failed");
        assert_eq!(look(false).record(&record), "error  one\n       state  succeeded\\r\nstate  failed\n");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut(&"é".repeat(61)).chars().count(), 60);
    }
}
