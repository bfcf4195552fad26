//! What identifiers and names may be, on every store alike.

use std::fmt;

use crate::error::ScheduleError;

const MOST: usize = 255;

/// Returns an identifier as text: as much of it as shows that it is too long, where it is.
pub(crate) fn identifier_text(identifier: &dyn fmt::Display) -> String {
    crate::bounded::shown(identifier, MOST.saturating_add(1))
}

/// Refuses an identifier that a database could not keep or a person could not type.
pub(crate) fn check_identifier(identifier: &str) -> Result<(), ScheduleError> {
    fault(identifier).map_or(Ok(()), |reason| Err(ScheduleError::InvalidIdentifier { reason }))
}

/// Refuses such a stored name.
pub(crate) fn check_name(name: &str) -> Result<(), ScheduleError> {
    fault(name).map_or(Ok(()), |reason| Err(ScheduleError::InvalidName { reason }))
}

fn fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("is empty: leave it out, or give at least one character")
    } else if text.chars().count() > MOST {
        Some("is longer than 255 characters: shorten it, or use a hash of it")
    } else if text.chars().any(char::is_control) {
        Some("holds a control character (such as NUL, tab or a line break): take it out")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{check_identifier, check_name};

    #[test]
    fn printable_texts_pass_and_others_say_why() {
        for good in
            ["a", "account:7", "日本語", "a b", "'; DROP TABLE call; --", "\u{202e}rtl", &"é".repeat(255)]
        {
            check_identifier(good).unwrap();
        }
        for (bad, word) in
            [("", "empty"), ("a\0b", "control"), ("a\nb", "control"), (&*"x".repeat(256), "255")]
        {
            assert!(check_identifier(bad).unwrap_err().to_string().contains(word));
            assert!(check_name(bad).unwrap_err().to_string().starts_with("the name"));
        }
    }
}
