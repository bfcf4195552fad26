//! Reading a cron expression: the one configuration of the parser, and what is said of an expression it refuses.
//!
//! The attribute checks expressions at compile time with a copy of this file (`futurecall-macros/src/expression.rs`): it needs
//! nothing but croner.

use croner::parser::{CronParser, Seconds, Year};
use croner::time::days_in_month;
use croner::{CronPattern, Weekday};

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It cannot be read: what is wrong with it, and what to write instead.
    Unreadable(String),
    /// No day of any year matches it.
    NeverRuns,
}

/// Reads an expression of five fields, of six with seconds first, or a nickname.
pub(crate) fn parse(expression: &str) -> Result<CronPattern, Refusal> {
    let pattern = parse_fields(expression).map_err(Refusal::Unreadable)?;
    if ever_runs(&pattern) { Ok(pattern) } else { Err(Refusal::NeverRuns) }
}

/// Five or six fields and never a year: a rule that ends by itself is not a recurring one. A day matches by its day
/// of the month *or* of the week where both are given, Sunday is 0, and `5/10` is refused, all as in Vixie cron.
/// Where one of the two fields begins with a star, a day matches by both.
fn parser(day_and_weekday: bool) -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .dom_and_dow(day_and_weekday)
        .alternative_weekdays(false)
        .sloppy_ranges(false)
        .build()
}

struct Field {
    name: &'static str,
    values: &'static str,
    /// How many values there are: a longer step would silently run at the first value only.
    span: u32,
    words: &'static [&'static str],
}

const NICKNAMES: [&str; 6] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"];

const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

const FIELDS: [Field; 6] = [
    Field { name: "a second", values: "0 to 59", span: 60, words: &[] },
    Field { name: "a minute", values: "0 to 59", span: 60, words: &[] },
    Field { name: "an hour", values: "0 to 23", span: 24, words: &[] },
    Field {
        name: "a day of the month",
        values: "1 to 31, `L` (the last), `LW` (the last working day) or `15W` (the working day nearest to the 15th)",
        span: 31,
        words: &["L", "W", "LW"],
    },
    Field { name: "a month", values: "1 to 12 or JAN to DEC", span: 12, words: &MONTHS },
    Field {
        name: "a day of the week",
        values: "0 to 7 or SUN to SAT (0 and 7 are Sunday), `5L` (the last Friday) or `5#2` (the second Friday)",
        span: 8,
        words: &WEEKDAYS,
    },
];

/// Few enough for any rule, too few to fill a database with.
const LONGEST: usize = 1_000;

fn parse_fields(expression: &str) -> Result<CronPattern, String> {
    if expression.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    if let Some(strange) = expression.chars().find(|c| !c.is_ascii() || (c.is_ascii_control() && *c != '\t'))
    {
        return Err(format!("it contains {strange:?}; write it in plain ASCII, on one line"));
    }
    let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
    let described = match fields.as_slice() {
        [nickname] if nickname.starts_with('@') => {
            let known = NICKNAMES.iter().any(|known| known.eq_ignore_ascii_case(nickname));
            return if known { read(nickname) } else { Err(unknown_nickname(nickname)) };
        }
        [_, _, _, _, _] => FIELDS.get(1..),
        [_, _, _, _, _, _] => Some(FIELDS.as_slice()),
        _ => None,
    };
    let Some(described) = described else {
        return Err(format!(
            "it has {}; write 5 fields (minute, hour, day of the month, month, day of the week), or 6 with seconds \
             first",
            match fields.len() {
                0 => "no fields".to_owned(),
                1 => "1 field".to_owned(),
                7 => "7 fields, and years are not supported".to_owned(),
                count => format!("{count} fields"),
            }
        ));
    };
    for (text, field) in fields.iter().zip(described) {
        check_field(field, text)?;
    }
    read(expression).map_err(|error| {
        let culprit = fields.iter().zip(described).enumerate().find(|(place, (text, _))| {
            // Alone among stars, a field is the only one that can be at fault.
            let alone = (0..fields.len()).map(|other| if other == *place { *text } else { &"*" });
            read(&alone.copied().collect::<Vec<_>>().join(" ")).is_err()
        });
        culprit.map_or(error, |(_, (text, field))| wrong_field(field, text))
    })
}

fn read(expression: &str) -> Result<CronPattern, String> {
    let mut fields = expression.split_ascii_whitespace().rev();
    let (weekday, day) = (fields.next(), fields.nth(1));
    let star = [weekday, day].into_iter().flatten().any(|field| field.starts_with(['*', '?']));
    parser(star).parse(expression).map(|cron| cron.pattern).map_err(|error| error.to_string())
}

/// What the parser would let pass although it cannot be meant.
fn check_field(field: &Field, text: &str) -> Result<(), String> {
    let items = || text.strip_prefix('+').unwrap_or(text).split(',');
    let has = |word: &str| items().any(|item| item.eq_ignore_ascii_case(word));
    if has("L") && has("LW") {
        // The parser would take the last day for the last working day.
        return Err(format!("`{text}`: `L` and `LW` cannot stand in one list; write two rules"));
    }
    for item in items() {
        if item.is_empty() {
            return Err(format!("`{text}` has an empty place in its list; remove the comma"));
        }
        let step = item.split_once('/').and_then(|(_, step)| step.parse::<u32>().ok());
        if let Some(step) = step.filter(|step| *step >= field.span) {
            return Err(format!(
                "`{item}` steps by {step}, past the end of the field, and would run at its first value only; use an \
                 interval (`every`) for rhythms that do not fit the field"
            ));
        }
        let words = item.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        for word in words {
            let upper = word.to_ascii_uppercase();
            let known = |word: &str| field.words.contains(&word);
            // `5L` and `FRIL` are the last Friday; a lone `L` names no weekday.
            let last = field.words == WEEKDAYS
                && upper
                    .strip_suffix('L')
                    .is_some_and(|day| known(day) || (day.is_empty() && item.len() > 1));
            if !known(&upper) && !last {
                return Err(wrong_field(field, item));
            }
        }
    }
    Ok(())
}

fn wrong_field(field: &Field, text: &str) -> String {
    let Field { name, values, .. } = field;
    match text.split_once('/') {
        Some((start, step)) if !start.contains(['*', '-']) => {
            format!(
                "`{text}` steps from a single value; write `*/{step}`, or a range and its step such as `1-5/{step}`"
            )
        }
        _ => format!(
            "`{text}` is not {name}: write {values}; or `*`, a list (`1,5`), an upward range (`1-5`), steps (`*/5`)"
        ),
    }
}

fn unknown_nickname(nickname: &str) -> String {
    format!("`{nickname}` is not a nickname; write {}, or five fields", NICKNAMES.join(", "))
}

/// Whether any day matches. The 28 years from 2000 contain all fourteen calendars (leap or not, by the weekday of
/// 1 January), 29 February on each weekday among them: what does not run here never runs.
fn ever_runs(pattern: &CronPattern) -> bool {
    // 1 January 2000 was a Saturday.
    let mut weekday = Weekday::Saturday;
    for (year, month) in (2_000..2_028).flat_map(|year| (1..=12).map(move |month| (year, month))) {
        for day in 1..=days_in_month(year, month) {
            if matches_day(pattern, year, month, day, weekday) {
                return true;
            }
            weekday = weekday.shift(1);
        }
    }
    false
}

/// Whether the pattern runs on this day, whose weekday the caller knows.
pub(crate) fn matches_day(pattern: &CronPattern, year: i32, month: u32, day: u32, weekday: Weekday) -> bool {
    // Errors mean a date that does not exist.
    pattern.month_match(month).unwrap_or(false)
        && pattern.day_match(year, month, day, weekday).unwrap_or(false)
}
