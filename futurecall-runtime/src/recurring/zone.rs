//! What to write instead of a time zone that is not known. Never a name whose clock may show another time than was meant.
//!
//! The attribute checks time zones at compile time with a copy of this file (`futurecall-macros/src/zone.rs`): it needs nothing
//! but chrono-tz and `nearest.rs`.

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::nearest;

/// Says what to write instead of `name`, as the end of a sentence or a sentence of its own.
pub(crate) fn advice(name: &str, nearest: Option<&str>) -> String {
    match (offset(name), nearest) {
        (Some(0), _) => "write `UTC`".to_owned(),
        (Some(minutes), _) => offset_advice(minutes),
        (None, Some(nearest)) => format!("did you mean `{nearest}`?"),
        (None, None) => "write a name of the IANA database, such as `UTC` or `Europe/Berlin`".to_owned(),
    }
}

/// An offset moves no clock in summer, and the names of fixed offsets have the sign that nobody expects.
fn offset_advice(minutes: i32) -> String {
    let city = "write a city's zone, such as `Europe/Berlin`, which keeps to that place's clock changes";
    let hours = minutes / 60;
    let name = format!("Etc/GMT{:+}", hours.saturating_neg());
    if minutes % 60 != 0 || name.parse::<Tz>().is_err() {
        return format!("{city}; fixed offsets have names for whole hours from -12 to +14 only");
    }
    let unit = if hours.abs() == 1 { "hour" } else { "hours" };
    let side = if hours > 0 { "ahead of" } else { "behind" };
    format!(
        "{city}; for a fixed {} {unit} {side} UTC it is `{name}`, because these names have the opposite sign",
        hours.abs()
    )
}

/// The minutes ahead of UTC that people mean by `UTC+2`, `GMT-5`, `Etc/UTC+02:00` or `+0530`.
fn offset(name: &str) -> Option<i32> {
    let upper = name.trim().to_ascii_uppercase().replace('\u{2212}', "-");
    let rest = upper.strip_prefix("ETC/").unwrap_or(&upper);
    let rest = ["GMT", "UTC", "UT", "Z"].iter().find_map(|zero| rest.strip_prefix(zero)).unwrap_or(rest);
    let rest = rest.trim_start();
    let (sign, digits) = match rest.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, rest.strip_prefix('+')?),
    };
    let digits = digits.trim_start();
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let number = |text: &str| -> Option<i32> {
        let is_short = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        is_short.then(|| text.parse().ok())?
    };
    number(hours)?.checked_mul(60)?.checked_add(number(minutes)?)?.checked_mul(sign)
}

/// The zone that was probably meant: the same letters in another case, the city without its region, or a misspelling.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    /// No zone's name is longer than half of this; comparing with all of them should stay cheap.
    const LONGEST_NAME: usize = 64;
    /// Shorter names are abbreviations, and each is near to one of quite another clock: `PST` to `EST`.
    const SHORTEST_MISSPELLING: usize = 5;

    if name.len() >= LONGEST_NAME || offset(name).is_some() {
        return None;
    }
    let name = name.trim().replace(' ', "_");
    let names: Vec<&str> = TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    let same = names.iter().find(|known| known.eq_ignore_ascii_case(&name));
    let city = || {
        names
            .iter()
            .find(|known| known.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&name)))
    };
    // Digits, which state an offset, are no misspelling.
    let is_word =
        name.len() >= SHORTEST_MISSPELLING && !name.contains(|letter: char| letter.is_ascii_digit());
    let misspelt = || is_word.then(|| nearest::nearest(&name, names.iter().copied())).flatten();
    same.or_else(city).copied().or_else(misspelt)
}
