//! Wording that the library shares with its command line and its dashboard: durations, numbers, and characters that nobody sees.

use std::time::Duration;

/// The units of a duration, largest first, in microseconds.
const UNITS: [(u64, &str); 6] = [
    (86_400_000_000, "d"),
    (3_600_000_000, "h"),
    (60_000_000, "min"),
    (1_000_000, "s"),
    (1_000, "ms"),
    (1, "µs"),
];

/// Returns a duration in its two largest units: `2 d 2 h`, `1 min 4 s`, `2.3 s`, `340 ms`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, 0) if duration.as_millis() == 0 && !duration.is_zero() => {
            format!("{} µs", duration.as_micros())
        }
        (0, 0, 0, 0) => format!("{} ms", duration.as_millis()),
        (0, 0, 0, seconds) if seconds < 10 => format!("{seconds}.{} s", duration.subsec_millis() / 100),
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

/// Returns a duration in all of its units, for one that somebody has chosen: `1 h 30 min`, `7 d`.
pub(crate) fn exact(micros: u64) -> String {
    let mut rest = micros;
    let mut words = Vec::new();
    for (size, unit) in UNITS {
        let count = rest.checked_div(size).unwrap_or(0);
        rest = rest.checked_rem(size).unwrap_or(0);
        if count > 0 {
            words.push(format!("{count} {unit}"));
        }
    }
    words.join(" ")
}

/// Returns a number with its thousands apart: `1,234,567`.
#[must_use]
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns whether a character must not be shown as it is: control characters, and those that change the direction of the
/// text around them or take no room.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_their_two_largest_units() {
        for (micros, shown) in [
            (0, "0 ms"),
            (12, "12 µs"),
            (500, "500 µs"),
            (250_000, "250 ms"),
            (1_250_000, "1.2 s"),
            (59_000_000, "59 s"),
            (64_000_000, "1 min 4 s"),
            (3_600_000_000, "1 h 0 min"),
            (90_000_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), shown);
        }
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn what_nobody_sees_is_known() {
        for hidden in
            ['\0', '\n', '\u{9b}', '\u{ad}', '\u{180e}', '\u{200b}', '\u{202e}', '\u{feff}', '\u{e0041}']
        {
            assert!(is_invisible(hidden), "{hidden:?}");
        }
        assert!(!"naïve 😀 שלום 日本".contains(is_invisible));
    }
}
